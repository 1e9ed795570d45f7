"""Analyze a transcript that is over the API's token limit in parts.

Each part's reply is stored by itself: after a crash or an outage only the missing ones are asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daemon.analysis.context import Context
from daemon.analysis.ledger import note_failed, note_received
from daemon.deepgram.client import Reply
from daemon.deepgram.parts import FIRST_PART_WORDS, LEAST_PART_WORDS, Part, cut, parse_part, words_of
from daemon.deepgram.request import Request
from daemon.errors import AccountError, AnalysisError, RecordingError
from daemon.models import Recording
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.requests import begin_part
from daemon.storage.results import stored_parts
from daemon.turns import idle

logger = logging.getLogger(__name__)


def read_parts(
    db: Database,
    recording: Recording,
    transcription: Mapping[str, Any],
    request: Request,
    context: Context,
) -> tuple[list[Part], list[dict[str, Any]]] | None:
    """Return the parts of a transcript and what the API says of each; None when one of them has to wait."""
    parts = cut(words_of(transcription), recording.part_words or FIRST_PART_WORDS)
    replies = [parse_part(body) for body in stored_parts(db, recording.id)]
    for part in parts[len(replies) :]:
        reply = _read_part(db, recording, part, request.for_text(), context)
        if reply is None:
            return None
        replies.append(parse_part(reply.body))
    return parts, replies


def _read_part(
    db: Database, recording: Recording, part: Part, request: Request, context: Context
) -> Reply | None:
    with transaction(db):
        entry = begin_part(db, recording.id, request.expected_cost_of_text(part.words), context.clock())
    refused = False
    try:
        with idle():
            reply = context.client.read_text(part.text, request)
        parse_part(reply.body)
    except AnalysisError as error:
        if not _is_final(error, recording, part, context):
            # The next size is half of what was refused.
            sent = replace(recording, part_words=part.words)
            note_failed(db, sent, entry, error, context)
            return None
        # The transcript and the other parts are worth having without this one.
        logger.warning(
            "part not analyzed recording=%d first_word=%d error=%s", recording.id, part.first_word, error
        )
        reply = Reply(json.dumps({"results": {}, "error": str(error)}).encode(), error.request_id)
        refused = True
    note_received(db, recording, entry, reply, context, kind="read", billed=not refused)
    return reply


def _is_final(error: AnalysisError, recording: Recording, part: Part, context: Context) -> bool:
    """Whether this part will never be analyzed: the others are worth having without it."""
    if isinstance(error, RecordingError):
        return error.code != "too_long" or part.words // 2 < LEAST_PART_WORDS
    # This endpoint transcribes for everyone, but has no /v1/read.
    return (
        isinstance(error, AccountError)
        and error.cause == "request"
        and context.refusals.is_alone(recording.id, context.request_for(recording).key)
    )
