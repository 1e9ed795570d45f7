"""Analyze the stored transcript of a recording again, as a text, and return what is found in it now.

The recording stays as it is meanwhile: it is not in the queue. Each reply is stored as it comes, with its
cost, before it is read; after a crash only the missing parts are asked for. What would fail for every other
recording as well raises HeldError; what is this one's own, RecordingError or DoubtfulReplyError.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from daemon.analysis.context import Context
from daemon.analysis.ledger import insist
from daemon.analysis.limits import IN_FLIGHT, full_scopes
from daemon.analysis.pauses import answered, is_up
from daemon.analysis.retry import retry_seconds
from daemon.deepgram.client import Reply
from daemon.deepgram.parts import (
    FIRST_PART_WORDS,
    LEAST_PART_WORDS,
    Part,
    cut,
    merge,
    missing_parts,
    parse_part,
    words_of,
)
from daemon.deepgram.prices import cost_of
from daemon.deepgram.reply import parse_body, read_reply
from daemon.deepgram.request import Request
from daemon.deepgram.values import entries_of, mapping
from daemon.errors import (
    AccountError,
    AnalysisError,
    DoubtfulReplyError,
    EarshotError,
    RateLimitedError,
    RecordingError,
    TemporaryError,
)
from daemon.models import Analysis, Recording
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.pauses import EVERYTHING, pauses
from daemon.storage.readings import Spoken, begin_again, cut_again, note_answer, note_no_answer
from daemon.storage.requests import begin_reading
from daemon.storage.results import compressed, stored_parts, stored_reply

logger = logging.getLogger(__name__)

TRIES = 4
"""So often in a row a service that is down is asked before all ends."""
RATE_TRIES = 10
"""So often one that refuses for its rate, with growing rests: a running service may take up all of it."""
LOOK_SECONDS = 0.2
FULL_SECONDS = 30.0
"""How long to wait for requests in flight whose expected costs fill a limit: they may cost less."""

SECTIONS = ("summary", "sentiments", "topics", "intents")
UNRELIABLE = "low_confidence"
"""The warning of a reply whose transcript is not to be analyzed, whoever does it."""


class HeldError(EarshotError):
    """Nothing can be asked for now, whatever the recording; the text says why."""


class ErasedError(EarshotError):
    """The recording, or what was said in it, was deleted meanwhile."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What all threads that read share: one of them begins a request at a time, so that limits hold."""

    context: Context
    is_stopped: Callable[[], bool]
    turn: threading.Lock


def read_again(db: Database, said: Spoken, recording: Recording, reader: Reader) -> Analysis:
    """Return what the API finds in the transcript with the present settings.

    `estimated_cost_usd` and `cost` are None: what each reply cost is stored already.
    """
    request = reader.context.request_for(recording)
    transcription = transcription_of(db, said)
    with transaction(db):
        part_words = begin_again(db, said.id, request.for_text().key, FIRST_PART_WORDS)
    while True:
        parts = cut(words_of(transcription), part_words)
        try:
            replies = _replies(db, recording, parts, reader)
        except RecordingError as error:
            part_words = max(part.words for part in parts) // 2
            if error.code != "too_long" or part_words < LEAST_PART_WORDS:
                raise
            with transaction(db):
                cut_again(db, said.id, request.for_text().key, part_words)
            continue
        merged = merge(transcription, parts, replies)
        known = entries_of(merged["metadata"].get("warnings"))
        merged["metadata"]["warnings"] = known + [each for reply in replies for each in _warnings(reply)]
        return _without_cost(read_reply(merged, request), missing_parts(parts, replies))


def transcription_of(db: Database, said: Spoken) -> dict[str, Any]:
    """Return the transcription in the shape of /v1/listen, without what was found in it.

    From the stored reply, whose words have times and speakers. Where that was deleted, from the transcript.
    """
    body = stored_reply(db, said.id)
    if body is None:
        texts = [said.transcript]
        if said.channels not in (None, 1):
            # Each channel's line begins with its name, which nobody said.
            texts = [line.partition(": ")[2] for line in said.transcript.split("\n")]
        channels = [{"alternatives": [{"transcript": text}]} for text in texts]
        return {"metadata": {}, "results": {"channels": channels}}
    reply = parse_body(body)
    metadata = {name: value for name, value in reply["metadata"].items() if not name.endswith("_info")}
    # Other warnings were about what was found, or asked for, then.
    metadata["warnings"] = [each for each in _warnings(reply) if mapping(each).get("type") == UNRELIABLE]
    results = {name: value for name, value in reply["results"].items() if name not in SECTIONS}
    return {"metadata": metadata, "results": results}


def _warnings(reply: Mapping[str, Any]) -> list[Any]:
    return entries_of(mapping(reply.get("metadata")).get("warnings")) + entries_of(reply.get("warnings"))


def _without_cost(analysis: Analysis, missing: Mapping[str, str]) -> Analysis:
    return replace(
        analysis,
        not_analyzed={**missing, **analysis.not_analyzed},
        estimated_cost_usd=None,
        cost=None,
    )


def _replies(db: Database, recording: Recording, parts: list[Part], reader: Reader) -> list[dict[str, Any]]:
    replies = [parse_part(body) for body in stored_parts(db, recording.id)]
    for part in parts[len(replies) :]:
        replies.append(parse_part(_asked(db, recording, part, reader).body))
    return replies


def _asked(db: Database, recording: Recording, part: Part, reader: Reader) -> Reply:
    """Ask for one part until there is an answer; what it cost is stored with it."""
    context = reader.context
    request = context.request_for(recording).for_text()
    failures = 0
    while True:
        entry = _begin(db, recording, request, part, reader)
        try:
            reply = context.client.read_text(part.text, request)
            answer = parse_part(reply.body)
        except AnalysisError as error:
            _note_failed(db, recording, entry, error, context)
            if not isinstance(error, TemporaryError | AccountError):
                raise
            failures += 1
            if reason := _why_end(error, failures):
                raise HeldError(reason) from error
            _rest(error, failures, reader)
        else:
            _note_answered(db, recording, entry, reply, answer, context)
            return reply
        finally:
            context.throttle.leave()


def _why_end(error: AnalysisError, failures: int) -> str | None:
    """Return why nothing more is asked for after so many failures of one request; None to ask again."""
    if isinstance(error, AccountError):
        hint = "; where it has no /v1/read, only --audio is left" if error.cause == "request" else ""
        return f"{error}{hint}"
    tries = RATE_TRIES if isinstance(error, RateLimitedError) else TRIES
    return str(error) if failures >= tries else None


def _rest(error: AnalysisError, failures: int, reader: Reader) -> None:
    if isinstance(error, RateLimitedError):
        reader.context.throttle.too_many(error.retry_after)
        return
    asked = getattr(error, "retry_after", None) or 0.0
    reader.context.throttle.rest(max(retry_seconds(failures, reader.context.random), asked))


def _begin(db: Database, recording: Recording, request: Request, part: Part, reader: Reader) -> int:
    """Wait for a place and for room in the limits, and note the request; HeldError when there is none."""
    context = reader.context
    waited = 0.0
    while not reader.is_stopped():
        with reader.turn:
            if reason := _pause(db, recording, context):
                raise HeldError(reason)
            is_full = _is_full(db, recording, context)
            if not is_full and context.throttle.enter():
                with transaction(db):
                    expected = request.expected_cost_of_text(part.words)
                    return begin_reading(db, recording.id, expected, context.clock())
        waited += LOOK_SECONDS if is_full else 0.0
        if waited >= FULL_SECONDS:
            raise HeldError(IN_FLIGHT)
        time.sleep(LOOK_SECONDS)
    raise HeldError("stopped")


def _is_full(db: Database, recording: Recording, context: Context) -> bool:
    full = full_scopes(db, context.config, context.requests, context.clock())
    return bool(full & {EVERYTHING, recording.folder})


def _pause(db: Database, recording: Recording, context: Context) -> str | None:
    """Return why nothing may be asked for this recording now. After a pause's time this is its probe."""
    now: datetime = context.clock()
    scopes = {EVERYTHING, recording.folder, context.request_for(recording).key}
    return next((each.reason for each in pauses(db) if each.scope in scopes and each.holds(now)), None)


def _note_answered(
    db: Database, recording: Recording, entry: int, reply: Reply, answer: dict[str, Any], context: Context
) -> None:
    request = context.request_for(recording)
    cost = cost_of(request.price, request.model, 0.0, 1, mapping(answer.get("metadata")))

    body = compressed(reply.body)

    def store() -> bool:
        now = context.clock()
        with transaction(db):
            answered(db, recording, context, now)
            return note_answer(
                db,
                recording.id,
                entry,
                body,
                cost,
                now,
                folder=recording.folder,
                request_id=reply.request_id,
            )

    if not insist(store, context):
        raise ErasedError("it was deleted meanwhile")


def _note_failed(
    db: Database, recording: Recording, entry: int, error: AnalysisError, context: Context
) -> None:
    def store() -> None:
        now = context.clock()
        with transaction(db):
            if isinstance(error, RecordingError | RateLimitedError | AccountError):
                # The service gave an answer, whatever it thinks of the request.
                is_up(db, recording, context, now)
            name = type(error).__name__
            billed = error.possibly_billed
            note_no_answer(db, recording.id, entry, name, now, possibly_billed=billed)

    insist(store, context)
    if isinstance(error, DoubtfulReplyError):
        logger.warning("reply to a transcript of no use recording=%d error=%s", recording.id, error)
