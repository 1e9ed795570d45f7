"""What becomes of a recording, and of the queue, when a request gives no result.

Each cause has one outcome: the recording waits, or it is closed with its reason, or the queue is held and
the recording is not blamed. Everything here is called inside the caller's transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlite_utils import Database

from daemon.alerting.operations import paused_message, resumed_message
from daemon.analysis.parts import FIRST_PART_WORDS, LEAST_PART_WORDS
from daemon.analysis.retry import backoff, probe_interval
from daemon.analysis.workplace import Workplace
from daemon.errors import (
    AccountError,
    AnalysisError,
    DoubtfulReplyError,
    FileChangedError,
    FileGoneError,
    FileTrouble,
    RateLimitedError,
    RecordingError,
    ServiceDownError,
)
from daemon.models import Recording, RecordingState, from_iso, shown_path
from daemon.storage.database import transaction
from daemon.storage.files import is_unmounted
from daemon.storage.outbox import add_operations_alert
from daemon.storage.pauses import EVERYTHING, begin_pause, end_pause, pauses
from daemon.storage.recordings import DOUBTFUL_RESENDS, analyze_in_parts, close, put_back, uncount_attempt
from daemon.storage.results import store_response

logger = logging.getLogger(__name__)

FILE_RETRY_SECONDS = 2.0
SKIPPED_CODES = frozenset({"empty", "gone"})
FOUND_BEFORE_SENDING = frozenset({"empty", "too_large"})
SERVICE_CAUSES: frozenset[str | None] = frozenset({"key", "credit", "request", "service"})
"""What an answer of the service ends; room in the store is another matter."""


def settle_failure(
    db: Database, recording: Recording, error: AnalysisError | FileTrouble, place: Workplace, now: datetime
) -> None:
    """Put the recording where its failure belongs, and hold the queue where everyone's would fail."""
    match error:
        case FileGoneError() if _is_unmounted(db, recording, place):
            text = "the file is not there, nor is the folder or file system that it was on; mount that again"
            _wait_or_give_up(db, recording, FileGoneError(text), place, now, code="gone")
        case FileGoneError():
            _close(db, recording, "gone", str(error))
        case FileChangedError():
            _wait(db, recording, error, FILE_RETRY_SECONDS, now, failing=False)
        case FileTrouble():
            _wait_or_give_up(db, recording, error, place, now, code="unreadable")
        case RecordingError(code="too_long") if _next_part_words(recording) >= LEAST_PART_WORDS:
            answered(db, recording, place, now)
            analyze_in_parts(db, recording.id, _next_part_words(recording))
            _wait(db, recording, error, 0.0, now, failing=False)
        case RecordingError():
            if error.code not in FOUND_BEFORE_SENDING:
                answered(db, recording, place, now)
            _close(db, recording, error.code, str(error), request_id=error.request_id)
        case AccountError():
            answered(db, recording, place, now, but=error.cause)
            uncount_attempt(db, recording.id)
            scope = place.request_for(recording).key if error.cause == "request" else EVERYTHING
            hold(db, error.cause, str(error), place, now, shared=True, scope=scope)
            _wait(db, recording, error, 0.0, now, failing=False)
        case RateLimitedError():
            answered(db, recording, place, now)
            place.load.too_many(error.retry_after)
            delay = max(error.retry_after or 0.0, backoff(recording.attempts, place.random))
            _wait(db, recording, error, delay, now, failing=False)
        case DoubtfulReplyError():
            _service_failure(db, recording, error, place, now)
            _doubtful(db, recording, error, place, now)
        case ServiceDownError(reached=False):
            uncount_attempt(db, recording.id)
            _service_failure(db, recording, error, place, now)
            _wait(db, recording, error, backoff(recording.attempts, place.random), now, failing=False)
        case _:
            _service_failure(db, recording, error, place, now)
            _wait_or_give_up(db, recording, error, place, now, code="gave_up")


def _is_unmounted(db: Database, recording: Recording, place: Workplace) -> bool:
    folders = [folder for folder in place.config.watch if shown_path(str(folder.path)) == recording.folder]
    return any(is_unmounted(db, recording.id, folder.path) for folder in folders)


def _next_part_words(recording: Recording) -> int:
    return recording.part_words // 2 if recording.part_words else FIRST_PART_WORDS


def hold(
    db: Database,
    cause: str,
    reason: str,
    place: Workplace,
    now: datetime,
    *,
    shared: bool,
    scope: str = EVERYTHING,
) -> None:
    """Hold the queue for `cause`: one operations alert when it begins, none while it lasts."""
    held = [pause for pause in pauses(db) if (pause.cause, pause.scope) == (cause, scope)]
    interval = probe_interval(cause, held[0].probes if held else 0, place.config.analyzer.probe)
    if begin_pause(db, cause, reason, probe_seconds=interval, shared=shared, scope=scope, now=now):
        logger.error("queue paused cause=%s reason=%s", cause, reason)
        title, body = paused_message(cause, reason, interval)
        add_operations_alert(db, place.operations, title, body, "critical", now)


def answered(
    db: Database, recording: Recording, place: Workplace, now: datetime, *, but: str | None = None
) -> None:
    """The service answered for this recording: what held it is over, except the cause `but`."""
    place.load.answered()
    resume(
        db, place, now, causes=SERVICE_CAUSES - {but}, scopes={EVERYTHING, place.request_for(recording).key}
    )


def resume(
    db: Database,
    place: Workplace,
    now: datetime,
    *,
    causes: Collection[str | None],
    scopes: Collection[str] | None = None,
) -> None:
    """End the pauses of these causes (and scopes), and tell operations that they are over."""
    for pause in pauses(db):
        if pause.cause in causes and (scopes is None or pause.scope in scopes):
            end_pause(db, pause)
            logger.warning("queue goes on cause=%s paused_since=%s", pause.cause, pause.since)
            title, body = resumed_message(pause.cause, pause.reason, from_iso(pause.since), now)
            add_operations_alert(db, place.operations, title, body, "info", now)


def end_obsolete_pauses(db: Database, place: Workplace) -> None:
    """End the pauses of requests that the configuration does not make any more."""
    now = place.clock()
    with transaction(db):
        gone = {pause.scope for pause in pauses(db)} - {EVERYTHING, *place.scopes.values()}
        resume(db, place, now, causes={"request"}, scopes=gone)


def _service_failure(
    db: Database, recording: Recording, error: AnalysisError | FileTrouble, place: Workplace, now: datetime
) -> None:
    down, shared = place.load.failed(recording.id)
    if down or any(pause.cause == "service" for pause in pauses(db)):
        hold(db, "service", str(error), place, now, shared=shared)


def _doubtful(
    db: Database, recording: Recording, error: DoubtfulReplyError, place: Workplace, now: datetime
) -> None:
    if error.body:
        store_response(db, recording.id, error.body, kind="doubtful", now=now)
    lost = recording.doubtful + 1
    if lost > DOUBTFUL_RESENDS:
        message = (
            f"{error}; {lost} requests may have been billed without a result. "
            f"Look at the service's log, then `earshot retry {recording.id}`"
        )
        _close(db, recording, "ambiguous_reply", message, request_id=error.request_id)
        return
    _wait(db, recording, error, backoff(recording.doubtful + 1, place.random), now, failing=False)


def _wait_or_give_up(
    db: Database,
    recording: Recording,
    error: AnalysisError | FileTrouble,
    place: Workplace,
    now: datetime,
    *,
    code: str,
) -> None:
    since = from_iso(recording.failing_since) if recording.failing_since else now
    limit = place.config.analyzer.retry_for
    everyone = any(pause.shared for pause in pauses(db))
    if (now - since).total_seconds() >= limit and not everyone:
        message = (
            f"{error}; tried for {_hours(limit)}, then given up. `earshot retry {recording.id}` tries again"
        )
        _close(db, recording, code, message, request_id=getattr(error, "request_id", None))
        return
    retry_after = getattr(error, "retry_after", None) or 0.0
    delay = max(retry_after, backoff(recording.failures, place.random))
    _wait(db, recording, error, delay, now, failing=True)


def _wait(
    db: Database,
    recording: Recording,
    error: AnalysisError | FileTrouble,
    seconds: float,
    now: datetime,
    *,
    failing: bool,
) -> None:
    put_back(
        db,
        recording,
        error=str(error),
        not_before=now + timedelta(seconds=seconds),
        failing=failing,
        now=now,
    )
    logger.warning(
        "recording waits id=%d name=%s retry_in=%.1fs error=%s", recording.id, recording.name, seconds, error
    )


def _close(
    db: Database, recording: Recording, code: str, message: str, *, request_id: str | None = None
) -> None:
    state = RecordingState.SKIPPED if code in SKIPPED_CODES else RecordingState.FAILED
    close(db, recording.id, state, error_code=code, error=message, request_id=request_id)
    logger.error(
        "recording %s id=%d name=%s code=%s error=%s", state, recording.id, recording.name, code, message
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h" if seconds >= 3600 else f"{seconds:.0f} s"
