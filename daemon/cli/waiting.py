"""How long an analysis will probably take, and the bar for a person who waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.cli.progress import waiting_bar
from daemon.deepgram.request import EMBEDDED
from daemon.logs import escaped

if TYPE_CHECKING:
    from daemon.analysis.context import Context
    from daemon.config.models import Config
    from daemon.storage.connection import Database

CPU_RATES = {"base": 0.22, "tiny.en": 0.12}
"""Processor seconds for a second of sound by the embedded engine, of a processor of 2020."""
MOST_PROCESSORS = 4
"""More of them make one recording little faster."""


@contextmanager
def analysis_bar(ledger: Database | None, analysis: Context, name: str, path: Path | None) -> Iterator[None]:
    """Show on a terminal how long the analysis of `name` takes, and about how long it still takes.

    That is by what the service says of itself, else by the length of the file at `path`, if it has one, and
    what the last requests in `ledger` took.
    """
    seconds = _sound_seconds(path) if path else None
    rate = _rate(ledger, analysis.config) if seconds else None
    about = seconds * rate if seconds and rate else None
    with waiting_bar(f"analyzing {escaped(name)}", share=analysis.share_done, about_seconds=about):
        yield


def engine_rate(model: str) -> float | None:
    """Return the seconds that the embedded engine takes for a second of sound; None if that is not known."""
    from daemon.engine.capacity import processors

    cpu_seconds = CPU_RATES.get(model)
    return cpu_seconds / min(processors(), MOST_PROCESSORS) if cpu_seconds else None


def _rate(ledger: Database | None, config: Config) -> float | None:
    from daemon.storage.requests import waiting_rate

    if config.analyzer.base_url == EMBEDDED:
        return engine_rate(config.engine.model)
    return waiting_rate(ledger) if ledger is not None else None


def _sound_seconds(path: Path) -> float | None:
    from daemon.costs.estimate import length_at

    try:
        length = length_at("/", str(path), path.stat().st_size)
    except OSError:
        return None
    return length.usual if length else None
