"""The composition root: builds every part from the configuration, runs them, and ends them in order.

A generation is everything that was made from one reading of the configuration. SIGHUP reads it again: the
new generation takes over, while recordings in flight finish with the old one.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from sqlite_utils import Database

from daemon import sdnotify
from daemon.alerting.notify import run_target
from daemon.alerting.targets import Target, open_targets, operations_targets
from daemon.analysis.client import ApiClient
from daemon.analysis.dispatch import Dispatcher
from daemon.analysis.load import Load
from daemon.analysis.outcomes import end_obsolete_pauses
from daemon.analysis.request import EMBEDDED, requests_by_folder
from daemon.analysis.workplace import Workplace
from daemon.config.models import Config, WatchFolder
from daemon.config.secrets import api_key, known_secrets
from daemon.embedded import EmbeddedEngine
from daemon.errors import EXIT_FAILED, EXIT_INTERRUPTED, EarshotError
from daemon.logs import register_secret
from daemon.loops import Loops
from daemon.storage.database import DaemonLock, daemon_lock, open_database
from daemon.storage.outbox import alert_counts
from daemon.storage.outbox import seconds_until_due as seconds_until_alert
from daemon.storage.pauses import pauses, probe_now
from daemon.storage.queries import recording_counts
from daemon.storage.recordings import recover, seconds_until_due
from daemon.watching.watch import FolderWatch

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
LOOP_END_SECONDS = 50.0
"""Longer than one message to a slow destination may take."""
ERROR_PAUSE_SECONDS = 5.0
SOON_SECONDS = 60.0
"""A single pass waits for a retry that is due within this time."""


@dataclass(slots=True)
class Signals:
    """What the process was told; handlers only set these, the service acts on them."""

    stop: int = 0
    reload: bool = False
    wake: threading.Event = field(default_factory=threading.Event)

    def install(self) -> None:
        """Take over SIGTERM, SIGINT and SIGHUP."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            # Told twice: at once, without waiting for anything. Nothing needs tidying; see `recover`.
            os._exit(exit_code(number))
        self.stop = number
        self.wake.set()

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self.reload = True
        self.wake.set()


def exit_code(number: int) -> int:
    """The exit code after having been stopped by this signal."""
    return EXIT_INTERRUPTED if number == signal.SIGINT else 0


class Generation:
    """The running parts of one configuration."""

    def __init__(
        self, config: Config, *, env: Mapping[str, str], load: Load, ended: Callable[[], bool]
    ) -> None:
        self.config = config
        self._env = env
        self._load = load
        self._ended = ended
        self._resources = ExitStack()
        self._loops = Loops()
        self._engine: EmbeddedEngine | None = None
        self.watches: list[FolderWatch] = []
        self._target_wakes: list[threading.Event] = []
        # What can be wrong is wrong here, before anything runs.
        self.targets = open_targets(config, env)
        self._key_stamp = _file_stamp(config.analyzer.api_key_file)
        self._key = api_key(config, env=env)
        for secret in known_secrets(config, env):
            register_secret(secret)

    def start(self) -> None:
        """Start every loop; raises EarshotError when the embedded engine cannot be started."""
        analyzer = self.config.analyzer
        base_url = self._base_url()
        client = self._resources.enter_context(ApiClient(base_url, key=self._key, timeout=analyzer.timeout))
        self._load.resize(analyzer.concurrency)
        place = Workplace(
            config=self.config,
            client=client,
            requests=requests_by_folder(self.config),
            targets=self.targets,
            load=self._load,
            on_alerts=self._wake_targets,
            ended=self._ended,
        )
        with closing(open_database(self.config.database)) as db:
            end_obsolete_pauses(db, place)
        self.dispatcher = Dispatcher(self.config.database, place)
        self._loops.start(
            "dispatcher",
            lambda beat: self.dispatcher.run(self._loops.stop, beat),
            wake=self.dispatcher.wake.set,
        )
        for target in self.targets:
            self._start_target(target)
        for folder in self.config.watch:
            self._start_watch(folder)

    def key_changed(self) -> bool:
        """Whether the key file was written since this generation began: then it is worth another try."""
        return _file_stamp(self.config.analyzer.api_key_file) != self._key_stamp

    def troubles(self) -> list[str]:
        """Loops that ended or hang."""
        return self._loops.troubles()

    def keep_alive(self) -> None:
        """Look after the child process; call now and then."""
        if self._engine:
            self._engine.keep_alive()

    def wake(self) -> None:
        """Let every loop look at once."""
        self._loops.wake()

    def end_loops(self) -> None:
        """Stop claiming, watching and alerting; what is in flight goes on."""
        self._loops.end(LOOP_END_SECONDS)

    def end(self, drain_seconds: float) -> None:
        """Stop claiming and watching, wait for what is in flight, then end the rest."""
        self._loops.end(0.0)
        if not self.dispatcher.drain(drain_seconds):
            logger.warning(
                "ended with requests in flight count=%d; they count as possibly billed",
                self.dispatcher.in_flight,
            )
        self._loops.end(LOOP_END_SECONDS)
        for watch in self.watches:
            watch.close()
        self._resources.close()

    def _base_url(self) -> Callable[[], str]:
        if self.config.analyzer.base_url != EMBEDDED:
            return lambda: self.config.analyzer.base_url
        engine = self._resources.enter_context(EmbeddedEngine(self._env))
        self._engine = engine
        return lambda: engine.url

    def _start_target(self, target: Target) -> None:
        wake = threading.Event()
        self._target_wakes.append(wake)
        operations = operations_targets(self.config.alerts, self.targets)

        def work(beat: Callable[[], None]) -> None:
            run_target(
                self.config.database,
                target,
                operations=operations,
                stop=self._loops.stop,
                wake=wake,
                beat=beat,
            )

        self._loops.start(f"alerts-{target.destination}-{target.index}", work, wake=wake.set)

    def _wake_targets(self) -> None:
        for wake in self._target_wakes:
            wake.set()

    def _start_watch(self, folder: WatchFolder) -> None:
        watch = FolderWatch(folder, on_new=self.dispatcher.wake.set)
        self.watches.append(watch)

        def work(beat: Callable[[], None]) -> None:
            _watch(watch, self.config.database, self._loops.stop, beat)

        # A share that hangs blocks its own thread only, and is no reason to restart the service.
        self._loops.start(f"watch-{folder.path}", work, wake=watch.wake, patience=float("inf"))


def _watch(watch: FolderWatch, db_path: Path, stop: threading.Event, beat: Callable[[], None]) -> None:
    with closing(open_database(db_path)) as db:
        while not stop.is_set():
            beat()
            try:
                wait = watch.step(db, time.monotonic(), datetime.now(UTC))
            except Exception as error:
                # The outer edge of the folder's loop: nothing is lost, the next look finds it all again.
                logger.exception(
                    "folder not readable path=%s error=%s", watch.folder.path, type(error).__name__
                )
                wait = ERROR_PAUSE_SECONDS
            watch.wait(wait)


@contextmanager
def _prepared(config: Config) -> Iterator[DaemonLock]:
    """Hold the lock of the database, and bring back to the queue what an earlier process left in work."""
    # Locked first: a newer version must not change the tables under a running older one.
    with daemon_lock(config.database) as lock, closing(open_database(config.database)) as db:
        now = datetime.now(UTC)
        if returned := recover(db, now):
            logger.warning("an earlier process ended with recordings in work count=%d", returned)
        probe_now(db, now)
        yield lock


def run_service(config: Config, *, reload: Callable[[], Config], env: Mapping[str, str] = os.environ) -> int:
    """Watch, analyze and alert until SIGTERM or SIGINT; returns the exit code.

    `reload` reads the configuration again (on SIGHUP) and may raise ConfigError. Raises EarshotError when
    the service cannot start.
    """
    signals = Signals()
    signals.install()
    with _prepared(config) as lock:
        ended = threading.Event()
        load = Load(config.analyzer.concurrency)
        generation = Generation(config, env=env, load=load, ended=ended.is_set)
        generation.start()
        database = _identity(config.database)
        ready = False
        code = EXIT_FAILED
        while True:
            signals.wake.wait(LOOK_SECONDS)
            signals.wake.clear()
            if signals.stop:
                code = exit_code(signals.stop)
                break
            if signals.reload or generation.key_changed():
                signals.reload = False
                generation, ready = _reloaded(generation, reload, env, load, ended), False
            if not ready and all(watch.is_ready for watch in generation.watches):
                ready = True
                lock.say(ready=True)
                sdnotify.notify("READY=1\nSTATUS=watching")
                logger.info("ready folders=%d pid=%d", len(generation.watches), os.getpid())
            if troubles := _troubles(generation, database):
                logger.critical("ending, because %s", "; ".join(troubles))
                break
            sdnotify.notify("WATCHDOG=1")
            generation.keep_alive()
        lock.say(ready=False)
        sdnotify.notify("STOPPING=1")
        logger.info(
            "stopping in_flight=%d drain=%.0fs", generation.dispatcher.in_flight, config.analyzer.drain
        )
        generation.end(generation.config.analyzer.drain if code != EXIT_FAILED else 0.0)
        ended.set()
    return code


def _reloaded(
    old: Generation,
    reload: Callable[[], Config],
    env: Mapping[str, str],
    load: Load,
    ended: threading.Event,
) -> Generation:
    """The generation of the configuration as it is now, or the old one when that cannot be used."""
    try:
        config = reload()
        if config.database != old.config.database:
            raise EarshotError("`database` cannot change while running; restart earshot for that")
        new = Generation(config, env=env, load=load, ended=ended.is_set)
    except EarshotError as error:
        logger.error("configuration not taken over, the old one stays: %s", error)
        return old
    # Two threads for one destination would send alerts twice: the old ones end before the new ones begin.
    old.end_loops()
    threading.Thread(
        target=old.end, args=(old.config.analyzer.timeout,), name="old-generation", daemon=True
    ).start()
    with closing(open_database(config.database)) as db:
        probe_now(db, datetime.now(UTC))
    new.start()
    logger.info("configuration taken over")
    return new


def _file_stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _troubles(generation: Generation, database: tuple[int, int] | None) -> list[str]:
    troubles = generation.troubles()
    if _identity(generation.config.database) != database:
        # What is written now would go into a file that has no name any more.
        troubles.append(f"the database {generation.config.database} was deleted or replaced")
    return troubles


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pass over everything has come: counts per state, and what is in work."""

    recordings: dict[str, int]
    alerts: dict[str, int]
    in_flight: int


def run_once(
    config: Config, *, env: Mapping[str, str] = os.environ, show: Callable[[Progress], None] = lambda _: None
) -> tuple[Progress, Progress]:
    """Find, analyze and alert everything that is waiting; returns the counts before and after.

    Ends when all folders are listed, nothing is in work, and nothing comes due within SOON_SECONDS: what
    waits for longer, or for a pause to end, is left for the next pass. Raises EarshotError when it cannot
    start, KeyboardInterrupt on SIGINT.
    """
    signals = Signals()
    signals.install()
    with _prepared(config), closing(open_database(config.database)) as db:
        ended = threading.Event()
        before = _progress(db, 0)
        generation = Generation(config, env=env, load=Load(config.analyzer.concurrency), ended=ended.is_set)
        generation.start()
        try:
            while not signals.stop and not _is_idle(db, generation):
                show(_progress(db, generation.dispatcher.in_flight))
                signals.wake.wait(LOOK_SECONDS)
                generation.keep_alive()
                if troubles := generation.troubles():
                    raise EarshotError(f"stopped, because {'; '.join(troubles)}; the log above says why")
        finally:
            generation.end(config.analyzer.drain)
            ended.set()
        after = _progress(db, 0)
        show(after)
    if signals.stop == signal.SIGINT:
        raise KeyboardInterrupt
    return before, after


def _progress(db: Database, in_flight: int) -> Progress:
    return Progress(recording_counts(db), alert_counts(db), in_flight)


def _is_idle(db: Database, generation: Generation) -> bool:
    if not all(watch.is_idle() for watch in generation.watches) or generation.dispatcher.in_flight:
        return False
    now = datetime.now(UTC)
    due = seconds_until_due(db, now)
    if due is not None and due <= SOON_SECONDS and not pauses(db):
        return False
    return not any(
        (wait := seconds_until_alert(db, target.destination, target.index, now)) is not None
        and wait <= SOON_SECONDS
        for target in generation.targets
    )
