"""`earshot engine --install`: fetches the models of the embedded engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.options import Context
from daemon.engine.install import install
from daemon.engine.weights import MODELS, SENTENCES, is_complete, share_folders
from daemon.errors import ConfigError

if TYPE_CHECKING:
    from daemon.config.models import Engine

CONFIGURED = ""
"""Stands for the model of the configuration."""


def engine_settings(context: Context) -> Engine:
    """Return what the configuration says about the engine; the defaults where there is no configuration."""
    from daemon.config.load import load_engine
    from daemon.config.models import Engine

    try:
        _ = context.config_file
    except ConfigError:
        return Engine()
    return load_engine(context.config_file, env=context.env)


def install_models(context: Context, wanted: str, into: Path | None) -> None:
    """Fetch a speech model, and the model of sentences with it, and say where they are."""
    settings = None if wanted in MODELS else engine_settings(context)
    speech = wanted or (settings.model if settings else "")
    allow_download = settings is not None and settings.allow_download
    if Path(speech).is_absolute():
        click.echo(f"engine.model is {speech}: nothing to fetch for it.")
    else:
        _install(speech, into, allow_download=allow_download)
    if speech != SENTENCES:
        _install(SENTENCES, into, allow_download=allow_download)


def _install(name: str, into: Path | None, *, allow_download: bool) -> None:
    places = (into,) if into else share_folders()
    there = next((place / name for place in places if is_complete(name, place / name)), None)
    if there:
        click.echo(f"{name} is there already: {there}")
        return
    model = MODELS.get(name)
    what = f" ({model.description}; licence: {model.licence})" if model else ""
    with _bar(name + what) as show:
        place = install(name, into, allow_download=allow_download, on_progress=show)
    click.echo(f"{name} is installed: {place}")


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much has been fetched when stderr is a terminal, else only what is being fetched."""
    click.echo(f"fetching {what}", err=True)
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
