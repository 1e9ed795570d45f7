"""Watch one folder: say which files are there that the rows do not have as they are.

Events only make it fast. Every file is found by the listings, which are repeated for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from daemon.config.models import WatchFolder
from daemon.config.values import marker_names
from daemon.files import stamp
from daemon.sightings import FoundBy, PassedFiles, Sighting, Sightings
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.folders import baseline_finished, configure_folder, count_missed, folder_scanned
from daemon.storage.recordings import split_path
from daemon.watching.changes import news
from daemon.watching.events import Events, EventsFactory, Hint, HintKind, Hints
from daemon.watching.existing import Baseline
from daemon.watching.guard import Guard
from daemon.watching.listing import Listing, Listings
from daemon.watching.marked import MarkedFiles
from daemon.watching.mounts import look_seconds, rescan_seconds, settle_seconds
from daemon.watching.names import is_ignored_directory, is_inside, reasons
from daemon.watching.passed_over import PassedOver
from daemon.watching.presence import STALL_SECONDS, Presence
from daemon.watching.scan import Chunk, Walker
from daemon.watching.source import Condition

logger = logging.getLogger(__name__)

CHUNKS_PER_STEP = 10
"""So that a long listing does not hold up what the hints say."""

DIRTY_SECONDS = 1.0


class FolderWatch:
    """Watches one folder from the first `look` to `close`.

    `tell_stall`, `wake`, `is_ready`, `is_away`, `is_remote`, `rival` and `root` are for any thread, the rest
    for one. The folder may be missing, vanish, hang and come back at any time; that it is gone never changes
    a row of a recording. Nothing looks at the folder before the first `look`.
    """

    def __init__(
        self, folder: WatchFolder, *, events: EventsFactory = Events, guard: Guard | None = None
    ) -> None:
        self.folder = folder
        self.is_ready = False
        """True once the folder was listed, or was found missing and is being waited for."""
        self._hints = Hints()
        self._presence = Presence(folder, self._hints.put, events=events, guard=guard)
        self._source = self._presence.source
        self._reason_of = reasons(folder)
        self._is_marker = marker_names(folder.done_marker)
        self._walker = Walker(
            self._source.path,
            recursive=folder.recursive,
            is_ignored=is_ignored_directory,
            pass_over=lambda path, is_directory: self._passing.add_other(path, is_directory),
        )
        self._passing = PassedOver(self._source.path, self._reason_of)
        self._passing_in: Listing | None = None
        self._passed: PassedOver | None = None
        self._listings = Listings(self._walker)
        self._marked = MarkedFiles(folder.name)
        self._baseline: Baseline | None = None
        self._first_look_at: datetime | None = None
        # True until the next listing of the whole folder ends: it was not watched before; it is watched anew.
        self._is_new = True
        self._is_renewed = True
        self._last_event_at: datetime | None = None
        # Kept when the database fails in the middle of a look: hints come only once.
        self._seen = Sightings()

    def look(self, db: Database, now: float, now_utc: datetime, *, room: int) -> Sightings:
        """Return what has happened since the last look; of listings, not much more than `room` files.

        Call `stored` when it is stored, and `list_again` after any error.
        """
        baseline = self._configured(db, now_utc)
        if self._tend(db, baseline, now, now_utc):
            self._read_hints(now, now_utc, room)
            self._list(db, baseline, now, now_utc, room)
        else:
            self._hints.drain()
            self._seen = Sightings(is_away=True)
        seen, self._seen = self._seen, Sightings()
        method = self._source.method
        seen.settle_seconds = settle_seconds(self.folder, method)
        seen.rescan_seconds = rescan_seconds(self.folder, method.method)
        return seen

    def stored(
        self,
        db: Database,
        seen: Sightings,
        missed: Sequence[FoundBy],
        *,
        has_old: bool,
        now: float,
        now_utc: datetime,
    ) -> None:
        """Note that what was seen is stored, or is waited for until it is complete.

        `missed` says how files were found that no hint announced; `has_old` that files which were there
        before earshot are still to be stored.
        """
        baseline = self._configured(db, now_utc)
        if seen.is_listed:
            with transaction(db):
                folder_scanned(
                    db,
                    self.folder.name,
                    now_utc,
                    directories=self._walker.directories,
                    watches=self._source.watches,
                    last_event_at=self._last_event_at,
                )
            baseline.listed(self._walker.unreadable)
        if baseline.is_listed and not baseline.is_done and not has_old:
            with transaction(db):
                baseline_finished(db, self.folder.name)
            baseline.is_done = True
        if seen.is_listed:
            self._source.look_soon()
            with self.asking():
                self._source.check(now, self._walker.directories)
            self._is_new = self._is_renewed = False
            self.is_ready = True
        self._count_missed(db, missed, now)

    def list_again(self, now: float) -> None:
        """List the whole folder soon: what a listing found could not be stored."""
        self._listings.start_over(now + DIRTY_SECONDS)

    def seconds_until_due(self, now: float, *, room: int) -> float:
        """Return the seconds until the next look, if no hint comes sooner."""
        due = self._source.seconds_until_due(now)
        if not self._presence.is_away and room:
            due = min(due, self._listings.seconds_until_due(now))
        return max(due, 0.0)

    def wait(self, seconds: float) -> None:
        """Return when a hint comes or `wake` is called, else after so many seconds."""
        self._hints.wait(seconds)

    def wake(self) -> None:
        """End a `wait`."""
        self._hints.put(Hint(HintKind.WAKE))

    def asking(self) -> AbstractContextManager[None]:
        """Note for `tell_stall` that what is done inside waits for an answer of the file system."""
        return self._presence.asking()

    @property
    def is_away(self) -> bool:
        """True while the folder is missing, cannot be read, or does not answer."""
        return self._presence.is_away

    @property
    def passed_over(self) -> dict[str, PassedFiles] | None:
        """What the last listing of the whole folder passed over, by reason; None before the first one."""
        return self._passed.found() if self._passed else None

    @property
    def rival(self) -> str | None:
        """Who watches the folder instead of this process, in words; None while nobody does."""
        return self._source.rival

    @property
    def root(self) -> str:
        """The folder's path without links, as it was when it was last looked for."""
        return self._source.method.root

    @property
    def is_remote(self) -> bool:
        """True while the folder, or a part of it, is on a network or FUSE mount: it may come to hang."""
        return self._source.method.has_remote

    def tell_stall(self, open_db: Callable[[], Database], *, after_seconds: float = STALL_SECONDS) -> None:
        """Write to log and rows that the file system does not answer, if that is so; call it now and then."""
        if self._presence.tell_stall(open_db, after_seconds):
            # A start does not wait for a folder that does not answer.
            self.is_ready = True

    def is_idle(self, now: float) -> bool:
        """Return whether the folder was listed, and nothing is to be listed or has been hinted at now."""
        return self.is_ready and self._listings.is_idle(now) and not self._hints

    def close(self) -> None:
        """Stop watching."""
        self._source.close()

    def _configured(self, db: Database, now_utc: datetime) -> Baseline:
        # Kept when the database fails: a file that arrives before it works again is new all the same.
        self._first_look_at = self._first_look_at or now_utc
        if self._baseline is None:
            with transaction(db):
                row = configure_folder(db, self.folder.name, self._first_look_at)
            self._baseline = Baseline(row)
        return self._baseline

    def _tend(self, db: Database, baseline: Baseline, now: float, now_utc: datetime) -> bool:
        """Return whether the folder is there and watched."""
        condition = self._presence.tend(db, now, now_utc)
        if condition == Condition.MISSING:
            self._listings.clear()
            self.is_ready = True
            return False
        if condition == Condition.STARTED:
            if self._source.is_other_device:
                baseline.reopen()
            self._listings.start_over(now)
            self._is_new = self._is_new or self._source.is_new
            self._is_renewed = True
        return True

    def _read_hints(self, now: float, now_utc: datetime, room: int) -> None:
        for hint in self._hints.drain():
            if hint.kind != HintKind.WAKE:
                self._last_event_at = now_utc
            relative = self._relative(hint.path)
            if hint.kind == HintKind.LOST:
                self._source.repair(now)
            elif hint.kind == HintKind.REMOVED:
                if self._passed:
                    self._passed.forget(hint.path)
                self._seen.gone.append(hint.path)
                if not relative:
                    self._source.look_soon()
            elif not relative or not is_inside(relative, recursive=self.folder.recursive):
                continue
            elif hint.kind == HintKind.DIRECTORY:
                if self.folder.recursive and not is_ignored_directory(split_path(hint.path)[1]):
                    self._listings.appeared(hint.path, now)
            elif self._is_marker(split_path(hint.path)[1]):
                self._seen.markers.append(hint.path)
            elif (reason := self._reason_of(relative)) is None:
                self._read_file_hint(hint, relative, now, room)
            elif self._passed:
                self._passed.announce(reason, hint.path)

    def _read_file_hint(self, hint: Hint, relative: str, now: float, room: int) -> None:
        if len(self._seen.files) >= room:
            self._listings.full_by(now + DIRTY_SECONDS)
            return
        with self.asking():
            found = stamp(hint.path)
        if found:
            is_closed, is_remote = hint.kind == HintKind.CLOSED, self._source.method.is_remote(relative)
            self._seen.files.append(Sighting(found, is_closed=is_closed, is_remote=is_remote))

    def _list(self, db: Database, baseline: Baseline, now: float, now_utc: datetime, room: int) -> None:
        method, today = self._source.method, f"{now_utc:%Y-%m-%d}"
        rescan, look = rescan_seconds(self.folder, method.method), look_seconds(method)
        for _ in range(CHUNKS_PER_STEP):
            if len(self._seen.files) >= room or not (listing := self._listings.current(now, rescan, look)):
                return
            if listing is not self._passing_in:
                self._passing = PassedOver(self._source.path, self._reason_of)
                self._passing_in = listing
            with self.asking():
                chunk = next(listing.chunks, None)
            if chunk is not None:
                self._sort_chunk(db, baseline, listing, chunk)
                self._marked.saw(db, listing, chunk[0], [entry.name for entry in chunk[1]], today)
                continue
            self._listings.end()
            if listing.is_full:
                self._marked.listed(db, listing, self._walker.unreadable, today)
                self._passed = self._passing
                self._passed.add_unreadable(self._walker.unreadable)
                self._seen.is_listed = True
                return

    def _sort_chunk(self, db: Database, baseline: Baseline, listing: Listing, chunk: Chunk) -> None:
        directory, entries = chunk
        below = self._relative(directory)
        prefix = f"{below}/" if below else ""
        is_remote = self._source.method.is_remote(below)
        baseline.saw(lambda: any(self._reason_of(prefix + entry.name) is None for entry in entries))
        with self.asking():
            found_news = list(
                news(
                    db,
                    directory,
                    entries,
                    is_recording=lambda name: self._passing.is_recording(f"{directory}/{name}"),
                    inodes_last=not is_remote,
                    names_only=listing.names_only,
                    takes_lists=self.folder.lists,
                )
            )
        found_by = self._found_by(listing)
        self._seen.files += [
            Sighting(
                found,
                found_by,
                is_old=listing.is_full and not is_known and baseline.is_old(found, directory),
                is_remote=is_remote,
            )
            for found, is_known in found_news
        ]

    def _found_by(self, listing: Listing) -> FoundBy:
        if not listing.is_full or self._is_new or self._source.method.method == "poll":
            return FoundBy.HINT
        return FoundBy.LATE_LISTING if self._is_renewed else FoundBy.LISTING_ONLY

    def _count_missed(self, db: Database, missed: Sequence[FoundBy], now: float) -> None:
        """Count what no event announced although events are watched, and have them watched anew."""
        if not missed:
            return
        logger.warning("files found by listing only folder=%s files=%d", self.folder.name, len(missed))
        with transaction(db):
            count_missed(db, self.folder.name, len(missed))
        if FoundBy.LISTING_ONLY in missed:
            self._source.repair(now)

    def _relative(self, path: str) -> str:
        return path[len(self._source.path.rstrip("/")) + 1 :]
