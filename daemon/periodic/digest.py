"""The digest: a message per day or week about everything that was analyzed, exactly one for each period."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from daemon.config.models import Config, Digest
from daemon.config.times import moment, period, zone_of
from daemon.models import AlertDraft, Target, from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.costs import spent
from daemon.storage.database import transaction
from daemon.storage.outbox import add_messages, room_for
from daemon.storage.statistics import (
    Figures,
    Period,
    Row,
    digest_until,
    figures,
    folder_averages,
    set_digest_until,
)
from daemon.storage.verdicts import Verdicts, verdicts_by_rule
from daemon.text import (
    fitting,
    harmless,
    harmless_name,
    shorten_front,
    shown_clock,
    shown_recording,
    shown_score,
    shown_time,
    shown_usd,
)

logger = logging.getLogger(__name__)

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FOLDER_LENGTH = 60
LEAP = timedelta(days=1)
"""If the last digest ends further in the future than this, the clock was set back."""


def send_digest(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Store the digest that is due, if one is; True when there are messages. One transaction.

    A digest that was missed is sent late, and covers everything since the one before it. The first period
    begins when digests are first configured.
    """
    digest = config.alerts.digest
    stored = digest_until(db)
    if digest is None:
        if stored is not None:
            with transaction(db):
                set_digest_until(db, None)
        return False
    zone = zone_of(config.timezone)
    boundary = last_boundary(digest, zone, now)
    last = None if stored is None else from_iso(stored)
    if last is not None and last >= boundary and last <= now + LEAP:
        return False
    is_due = last is not None and last < boundary
    with transaction(db):
        set_digest_until(db, boundary)
        drafts = []
        if is_due and last is not None:
            drafts = _drafts(db, config, targets, Period(last, boundary), zone)
        add_messages(db, drafts, now)
    return bool(drafts)


def is_digest_due_between(config: Config, start: datetime, end: datetime) -> bool:
    """Return whether a digest falls into this time."""
    if (digest := config.alerts.digest) is None:
        return False
    zone = zone_of(config.timezone)
    return last_boundary(digest, zone, start) != last_boundary(digest, zone, end)


def last_boundary(digest: Digest, zone: tzinfo, now: datetime) -> datetime:
    """Return when a digest was last due, up to `now`."""
    today = now.astimezone(zone).date()
    weekday = (
        _WEEKDAYS.index("monday" if digest.every == "week" else digest.every)
        if digest.every != "day"
        else None
    )
    days = (today - timedelta(days=back) for back in range(9))
    return next(
        due
        for day in days
        if weekday in (None, day.weekday()) and (due := moment(day, digest.at, zone)) <= now
    )


def _drafts(
    db: Database, config: Config, targets: Sequence[Target], covered: Period, zone: tzinfo
) -> list[AlertDraft]:
    told = config.alerts.digest.notify if config.alerts.digest else ()
    current, before = figures(db, covered), folder_averages(db, covered.before())
    # A digest at midnight on the 1st shows the month that has just ended.
    begun, _ = period("month", covered.until - timedelta(seconds=1), zone)
    month = spent(db, begun, covered.until)
    verdicts = verdicts_by_rule(db)
    days = " - ".join(shown_time(iso(each), zone) for each in (covered.since, covered.until))
    title = f"[info] digest {days}"
    logger.info("digest due recordings=%d failed=%d", current.totals["count"], len(current.failed))
    drafts = []
    for target in targets:
        if target.destination not in told:
            continue
        room = room_for(target, title)
        body = digest_body(current, before, verdicts, month_usd=month, room=room, link=config.alerts.link)
        about = tuple(row["recording_id"] for row in current.worst)
        drafts.append(AlertDraft(target.destination, target.index, "info", title, body, about=about))
    return drafts


def digest_body(
    current: Figures,
    before: Sequence[Row],
    verdicts: Mapping[str, Verdicts],
    *,
    month_usd: float,
    room: int,
    link: str | None,
) -> str:
    """Return the text: numbers, then as much of the lists as there is room for. Pure."""
    lists = [
        ("The worst by average sentiment:", [_worst(row, link) for row in current.worst]),
        ("Folders:", _folders(current.folders, before)),
        ("Topics:", [f"{row['count']} {harmless_name(row['label'])}" for row in current.topics]),
        ("Intents:", [f"{row['count']} {harmless_name(row['label'])}" for row in current.intents]),
        (
            "Not analyzed:",
            [
                f"{row['count']} {harmless_name(row['feature'])}: {harmless_name(str(row['reason']))}"
                for row in current.not_analyzed
            ],
        ),
        ("Useful alerts, by your verdicts:", _precision(verdicts)),
    ]
    return fitting(_numbers(current, month_usd), lists, room)


def _numbers(current: Figures, month_usd: float) -> list[str]:
    totals = current.totals
    average = "" if totals["average"] is None else f", average sentiment {shown_score(totals['average'])}"
    count = "1 recording" if totals["count"] == 1 else f"{totals['count']} recordings"
    lines = [f"{count} analyzed, {shown_clock(totals['seconds'])} of audio{average}"]
    failed = ", ".join(f"{row['count']} {harmless(row['code'])}" for row in current.failed)
    lines.append(f"failed: {failed}; `earshot list --state failed` says why" if failed else "none failed")
    if current.alerts:
        states = ", ".join(f"{count} {state}" for state, count in sorted(current.alerts.items()))
        lines.append(f"alerts: {states}")
    if totals["cost"] is not None:
        lines.append(f"estimated cost {shown_usd(totals['cost'])} USD")
    if month_usd:
        lines.append(f"estimated cost of the month so far {shown_usd(month_usd)} USD")
    return lines


def _folders(current: Sequence[Row], before: Sequence[Row]) -> list[str]:
    """Compare each folder with the period before; folders with nothing this time come last."""
    earlier = {row["folder"]: row for row in before}
    lines = []
    for row in current:
        was = earlier.pop(row["folder"], None)
        past = "none before" if was is None else f"before {was['count']}, {_average(was)}"
        lines.append(f"{_folder(row)}: {row['count']}, {_average(row)} ({past})")
    return lines + [
        f"{_folder(was)}: none (before {was['count']}, {_average(was)})" for was in earlier.values()
    ]


def _folder(row: Row) -> str:
    return shorten_front(harmless(row["folder"] or "no folder"), FOLDER_LENGTH)


def _average(row: Row) -> str:
    return "not scored" if row["average"] is None else f"average sentiment {shown_score(row['average'])}"


def _precision(verdicts: Mapping[str, Verdicts]) -> list[str]:
    return [
        f"{harmless_name(rule)}: {found.useful} of {found.total}"
        for rule, found in sorted(verdicts.items())
        if found.total
    ]


def _worst(row: Row, link: str | None) -> str:
    metadata = json.loads(row["metadata"])
    return shown_recording(row["recording_id"], row["name"], row["score"], metadata=metadata, link=link)
