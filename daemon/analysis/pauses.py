"""The gates of the queue: what holds it for everyone, what ends that, and that operations hear of both.

Trouble that is not a recording's fault holds the queue and blames no recording. Everything here is called
inside the caller's transaction, except `end_obsolete_pauses`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime

from sqlite_utils import Database

from daemon.analysis.context import Context
from daemon.analysis.retry import probe_interval
from daemon.models import Recording, from_iso, iso
from daemon.periodic.operations_text import (
    FLAP_WINDOW,
    FLAPS,
    paused_message,
    paused_title,
    resumed_message,
)
from daemon.storage.database import transaction
from daemon.storage.outbox import add_operations_alert, times_told
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
    """Hold the queue for `cause`: one operations alert when it begins, none while it lasts.

    Where it begins again and again, there is one when it lasts (see periodic/operations.py).
    """
    held = [pause for pause in pauses(db) if (pause.cause, pause.scope) == (cause, scope)]
    interval = probe_interval(cause, held[0].probes if held else 0, context.config.analyzer.probe)
    if begin_pause(db, cause, reason, probe_seconds=interval, shared=shared, scope=scope, now=now):
        logger.error("queue paused cause=%s reason=%s", cause, reason)
        told = times_told(db, paused_title(cause), now - FLAP_WINDOW)
        if told >= FLAPS:
            logger.warning("operations hear of it when it lasts cause=%s", cause)
            return
        title, body = paused_message(cause, reason, interval, is_last=told == FLAPS - 1)
        add_operations_alert(db, context.operations, title, body, "critical", now)


def answered(db: Database, recording: Recording, context: Context, now: datetime) -> None:
    """The service looked at this recording, whatever it found: what held it is over."""
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
    """The service gave a proper answer to this recording's request, which ends these causes."""
    context.throttle.answered(recording.id)
    scopes = {EVERYTHING, context.request_for(recording).key}
    resume(db, context, now, causes=ends, scopes=scopes, asked_at=last_request_at(db, recording.id))


def resume(
    db: Database,
    context: Context,
    now: datetime,
    *,
    causes: Collection[str],
    scopes: Collection[str] | None = None,
    asked_at: str | None = None,
) -> None:
    """End the pauses of these causes (and scopes), and tell operations that they are over.

    With `asked_at`, when a request began that was answered, only those that it can speak of: what was asked
    before the trouble began may well be answered while it lasts.
    """
    for pause in pauses(db):
        # One that begins in the future is from before the clock was set back.
        if asked_at is not None and asked_at < pause.since <= iso(now):
            continue
        if pause.cause in causes and (scopes is None or pause.scope in scopes):
            end_pause(db, pause)
            logger.warning("queue goes on cause=%s paused_since=%s", pause.cause, pause.since)
            since = from_iso(pause.since)
            if times_told(db, paused_title(pause.cause), since):
                title, body = resumed_message(pause.cause, pause.reason, since, now)
                add_operations_alert(db, context.operations, title, body, "info", now)


def end_obsolete_pauses(db: Database, context: Context) -> None:
    """End the pauses of requests that the configuration does not make any more."""
    now = context.clock()
    with transaction(db):
        gone = {pause.scope for pause in pauses(db)} - {EVERYTHING, *context.scopes.values()}
        resume(db, context, now, causes=SERVICE_CAUSES, scopes=gone)
