"""Note, once a day, which files of deleted recordings a listing still finds (see storage/marks.py)."""

from __future__ import annotations

from collections.abc import Collection

from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.marks import looked_on, marks_to_note, note_look, note_marks
from daemon.watching.listing import Listing


class MarkedFiles:
    """The marked files of one folder; belongs to the thread that lists it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._listing: Listing | None = None
        self._is_look = False

    def saw(self, db: Database, listing: Listing, directory: str, names: Collection[str], today: str) -> None:
        """Note the files that a listing found in `directory`, if it is today's first of the whole folder."""
        if listing is not self._listing:
            self._listing = listing
            self._is_look = listing.is_full and looked_on(db, self._folder) != today
        if self._is_look and (digests := marks_to_note(db, self._folder, directory, names)):
            with transaction(db):
                note_marks(db, self._folder, digests)

    def listed(self, db: Database, listing: Listing, unreadable: Collection[str], today: str) -> None:
        """Note that a listing came to its end, if it found any file and could read every directory.

        An empty folder may be the place where a share is not mounted.
        """
        if listing is self._listing and self._is_look and not unreadable:
            with transaction(db):
                note_look(db, self._folder, today)
        self._is_look = False
