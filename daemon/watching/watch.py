"""One watched folder: hints and listings come in, complete files become rows. Its thread calls `step`.

Events only make it fast. What counts is the listing, repeated for ever, and what the database already knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from sqlite_utils import Database

from daemon.config.filenames import facts_reader
from daemon.config.models import WatchFolder
from daemon.models import FileStamp
from daemon.storage.files import known_files, split_path
from daemon.storage.folders import (
    FolderRow,
    baseline_finished,
    configure_folder,
    folder_available,
    folder_scanned,
    folder_unavailable,
)
from daemon.storage.lists import known_lists
from daemon.watching.addresses import is_list
from daemon.watching.arrivals import Arrival, Intake, Kind, folder_name, take_in
from daemon.watching.events import Hint, HintKind, Hints
from daemon.watching.lists import take_in_lists
from daemon.watching.mounts import rescan_seconds, settle_seconds
from daemon.watching.patterns import is_ignored_directory, is_inside, recording_names
from daemon.watching.ready import Readiness
from daemon.watching.scan import Chunk, Walker, stamp
from daemon.watching.settle import Settler
from daemon.watching.source import Condition, Source

logger = logging.getLogger(__name__)

CHUNKS_PER_STEP = 10
"""So that a long listing does not hold up what the hints say."""

LOOKS_PER_STEP = 500
LATER_SECONDS = 5.0
DIRTY_SECONDS = 1.0
PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class _Listing:
    """A walk in progress, of the whole folder or of a directory that appeared.

    `is_baseline`: files older than the folder's configured_at were there before earshot.
    """

    chunks: Iterator[Chunk]
    is_full: bool
    is_baseline: bool = False
    left_alone: int = 0


class FolderWatch:
    """Watches one folder from the first `step` to `close`.

    `step`, `wait` and `close` belong to one thread; `wake` and `is_ready` are for any. The folder may be
    missing, vanish and come back at any time; that it is gone never changes a row of a recording.
    """

    def __init__(
        self,
        folder: WatchFolder,
        *,
        on_new: Callable[[], None] = lambda: None,
        timezone: tzinfo | None = None,
    ) -> None:
        self.folder = folder
        self.is_ready = False
        """True once the folder was listed, or was found missing and is being waited for."""
        self._name = folder_name(folder)
        self._on_new = on_new
        self._hints = Hints()
        self._source = Source(folder, self._hints.put)
        self._is_recording = recording_names(folder)
        self._walker = Walker(
            self._source.path,
            recursive=folder.recursive,
            is_recording=self._is_recording,
            is_ignored=is_ignored_directory,
        )
        self._settler = Settler(folder.settle, folder.empty_after)
        self._ready = Readiness(folder, self._settler)
        self._facts_of = facts_reader(folder.filename_pattern, timezone)
        self._is_available: bool | None = None
        self._row: FolderRow | None = None
        self._first_look_at: datetime | None = None
        self._now = 0.0
        self._listing: _Listing | None = None
        self._rescan_at = 0.0
        self._directories: dict[str, tuple[float, int]] = {}
        self._is_baseline = True
        self._saw_files = False
        self._quiet: set[str] = set()

    def step(self, db: Database, now_monotonic: float, now_utc: datetime) -> float:
        """Do what is due and return the seconds until something is due again (a hint may come sooner).

        An error of the database loses nothing: call again later.
        """
        now = self._now = now_monotonic
        try:
            row = self._configured(db, now_utc)
            if not self._tend(db, now, now_utc):
                self._hints.drain()
                return self._source.seconds_until_due(now)
            self._read_hints(now)
            self._list(db, row, now, now_utc)
            self._finish(db, row, now, now_utc)
        except BaseException:
            # A listing that was read and not stored must be read again.
            self._listing = None
            self._rescan_at = now + DIRTY_SECONDS
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

    def is_idle(self) -> bool:
        """True when the folder was listed and nothing is left that will soon be complete.

        Files that stay empty or open for writing are not waited for longer than PATIENCE_SECONDS (or five
        times the settle time).
        """
        if self._is_available is False:
            return True
        is_listed = self.is_ready and not self._listing and not self._directories
        if not is_listed or self._hints or self._rescan_at <= self._now:
            return False
        patience = max(PATIENCE_SECONDS, 5 * self._settler.settle_seconds)
        return self._settler.is_stuck(self._now, patience, besides=self._ready.markers.is_waiting)

    def unsettled(self) -> list[FileStamp]:
        """The files that are there but not complete, as last seen."""
        return self._settler.unsettled()

    def close(self) -> None:
        """Stop watching."""
        self._source.close()

    def _configured(self, db: Database, now_utc: datetime) -> FolderRow:
        # Kept when the database fails: what arrives until it works again is new all the same.
        self._first_look_at = self._first_look_at or now_utc
        if self._row is None:
            method = self._source.method.method
            self._row = configure_folder(db, self._name, method, self._first_look_at)
            self._is_baseline = not self._row.baseline_done
        return self._row

    def _tend(self, db: Database, now: float, now_utc: datetime) -> bool:
        """True when the folder is there and watched."""
        condition = self._source.tend(now)
        if condition == Condition.MISSING:
            self._lose(db)
            return False
        if condition == Condition.STARTED:
            # A share that is mounted now where another file system was: its old files are no news.
            self._is_baseline = self._is_baseline or self._source.is_other_device
            self._settler.settle_seconds = settle_seconds(self.folder, self._source.method)
            self._listing = None
            self._rescan_at = now
            self._is_available = None
        if not self._is_available:
            folder_available(db, self._name, self._source.method.method, now_utc)
            self._is_available = True
        return True

    def _lose(self, db: Database) -> None:
        if self._is_available is False:
            return
        logger.warning(
            "folder unavailable path=%r error=%s; waiting for it", self._name, self._source.trouble
        )
        for found in self._settler.unsettled():
            self._ready.forget(found.path)
        self._settler.clear()
        self._quiet.clear()
        self._directories.clear()
        self._listing = None
        folder_unavailable(db, self._name)
        self._is_available = False
        self.is_ready = True

    def _read_hints(self, now: float) -> None:
        for hint in self._hints.drain():
            relative = self._relative(hint.path)
            if hint.kind == HintKind.LOST:
                self._source.repair(now)
            elif hint.kind == HintKind.RESCAN:
                self._rescan_at = now
            elif hint.kind == HintKind.REMOVED:
                self._forget(hint.path)
                if not relative:
                    self._source.look_soon()
            elif not relative or not is_inside(relative, recursive=self.folder.recursive):
                continue
            elif hint.kind == HintKind.DIRECTORY:
                if self.folder.recursive and not is_ignored_directory(split_path(hint.path)[1]):
                    # Twice: what is written into it before it is watched makes no event.
                    self._directories[hint.path] = (now, 2)
            elif self._ready.markers.is_marker(split_path(hint.path)[1]):
                for path in self._ready.markers.waiting_for(hint.path):
                    self._settler.postpone(path, now, 0.0)
            elif self._is_recording(relative) and (found := stamp(hint.path)):
                if self._settler.is_full and hint.path not in self._settler:
                    self._rescan_at = min(self._rescan_at, now + DIRTY_SECONDS)
                else:
                    self._settler.observe(found, now, closed=hint.kind == HintKind.CLOSED)

    def _list(self, db: Database, row: FolderRow, now: float, now_utc: datetime) -> None:
        for _ in range(CHUNKS_PER_STEP):
            self._listing = self._listing or self._next_listing(now)
            if self._listing is None or self._settler.is_full:
                return
            chunk = next(self._listing.chunks, None)
            if chunk is not None:
                self._sort_chunk(db, row, self._listing, chunk, now, now_utc)
                continue
            listing, self._listing = self._listing, None
            if listing.is_full:
                self._listed(db, row, listing, now, now_utc)

    def _next_listing(self, now: float) -> _Listing | None:
        due = {path for path, (at, _) in self._directories.items() if at <= now}
        if now >= self._rescan_at:
            self._rescan_at = now + rescan_seconds(self.folder, self._source.method.method)
            self._source.look_soon()
            return _Listing(self._walker.walk(), is_full=True, is_baseline=self._is_baseline)
        if not due:
            return None
        for path in due:
            _, looks = self._directories.pop(path)
            if looks > 1:
                self._directories[path] = (now + DIRTY_SECONDS, looks - 1)
        tops = [path for path in due if not any(above in due for above in _parents(path, self._source.path))]
        return _Listing((chunk for path in tops for chunk in self._walker.walk(path)), is_full=False)

    def _sort_chunk(
        self, db: Database, row: FolderRow, listing: _Listing, chunk: Chunk, now: float, now_utc: datetime
    ) -> None:
        directory, stamps = chunk
        self._saw_files = True
        names = [split_path(found.path)[1] for found in stamps]
        known = known_files(db, directory, names)
        lists = known_lists(db, directory, filter(is_list, names))
        left_alone = []
        for name, found in zip(names, stamps, strict=True):
            file = lists.get(name) or known.get(name)
            # A remote mount may number its files anew each time.
            inodes_last = not self._source.method.is_remote(self._relative(found.path))
            if file and not file.is_gone and file.has_stamp(found, inodes_last=inodes_last):
                continue
            if listing.is_baseline and file is None and _is_older(found, row.configured_at):
                if self.folder.existing == "skip":
                    left_alone.append(Arrival(found, Kind.LEFT_ALONE))
                    continue
                if self.folder.existing == "quiet":
                    self._quiet.add(found.path)
            self._settler.observe(found, now)
        self._take_in(db, left_alone, now_utc)
        listing.left_alone += len(left_alone)

    def _listed(self, db: Database, row: FolderRow, listing: _Listing, now: float, now_utc: datetime) -> None:
        folder_scanned(db, self._name, now_utc)
        if listing.is_baseline:
            self._is_baseline = False
            if listing.left_alone:
                logger.info(
                    "existing files left alone path=%r files=%d; `earshot scan --existing` takes them in",
                    self._name,
                    listing.left_alone,
                )
        self._finish_baseline(db, row)
        self._source.check(now, self._walker.directories)
        self.is_ready = True

    def _finish_baseline(self, db: Database, row: FolderRow) -> None:
        # Not while the folder never had a file: it may be the empty place where a share is mounted later.
        if row.baseline_done or self._is_baseline or self._quiet or not self._saw_files:
            return
        baseline_finished(db, self._name)
        self._row = replace(row, baseline_done=True)

    def _finish(self, db: Database, row: FolderRow, now: float, now_utc: datetime) -> None:
        arrivals = [
            arrival
            for path in self._settler.due(now, LOOKS_PER_STEP)
            if (arrival := self._arrival(path, row, now))
        ]
        intake = self._take_in(db, arrivals, now_utc)
        for path in intake.later:
            self._settler.postpone(path, now, LATER_SECONDS)
        for path in {arrival.stamp.path for arrival in arrivals}.difference(intake.later):
            self._forget(path)
        self._finish_baseline(db, row)
        if intake.queued:
            self._on_new()

    def _take_in(self, db: Database, arrivals: list[Arrival], now_utc: datetime) -> Intake:
        lists = [arrival for arrival in arrivals if is_list(arrival.stamp.path)]
        others = [arrival for arrival in arrivals if not is_list(arrival.stamp.path)]
        intake = take_in(db, self.folder, others, now_utc, facts_of=self._facts_of)
        hosted = take_in_lists(db, self.folder, lists, now_utc, facts_of=self._facts_of)
        return Intake(intake.queued + hosted.queued, intake.later + hosted.later)

    def _arrival(self, path: str, row: FolderRow, now: float) -> Arrival | None:
        """The file at `path` if it is complete, or was empty or cut off for too long."""

        def kind_of(found: FileStamp) -> Kind:
            is_quiet = path in self._quiet and _is_older(found, row.configured_at)
            return Kind.QUIET if is_quiet else Kind.COMPLETE

        is_remote = self._source.method.is_remote(self._relative(path))
        rescan = rescan_seconds(self.folder, self._source.method.method)
        arrival = self._ready.arrival(path, now, is_remote=is_remote, kind_of=kind_of, rescan=rescan)
        if arrival is None and path not in self._settler:
            self._forget(path)
        return arrival

    def _relative(self, path: str) -> str:
        return path[len(self._source.path.rstrip("/")) + 1 :]

    def _forget(self, path: str) -> None:
        self._settler.forget(path)
        self._ready.forget(path)
        self._quiet.discard(path)

    def _pause(self, now: float) -> float:
        if self._listing and not self._settler.is_full:
            return 0.0
        times = [self._rescan_at - now, self._source.seconds_until_due(now)]
        times += [at - now for at, _ in self._directories.values()]
        if (due := self._settler.next_due(now)) is not None:
            times.append(due)
        return max(min(times), 0.0)


def _is_older(found: FileStamp, moment: datetime) -> bool:
    """By the time of its last change as the kernel kept it: copies keep old modification times."""
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (
        found.ctime_ns
        <= (elapsed.days * 86400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000
    )


def _parents(path: str, root: str) -> Iterator[str]:
    while len(path := split_path(path)[0]) > len(root):
        yield path
