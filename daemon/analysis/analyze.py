"""One step of the analysis: claim a recording, ask the API, store the reply, store what it says.

The order is what makes it safe to be killed anywhere: the claim is committed before the first byte leaves,
the raw reply before it is interpreted, and the result together with the alerts it causes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from sqlite_utils import Database

from daemon.alerting.drafts import drafts_for
from daemon.alerting.rules import conversation_of
from daemon.analysis.client import Reply
from daemon.analysis.outcomes import resume, settle_failure
from daemon.analysis.reply import parse_body, read_reply
from daemon.analysis.request import Request
from daemon.analysis.upload import content_hash, open_recording, still_same
from daemon.analysis.workplace import Workplace
from daemon.errors import AnalysisError, FileTrouble, StoreBusyError
from daemon.models import Recording
from daemon.storage.database import transaction
from daemon.storage.outbox import add_alerts
from daemon.storage.recordings import (
    begin_request,
    claim,
    count_billed,
    count_doubtful,
    end_request,
    put_back,
)
from daemon.storage.results import store_response, store_result, stored_reply

logger = logging.getLogger(__name__)

STORE_RETRY_SECONDS = 1.0

Result = TypeVar("Result")


def step(db: Database, place: Workplace) -> bool:
    """Analyze one recording that is due. False when there was none, or when the queue is held."""
    recording = claim(db, place.clock())
    if recording is None:
        return False
    analyze(db, recording, place)
    return True


def analyze(db: Database, recording: Recording, place: Workplace) -> None:
    """Take a claimed recording to the end of its way, or back to the queue with the reason."""
    started = time.monotonic()
    body = stored_reply(db, recording.id)
    try:
        # A reply that is stored was paid for; a crash or an error came before it was made use of.
        body = body or _ask(db, recording, place.request_for(recording), place)
    except (FileTrouble, AnalysisError) as error:
        with transaction(db):
            settle_failure(db, recording, error, place, place.clock())
        return
    if body:
        _finish(db, recording, body, place, seconds=time.monotonic() - started)


def _finish(db: Database, recording: Recording, body: bytes, place: Workplace, *, seconds: float) -> None:
    """From a stored reply to `done`: the result and the alerts that it causes, in one transaction."""
    analysis = read_reply(parse_body(body), place.request_for(recording))
    now = place.clock()
    drafts = drafts_for(place.config.alerts, place.targets, conversation_of(recording, analysis), now)

    def store() -> int:
        with transaction(db):
            store_result(db, recording.id, analysis, now=now)
            return len(add_alerts(db, recording.id, drafts, now))

    alerts = _insist(store, place)
    logger.info(
        "recording done id=%d name=%s seconds=%.1f audio_seconds=%.1f sentiment=%s alerts=%d",
        recording.id,
        recording.name,
        seconds,
        analysis.duration_seconds or 0.0,
        analysis.average_sentiment or "not analyzed",
        alerts,
    )


def _ask(db: Database, recording: Recording, request: Request, place: Workplace) -> bytes | None:
    """The reply, committed as it was received; None when the recording was closed or waits without one."""
    if recording.is_url:
        return _converse(
            db, recording, None, request, place, lambda: place.client.listen_url(recording.source, request)
        )
    with open_recording(recording.source) as file:
        sha256 = content_hash(file)
        return _converse(
            db,
            recording,
            sha256,
            request,
            place,
            lambda: place.client.listen_file(file, sha256, request),
            is_current=lambda: still_same(file, sha256),
        )


def _converse(
    db: Database,
    recording: Recording,
    sha256: str | None,
    request: Request,
    place: Workplace,
    send: Callable[[], Reply],
    *,
    is_current: Callable[[], bool] = lambda: True,
) -> bytes | None:
    go, entry = _begin(db, recording, sha256, request, place)
    if not go:
        return None
    try:
        reply = send()
        parse_body(reply.body)
    except (AnalysisError, FileTrouble) as error:
        _failed(db, recording, entry, error, place)
        return None
    if not is_current():
        _discarded(db, recording, entry, reply, place)
        return None
    _received(db, recording, entry, reply, place)
    return reply.body


def _begin(
    db: Database, recording: Recording, sha256: str | None, request: Request, place: Workplace
) -> tuple[bool, int]:
    decision, number = begin_request(
        db, recording, sha256=sha256, request_key=request.key, now=place.clock()
    )
    if decision == "duplicate":
        logger.info("recording is a copy id=%d name=%s of=%d", recording.id, recording.name, number)
    return decision == "send", number


def _received(db: Database, recording: Recording, entry: int, reply: Reply, place: Workplace) -> None:
    """Commit the raw reply before anything is made of it: from here on it is never asked for again."""

    def store() -> None:
        now = place.clock()
        with transaction(db):
            store_response(db, recording.id, reply.body, kind="listen", now=now)
            end_request(db, entry, outcome="received", status=200, request_id=reply.request_id, now=now)
            count_billed(db, recording.id)
            resume(db, place, now)

    _insist(store, place)
    place.load.answered()


def _discarded(db: Database, recording: Recording, entry: int, reply: Reply, place: Workplace) -> None:
    """The file is another one by now: what was heard is not what is there."""

    def store() -> None:
        now = place.clock()
        with transaction(db):
            end_request(db, entry, outcome="discarded", status=200, request_id=reply.request_id, now=now)
            count_billed(db, recording.id)
            put_back(
                db,
                recording,
                error="the file changed while it was analyzed; it is analyzed again",
                not_before=now + timedelta(seconds=2),
                failing=False,
                now=now,
            )

    _insist(store, place)
    place.load.answered()
    logger.warning("file changed during analysis id=%d name=%s", recording.id, recording.name)


def _failed(
    db: Database, recording: Recording, entry: int, error: AnalysisError | FileTrouble, place: Workplace
) -> None:
    def store() -> None:
        now = place.clock()
        with transaction(db):
            request_id = getattr(error, "request_id", None)
            end_request(db, entry, outcome=type(error).__name__, request_id=request_id, now=now)
            if isinstance(error, AnalysisError) and error.possibly_billed:
                count_doubtful(db, recording.id)
            settle_failure(db, recording, error, place, now)

    _insist(store, place)


def _insist(store: Callable[[], Result], place: Workplace) -> Result:
    """Write what was paid for, however long the disk is full or the database locked."""
    while True:
        try:
            return store()
        except StoreBusyError as error:
            if place.ended():
                raise
            logger.error("cannot store a result, trying again: %s", error)
            time.sleep(STORE_RETRY_SECONDS)

