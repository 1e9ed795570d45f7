"""Decide what becomes of a recording, and of the queue, when a request gives no result.

Each cause has one outcome: the recording waits, or it ends with its reason, or the queue is paused and the
recording is not blamed. Everything here but `explained` is called inside the caller's transaction.
"""

from __future__ import annotations

import logging
from datetime import datetime

from daemon.analysis.context import Context
from daemon.analysis.pauses import answered, hold, is_up, reached
from daemon.analysis.retry import SERVICE_PROBE_SECONDS, retry_seconds
from daemon.deepgram.http_errors import MAX_RETRY_AFTER
from daemon.deepgram.parts import FIRST_PART_WORDS, LEAST_PART_WORDS
from daemon.errors import (
    AccountError,
    AnalysisError,
    DoubtfulReplyError,
    FileChangedError,
    FileGoneError,
    FileReplacedError,
    FileTrouble,
    FileUnmountedError,
    RateLimitedError,
    RecordingError,
    ServiceDownError,
)
from daemon.files import is_unmounted
from daemon.models import Ending, Recording, RecordingState, from_iso
from daemon.storage.connection import Database
from daemon.storage.pauses import EVERYTHING, pauses
from daemon.storage.queue import DOUBTFUL_RESENDS, end, last_error, return_to_queue
from daemon.storage.recordings import places_of
from daemon.storage.requests import uncount_attempt
from daemon.storage.requeue import reopen_refused
from daemon.storage.results import analyze_in_parts, compressed, reply_in_hand, store_response

logger = logging.getLogger(__name__)

FILE_RETRY_SECONDS = 10.0
"""How long a file that changed waits; when it is complete again before that, it is tried at once."""
SKIPPED_CODES = frozenset({"empty", "gone"})
FOUND_BEFORE_SENDING = frozenset({"empty", "too_large"})

Trouble = AnalysisError | FileTrouble


def explained(db: Database, recording: Recording, error: Trouble, context: Context) -> Trouble:
    """Return the error as it is, or as FileUnmountedError where a file that is not there may come back.

    To be called before the transaction: it asks the file system, and a share that hangs then must not keep
    everybody else from writing.
    """
    if isinstance(error, FileGoneError) and not isinstance(error, FileReplacedError):
        folder = context.folder_of(recording)
        if folder and is_unmounted(folder.path, places_of(db, recording.id)):
            text = "the file is not there, nor is the folder or file system that it was on; mount that again"
            return FileUnmountedError(text)
    return error


def settle_failure(
    db: Database, recording: Recording, error: Trouble, context: Context, now: datetime
) -> None:
    """Let the recording wait or end, and pause the queue where every other recording would fail as well."""
    match error:
        case FileUnmountedError():
            _wait_or_give_up(db, recording, error, context, now, code="gone")
        case FileGoneError():
            _end(db, recording, error, "gone", str(error), now)
        case FileChangedError():
            _wait(db, recording, error, FILE_RETRY_SECONDS, now)
        case FileTrouble():
            _wait_or_give_up(db, recording, error, context, now, code="unreadable")
        case RecordingError(code="too_long") if _is_worth_cutting(db, recording):
            answered(db, recording, context, now)
            analyze_in_parts(db, recording.id, _next_part_words(recording))
            _wait(db, recording, error, 0.0, now)
        case RecordingError(code="refused"):
            _refused(db, recording, error, context, now)
        case RecordingError():
            if error.code not in FOUND_BEFORE_SENDING:
                answered(db, recording, context, now)
            _end(db, recording, error, error.code, str(error), now)
        case AccountError():
            _account_failure(db, recording, error, context, now)
        case RateLimitedError():
            is_up(db, recording, context, now)
            context.throttle.too_many(error.retry_after)
            _wait(db, recording, error, _delay(error, recording.attempts, context), now)
        case DoubtfulReplyError():
            _service_failure(db, recording, error, context, now)
            _doubtful(db, recording, error, context, now)
        case ServiceDownError(reached=False):
            uncount_attempt(db, recording.id)
            _service_failure(db, recording, error, context, now)
            _wait(db, recording, error, retry_seconds(recording.attempts, context.random), now)
        case _:
            _service_failure(db, recording, error, context, now)
            _wait_or_give_up(db, recording, error, context, now, code="gave_up")


def _is_worth_cutting(db: Database, recording: Recording) -> bool:
    """Whether smaller parts may help. They do not where the bare transcript was refused as too long."""
    has_transcript = recording.part_words is None or reply_in_hand(db, recording.id) is not None
    return has_transcript and _next_part_words(recording) >= LEAST_PART_WORDS


def _next_part_words(recording: Recording) -> int:
    return recording.part_words // 2 if recording.part_words else FIRST_PART_WORDS


def _account_failure(
    db: Database, recording: Recording, error: AccountError, context: Context, now: datetime
) -> None:
    """Pause the queue, unless the refusal is about this recording alone or about a key of the past."""
    request = context.request_for(recording).key
    if error.cause == "request" and context.refusals.is_alone(recording.id, request):
        reached(db, recording, context, now)
        message = (
            f"the service refuses this recording ({error.said or error}) and takes others that are asked for "
            f"in the same way; look at the file, then `earshot retry {recording.id}`"
        )
        _end(db, recording, error, "refused", message, now)
        return
    uncount_attempt(db, recording.id)
    if not context.retired():
        # A service that speaks of the credit accepted the key; the other refusals end no other pause.
        ends = {"service", "key"} if error.cause == "credit" else {"service"}
        reached(db, recording, context, now, ends=ends)
        scope = request if error.of_request else EVERYTHING
        hold(db, error.cause, str(error), context, now, shared=True, scope=scope)
    _wait(db, recording, error, 0.0, now)


def _refused(
    db: Database, recording: Recording, error: RecordingError, context: Context, now: datetime
) -> None:
    """End a recording refused for an unknown reason, or pause the queue when several are in a row."""
    reached(db, recording, context, now)
    request = context.request_for(recording).key
    alike = context.refusals.refused_alike(recording.id, request, str(error))
    if not alike:
        _end(db, recording, error, error.code, str(error), now)
        return
    uncount_attempt(db, recording.id)
    reopen_refused(db, alike, now)
    reason = f"one recording after the other is refused in the same words: {error}"
    hold(db, "request", reason, context, now, shared=True, scope=request)
    _wait(db, recording, error, 0.0, now)


def _service_failure(
    db: Database, recording: Recording, error: Trouble, context: Context, now: datetime
) -> None:
    if context.retired():
        # This is the address of a configuration of the past.
        return
    is_held = any(pause.cause == "service" for pause in pauses(db))
    if context.throttle.is_alone(recording.id) and not is_held:
        # The service works for the others: this one is tried more and more seldom, and holds nobody up.
        return
    asked = getattr(error, "retry_after", None) or 0.0
    # A longer wait is for this recording only: a service that is down is tried once a minute at least.
    context.throttle.rest(asked if asked <= SERVICE_PROBE_SECONDS else None)
    down, shared = context.throttle.failed(recording.id)
    if down or is_held:
        hold(db, "service", str(error), context, now, shared=shared)


def _doubtful(
    db: Database, recording: Recording, error: DoubtfulReplyError, context: Context, now: datetime
) -> None:
    if error.body:
        store_response(db, recording.id, compressed(error.body), kind="doubtful", now=now)
    lost = recording.doubtful + 1
    if lost > DOUBTFUL_RESENDS:
        message = (
            f"{error}; {lost} requests may have been billed without a result. "
            f"Look at the service's log, then `earshot retry {recording.id}`"
        )
        _end(db, recording, error, "ambiguous_reply", message, now)
        return
    _wait(db, recording, error, retry_seconds(recording.doubtful + 1, context.random), now)


def _wait_or_give_up(
    db: Database, recording: Recording, error: Trouble, context: Context, now: datetime, *, code: str
) -> None:
    since = from_iso(recording.failing_since) if recording.failing_since else now
    limit = context.config.analyzer.retry_for
    everyone = any(pause.shared for pause in pauses(db))
    if (now - since).total_seconds() >= limit and not everyone:
        tried = f"{limit / 3600:.0f} h" if limit >= 3600 else f"{limit:.0f} s"
        message = f"{error}; tried for {tried}, then given up. `earshot retry {recording.id}` tries again"
        _end(db, recording, error, code, message, now)
        return
    _wait(db, recording, error, _delay(error, recording.failures, context), now, failing=True)


def _delay(error: Trouble, failures: int, context: Context) -> float:
    """Seconds until the next try: what the service asked for, and a random time on top of it.

    Recordings that were refused together must not come back together.
    """
    asked = getattr(error, "retry_after", None) or 0.0
    wait = retry_seconds(failures, context.random)
    return min(asked + wait, max(MAX_RETRY_AFTER, wait))


def _wait(
    db: Database,
    recording: Recording,
    error: Trouble,
    seconds: float,
    now: datetime,
    *,
    failing: bool = False,
) -> None:
    # A queue that is paused for a day tries it a thousand times.
    is_known = last_error(db, recording.id) == str(error)
    return_to_queue(db, recording, now, error=str(error), seconds=seconds, failing=failing)
    logger.log(
        logging.DEBUG if is_known else logging.WARNING,
        "recording waits recording=%d name=%s folder=%s retry_seconds=%.1f error=%s",
        recording.id, recording.name, recording.folder, seconds, error,
    )  # fmt: skip


def _end(db: Database, recording: Recording, error: Trouble, code: str, message: str, now: datetime) -> None:
    state = RecordingState.SKIPPED if code in SKIPPED_CODES else RecordingState.FAILED
    request_id = getattr(error, "request_id", None)
    end(db, recording.id, Ending(state, code, message), now, request_id=request_id)
    logger.error(
        "recording %s recording=%d name=%s folder=%s code=%s error=%s",
        state,
        recording.id,
        recording.name,
        recording.folder,
        code,
        message,
    )
