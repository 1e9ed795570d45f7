"""Store how each request to the API ended, however long the disk is full or the database locked."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from daemon.analysis.context import Context
from daemon.analysis.failure_policy import Trouble, explained, settle_failure
from daemon.analysis.pauses import answered
from daemon.deepgram.client import Reply
from daemon.errors import FileTrouble, StoreBusyError
from daemon.models import Recording
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.queue import return_to_queue
from daemon.storage.requests import (
    count_billed,
    count_discarded,
    count_doubtful,
    end_request,
    note_hash,
    uncount_attempt,
)
from daemon.storage.results import compressed, store_response

logger = logging.getLogger(__name__)

STORE_RETRY_SECONDS = 1.0
STORE_RETRIES_PER_WORD = 30
"""How many tries go into one log line: many workers may wait with a reply at the same time."""

Result = TypeVar("Result")


def note_received(
    db: Database,
    recording: Recording,
    entry: int,
    reply: Reply,
    context: Context,
    *,
    kind: str = "listen",
    sha256: str | None = None,
    billed: bool = True,
) -> None:
    """Store the raw reply before it is read: from here on it is never asked for again.

    See `receive`.
    """

    body = compressed(reply.body)

    def store() -> None:
        with transaction(db):
            now = context.clock()
            receive(db, recording, entry, reply, body, context, now, kind=kind, sha256=sha256, billed=billed)

    insist(store, context)


def receive(
    db: Database,
    recording: Recording,
    entry: int,
    reply: Reply,
    body: bytes,
    context: Context,
    now: datetime,
    *,
    kind: str = "listen",
    sha256: str | None = None,
    billed: bool = True,
) -> None:
    """Write the raw reply, in the caller's transaction; `body` is that of `reply`, compressed.

    `sha256` is the hash of the bytes that were sent, where it was not known before. `billed` is False for
    what was clearly refused.
    """
    store_response(db, recording.id, body, kind=kind, now=now)
    end_request(db, entry, outcome="received", status=200, request_id=reply.request_id, now=now)
    if billed:
        count_billed(db, recording.id, sha256=sha256)
    answered(db, recording, context, now)


def note_discarded(db: Database, recording: Recording, entry: int, reply: Reply, context: Context) -> None:
    """Put a recording back whose file changed while it was analyzed: the reply is about other bytes."""

    def store() -> None:
        now = context.clock()
        with transaction(db):
            end_request(db, entry, outcome="discarded", status=200, request_id=reply.request_id, now=now)
            count_discarded(db, recording.id, entry, now)
            # The bytes that are there now were not tried yet: the intake may begin the row again with them.
            uncount_attempt(db, recording.id)
            answered(db, recording, context, now)
            error = "the file changed while it was analyzed; it is analyzed again"
            return_to_queue(db, recording, now, error=error, seconds=2.0)

    insist(store, context)
    logger.warning("file changed during analysis recording=%d name=%s", recording.id, recording.name)


def note_failed(
    db: Database,
    recording: Recording,
    entry: int,
    error: Trouble,
    context: Context,
    *,
    sha256: str | None = None,
) -> None:
    """Store how a request failed, and what that means for the recording and the queue."""
    error = explained(db, recording, error, context)

    def store() -> None:
        now = context.clock()
        with transaction(db):
            request_id = getattr(error, "request_id", None)
            end_request(db, entry, outcome=type(error).__name__, request_id=request_id, now=now)
            if sha256:
                note_hash(db, recording.id, sha256)
            if isinstance(error, FileTrouble):
                uncount_attempt(db, recording.id)
            elif error.possibly_billed:
                count_doubtful(db, recording.id, entry, now)
            settle_failure(db, recording, error, context, now)

    insist(store, context)


def insist(store: Callable[[], Result], context: Context) -> Result:
    """Call `store` until it succeeds: what was paid for is written once the database takes it again.

    Raises StoreBusyError only when the process ends and waits no longer.
    """
    for attempt in itertools.count():
        try:
            return store()
        except StoreBusyError as error:
            if context.ended():
                raise
            if attempt % STORE_RETRIES_PER_WORD == 0:
                logger.error("cannot store a result, trying again error=%s", error)
            time.sleep(STORE_RETRY_SECONDS)
    raise AssertionError("it is tried for ever")
