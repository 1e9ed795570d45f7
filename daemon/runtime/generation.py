"""All that is built from one reading of the configuration, and runs until the next.

The only place that builds stages and joins them: new rows wake the workers, new alerts their senders.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from daemon.alerts.deliver import delivery
from daemon.alerts.targets import open_targets
from daemon.alerts.verdict_links import verdict_links
from daemon.alerts.volume import end_bursts
from daemon.alerts.webhooks import Receiver, webhook_delivery
from daemon.analysis.context import Context
from daemon.analysis.pauses import end_obsolete_pauses
from daemon.analysis.throttle import Throttle
from daemon.analysis.workers import Workers
from daemon.config.models import Config, WatchFolder
from daemon.config.secrets import api_key, known_secrets
from daemon.config.times import zone_of
from daemon.costs.estimate import expected
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import reply_timeout, requests_by_folder
from daemon.documents import render
from daemon.engine.settings import Settings
from daemon.errors import StoreBusyError, all_of
from daemon.files import file_version
from daemon.logs import register_secret
from daemon.models import Target, utc_now
from daemon.originals.originals import outcomes_of, tidy
from daemon.originals.sidecars import write_sidecars
from daemon.periodic.retention import retention
from daemon.periodic.schedule import schedule
from daemon.runtime.engine_process import ENGINE_URL, EmbeddedEngine, embedded
from daemon.runtime.folder_loop import FolderLoop
from daemon.runtime.heartbeat import heartbeat, manager_status
from daemon.runtime.loops import HAND_OVER_SECONDS, PATIENCE_SECONDS, Alarm, Loops, Step, Wakeable
from daemon.runtime.metrics_file import metrics_file
from daemon.runtime.receivers import receivers, subscriptions
from daemon.runtime.results import store
from daemon.storage.connection import Database
from daemon.storage.database import open_database, transaction
from daemon.storage.originals import configure_originals
from daemon.storage.sidecars import configure_sidecars
from daemon.storage.webhooks import configure_webhooks
from daemon.watching.guard import Guard

logger = logging.getLogger(__name__)

REST_SECONDS = 0.2
"""Between two looks of what the end of a recording may give something to do."""
LEAST_LOOP_END_SECONDS = 5.0
LEAST_SEND_SECONDS = 5.0
"""How long an end waits for alerts where the requests in flight have used up the time for it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A loop that is not running yet: what `Loops.start` needs, the database apart."""

    name: str
    step: Step
    wake: Wakeable
    patience: float = PATIENCE_SECONDS
    is_sender: bool = False
    """Whether it goes on until what the recordings in flight leave to be sent is sent."""


class Generation:
    """The running parts of one configuration.

    `clock` and `monotonic` are what all of them go by.
    """

    def __init__(
        self,
        config: Config,
        *,
        env: Mapping[str, str],
        throttle: Throttle,
        ended: Callable[[], bool],
        guard: Guard,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check all that can be wrong, before anything runs; raises EarshotError."""
        self.config = config
        self._clock = clock
        self._monotonic = monotonic
        self._key_version = self._version_of_key()
        self.targets: list[Target]
        self._receivers: list[Receiver]
        self._key: str | None
        self._engine_settings: Settings | None
        self.targets, self._receivers, self._key, self._engine_settings = all_of(
            partial(open_targets, config, env),
            partial(receivers, config, env),
            partial(api_key, config, env=env),
            partial(embedded, config),
        )
        self._env = env
        self._throttle = throttle
        self._ended = ended
        self._guard = guard
        self._resources = ExitStack()
        self._loops = Loops()
        self._senders = Loops()
        self._workers_alarm = Alarm()
        self._alarms: list[Alarm] = []
        """Of what has to do once a recording's turn is over: its alerts, its original."""
        self._engine: EmbeddedEngine | None = None
        self._successor: Generation | None = None
        self._retired_at = 0.0
        for secret in known_secrets(config, env):
            register_secret(secret)
        self.folders = [
            FolderLoop(
                folder,
                on_new=self._workers_alarm.wake,
                timezone=zone_of(folder.timezone or config.timezone),
                guard=guard,
            )
            for folder in config.watch
        ]

    def start(self) -> None:
        """Start every loop; raises EarshotError when the embedded engine cannot be started."""
        for part in self.parts():
            loops = self._senders if part.is_sender else self._loops
            loops.start(
                part.name, part.step, database=self.config.database, wake=part.wake, patience=part.patience
            )

    def parts(self) -> list[Part]:
        """Get everything ready and return the loops that do the work; raises EarshotError as `start` does."""
        context = self._context()
        self._configure(context)
        self.workers = Workers(self.config.database, context, wake=self._workers_alarm.wake)
        return [
            Part("workers", self.workers.step, self._workers_alarm),
            *self._deliveries(),
            *self._periodic(),
            *self._watchers(),
            *self._file_keepers(),
        ]

    def _configure(self, context: Context) -> None:
        self._guard.keep_only([folder.root for folder in self.config.watch])
        self._throttle.resize(self.config.analyzer.concurrency)
        with closing(open_database(self.config.database)) as db:
            end_obsolete_pauses(db, context)
            wanted = [each for folder in self.config.watch for each in outcomes_of(folder)]
            with transaction(db):
                configure_originals(db, wanted, self._clock())
                formats = [(each.name, each.sidecars.formats) for each in self.config.watch if each.sidecars]
                configure_sidecars(db, formats, self._clock())
                configure_webhooks(db, subscriptions(self.config))

    def _deliveries(self) -> Iterator[Part]:
        links = verdict_links(self.config)
        for target in self.targets:
            name = f"alerts-{target.destination}-{target.index}"
            step = delivery(target, links=links, clock=self._clock)
            yield Part(name, step, self._alarm(), is_sender=True)
        for receiver in self._receivers:
            step = webhook_delivery(receiver, clock=self._clock)
            yield Part(f"webhook-{receiver.name}", step, self._alarm(), is_sender=True)

    def _periodic(self) -> Iterator[Part]:
        # Wake it with new rows: it tells operations of pauses, which any recording may begin or end.
        yield Part("schedule", self._schedule(), self._alarm())
        yield Part("retention", retention(self.config, clock=self._clock), Alarm())
        names = [folder.name for folder in self.config.watch]
        if "NOTIFY_SOCKET" in self._env:
            status = manager_status(self.config.database, names, self._is_ready, self._env)
            yield Part("manager", status, self._alarm())
        if self.config.heartbeat is not None:
            step = heartbeat(self.config.heartbeat, names, self._is_ready)
            yield Part("heartbeat", step, Alarm(), math.inf)
        if self.config.metrics_file is not None:
            step = metrics_file(self.config, self.config.metrics_file, self._is_ready, clock=self._clock)
            yield Part("metrics", step, Alarm(), math.inf)

    # A loop that reads a file system may hang with its share: it has its own thread, and the service does not
    # restart for it.

    def _watchers(self) -> Iterator[Part]:
        for loop in self.folders:
            yield Part(f"watch-{loop.watch.folder.path}", partial(self._look, loop), loop.watch, math.inf)

    def _file_keepers(self) -> Iterator[Part]:
        for folder in self.config.watch:
            if outcomes_of(folder) or self.config.retention_of(folder).originals:
                yield Part(f"originals-{folder.path}", partial(self._tidy, folder), self._alarm(), math.inf)
            if folder.sidecars:
                step = partial(self._write_sidecars, folder)
                yield Part(f"sidecars-{folder.path}", step, self._alarm(), math.inf)

    def _is_ready(self) -> bool:
        return all(loop.watch.is_ready for loop in self.folders)

    def key_changed(self) -> bool:
        """Return whether the key file was written since the last call, so that a retry is worthwhile."""
        before, self._key_version = self._key_version, self._version_of_key()
        return before != self._key_version

    def _version_of_key(self) -> list[int] | None:
        file = self.config.analyzer.api_key_file
        return file_version(file) if file else None

    def troubles(self) -> list[str]:
        """Name the loops that ended or hang."""
        return self._loops.troubles() + self._senders.troubles()

    def rivals(self) -> list[str]:
        """Return the folders that another service watches, and which one."""
        return [f"{loop.watch.folder.name}: {loop.watch.rival}" for loop in self.folders if loop.watch.rival]

    def rows_changed(self) -> None:
        """Let look now whoever goes by the rows: this process or another one has written some."""
        self._workers_alarm.wake()
        for alarm in self._alarms:
            alarm.wake()

    def keep_alive(self) -> None:
        """Look after the child process and after folders that do not answer; call now and then."""
        if self._engine:
            self._engine.keep_alive()
        for loop in self.folders:
            try:
                loop.watch.tell_stall(lambda: open_database(self.config.database))
            except StoreBusyError as error:
                logger.error("folder does not answer, and that cannot be stored error=%s", error)

    def abandon(self) -> None:
        """Close what was opened by a `start` that failed."""
        self._resources.close()

    def take_over(self, before: Generation) -> None:
        """Let `before` stop claiming, watching and alerting; what it has in flight goes on.

        Call before `start`. Returns at once: each new loop begins when the one it replaces has ended.
        """
        self._loops.take_over(before._loops)
        self._senders.take_over(before._senders)
        # Its own senders have stopped, so we send the alerts of what it still analyzes.
        before._successor = self

    def retire(self, drain_seconds: float) -> None:
        """Stop claiming and watching, and wait for what is in flight."""
        self._retired_at = time.monotonic()
        self._loops.end(0.0)
        if not self.workers.drain(drain_seconds):
            logger.warning(
                "ended with requests in flight, which count as possibly billed count=%d",
                self.workers.in_flight,
            )

    def end(self, send_seconds: float) -> None:
        """After `retire`: send what is due, for so long at most, and end the rest."""
        self._senders.finish(max(LEAST_SEND_SECONDS, send_seconds))
        # All were asked before: a full wait from here would end after systemd's TimeoutStopSec.
        left = HAND_OVER_SECONDS - (time.monotonic() - self._retired_at)
        self._senders.end(left)
        self._loops.end(max(LEAST_LOOP_END_SECONDS, left))
        for loop in self.folders:
            loop.watch.close()
        self._resources.close()

    def away(self) -> frozenset[str]:
        """Return names, as in rows, of folders that are missing or do not answer."""
        return frozenset(loop.watch.folder.name for loop in self.folders if loop.watch.is_away)

    def _alarm(self) -> Alarm:
        alarm = Alarm(rest_seconds=REST_SECONDS)
        self._alarms.append(alarm)
        return alarm

    def _on_done(self) -> None:
        for alarm in self._alarms:
            alarm.wake()
        if self._successor is not None:
            self._successor._on_done()

    def _schedule(self) -> Step:
        return schedule(
            self.config,
            self.targets,
            end_bursts=lambda db, now: end_bursts(db, self.config.alerts, self.targets, now),
            on_alerts=self._on_done,
            clock=self._clock,
        )

    def _look(self, loop: FolderLoop, db: Database) -> float:
        return loop.step(db, self._monotonic(), self._clock())

    def _write_sidecars(self, folder: WatchFolder, db: Database) -> float:
        return write_sidecars(db, folder, partial(render, self.config), self._clock())

    def _tidy(self, folder: WatchFolder, db: Database) -> float:
        return tidy(db, folder, self._clock(), is_stopped=self._loops.stop.is_set, roots=self._roots)

    def _roots(self) -> list[tuple[str, bool]]:
        return [(loop.watch.root, loop.watch.folder.recursive) for loop in self.folders]

    def _remote(self) -> frozenset[str]:
        return frozenset(loop.watch.folder.name for loop in self.folders if loop.watch.is_remote)

    def _context(self) -> Context:
        analyzer = self.config.analyzer
        if self._engine_settings:
            self._engine = self._resources.enter_context(EmbeddedEngine(self._engine_settings, self._env))
        client = self._resources.enter_context(
            ApiClient(
                ENGINE_URL if self._engine else analyzer.base_url,
                key=self._key,
                timeout=reply_timeout(analyzer),
                socket_path=self._engine.socket if self._engine else None,
            )
        )
        return Context(
            config=self.config,
            client=client,
            requests=requests_by_folder(self.config),
            throttle=self._throttle,
            store=partial(store, alerts=self.config.alerts, targets=self.targets, clock=self._clock),
            expected=expected,
            on_reply=self._workers_alarm.wake,
            on_done=self._on_done,
            clock=self._clock,
            ended=self._ended,
            retired=self._loops.stop.is_set,
            away=self.away,
            remote=self._remote,
        )
