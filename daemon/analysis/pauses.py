"""Pauses of the queue: what begins one, and which answers of the service end it.

Trouble that is not a recording's fault holds the queue, and no recording fails for it. Functions here are
called inside a transaction of the caller, except `end_obsolete_pauses`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime

from daemon.analysis.context import Context
from daemon.analysis.retry import probe_interval
from daemon.models import Recording, iso
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.pauses import EVERYTHING, begin_pause, end_pause, pauses
from daemon.storage.requests import last_request_at

logger = logging.getLogger(__name__)

SERVICE_CAUSES = frozenset({"key", "credit", "request", "service"})
"""What an answer of the service ends; room in the store is another matter."""


def hold(
    db: Database,
    cause: str,
    reason: str,
    context: Context,
    now: datetime,
    *,
    shared: bool,
    scope: str = EVERYTHING,
) -> None:
    """Hold the queue for `cause`, or note that it is still held; the next probe is due after an interval."""
    held = [pause for pause in pauses(db) if (pause.cause, pause.scope) == (cause, scope)]
    interval = probe_interval(cause, held[0].probes if held else 0, context.config.analyzer.probe)
    if begin_pause(db, cause, reason, probe_seconds=interval, shared=shared, scope=scope, now=now):
        logger.error("queue paused cause=%s reason=%s", cause, reason)


def answered(db: Database, recording: Recording, context: Context, now: datetime) -> None:
    """End every pause that an answer of the service ends: it looked at this recording, whatever it found."""
    context.refusals.accepted(recording.id, context.request_for(recording).key)
    reached(db, recording, context, now, ends=SERVICE_CAUSES)


def reached(
    db: Database,
    recording: Recording,
    context: Context,
    now: datetime,
    *,
    ends: Collection[str] = frozenset({"service"}),
) -> None:
    """End the pauses of the causes `ends`: the service gave a proper answer to this recording's request."""
    context.throttle.answered(recording.id)
    is_up(db, recording, context, now, ends=ends)


def is_up(
    db: Database,
    recording: Recording,
    context: Context,
    now: datetime,
    *,
    ends: Collection[str] = frozenset({"service"}),
) -> None:
    """End the pauses of the causes `ends`: the service said something, if only that it has enough to do."""
    if not pauses(db):
        return
    scopes = {EVERYTHING, context.request_for(recording).key}
    resume(db, now, causes=ends, scopes=scopes, asked_at=last_request_at(db, recording.id))


def resume(
    db: Database,
    now: datetime,
    *,
    causes: Collection[str],
    scopes: Collection[str] | None = None,
    asked_at: str | None = None,
) -> None:
    """End the pauses of these causes (and scopes).

    With `asked_at`, when a request began that was answered, only those that it can speak of: what was asked
    before the trouble began may well be answered while it lasts.
    """
    for pause in pauses(db):
        # One that begins in the future is from before the clock was set back.
        if asked_at is not None and asked_at < pause.since <= iso(now):
            continue
        if pause.cause in causes and (scopes is None or pause.scope in scopes):
            end_pause(db, pause, now)
            logger.warning("queue goes on cause=%s paused_since=%s", pause.cause, pause.since)


def end_obsolete_pauses(db: Database, context: Context) -> None:
    """End the pauses of requests that the configuration does not make any more."""
    now = context.clock()
    with transaction(db):
        gone = {pause.scope for pause in pauses(db)} - {EVERYTHING, *context.scopes.values()}
        resume(db, now, causes=SERVICE_CAUSES, scopes=gone)
