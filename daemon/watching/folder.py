"""One watched folder: hints and listings come in, complete files become rows. Its thread calls `step`.

Events only make it fast. What counts is the listing, repeated for ever, and what the database already knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, tzinfo

from sqlite_utils import Database

from daemon.config.filenames import facts_reader
from daemon.config.models import WatchFolder
from daemon.files import stamp
from daemon.intake.addresses import is_list
from daemon.intake.arrivals import Arrival, Intake, Kind
from daemon.intake.complete import Readiness
from daemon.intake.intake import take_in
from daemon.intake.settle import FoundBy, Settler
from daemon.intake.url_lists import take_in_lists
from daemon.models import FileStamp
from daemon.storage.folders import (
    baseline_finished,
    configure_folder,
    count_missed,
    folder_scanned,
)
from daemon.storage.recordings import split_path
from daemon.watching.changes import news
from daemon.watching.events import Hint, HintKind, Hints
from daemon.watching.existing import Baseline
from daemon.watching.listing import Listing, Listings
from daemon.watching.mounts import look_seconds, rescan_seconds, settle_seconds
from daemon.watching.names import is_ignored_directory, is_inside, recording_names
from daemon.watching.presence import STALL_SECONDS, Presence
from daemon.watching.scan import Chunk, Walker
from daemon.watching.source import Condition

logger = logging.getLogger(__name__)

CHUNKS_PER_STEP = 10
"""So that a long listing does not hold up what the hints say."""

LOOKS_PER_STEP = 500
LATER_SECONDS = 5.0
DIRTY_SECONDS = 1.0
PATIENCE_SECONDS = 10.0


class FolderWatch:
    """Watches one folder from the first `step` to `close`.

    `step`, `wait` and `close` belong to one thread; `wake`, `rescan`, `tell_stall`, `is_ready` and `is_away`
    are for any. The folder may be missing, vanish, hang and come back at any time; that it is gone never
    changes a row of a recording. Nothing looks at the folder before the first `step`.
    """

    def __init__(
        self,
        folder: WatchFolder,
        *,
        on_new: Callable[[], None] = lambda: None,
        timezone: tzinfo | None = None,
    ) -> None:
        self.folder = folder
        self.name = folder.name
        """The folder as rows name it."""
        self.is_ready = False
        """True once the folder was listed, or was found missing and is being waited for."""
        self._on_new = on_new
        self._hints = Hints()
        self._presence = Presence(folder, self.name, self._hints.put)
        self._source = self._presence.source
        self._answers = self._presence.answers
        self._is_recording = recording_names(folder)
        self._walker = Walker(self._source.path, recursive=folder.recursive, is_ignored=is_ignored_directory)
        self._listings = Listings(self._walker)
        self._settler = Settler(folder.settle, folder.empty_after)
        self._ready = Readiness(folder, self._settler)
        self._facts_of = facts_reader(folder.filename_pattern, timezone)
        self._baseline: Baseline | None = None
        self._first_look_at: datetime | None = None
        # Until the next listing of the whole folder: it was not watched before, or it is watched anew.
        self._is_new = True
        self._is_renewed = True
        self._now = 0.0

    def step(self, db: Database, now_monotonic: float, now_utc: datetime) -> float:
        """Do what is due and return the seconds until something is due again (a hint may come sooner).

        An error of the database loses nothing: call again later.
        """
        now = self._now = now_monotonic
        try:
            baseline = self._configured(db, now_utc)
            if not self._tend(db, baseline, now, now_utc):
                self._hints.drain()
                return self._source.seconds_until_due(now)
            with self._answers.asking():
                self._read_hints(baseline, now)
            self._list(db, baseline, now, now_utc)
            self._finish(db, baseline, now, now_utc)
        except BaseException:
            # A listing that was read and not stored must be read again.
            self._listings.start_over(now + DIRTY_SECONDS)
            raise
        return self._pause(now)

    def wait(self, seconds: float) -> None:
        """Sleep until a hint comes, `wake` is called, or the time is over."""
        self._hints.wait(seconds)

    def wake(self) -> None:
        """End a `wait`, from any thread."""
        self._hints.put(Hint(HintKind.WAKE))

    def rescan(self) -> None:
        """List the whole folder at the next step, from any thread."""
        self._hints.put(Hint(HintKind.RESCAN))

    @property
    def is_away(self) -> bool:
        """True while the folder is missing, cannot be read, or does not answer."""
        return self._presence.is_away

    @property
    def root(self) -> str:
        """The folder's path without links, as it was when it was last looked for."""
        return self._source.method.root

    @property
    def is_remote(self) -> bool:
        """True while the folder, or a part of it, is on a network or FUSE mount: it may come to hang."""
        return self._source.method.has_remote

    def tell_stall(self, open_db: Callable[[], Database], *, after_seconds: float = STALL_SECONDS) -> None:
        """Say that the file system does not answer, if that is so; from another thread, now and then."""
        if self._presence.tell_stall(open_db, after_seconds):
            # Nobody waits for it at a start.
            self.is_ready = True

    def is_idle(self) -> bool:
        """True when the folder was listed and nothing is left that will soon be complete.

        Files that stay empty or open for writing are not waited for longer than PATIENCE_SECONDS (or five
        times the settle time).
        """
        if self.is_away:
            return True
        if not self.is_ready or not self._listings.is_idle(self._now) or self._hints:
            return False
        patience = max(PATIENCE_SECONDS, 5 * self._settler.settle_seconds)
        return self._settler.is_stuck(self._now, patience, besides=self._ready.markers.is_waiting)

    def unsettled(self) -> list[FileStamp]:
        """The files that are there but not complete, as last seen."""
        return self._settler.unsettled()

    def close(self) -> None:
        """Stop watching."""
        self._source.close()

    def _configured(self, db: Database, now_utc: datetime) -> Baseline:
        # Kept when the database fails: what arrives until it works again is new all the same.
        self._first_look_at = self._first_look_at or now_utc
        if self._baseline is None:
            self._baseline = Baseline(self.folder, configure_folder(db, self.name, self._first_look_at))
        return self._baseline

    def _tend(self, db: Database, baseline: Baseline, now: float, now_utc: datetime) -> bool:
        """True when the folder is there and watched."""
        condition = self._presence.tend(db, now, now_utc)
        if condition == Condition.MISSING:
            self._clear(baseline)
            self.is_ready = True
            return False
        if condition == Condition.STARTED:
            if self._source.is_other_device:
                baseline.reopen()
            self._settler.settle_seconds = settle_seconds(self.folder, self._source.method)
            self._listings.start_over(now)
            self._is_new = self._is_new or self._source.is_new
            self._is_renewed = True
        return True

    def _clear(self, baseline: Baseline) -> None:
        for found in self._settler.unsettled():
            self._ready.forget(found.path)
        self._settler.clear()
        baseline.clear()
        self._listings.clear()

    def _read_hints(self, baseline: Baseline, now: float) -> None:
        for hint in self._hints.drain():
            relative = self._relative(hint.path)
            if hint.kind == HintKind.LOST:
                self._source.repair(now)
            elif hint.kind == HintKind.RESCAN:
                self._listings.full_by(now)
            elif hint.kind == HintKind.REMOVED:
                self._forget(baseline, hint.path)
                if not relative:
                    self._source.look_soon()
            elif not relative or not is_inside(relative, recursive=self.folder.recursive):
                continue
            elif hint.kind == HintKind.DIRECTORY:
                if self.folder.recursive and not is_ignored_directory(split_path(hint.path)[1]):
                    self._listings.appeared(hint.path, now)
            elif self._ready.markers.is_marker(split_path(hint.path)[1]):
                for path in self._ready.markers.waiting_for(hint.path):
                    self._settler.postpone(path, now, 0.0)
            elif self._is_recording(relative) and (found := stamp(hint.path)):
                if self._settler.is_full and hint.path not in self._settler:
                    self._listings.full_by(now + DIRTY_SECONDS)
                else:
                    self._settler.observe(found, now, closed=hint.kind == HintKind.CLOSED)

    def _list(self, db: Database, baseline: Baseline, now: float, now_utc: datetime) -> None:
        for _ in range(CHUNKS_PER_STEP):
            method = self._source.method
            listing = self._listings.current(
                now, rescan_seconds(self.folder, method.method), look_seconds(method)
            )
            if listing is None or self._settler.is_full:
                return
            with self._answers.asking():
                chunk = next(listing.chunks, None)
            if chunk is not None:
                self._sort_chunk(db, baseline, listing, chunk, now, now_utc)
                continue
            self._listings.end()
            if listing.is_full:
                self._listed(db, baseline, listing, now, now_utc)

    def _sort_chunk(
        self,
        db: Database,
        baseline: Baseline,
        listing: Listing,
        chunk: Chunk,
        now: float,
        now_utc: datetime,
    ) -> None:
        directory, entries = chunk
        below = self._relative(directory)
        prefix = f"{below}/" if below else ""
        baseline.saw(lambda: any(self._is_recording(prefix + entry.name) for entry in entries))
        left_alone = []
        with self._answers.asking():
            found_news = list(
                news(
                    db,
                    directory,
                    entries,
                    is_recording=lambda name: self._is_recording(prefix + name),
                    inodes_last=not self._source.method.is_remote(below),
                    names_only=listing.names_only,
                )
            )
        for found, is_known in found_news:
            is_old = listing.is_full and not is_known
            if is_old and baseline.kind_of(found, directory) == Kind.LEFT_ALONE:
                left_alone.append(Arrival(found, Kind.LEFT_ALONE))
                continue
            self._settler.observe(found, now, found_by=self._found_by(listing))
        self._take_in(db, left_alone, now_utc)
        listing.left_alone += len(left_alone)

    def _found_by(self, listing: Listing) -> FoundBy:
        if not listing.is_full or self._is_new or self._source.method.method == "poll":
            return FoundBy.HINT
        return FoundBy.LATE_LISTING if self._is_renewed else FoundBy.LISTING_ONLY

    def _listed(
        self, db: Database, baseline: Baseline, listing: Listing, now: float, now_utc: datetime
    ) -> None:
        folder_scanned(db, self.name, now_utc)
        baseline.listed(self._walker.unreadable)
        if listing.left_alone:
            logger.info(
                "existing files left alone path=%r files=%d; `earshot scan --existing` takes them in",
                self.name,
                listing.left_alone,
            )
        self._finish_baseline(db, baseline)
        self._source.look_soon()
        with self._answers.asking():
            self._source.check(now, self._walker.directories)
        self._is_new = self._is_renewed = False
        self.is_ready = True

    def _finish_baseline(self, db: Database, baseline: Baseline) -> None:
        if not baseline.is_done and baseline.is_finished:
            baseline_finished(db, self.name)
            baseline.is_done = True

    def _finish(self, db: Database, baseline: Baseline, now: float, now_utc: datetime) -> None:
        arrivals = [
            arrival
            for path in self._settler.due(now, LOOKS_PER_STEP)
            if (arrival := self._arrival(baseline, path, now))
        ]
        intake = self._take_in(db, arrivals, now_utc)
        for path in intake.later:
            self._settler.postpone(path, now, LATER_SECONDS)
        self._count_missed(db, intake, now)
        for path in {arrival.stamp.path for arrival in arrivals}.difference(intake.later):
            self._forget(baseline, path)
        self._finish_baseline(db, baseline)
        if intake.queued:
            self._on_new()

    def _count_missed(self, db: Database, intake: Intake, now: float) -> None:
        """What no event announced although events are watched is counted, and they are watched anew."""
        missed = [by for path in intake.new if (by := self._settler.found_by(path)) != FoundBy.HINT]
        if not missed:
            return
        logger.warning("files found by listing only path=%r files=%d", self.name, len(missed))
        count_missed(db, self.name, len(missed))
        if FoundBy.LISTING_ONLY in missed:
            self._source.repair(now)

    def _take_in(self, db: Database, arrivals: list[Arrival], now_utc: datetime) -> Intake:
        lists = [arrival for arrival in arrivals if is_list(arrival.stamp.path)]
        others = [arrival for arrival in arrivals if not is_list(arrival.stamp.path)]
        asking = self._answers.asking
        intake = take_in(db, self.folder, others, now_utc, facts_of=self._facts_of, asking=asking)
        hosted = take_in_lists(db, self.folder, lists, now_utc, facts_of=self._facts_of, asking=asking)
        return Intake(intake.queued + hosted.queued, intake.later + hosted.later, intake.new)

    def _arrival(self, baseline: Baseline, path: str, now: float) -> Arrival | None:
        """The file at `path` if it is complete, or was empty or cut off for too long."""
        with self._answers.asking():
            arrival = self._ready.arrival(
                path,
                now,
                is_remote=self._source.method.is_remote(self._relative(path)),
                kind_of=baseline.kind_when_complete,
                rescan=rescan_seconds(self.folder, self._source.method.method),
            )
        if arrival is None and path not in self._settler:
            self._forget(baseline, path)
        return arrival

    def _relative(self, path: str) -> str:
        return path[len(self._source.path.rstrip("/")) + 1 :]

    def _forget(self, baseline: Baseline, path: str) -> None:
        self._settler.forget(path)
        self._ready.forget(path)
        baseline.forget(path)

    def _pause(self, now: float) -> float:
        times = [self._source.seconds_until_due(now)]
        if not self._settler.is_full:
            times.append(self._listings.seconds_until_due(now))
        if (due := self._settler.next_due(now)) is not None:
            times.append(due)
        return max(min(times), 0.0)
