"""Notice that the clock has leapt ahead, so that nothing is deleted by a wrong time.

A clock that is behind deletes too little at worst; one that is a year ahead would delete all. Whether the
service was off for so long or the clock is wrong cannot be told, so people are told, and have some days.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.models import from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows

LEAP = timedelta(days=4)
"""A step of the clock by more than this is doubted: no service is off for so long without a reason."""
TRUSTED_AFTER = timedelta(days=3)
"""A clock in doubt is trusted after this time, if nobody has set it right."""
NOTED_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Doubt:
    """The clock leapt from `before` to `since`; at `until` it is trusted all the same."""

    before: datetime
    since: datetime

    @property
    def until(self) -> datetime:
        """Return from when on the clock is trusted."""
        return self.since + TRUSTED_AFTER


@dataclass(frozen=True, slots=True)
class _Seen:
    trusted: datetime
    since: datetime | None = None
    last: datetime | None = None


def doubt(db: Database, now: datetime) -> Doubt | None:
    """Note what the clock says; return why it is in doubt, None if it is not.

    Call inside a transaction, now and then.
    """
    before = _stored(db)
    seen = _judged(before, now)
    if seen != before:
        db.execute(
            "INSERT OR REPLACE INTO clock (id, trusted_at, doubted_since, doubted_at) VALUES (1, ?, ?, ?)",
            [None if each is None else iso(each) for each in (seen.trusted, seen.since, seen.last)],
        )
    return None if seen.since is None else Doubt(seen.trusted, seen.since)


def is_clock_news(db: Database, now: datetime) -> bool:
    """Return whether `doubt` has something to write."""
    before = _stored(db)
    return before is None or before != _judged(before, now)


def last_doubt(db: Database) -> Doubt | None:
    """Return what `doubt` last returned."""
    seen = _stored(db)
    return None if seen is None or seen.since is None else Doubt(seen.trusted, seen.since)


def _judged(before: _Seen | None, now: datetime) -> _Seen:
    if before is None:
        return _Seen(now)
    if now - before.trusted <= LEAP:
        is_old = before.since is not None or now - before.trusted >= NOTED_EVERY
        return _Seen(max(now, before.trusted)) if is_old else before
    if before.since is None or before.last is None or not before.since <= now <= before.last + LEAP:
        return _Seen(before.trusted, now, now)
    if now - before.since >= TRUSTED_AFTER:
        return _Seen(now)
    return _Seen(before.trusted, before.since, now) if now - before.last >= NOTED_EVERY else before


def _stored(db: Database) -> _Seen | None:
    found = rows(db, "SELECT trusted_at, doubted_since, doubted_at FROM clock")
    if not found:
        return None
    trusted, since, last = (None if each is None else from_iso(each) for each in found[0].values())
    return None if trusted is None else _Seen(trusted, since, last)
