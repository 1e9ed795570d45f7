"""Finds the database of a configuration, even one that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from daemon.config.document import DocumentError, read_document
from daemon.config.short_forms import full_form
from daemon.config.variables import expand_variables

_LINE = re.compile(r"^database:.*", re.MULTILINE)


def database_of(file: Path, env: Mapping[str, str]) -> Path | None:
    """The path of the configuration's database, even if the file has errors; None if unknown."""
    named, _ = expand_variables({"database": _named(file)}, env)
    database = full_form(named, file.absolute().parent, env).get("database")
    return Path(database) if isinstance(database, str) and database.strip() else None


def _named(file: Path) -> Any:
    try:
        return read_document(file).data.get("database")
    except DocumentError:
        pass
    try:
        line = _LINE.search(file.read_text("utf-8"))
        return yaml.safe_load(line[0])["database"] if line else None
    except (OSError, ValueError, yaml.YAMLError):
        return None
