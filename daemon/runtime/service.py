"""The life of the process: start, act on signals, end in order.

SIGHUP reads the configuration again: a new generation takes over, while the recordings in flight finish with
the old one.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from daemon.analysis.throttle import Throttle
from daemon.config.models import Config
from daemon.config.secrets import nameless_below
from daemon.errors import EXIT_FAILED, EarshotError, StoreBusyError, StoreError
from daemon.files import file_version
from daemon.logs import arrange, escaped, redacted
from daemon.models import utc_now
from daemon.runtime import sdnotify
from daemon.runtime.generation import Generation
from daemon.runtime.loops import TOLD_EVERY_SECONDS
from daemon.runtime.pages import WebPages
from daemon.runtime.signals import Signals, exit_code
from daemon.storage.database import daemon_lock, open_database, transaction
from daemon.storage.lock import DaemonLock, beside_of, reading_lock, refused_reload
from daemon.storage.pauses import probe_now
from daemon.storage.queue import recover
from daemon.storage.requests import recover_readings
from daemon.watching.guard import Guard

logger = logging.getLogger(__name__)

STARTING_LOOK_SECONDS = 0.25
LOOK_SECONDS = 1.0
STORE_WAIT_SECONDS = 2.0
NEW_OBJECTS = 10_000
"""So many come until Python looks which of them nobody uses any more; nearly all are gone by themselves."""
GO_ON_WAITING = "EXTEND_TIMEOUT_USEC=60000000"
"""Tells systemd that the start takes at most another minute from now."""


@contextmanager
def prepared(
    config: Config, *, patient: Signals | None = None, clock: Callable[[], datetime] = utc_now
) -> Iterator[DaemonLock]:
    """Hold the lock of the database, and put back into the queue what an earlier process left in work.

    With `patient` it waits out a full disk or a locked database, until these signals say stop.
    """
    # The lock comes first: a newer version must not change the tables under a running older one.
    told_at = -math.inf
    with daemon_lock(config.database) as lock:
        while True:
            try:
                _bring_back(config.database, clock())
                break
            except StoreBusyError as error:
                if patient is None:
                    raise
                # Do not exit: systemd gives up on a service that fails a few times in a row.
                if time.monotonic() >= told_at + TOLD_EVERY_SECONDS:
                    logger.error("database not usable, trying again error=%s", error)
                    told_at = time.monotonic()
                sdnotify.notify(f"STATUS=waiting for the database\n{GO_ON_WAITING}")
                patient.wait(STORE_WAIT_SECONDS)
                if patient.stop:
                    break
        yield lock


def _bring_back(database: Path, now: datetime) -> None:
    # A large database may take longer to be brought up to date than systemd waits for a start.
    with closing(open_database(database, going_on=lambda: sdnotify.notify(GO_ON_WAITING))) as db:
        with transaction(db):
            returned = recover(db, now)
            probe_now(db, now)
        if returned:
            logger.warning("an earlier process ended with recordings in work count=%d", returned)
        try:
            with reading_lock(database) as is_free:
                if is_free:
                    with transaction(db):
                        recover_readings(db, now)
        except StoreError as error:
            # The next `earshot reanalyze --text` counts them.
            logger.warning("requests of an earlier reanalyze are not counted yet error=%s", error)


def run_service(
    config: Config,
    *,
    version: Sequence[int] | None,
    reload: Callable[[], tuple[Config, Sequence[int] | None]],
    env: Mapping[str, str] = os.environ,
) -> int:
    """Watch, analyze and alert until SIGTERM or SIGINT; returns the exit code.

    `version` is that of the file when it was read (`files.file_version`). `reload` reads the configuration
    again (on SIGHUP) and may raise ConfigError. Raises EarshotError when the service cannot start.
    """
    signals = Signals()
    signals.install()
    ended = threading.Event()
    throttle = Throttle(config.analyzer.concurrency)
    build = partial(Generation, env=env, throttle=throttle, ended=ended.is_set, guard=Guard())
    # What is wrong with the configuration is said before a database is made.
    generation = build(config)
    pages = WebPages(env)
    with prepared(config, patient=signals) as lock:
        if signals.stop:
            return exit_code(signals.stop)
        pages.begin(config)
        generation.start()
        gc.set_threshold(NEW_OBJECTS)
        lock.taken = version
        lock.answer(0, [])
        renew = partial(_renewed, lock=lock, reload=reload, build=build, pages=pages)
        generation, code = _serve(generation, signals, lock, renew, pages)
        pages.end()
        lock.say(ready=False, stopping=True)
        sdnotify.notify("STOPPING=1\nSTATUS=stopping")
        drain = generation.config.analyzer.drain
        logger.info("stopping in_flight=%d drain_seconds=%.0f", generation.workers.in_flight, drain)
        wind_down(generation, throttle, ended, drain if code != EXIT_FAILED else 0.0)
        pages.join()
    return code


def _serve(
    generation: Generation,
    signals: Signals,
    lock: DaemonLock,
    renew: Callable[[Generation], tuple[Generation, list[str]]],
    pages: WebPages,
) -> tuple[Generation, int]:
    """Serve until a signal or trouble ends it; returns the generation that runs then, and the exit code."""
    database = _identity(generation.config.database)
    is_ready, was_ready, is_said, answered = False, False, False, 0
    writes = beside_of(generation.config.database, "-wal")
    written: list[int] | None = None
    while True:
        signals.wait(LOOK_SECONDS if is_ready else STARTING_LOOK_SECONDS)
        if signals.stop:
            return generation, exit_code(signals.stop)
        # Each commit, by `earshot retry` too, shows here: the loops need not ask SQLite again and again.
        before_look, written = written, file_version(writes)
        if written != before_look:
            generation.rows_changed()
        # Read this first and the file after it: whoever asks wrote the file before asking.
        asked = lock.asked()
        if signals.reload or asked > answered or generation.key_changed():
            signals.reload = False
            before = generation
            generation, faults = renew(generation)
            is_ready, answered = is_ready and generation is before, asked
            lock.answer(asked, faults)
            if said := refused_reload(generation.config.database):
                sdnotify.notify(f"STATUS={escaped(said)}")
        # A rival ends the service only at the start; later its folder is away, and the others go on.
        rivals = [] if was_ready else generation.rivals()
        if not rivals and not is_ready and all(loop.watch.is_ready for loop in generation.folders):
            is_ready = was_ready = True
            is_said = lock.say(ready=True)
            sdnotify.notify("READY=1\nSTATUS=watching")
            logger.info("ready folders=%d pid=%d", len(generation.folders), os.getpid())
        elif was_ready and not is_said:
            is_said = lock.say(ready=True)
        if troubles := _troubles(generation, database, lock) + rivals + pages.troubles():
            logger.critical("ending reason=%s", "; ".join(troubles))
            return generation, EXIT_FAILED
        sdnotify.notify("WATCHDOG=1")
        generation.keep_alive()
        pages.keep_alive()


def wind_down(
    generation: Generation, throttle: Throttle, ended: threading.Event, drain_seconds: float
) -> None:
    """End everything, after the alerts that can be sent within `drain_seconds`.

    What is still in flight then goes back to the queue.
    """
    deadline = time.monotonic() + drain_seconds
    generation.retire(drain_seconds)
    # Wait for earlier generations too: a reload does not wait for what they have in flight.
    while throttle.in_flight and time.monotonic() < deadline:
        time.sleep(STARTING_LOOK_SECONDS)
    generation.end(deadline - time.monotonic())
    ended.set()
    if not throttle.in_flight or not drain_seconds:
        return
    try:
        # Do this now: at the next start it would count as a crash with this recording in flight.
        with closing(open_database(generation.config.database)) as db, transaction(db):
            recover(db, utc_now(), crashed=False)
    except StoreBusyError as error:
        logger.warning("requests in flight count as crashed error=%s", error)


def _renewed(
    old: Generation,
    *,
    lock: DaemonLock,
    reload: Callable[[], tuple[Config, Sequence[int] | None]],
    build: Callable[[Config], Generation],
    pages: WebPages,
) -> tuple[Generation, list[str]]:
    """Return the generation of the present configuration, or the old one and what is wrong, a line each."""
    try:
        config, version = reload()
        if config.database != old.config.database:
            raise EarshotError("`database` cannot change while running; restart earshot for that")
        new = build(config)
        # Nothing has ended yet, so a locked or full database refuses the reload here, not half-way.
        with closing(open_database(config.database)) as db, transaction(db):
            probe_now(db, utc_now())
        pages.take(config)
    except EarshotError as error:
        logger.error("configuration not taken over, the old one stays error=%s", error)
        return old, _lines(error)
    new.take_over(old)
    threading.Thread(target=_see_off, args=(old,), name="old-generation", daemon=True).start()
    try:
        new.start()
    except EarshotError as error:
        logger.error("configuration not taken over, going back to the old one error=%s", error)
        new.abandon()
        pages.begin(old.config)
        new = build(old.config)
        new.take_over(old)
        new.start()
        return new, _lines(error)
    lock.taken = version
    arrange(config.log_format, nameless_below=nameless_below(config))
    logger.info("configuration taken over")
    return new, []


def _see_off(old: Generation) -> None:
    """Let what an earlier generation has in flight end; its successor sends the alerts."""
    old.retire(old.config.analyzer.timeout)
    old.end(0.0)


def _lines(error: EarshotError) -> list[str]:
    return [redacted(line) for line in str(error).splitlines()]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _troubles(generation: Generation, database: tuple[int, int] | None, lock: DaemonLock) -> list[str]:
    troubles = generation.troubles()
    if not lock.is_held:
        # A second process could lock a new file and take the same recordings.
        troubles.append(f"the lock file of the database {generation.config.database} was deleted")
    if _identity(generation.config.database) != database:
        # All further writes would go into a file that nobody can open any more.
        troubles.append(f"the database {generation.config.database} was deleted or replaced")
    return troubles
