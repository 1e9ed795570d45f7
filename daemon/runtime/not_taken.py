"""Note in the database what a folder's watching passes over and what its intake still waits for."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from daemon.intake.folder import FolderIntake
from daemon.models import iso, shown_path
from daemon.sightings import PassedFile, PassedFiles
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.not_taken import MOST_NAMES, note_not_taken
from daemon.watching.folder import FolderWatch

UNFINISHED_SECONDS = 5.0
"""A file that is complete sooner is not worth a word."""

EVERY_SECONDS = 5.0


class NotTaken:
    """Writes it for one folder; belongs to the folder's thread."""

    def __init__(self, watch: FolderWatch, intake: FolderIntake) -> None:
        self._watch = watch
        self._intake = intake
        self._noted: dict[str, PassedFiles] | None = None
        self._since: dict[str, str] = {}
        self._due = 0.0

    def note(self, db: Database, now: float, now_utc: datetime) -> float:
        """Write what has changed, at most every EVERY_SECONDS; return the seconds until it is due again."""
        passed = self._watch.passed_over
        if passed is None:
            return math.inf
        if now >= self._due:
            self._due = now + EVERY_SECONDS
            found = passed | self._unfinished(now, now_utc)
            if found != self._noted:
                with transaction(db):
                    note_not_taken(db, self._watch.folder.name, found)
                self._noted = found
        is_waiting = bool(self._since) or self._intake.seconds_until_due(now) is not None
        return self._due - now if is_waiting else math.inf

    def _unfinished(self, now: float, now_utc: datetime) -> dict[str, PassedFiles]:
        found, since = {}, {}
        for reason, files in self._intake.unfinished(now, UNFINISHED_SECONDS).items():
            shown = []
            for path, seconds, why in files[:MOST_NAMES]:
                since[path] = self._since.get(path) or iso(now_utc - timedelta(seconds=seconds))
                shown.append(PassedFile(shown_path(path), why, since[path]))
            found[reason] = PassedFiles(len(files), tuple(shown))
        self._since = since
        return found
