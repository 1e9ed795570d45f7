"""Delivery: due rows of the outbox go to Apprise, and what came of it goes back into the row.

One thread owns each target, so a slow or broken service delays no other. A message is sent before that is
stored: a crash in between repeats it, with the same id in its last line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from daemon.alerts.quiet_hours import quiet_period
from daemon.alerts.targets import fit
from daemon.alerts.verdict_links import Links, with_links
from daemon.backoff import backoff
from daemon.models import Alert, Target, from_iso, utc_now
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.operations import begin_trouble
from daemon.storage.outbox import (
    Table,
    alert_failed,
    alert_retry,
    alert_sent,
    hold_alert,
    next_alert,
    release_held,
    seconds_until_due,
)

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 3600.0
LEAST_ATTEMPTS = 7
RETRY_FOR = timedelta(hours=24)

LOOK_SECONDS = 5.0
"""A thread looks at its rows at least this often, so a lost wake-up costs no more."""


class Memory(Protocol):
    """What knows the message that was accepted last."""

    delivered_id: int | None


class Sender(Memory, Protocol):
    """What `step` needs of an AppriseSender."""

    def send(self, title: str, body: str, severity: str) -> str | None:
        """None when the service accepted the message, else why not."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows of an outbox go: which table they are in, and what tells them from the others there.

    `is_final` says of an error that another attempt is of no use. `on_give_up` writes in the transaction that
    gives a message up, with the reason.
    """

    table: Table
    destination: str
    index: int
    is_final: Callable[[str], bool] = lambda _: False
    on_give_up: Callable[[Database, str], None] = lambda *_: None


def step(db: Database, target: Target, sender: Sender, now: datetime, *, links: Links | None = None) -> bool:
    """Send the alert that is due next to this target; False when none is.

    With `links` one about a recording says where it can be judged.
    """
    alert = next_alert(db, target.destination, target.index, now)
    if alert is None:
        return False
    if until := _quiet_until(target, alert, now):
        with transaction(db):
            hold_alert(db, alert.id, until)
        return True
    place = Place("alerts", target.destination, target.index, on_give_up=partial(_tell, target, now))
    text = fit(target, alert.title, alert.body)
    if links is not None and alert.recording_id is not None and target.links_room:
        text = with_links(text, links(alert.id, now))
    attempt(db, alert, place, sender, lambda: sender.send(alert.title, text, alert.severity), now)
    return True


def attempt(
    db: Database,
    message: Alert,
    place: Place,
    memory: Memory,
    send: Callable[[], str | None],
    now: datetime,
) -> None:
    """Send a message, and store that it was accepted, is to be tried again, or is given up."""
    try:
        _attempt(db, message, place, memory, send, now)
    except Exception as error:
        error.add_note(f"while delivering {place.table.removesuffix('s')} {message.id}")
        raise


def release(db: Database, target: Target, now: datetime) -> None:
    """Make due what waits for the end of quiet hours that the configuration does not have any more."""
    if quiet_period(target.quiet, now) is not None:
        return
    with transaction(db):
        count = release_held(db, target.destination, target.index, now)
    if count:
        logger.info("quiet hours have changed destination=%s released=%d", target.destination, count)


def _quiet_until(target: Target, alert: Alert, now: datetime) -> datetime | None:
    """Return until when the target's quiet hours hold this alert, None when it may go out now.

    Alerts of rules are stored with that time; this is for digests, messages to operations, and retries.
    """
    period = None if alert.severity == "critical" else quiet_period(target.quiet, now)
    if period is None:
        return None
    # It became due within these very hours: a person asked for it.
    asked_for = alert.due_at is not None and period[0] <= from_iso(alert.due_at) < period[1]
    return None if asked_for else period[1]


def _attempt(
    db: Database,
    message: Alert,
    place: Place,
    memory: Memory,
    send: Callable[[], str | None],
    now: datetime,
) -> None:
    error = None
    started = time.monotonic()
    # Accepted before, but then the database was locked or full: that must not send it again and again.
    if memory.delivered_id != message.id:
        error = send()
    # A service may take most of a minute to answer; waits count from then on.
    now += timedelta(seconds=time.monotonic() - started)
    kind = place.table.removesuffix("s")
    if error is None:
        memory.delivered_id = message.id
        with transaction(db):
            alert_sent(db, message.id, now, table=place.table)
        # From here on it is sent again only because a person wants it to.
        memory.delivered_id = None
        logger.info(
            "%s sent id=%d destination=%s attempts=%d",
            kind, message.id, place.destination, message.attempts + 1,
        )  # fmt: skip
    elif _may_try_again(message, now) and not place.is_final(error):
        wait = _retry_wait(message, now)
        with transaction(db):
            alert_retry(db, message.id, error, now + wait, table=place.table)
        logger.warning(
            "%s not delivered id=%d destination=%s target=%d error=%s retry_seconds=%.0f",
            kind, message.id, place.destination, place.index, error, wait.total_seconds(),
        )  # fmt: skip
    else:
        detail = (
            f"{kind.capitalize()} {message.id} was given up after {message.attempts + 1} attempts: {error}."
        )
        with transaction(db):
            alert_failed(db, message.id, error, table=place.table)
            place.on_give_up(db, detail)
        logger.error(
            "%s given up id=%d destination=%s target=%d attempts=%d error=%s",
            kind, message.id, place.destination, place.index, message.attempts + 1, error,
        )  # fmt: skip


def _tell(target: Target, now: datetime, db: Database, detail: str) -> None:
    """Let operations hear that this target does not get what is sent to it."""
    begin_trouble(db, "given_up", target.name, detail, now)


def delivery(
    target: Target, *, links: Links | None = None, clock: Callable[[], datetime] = utc_now
) -> Callable[[Database], float]:
    """The step of a target's loop: send one alert that is due, return the seconds until the next look."""
    sender: Sender | None = None

    def look(db: Database) -> float:
        nonlocal sender
        if sender is None:
            # Only where there is a target: see config/destinations.py.
            from daemon.alerts.sender import AppriseSender

            release(db, target, clock())
            sender = AppriseSender(target.url)
        if step(db, target, sender, clock(), links=links):
            return 0.0
        due = seconds_until_due(db, target.destination, target.index, clock())
        return LOOK_SECONDS if due is None else min(due, LOOK_SECONDS)

    return look


def _may_try_again(alert: Alert, now: datetime) -> bool:
    return now - _due(alert) < RETRY_FOR or alert.attempts < LEAST_ATTEMPTS


def _due(alert: Alert) -> datetime:
    """Return from when on an alert was to be delivered."""
    return from_iso(alert.due_at or alert.created_at)


def _retry_wait(alert: Alert, now: datetime) -> timedelta:
    seconds = backoff(
        alert.attempts, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS, factor=3.0, spread=0.1
    )
    wait = timedelta(seconds=seconds)
    left = _due(alert) + RETRY_FOR - now
    return min(wait, left) if left > timedelta(0) else wait
