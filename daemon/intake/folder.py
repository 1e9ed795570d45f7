"""Take in the files of one folder: wait until each is complete, then store what it becomes."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from daemon.config.filenames import facts_reader, is_list
from daemon.config.models import WatchFolder
from daemon.intake.arrivals import Arrival, Asking, Intake, Kind, Place
from daemon.intake.complete import Readiness, SecondsOf
from daemon.intake.intake import take_in
from daemon.intake.settle import Settler
from daemon.intake.url_lists import take_in_lists
from daemon.sightings import FoundBy, Sighting, Sightings
from daemon.storage.connection import Database

logger = logging.getLogger(__name__)

LOOKS_PER_STEP = 100
LATER_SECONDS = 5.0
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What one step stored: `queued` recordings wait now that did not.

    `missed` says how each new file was found that no hint had announced.
    """

    queued: int
    missed: tuple[FoundBy, ...]


class FolderIntake:
    """Decides which files of one folder are complete and what they become; belongs to one thread.

    Every question to the file system is asked within `asking()`, because a share may hang.
    """

    def __init__(
        self,
        folder: WatchFolder,
        *,
        timezone: tzinfo | None = None,
        asking: Asking = nullcontext,
        seconds_of: SecondsOf = lambda _, __: None,
    ) -> None:
        self._folder = folder
        self._asking = asking
        self._settler = Settler(folder.settle, folder.empty_after)
        self._ready = Readiness(folder, self._settler, seconds_of=seconds_of)
        self._facts_of = facts_reader(folder.filename_pattern, timezone)
        self._left_alone = 0

    @property
    def room(self) -> int:
        """How many further files may be shown to the next `step`."""
        return self._settler.room

    @property
    def has_old(self) -> bool:
        """True while a file that was there before earshot is not stored yet."""
        return self._settler.has_old

    def step(self, db: Database, seen: Sightings, now: float, now_utc: datetime) -> Taken:
        """Take note of what was seen, and store the files that are complete by now.

        After an error of the database have the folder listed again: files that are left alone are not kept.
        """
        if seen.is_away:
            self._clear()
        self._settler.settle_seconds = seen.settle_seconds
        for path in seen.gone:
            self._forget(path)
        for marker in seen.markers:
            for path in self._ready.markers.waiting_for(marker):
                self._settler.postpone(path, now, 0.0)
        self._leave_alone(db, seen, self._noticed(seen.files, now), now_utc)
        return self._finish(db, seen.rescan_seconds, now, now_utc)

    def seconds_until_due(self, now: float) -> float | None:
        """Return the seconds until a file is to be looked at; None while there is none."""
        return self._settler.next_due(now)

    def is_idle(self, now: float) -> bool:
        """Return whether nothing is left that will soon be complete.

        Files that stay empty or open for writing are not waited for longer than PATIENCE_SECONDS (or five
        times the settle time), and none waits for a marker.
        """
        patience = max(PATIENCE_SECONDS, 5 * self._settler.settle_seconds)
        return self._settler.is_stuck(now, patience, besides=self._ready.markers.is_waiting)

    def unfinished(self, now: float, after_seconds: float) -> dict[str, list[tuple[str, float, str]]]:
        """Return what is not taken yet and has been seen for so long: `incomplete` and `empty` files.

        Of each the path, since how many seconds, and why.
        """
        found: dict[str, list[tuple[str, float, str]]] = {}
        for path, seconds, is_empty in self._settler.unfinished(now, after_seconds):
            reason, why = (
                ("empty", "there is nothing in it") if is_empty else ("incomplete", self._ready.why(path))
            )
            found.setdefault(reason, []).append((path, seconds, why))
        return found

    def _noticed(self, files: list[Sighting], now: float) -> list[Arrival]:
        """Wait for each file until it is complete; return those that are left alone instead."""
        left_alone = []
        for seen in files:
            if seen.is_old and self._folder.existing == "skip":
                left_alone.append(Arrival(seen.stamp, Kind.LEFT_ALONE))
            else:
                is_quiet = seen.is_old and self._folder.existing == "quiet"
                self._settler.observe(replace(seen, is_old=is_quiet), now)
        return left_alone

    def _leave_alone(
        self, db: Database, seen: Sightings, left_alone: list[Arrival], now_utc: datetime
    ) -> None:
        self._store(db, left_alone, now_utc)
        self._left_alone += len(left_alone)
        if seen.is_listed and self._left_alone:
            text = "existing files left alone, `earshot scan --existing` takes them in folder=%s files=%d"
            logger.info(text, self._folder.name, self._left_alone)
            self._left_alone = 0

    def _finish(self, db: Database, rescan_seconds: float, now: float, now_utc: datetime) -> Taken:
        due = self._settler.due(now, LOOKS_PER_STEP)
        arrivals = [arrival for path in due if (arrival := self._arrival(path, now, rescan_seconds))]
        intake = self._store(db, arrivals, now_utc)
        for path in intake.later:
            self._settler.postpone(path, now, LATER_SECONDS)
        found_by = (self._settler.found_by(path) for path in intake.new)
        taken = Taken(intake.queued, tuple(by for by in found_by if by != FoundBy.HINT))
        for path in {arrival.stamp.path for arrival in arrivals}.difference(intake.later):
            self._forget(path)
        return taken

    def _arrival(self, path: str, now: float, rescan_seconds: float) -> Arrival | None:
        with self._asking():
            return self._ready.arrival(path, now, rescan_seconds)

    def _store(self, db: Database, arrivals: list[Arrival], now_utc: datetime) -> Intake:
        lists = [arrival for arrival in arrivals if is_list(arrival.stamp.path)]
        files = [arrival for arrival in arrivals if not is_list(arrival.stamp.path)] if lists else arrivals
        place = Place(self._folder, now_utc, self._facts_of, self._asking)
        stored, hosted = take_in(db, place, files), take_in_lists(db, place, lists)
        return Intake(stored.queued + hosted.queued, stored.later + hosted.later, stored.new)

    def _forget(self, path: str) -> None:
        self._settler.forget(path)
        self._ready.forget(path)

    def _clear(self) -> None:
        for path in self._settler.clear():
            self._ready.forget(path)
