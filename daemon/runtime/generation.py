"""Everything that is made from one reading of the configuration, and runs until the next one.

The only place that builds stages and joins them: new rows wake the workers, new alerts their senders.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from daemon.alerts.deliver import run_target
from daemon.alerts.targets import open_targets
from daemon.alerts.volume import end_bursts
from daemon.analysis.context import Context
from daemon.analysis.pauses import end_obsolete_pauses
from daemon.analysis.throttle import Throttle
from daemon.analysis.workers import Workers
from daemon.config.models import Config, WatchFolder
from daemon.config.secrets import api_key, known_secrets
from daemon.config.times import zone_of
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import EMBEDDED, reply_timeout, requests_by_folder
from daemon.errors import StoreBusyError
from daemon.logs import register_secret
from daemon.models import Target
from daemon.originals.originals import outcomes_of, run_originals
from daemon.periodic.operations import operations_targets
from daemon.periodic.schedule import run_schedule
from daemon.runtime.engine_process import EmbeddedEngine
from daemon.runtime.loops import HAND_OVER_SECONDS, Loops
from daemon.storage.database import open_database
from daemon.storage.originals import configure_afterwards
from daemon.watching.folder import FolderWatch

logger = logging.getLogger(__name__)

LEAST_LOOP_END_SECONDS = 5.0
ERROR_PAUSE_SECONDS = 5.0


class Generation:
    """The running parts of one configuration."""

    def __init__(
        self, config: Config, *, env: Mapping[str, str], throttle: Throttle, ended: Callable[[], bool]
    ) -> None:
        self.config = config
        self._env = env
        self._throttle = throttle
        self._ended = ended
        self._resources = ExitStack()
        self._loops = Loops()
        self._engine: EmbeddedEngine | None = None
        self._successor: Generation | None = None
        self.watches: list[FolderWatch] = []
        self._target_wakes: list[threading.Event] = []
        self._original_wakes: list[threading.Event] = []
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
        client = self._resources.enter_context(
            ApiClient(base_url, key=self._key, timeout=reply_timeout(analyzer))
        )
        self._throttle.resize(analyzer.concurrency)
        context = Context(
            config=self.config,
            client=client,
            requests=requests_by_folder(self.config),
            targets=self.targets,
            throttle=self._throttle,
            on_alerts=self._on_ended,
            ended=self._ended,
            away=self._away,
            remote=self._remote,
        )
        with closing(open_database(self.config.database)) as db:
            end_obsolete_pauses(db, context)
            configure_afterwards(db, [each for folder in self.config.watch for each in outcomes_of(folder)])
        self.workers = Workers(self.config.database, context)
        self._loops.start(
            "workers",
            lambda beat: self.workers.run(self._loops.stop, beat),
            wake=self.workers.wake.set,
        )
        for target in self.targets:
            self._start_target(target)
        self._start_schedule()
        for folder in self.config.watch:
            self._start_watch(folder)
            if outcomes_of(folder):
                self._start_originals(folder)

    def key_changed(self) -> bool:
        """Whether the key file was written since the last look: then it is worth another try, once."""
        stamp, self._key_stamp = self._key_stamp, _file_stamp(self.config.analyzer.api_key_file)
        return stamp != self._key_stamp

    def troubles(self) -> list[str]:
        """Loops that ended or hang."""
        return self._loops.troubles()

    def keep_alive(self) -> None:
        """Look after the child process and after folders that do not answer; call now and then."""
        if self._engine:
            self._engine.keep_alive()
        for watch in self.watches:
            try:
                watch.tell_stall(lambda: open_database(self.config.database))
            except StoreBusyError as error:
                logger.error("folder does not answer, and that cannot be stored: %s", error)

    def wake(self) -> None:
        """Let every loop look at once."""
        self._loops.wake()

    def abandon(self) -> None:
        """Let go of what a `start` that failed had taken."""
        self._resources.close()

    def take_over(self, before: Generation) -> None:
        """Let `before` stop claiming, watching and alerting; what it has in flight goes on.

        To be called before `start`. Returns at once: each loop begins when the one that it replaces ended.
        """
        self._loops.take_over(before._loops)
        # What it still analyzes causes alerts, and its own senders are no more.
        before._successor = self

    def end(self, drain_seconds: float) -> None:
        """Stop claiming and watching, wait for what is in flight, then end the rest."""
        started = time.monotonic()
        self._loops.end(0.0)
        if not self.workers.drain(drain_seconds):
            logger.warning(
                "ended with requests in flight count=%d; they count as possibly billed",
                self.workers.in_flight,
            )
        # Asked at the start already: a whole wait of their own would end after systemd's TimeoutStopSec.
        self._loops.end(max(LEAST_LOOP_END_SECONDS, HAND_OVER_SECONDS - (time.monotonic() - started)))
        for watch in self.watches:
            watch.close()
        self._resources.close()

    def _away(self) -> frozenset[str]:
        return frozenset(watch.name for watch in self.watches if watch.is_away)

    def _remote(self) -> frozenset[str]:
        return frozenset(watch.name for watch in self.watches if watch.is_remote)

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

    def _start_schedule(self) -> None:
        wake = threading.Event()

        def work(beat: Callable[[], None]) -> None:
            run_schedule(
                self.config.database,
                self.config,
                self.targets,
                end_bursts=lambda db, now: end_bursts(db, self.config.alerts, self.targets, now),
                stop=self._loops.stop,
                wake=wake,
                beat=beat,
                on_alerts=self._on_ended,
            )

        self._loops.start("schedule", work, wake=wake.set)

    def _on_ended(self) -> None:
        for wake in (*self._target_wakes, *self._original_wakes):
            wake.set()
        if self._successor is not None:
            self._successor._on_ended()

    def _start_originals(self, folder: WatchFolder) -> None:
        wake = threading.Event()
        self._original_wakes.append(wake)

        def work(beat: Callable[[], None]) -> None:
            run_originals(
                self.config.database,
                folder,
                stop=self._loops.stop,
                wake=wake,
                beat=beat,
                roots=lambda: [(watch.root, watch.folder.recursive) for watch in self.watches],
            )

        # In a loop of its own: a large copy, or a share that hangs, must not keep anyone else waiting.
        self._loops.start(f"originals-{folder.path}", work, wake=wake.set, patience=math.inf)

    def _start_watch(self, folder: WatchFolder) -> None:
        timezone = zone_of(self.config.timezone)
        watch = FolderWatch(folder, on_new=self.workers.wake.set, timezone=timezone)
        self.watches.append(watch)

        def work(beat: Callable[[], None]) -> None:
            _watch(watch, self.config.database, self._loops.stop, beat)

        # A share that hangs blocks its own thread only, and is no reason to restart the service.
        self._loops.start(f"watch-{folder.path}", work, wake=watch.wake, patience=math.inf)


def _watch(watch: FolderWatch, db_path: Path, stop: threading.Event, beat: Callable[[], None]) -> None:
    with closing(open_database(db_path)) as db:
        while not stop.is_set():
            beat()
            try:
                wait = watch.step(db, time.monotonic(), datetime.now(UTC))
            except StoreBusyError as error:
                logger.error("what was found cannot be stored, trying again path=%r: %s", watch.name, error)
                wait = ERROR_PAUSE_SECONDS
            except Exception as error:
                # The outer edge of the folder's loop: nothing is lost, the next look finds it all again.
                logger.exception(
                    "folder not readable path=%s error=%s", watch.folder.path, type(error).__name__
                )
                wait = ERROR_PAUSE_SECONDS
            watch.wait(wait)


def _file_stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None
