"""Requests and configurations to test with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daemon.config.models import Config, WatchFolder
from daemon.deepgram.request import Request, build_request


def config(
    *, folder: dict[str, Any] | None = None, rules: list[dict[str, Any]] | None = None, **analyzer: Any
) -> Config:
    """A configuration with one watched folder, /r."""
    return Config.model_validate(
        {
            "database": Path("/state/earshot.db"),
            "watch": [{"path": "/r", **(folder or {})}],
            "analyzer": analyzer,
            "alerts": {"destinations": {"team": {"urls": ["json://x"]}}, "rules": rules or []},
        }
    )


def folder_of(settings: Config) -> WatchFolder:
    """The one watched folder."""
    return settings.watch[0]


def request(
    *, folder: dict[str, Any] | None = None, rules: list[dict[str, Any]] | None = None, **analyzer: Any
) -> Request:
    """The request for recordings of that folder."""
    settings = config(folder=folder, rules=rules, **analyzer)
    return build_request(settings, folder_of(settings))
