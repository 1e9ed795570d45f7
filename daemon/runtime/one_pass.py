"""`earshot scan`: one pass over everything, by the same parts as the service."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta

from daemon.analysis.throttle import Throttle
from daemon.config.models import Config
from daemon.config.times import zone_of
from daemon.errors import EarshotError
from daemon.models import utc_now
from daemon.periodic.operations import has_news
from daemon.runtime.folder_loop import FolderLoop
from daemon.runtime.generation import Generation
from daemon.runtime.metrics_file import metrics_file
from daemon.runtime.service import LOOK_SECONDS, prepared, wind_down
from daemon.runtime.signals import Signals
from daemon.storage.connection import Database
from daemon.storage.database import open_database
from daemon.storage.due import seconds_until_due
from daemon.storage.originals import has_original_due
from daemon.storage.outbox import alert_counts, is_worth_waiting
from daemon.storage.pauses import EVERYTHING, LIMIT, pauses
from daemon.storage.sidecars import has_sidecar_due
from daemon.storage.views import recording_counts
from daemon.watching.guard import Guard

SOON_SECONDS = 60.0
"""A pass waits for a retry that is due within this time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pass has come: counts per state, and what is in work."""

    recordings: dict[str, int]
    alerts: dict[str, int]
    in_flight: int


def run_once(
    config: Config, *, env: Mapping[str, str] = os.environ, show: Callable[[Progress], None] = lambda _: None
) -> tuple[Progress, Progress]:
    """Find, analyze and alert everything that is waiting; returns the counts before and after.

    Ends when all folders are listed, nothing is in work, and nothing is due within SOON_SECONDS. What waits
    longer, or for a pause to end, is left to the next pass; so is a message that its receiver did not take.
    Raises EarshotError when it cannot start, KeyboardInterrupt on SIGINT.
    """
    signals = Signals()
    signals.install()
    with ExitStack() as stack:
        stack.enter_context(prepared(config))
        db = stack.enter_context(closing(open_database(config.database)))
        ended = threading.Event()
        before = _progress(db, 0)
        throttle = Throttle(config.analyzer.concurrency)
        guard = stack.enter_context(closing(Guard()))
        generation = Generation(config, env=env, throttle=throttle, ended=ended.is_set, guard=guard)
        generation.start()
        try:
            while not signals.stop and not _is_idle(db, generation):
                show(_progress(db, generation.workers.in_flight))
                signals.wait(LOOK_SECONDS)
                generation.keep_alive()
                if troubles := generation.troubles() + generation.rivals():
                    raise EarshotError(f"stopped, because {'; '.join(troubles)}; the log above says why")
        finally:
            wind_down(generation, throttle, ended, config.analyzer.drain)
        after = _progress(db, 0)
        show(after)
        if config.metrics_file is not None:
            metrics_file(config, config.metrics_file, lambda: False)(db)
    if signals.stop == signal.SIGINT:
        raise KeyboardInterrupt
    return before, after


def list_folders(config: Config) -> None:
    """List every folder once: files become rows, nothing is sent. Raises EarshotError as `run_once` does."""
    with prepared(config), closing(open_database(config.database)) as db, closing(Guard()) as guard:
        for folder in config.watch:
            loop = FolderLoop(folder, timezone=zone_of(folder.timezone or config.timezone), guard=guard)
            try:
                while not loop.watch.is_ready:
                    loop.watch.wait(loop.step(db, time.monotonic(), utc_now()))
                if loop.watch.rival:
                    raise EarshotError(f"{folder.name}: {loop.watch.rival}")
            finally:
                loop.watch.close()


def _progress(db: Database, in_flight: int) -> Progress:
    return Progress(recording_counts(db), alert_counts(db), in_flight)


def _is_idle(db: Database, generation: Generation) -> bool:
    if not all(loop.is_idle() for loop in generation.folders) or generation.workers.in_flight:
        return False
    now = utc_now()
    held = pauses(db)
    limited = {pause.scope for pause in held if pause.cause == LIMIT}
    is_held = EVERYTHING in limited or any(pause.cause != LIMIT for pause in held)
    due = seconds_until_due(db, now, away=generation.away() | limited)
    if due is not None and due <= SOON_SECONDS and not is_held:
        return False
    if has_original_due(db, now) or has_news(db, generation.config, now):
        return False
    if any(folder.sidecars and has_sidecar_due(db, folder.name, now) for folder in generation.config.watch):
        return False
    soon = now + timedelta(seconds=SOON_SECONDS)
    return not (
        any(is_worth_waiting(db, each.destination, each.index, now, soon) for each in generation.targets)
        or any(
            is_worth_waiting(db, each.label, 0, now, soon, table="webhooks")
            for each in generation.config.webhooks
        )
    )
