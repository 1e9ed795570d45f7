"""Claim recordings from the queue and analyze them in threads, as many at once as the throttle allows."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from daemon.analysis.analyze import analyze
from daemon.analysis.context import Context
from daemon.analysis.ledger import insist
from daemon.analysis.limits import limits_of, periods_of
from daemon.analysis.pauses import hold, resume
from daemon.analysis.pool import Pool
from daemon.config.times import zone_of
from daemon.errors import StoreBusyError, StoreError
from daemon.models import Ending, Recording, RecordingState
from daemon.storage.connection import Database
from daemon.storage.database import (
    free_bytes,
    in_transaction,
    is_replaced,
    open_existing,
    transaction,
    try_to_write,
)
from daemon.storage.due import Wanted, due, has_suspects, seconds_until_due
from daemon.storage.limits import keep_limits
from daemon.storage.pauses import EVERYTHING, LIMIT, Pause, pauses, seconds_until_probe
from daemon.storage.queue import claim_due, clamp_waits, end, is_there, recordings_of, return_to_queue
from daemon.turns import computing

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
NOTHING_WAITS_SECONDS = 5.0
"""How long to wait where no recording does; whoever adds a row wakes the loop."""

LEAST_SECONDS = 0.05
STORE_WAIT_SECONDS = 2.0
CALM_SECONDS = 5.0
"""A recording that was in flight in a crash is analyzed alone, and not before the process has lived so long.
What kills the process again and again from outside then mostly hits others, which are not blamed for it."""


@dataclass(frozen=True, eq=False, slots=True)
class Job:
    """A recording that is being analyzed. One that is not claimed yet is claimed with its request."""

    recording: Recording
    is_claimed: bool


class Workers:
    """Claims the recordings that are due, and has each analyzed in a thread.

    `step` belongs to one loop, which `wake` ends a wait of; `drain` and `in_flight` are for any thread.
    """

    def __init__(self, db_path: Path, context: Context, *, wake: Callable[[], None] = lambda: None) -> None:
        self._db_path = db_path
        self._context = context
        self._wake = wake
        self._jobs: set[Job] = set()
        self._probes: dict[str, Job] = {}
        self._claim_first: set[int] = set()
        self._pool = Pool(self._work, "recordings")
        self._limits = limits_of(context.config, context.requests)
        self._zone = zone_of(context.config.timezone)
        self._clamped_at = 0.0
        # An earlier process may have held it.
        self._may_be_held = True
        self._has_kept_limits = False
        self._may_be_more = False
        self._started_at = time.monotonic()
        # Only a crash makes suspects, so that none come up while this process lives.
        self._may_have_suspects = True
        self._is_alone = False
        self._is_open_refused = False
        self._unusable: StoreError | None = None
        self._store_trouble: tuple[str, datetime] | None = None
        self._turn = threading.Lock()
        self._job_ended = threading.Event()

    @property
    def in_flight(self) -> int:
        """How many recordings are in work."""
        return len(self._jobs)

    def step(self, db: Database) -> float:
        """Start the recordings that are due; returns the seconds until the next look.

        Raises StoreError when the database cannot be used any more.
        """
        if self._unusable:
            raise self._unusable
        began = self._context.clock()
        try:
            with self._turn, computing():
                self._tell_store_trouble(db)
                if not self._has_room(db):
                    return STORE_WAIT_SECONDS
                if is_replaced(db, self._db_path):
                    # What is written now is lost, so nothing is begun and paid for: the service ends by it.
                    return LOOK_SECONDS
                return 0.0 if self._context.retired() else self._start_next(db)
        except StoreBusyError as error:
            self._store_trouble = self._store_trouble or (str(error), began)
            raise

    def drain(self, seconds: float) -> bool:
        """Wait for what is in flight, `seconds` at most; True when all of it ended.

        To be called once the context says `retired`: nothing is claimed after the look that is under way.
        """
        deadline = time.monotonic() + seconds
        if self._turn.acquire(timeout=seconds):
            self._turn.release()
        while self._jobs and (left := deadline - time.monotonic()) > 0:
            # Never long: Python handles a signal that comes just before a wait only after it.
            self._job_ended.wait(min(left, LOOK_SECONDS / 4))
            self._job_ended.clear()
        self._pool.close(LOOK_SECONDS)
        return not self._jobs

    def _tell_store_trouble(self, db: Database) -> None:
        """Note the pause for a time in which nothing could be written, not even that; it ends right after."""
        if self._store_trouble:
            reason, began = self._store_trouble
            try_to_write(db)
            with transaction(db):
                hold(db, "store", reason, self._context, began, shared=True)
            self._store_trouble = None
            self._may_be_held = True

    def _start_next(self, db: Database) -> float:
        if not self._context.throttle.has_place(ahead=True):
            return LOOK_SECONDS
        self._clamp(db)
        away = self._context.away() | self._crowding()
        full = self._full(db)
        present = pauses(db)
        paused = {pause.scope for pause in present if pause.cause != LIMIT}
        probed = {scope for scope in paused if self._is_probed(scope, away)}
        if EVERYTHING in probed | full:
            return LOOK_SECONDS
        suspects = self._is_suspects_turn(db)
        if (suspects or self._is_alone) and self._context.throttle.in_flight:
            return LOOK_SECONDS
        wanted = Wanted(self._context.scopes, suspects, probed | full, away, self._in_work())
        # A limit, a pause and a share allow more only when what was claimed before counts.
        one_by_one = bool(paused or suspects or self._limits or self._context.remote())
        if not one_by_one and (picked := self._picked(db, wanted, present)):
            self._is_alone, self._probes = False, {}
            started = [self._start(Job(each, is_claimed=False)) for each in picked]
            return 0.0 if all(started) else STORE_WAIT_SECONDS
        if not self._context.throttle.has_place():
            return LOOK_SECONDS
        claimed = self._claimed(db, wanted, present, most=1 if one_by_one else self._context.throttle.limit)
        if not claimed:
            present = pauses(db)
            limited = {pause.scope for pause in present if pause.cause == LIMIT}
            return self._idle_seconds(db, away | full | limited, is_paused=bool(present))
        self._is_alone = suspects
        self._probes = {scope: self._probes[scope] for scope in probed}
        for recording in claimed:
            self._claim_first.discard(recording.id)
            scopes = paused & {EVERYTHING, self._context.request_for(recording).key}
            if not self._start(Job(recording, is_claimed=True), scopes):
                self._return(db, recording, RuntimeError("can't start new thread"))
        return 0.0

    def _start(self, job: Job, probed: Collection[str] = ()) -> bool:
        """Have a recording analyzed, as the probe of these scopes; False when the system allows no thread."""
        self._jobs.add(job)
        self._probes.update(dict.fromkeys(probed, job))
        try:
            self._pool.add(job)
        except RuntimeError:
            self._over(job)
            return False
        return True

    def _in_work(self) -> list[int]:
        return [job.recording.id for job in list(self._jobs)]

    def _picked(self, db: Database, wanted: Wanted, present: Collection[Pause]) -> list[Recording]:
        """Take places for what is due next, and return it: as much as is to be got ready.

        It stays in the queue until its file is read and its request begins, so that both share a commit. What
        was asked for before, or is not as it should be, has to be claimed first.
        """
        throttle = self._context.throttle
        found = due(db, self._context.clock(), wanted, most=throttle.room, present=present)
        picked: list[Recording] = []
        for each in recordings_of(db, found) if found else ():
            has_to_be_claimed = each.attempts or each.again or each.id in self._claim_first
            if has_to_be_claimed or not throttle.enter(ahead=True):
                break
            picked.append(each)
        return picked

    def _full(self, db: Database) -> frozenset[str]:
        """The scopes that a limit leaves no room in; without limits a first look ends those of before."""
        if self._has_kept_limits and not self._limits:
            return frozenset()
        now = self._context.clock()
        full = keep_limits(db, self._limits, periods_of(now, self._zone), now)
        self._has_kept_limits = True
        return full

    def _claimed(
        self, db: Database, wanted: Wanted, present: Collection[Pause], *, most: int
    ) -> list[Recording]:
        """Claim what is due, as many as there are places, and take a place for each."""
        throttle, now = self._context.throttle, self._context.clock()
        # Without a transaction where nothing is due: being idle must not keep others from writing.
        if not self._may_be_more and not due(db, now, wanted, present=present):
            return []
        places = 0
        claimed: list[Recording] = []
        try:
            while places < most and throttle.enter():
                places += 1
            # Only once it is committed, which may fail.
            claimed = in_transaction(db, lambda: claim_due(db, now, wanted, most=places), urgent=True)
        finally:
            self._may_be_more = 0 < places == len(claimed)
            for _ in range(places - len(claimed)):
                throttle.leave()
        return claimed

    def _is_suspects_turn(self, db: Database) -> bool:
        """Whether a recording that is to be analyzed alone is due: then nothing else is claimed before it."""
        if not self._may_have_suspects or time.monotonic() - self._started_at < CALM_SECONDS:
            return False
        self._may_have_suspects = has_suspects(db)
        suspects = Wanted(self._context.scopes, suspects=True, away=self._context.away())
        return self._may_have_suspects and bool(due(db, self._context.clock(), suspects))

    def _crowding(self) -> frozenset[str]:
        """The folders on shares whose recordings take all places but one: the last one is for the others.

        A thread that reads from a share that hangs does not come back.
        """
        if len(self._context.config.watch) < 2 or self._context.throttle.limit < 2:
            return frozenset()
        taken = Counter(job.recording.folder for job in list(self._jobs))
        return frozenset(
            folder for folder in self._context.remote() if taken[folder] >= self._context.throttle.limit - 1
        )

    def _is_probed(self, scope: str, away: frozenset[str]) -> bool:
        """Whether a probe of this pause is under way: its reply may take longer than until the next one.

        A probe whose folder has gone since does not count: it may never come back.
        """
        probe = self._probes.get(scope)
        return probe in self._jobs and probe.recording.folder not in away

    def _idle_seconds(self, db: Database, held: Collection[str], *, is_paused: bool) -> float:
        """Seconds until the next look, where nothing of the folders `held` can be claimed."""
        now = self._context.clock()
        due = seconds_until_due(db, now, away=held, but=self._in_work())
        if due is None and not held and not is_paused and not self._jobs:
            return NOTHING_WAITS_SECONDS
        wait = max(LOOK_SECONDS if due is None else due, seconds_until_probe(db, now, is_due=due == 0))
        # Never without a pause: a recording may have become due since it was not claimed.
        wait = max(wait, LEAST_SECONDS)
        # At least this often, for rows that another process (`earshot retry`) put back.
        return min(wait, LOOK_SECONDS)

    def _clamp(self, db: Database) -> None:
        if time.monotonic() - self._clamped_at > 60.0:
            self._clamped_at = time.monotonic()
            with transaction(db):
                changed = clamp_waits(db, self._context.clock())
            if changed:
                logger.warning("clock may have been set back, so these are due now recordings=%d", changed)

    def _has_room(self, db: Database) -> bool:
        """Whether there is room for results beside the database; without it the queue is paused, unpaid."""
        floor = self._context.config.min_free
        room = free_bytes(self._db_path)
        if room >= floor and not self._may_be_held:
            return True
        held = any(pause.cause == "store" for pause in pauses(db))
        if room < floor and not held:
            reason = (
                f"only {room / 1e6:.0f} MB are free beside {self._db_path} "
                f"and min_free is {floor / 1e6:.0f} MB; make room there"
            )
            try_to_write(db)
            with transaction(db):
                hold(db, "store", reason, self._context, self._context.clock(), shared=True)
        if room >= floor and held:
            with transaction(db):
                resume(db, self._context.clock(), causes={"store"})
        self._may_be_held = room < floor
        return room >= floor

    def _work(self, jobs: Iterator[Job]) -> None:
        """Analyze one recording after the other by one connection."""
        db: Database | None = None
        for job in jobs:
            try:
                db = self._opened(db)
                self._analyze(db, job)
            except StoreError as error:
                # True for every recording: the next step ends the service; its next start tells, or goes on.
                logger.error("recording left behind recording=%d error=%s", job.recording.id, error)
                self._unusable = error
            except Exception:
                # The outer edge of the job: its row stays `analyzing`, and the next start finds it.
                logger.exception("recording left behind recording=%d", job.recording.id)
            finally:
                self._over(job)
                self._wake()
                self._context.on_done()
            if self._is_open_refused and db is not None:
                # Another thread may wait for nothing but the descriptors of this connection.
                db.close()
                db = None
        if db is not None:
            db.close()

    def _analyze(self, db: Database, job: Job) -> None:
        recording = job.recording
        try:
            if not analyze(db, recording, self._context, is_claimed=job.is_claimed):
                self._claim_first.add(recording.id)
        except StoreBusyError as error:
            logger.error("recording interrupted recording=%d error=%s", recording.id, error)
            self._return(db, recording, error)
        except StoreError:
            raise
        except Exception as error:
            if not is_there(db, recording.id):
                logger.warning("recording deleted while it was analyzed recording=%d", recording.id)
                return
            logger.exception("recording failed recording=%d name=%s", recording.id, recording.name)
            self._set_aside(db, recording, error)

    def _over(self, job: Job) -> None:
        self._jobs.discard(job)
        self._context.throttle.leave(job.recording.id)
        self._job_ended.set()

    def _opened(self, db: Database | None) -> Database:
        """Return the connection, or another one where the database file is another one by now."""
        if db is not None and is_replaced(db, self._db_path):
            db.close()
            db = None
        return db or self._open()

    def _open(self) -> Database:
        """Open a connection for a claimed recording, however long the disk is full or the database locked."""
        while True:
            try:
                # Never created where it was deleted: the service ends then, and the loss must be seen.
                db = open_existing(self._db_path)
                self._is_open_refused = False
                return db
            except StoreBusyError as error:
                self._is_open_refused = True
                if self._context.ended():
                    raise
                logger.error("database not usable, trying again error=%s", error)
                time.sleep(STORE_WAIT_SECONDS)

    def _return(self, db: Database, recording: Recording, error: Exception) -> None:
        """Give a claimed recording back once the database takes it; nothing was sent for it yet."""
        while not self._context.ended():
            time.sleep(STORE_WAIT_SECONDS)
            now = self._context.clock()
            try:
                with transaction(db):
                    return_to_queue(db, recording, now, error=str(error), seconds=STORE_WAIT_SECONDS)
                return
            except StoreBusyError as again:
                logger.error("recording interrupted recording=%d error=%s", recording.id, again)

    def _set_aside(self, db: Database, recording: Recording, error: Exception) -> None:
        message = (
            f"earshot itself failed on it ({type(error).__name__}); its log says where, please report it. "
            f"`earshot retry {recording.id}` tries again, from the stored reply if there is one"
        )

        def store() -> None:
            with transaction(db):
                ending = Ending(RecordingState.FAILED, "internal_error", message)
                end(db, recording.id, ending, self._context.clock())

        # However long the database is locked: left `analyzing`, it would wait for the next start.
        insist(store, self._context)
