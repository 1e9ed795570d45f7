"""One step of the analysis: claim a recording, ask the API, store the reply, store what it says.

The order is what makes it safe to be killed anywhere: the claim is committed before the first byte leaves,
the raw reply before it is interpreted, and the result together with the alerts it causes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from sqlite_utils import Database

from daemon.alerting.drafts import wanted_alerts
from daemon.alerting.rules import conversation_of
from daemon.alerting.volume import store_alerts
from daemon.analysis.client import Reply
from daemon.analysis.exchange import insist, note_discarded, note_failed, note_received
from daemon.analysis.in_parts import read_parts
from daemon.analysis.outcomes import settle_failure
from daemon.analysis.parts import merge, missing_parts
from daemon.analysis.reply import parse_body, read_reply
from daemon.analysis.request import Request
from daemon.analysis.upload import content_hash, open_recording, still_same
from daemon.analysis.workplace import Workplace
from daemon.errors import AnalysisError, FileTrouble
from daemon.models import Analysis, Recording
from daemon.storage.database import transaction
from daemon.storage.recordings import begin_request, claim
from daemon.storage.results import store_result, stored_reply

logger = logging.getLogger(__name__)


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
    analysis = _interpret(db, recording, body, place) if body else None
    if analysis:
        _finish(db, recording, analysis, place, seconds=time.monotonic() - started)


def _interpret(db: Database, recording: Recording, body: bytes, place: Workplace) -> Analysis | None:
    """What a stored reply says; where only a transcript was asked for, after the analysis of its parts.

    None when one of the parts has to wait.
    """
    reply = parse_body(body)
    request = place.request_for(recording)
    if recording.part_words is None:
        return read_reply(reply, request)
    parts = read_parts(db, recording, reply, request, place)
    if parts is None:
        return None
    merged = read_reply(merge(reply, *parts), request)
    return replace(merged, not_analyzed={**missing_parts(*parts), **merged.not_analyzed})


def _finish(
    db: Database, recording: Recording, analysis: Analysis, place: Workplace, *, seconds: float
) -> None:
    """The result and the alerts that it causes, in one transaction."""
    alerts = place.config.alerts
    wanted = wanted_alerts(alerts, place.targets, conversation_of(recording, analysis), place.clock())

    def store() -> int:
        now = place.clock()
        with transaction(db):
            store_result(db, recording.id, analysis, now=now)
            return len(store_alerts(db, alerts, wanted, recording.id, now))

    count = insist(store, place)
    logger.info(
        "recording done id=%d name=%s seconds=%.1f audio_seconds=%.1f sentiment=%s alerts=%d",
        recording.id,
        recording.name,
        seconds,
        analysis.duration_seconds or 0.0,
        analysis.average_sentiment or "not analyzed",
        count,
    )


def _ask(db: Database, recording: Recording, request: Request, place: Workplace) -> bytes | None:
    """The reply, committed as it was received; None when the recording was closed or waits without one."""
    if recording.part_words is not None:
        request = request.without_features()
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
        note_failed(db, recording, entry, error, place)
        return None
    if not is_current():
        note_discarded(db, recording, entry, reply, place)
        return None
    note_received(db, recording, entry, reply, place)
    return reply.body


def _begin(
    db: Database, recording: Recording, sha256: str | None, request: Request, place: Workplace
) -> tuple[bool, int]:
    decision, number = begin_request(db, recording, sha256=sha256, request_key=request.key, now=place.clock())
    if decision == "duplicate":
        logger.info("recording is a copy id=%d name=%s of=%d", recording.id, recording.name, number)
    return decision == "send", number
