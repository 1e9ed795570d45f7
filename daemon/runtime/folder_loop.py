"""One folder's loop: take in what is seen in the folder, and list again what could not be stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo

from daemon.config.models import WatchFolder
from daemon.costs.length import read_seconds
from daemon.intake.folder import FolderIntake
from daemon.runtime.not_taken import NotTaken
from daemon.storage.connection import Database
from daemon.watching.events import Events, EventsFactory
from daemon.watching.folder import FolderWatch
from daemon.watching.guard import Guard


class FolderLoop:
    """Joins the watching of one folder and its intake; `step` and `close` belong to one thread.

    `on_new` is called when there are recordings to be analyzed. `guard` holds the folder against others.
    """

    def __init__(
        self,
        folder: WatchFolder,
        *,
        on_new: Callable[[], None] = lambda: None,
        timezone: tzinfo | None = None,
        events: EventsFactory = Events,
        guard: Guard | None = None,
    ) -> None:
        self.watch = FolderWatch(folder, events=events, guard=guard)
        self.intake = FolderIntake(
            folder, timezone=timezone, asking=self.watch.asking, seconds_of=read_seconds
        )
        self._not_taken = NotTaken(self.watch, self.intake)
        self._on_new = on_new
        self._now = 0.0

    def step(self, db: Database, now_monotonic: float, now_utc: datetime) -> float:
        """Do what is due and return the seconds until something is due again (a hint may come sooner).

        An error of the database loses nothing: call again later.
        """
        now = self._now = now_monotonic
        try:
            seen = self.watch.look(db, now, now_utc, room=self.intake.room)
            taken = self.intake.step(db, seen, now, now_utc)
            if not seen.is_away:
                has_old = self.intake.has_old
                self.watch.stored(db, seen, taken.missed, has_old=has_old, now=now, now_utc=now_utc)
        except BaseException:
            self.watch.list_again(now)
            raise
        if taken.queued:
            self._on_new()
        due = self.intake.seconds_until_due(now)
        wait = self.watch.seconds_until_due(now, room=self.intake.room)
        noted = self._not_taken.note(db, now, now_utc)
        return min(wait, noted) if due is None else min(wait, due, noted)

    def is_idle(self) -> bool:
        """Return whether the folder was listed and nothing is left that will soon be complete."""
        return self.watch.is_away or (self.watch.is_idle(self._now) and self.intake.is_idle(self._now))
