"""`earshot engine --install` and `--check`: fetches and tries the models of the embedded engine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.options import Context
from daemon.config.values import ENGINE_MODELS
from daemon.engine.install import install
from daemon.engine.weights import (
    MODELS,
    SENTENCES,
    changed_files,
    find,
    is_complete,
    need_packages,
    sha256_of,
    share_folders,
)
from daemon.errors import ConfigError, EarshotError

if TYPE_CHECKING:
    from daemon.config.models import Engine

SAMPLE = Path(__file__).parent.parent / "samples" / "thanks.mp3"
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


def check_models(context: Context) -> None:
    """Print what the configured speech model is, whether it is as pinned, where it runs and how fast.

    Raises EarshotError when a model is missing, changed, or hears nothing in the sample.
    """
    settings = engine_settings(context)
    need_packages()
    place, sentences = find(settings.model), find(SENTENCES)
    known = MODELS.get(settings.model)
    click.echo(f"model: {settings.model}{f', {known.description}' if known else ''}, in {place}")
    for name, where in ((settings.model, place), (SENTENCES, sentences)):
        _check_hash(name, where)
    click.echo(f"hash: {sha256_of(place / 'model.bin')}, {'as pinned' if known else 'of model.bin'}")
    _check_speed(place, settings.device)


def _check_hash(name: str, place: Path) -> None:
    model = MODELS.get(name)
    if model and (changed := changed_files(model, place)):
        raise EarshotError(
            f"{place}: {', '.join(changed)} is not what earshot knows by its hash; "
            f"remove the folder, then: earshot engine --install {name}"
        )


def _check_speed(place: Path, wanted: str) -> None:
    """Recognize the sample and say how long that takes."""
    from daemon.engine.decode import measure, samples
    from daemon.engine.recognize import chosen_device, load, recognize

    device = chosen_device(wanted)
    click.echo(f"device: {device} ({'float16' if device == 'cuda' else 'int8'})")
    began = time.monotonic()
    model = load(place, device=device)
    loaded = time.monotonic()
    with SAMPLE.open("rb") as file:
        seconds = measure(file).duration_seconds
        words = recognize(model, samples(file)).words
    took = time.monotonic() - loaded
    if not words:
        raise EarshotError(
            f"{place}: the model hears nothing in the sample; name another one in engine.model"
        )
    click.echo(
        f"speed: {seconds / took:.1f} times real time ({seconds:.0f} s of speech in {took:.1f} s, "
        f"after {loaded - began:.1f} s to load it)"
    )


def ready_model(context: Context) -> str:
    """Return the name of a speech model that is there, with that of sentences; fetch them if none is."""
    there = [name for name in ENGINE_MODELS if _place(name, share_folders())]
    name = there[0] if there else ENGINE_MODELS[0]
    missing = [each for each in (name, SENTENCES) if not _place(each, share_folders())]
    if missing:
        size = sum(package.size_bytes for each in missing for package in MODELS[each].packages)
        click.echo(
            f"The engine's models are not here yet: {size / 1e6:.0f} MB are fetched now, once.", err=True
        )
        install_models(context, name, None)
    return name


def _place(name: str, folders: Iterable[Path]) -> Path | None:
    return next((each / name for each in folders if is_complete(name, each / name)), None)


def _install(name: str, into: Path | None, *, allow_download: bool) -> None:
    if there := _place(name, (into,) if into else share_folders()):
        click.echo(f"{name} is there already: {there}")
        return
    model = MODELS.get(name)
    what = f" ({model.description}; licence: {model.licence})" if model else ""
    with _bar(name + what) as show:
        place = install(name, into, allow_download=allow_download, on_progress=show)
    click.echo(f"{name} is installed: {place}")


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much has been fetched: a bar when stderr is a terminal, else a line for each quarter."""
    click.echo(f"fetching {what}", err=True)
    if not sys.stderr.isatty():
        yield _quarters()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _quarters() -> Callable[[int, int], None]:
    shown = 0

    def show(done: int, total: int) -> None:
        nonlocal shown
        quarter = 4 * done // total if total else 0
        if quarter > shown:
            shown = quarter
            click.echo(f"  {done / 1e6:.0f} of {total / 1e6:.0f} MB", err=True)

    return show
