"""Take one recording through the analysis: ask the API, store the reply, store what it says.

The order is what makes it safe to be killed anywhere: the claim is committed before the first byte leaves, at
the latest together with the beginning of the request, and the result together with the alerts it causes. The
raw reply is committed with them where it is short and can be interpreted; else by itself before, so that one
that ends the process is not paid for again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from daemon.analysis.context import Context
from daemon.analysis.failure_policy import explained, settle_failure
from daemon.analysis.ledger import insist, note_discarded, note_failed, receive
from daemon.analysis.long_transcripts import read_parts
from daemon.config.places import root_of
from daemon.deepgram.parts import merge, missing_parts
from daemon.deepgram.reply import parse_body, read_reply
from daemon.deepgram.request import Request
from daemon.deepgram.upload import (
    HELD_BYTES,
    READ_ONCE_BYTES,
    OpenFile,
    Upload,
    content_hash,
    open_recording,
    still_same,
    whole_of,
)
from daemon.errors import AnalysisError, FileReplacedError, FileTrouble, RecordingError, StoreBusyError
from daemon.models import Analysis, Recording, shown_path
from daemon.storage.connection import Database
from daemon.storage.database import in_transaction, transaction
from daemon.storage.pauses import EVERYTHING, pauses
from daemon.storage.queue import claim_this
from daemon.storage.recordings import stamp_of, taken_in_as
from daemon.storage.requests import Decision, begin_request, has_twin, known_hash, note_hash
from daemon.storage.results import compressed, reply_in_hand
from daemon.turns import computing, idle

logger = logging.getLogger(__name__)

SHARED_BYTES = 1_000_000
"""A reply up to this length shares the commit of its result."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A reply; `keep` stores it in the transaction of its result, and is None where it is stored already."""

    body: bytes
    parsed: dict[str, Any]
    keep: Callable[[datetime], None] | None = None


class _LeftError(Exception):
    """The recording stays in the queue as it was."""


@computing()
def analyze(db: Database, recording: Recording, context: Context, *, is_claimed: bool = True) -> bool:
    """Analyze a recording: it is done or failed afterwards, or back in the queue with the reason.

    One that is not claimed yet is claimed as its request begins. False when it was left in the queue instead:
    something is in the way, which is told once it is claimed.
    """
    started = time.monotonic()
    # A reply that is stored already was paid for, but a crash or an error came before its result.
    body = reply_in_hand(db, recording.id) if recording.attempts else None
    answer: _Answer | None
    try:
        answer = None if body else _ask(db, recording, context.request_for(recording), context, is_claimed)
    except _LeftError:
        return False
    except (FileTrouble, AnalysisError) as error:
        if not is_claimed:
            return False
        reason = explained(db, recording, error, context)
        with transaction(db):
            settle_failure(db, recording, reason, context, context.clock())
        return True
    if body:
        answer = _Answer(body, parse_body(body))
    if answer:
        _conclude(db, recording, answer, context, started)
    return True


def _conclude(db: Database, recording: Recording, answer: _Answer, context: Context, started: float) -> None:
    """Interpret a reply, and store it with its result; by itself before, where it is long or has parts."""
    if answer.keep and (len(answer.body) > SHARED_BYTES or recording.part_words is not None):
        answer = _kept(db, answer, answer.keep, context)
    try:
        analysis = _interpret(db, recording, answer.parsed, context)
        if analysis:
            count = insist(lambda: context.store(db, recording, analysis, answer.keep or _nothing), context)
            _log_done(recording, analysis, count, seconds=time.monotonic() - started)
    except StoreBusyError:
        raise
    except Exception:
        # It could not be interpreted, or its result not be stored: it is not to be bought again.
        if answer.keep:
            _kept(db, answer, answer.keep, context)
        raise


def _kept(db: Database, answer: _Answer, keep: Callable[[datetime], None], context: Context) -> _Answer:
    """Store a reply by itself."""

    def store() -> None:
        with transaction(db):
            keep(context.clock())

    insist(store, context)
    return _Answer(answer.body, answer.parsed)


def _nothing(_now: datetime) -> None:
    """What is to be written first where the reply is stored already."""


def _interpret(
    db: Database, recording: Recording, reply: dict[str, Any], context: Context
) -> Analysis | None:
    """Return what a stored reply says; None when a part of a long transcript has to wait.

    Where only the transcript was asked for, its parts are analyzed first.
    """
    request = context.request_for(recording)
    if recording.part_words is None:
        return read_reply(reply, request)
    parts = read_parts(db, recording, reply, request, context)
    if parts is None:
        return None
    merged = read_reply(merge(reply, *parts), request)
    return replace(merged, not_analyzed={**missing_parts(*parts), **merged.not_analyzed})


def _log_done(recording: Recording, analysis: Analysis, count: int, *, seconds: float) -> None:
    logger.info(
        "recording done recording=%d name=%s folder=%s duration=%.1f"
        " audio_seconds=%.1f sentiment=%s alerts=%d",
        recording.id,
        recording.name,
        recording.folder,
        seconds,
        analysis.duration_seconds or 0.0,
        analysis.average_sentiment or "not analyzed",
        count,
    )


def _ask(
    db: Database, recording: Recording, request: Request, context: Context, is_claimed: bool
) -> _Answer | None:
    """Return the reply, which is still to be stored; None when the recording ended or waits without one."""
    if recording.part_words is not None:
        request = request.without_features()
    if recording.is_url:
        return _converse(db, recording, None, request, context, is_claimed)
    with _opened(db, recording, context) as file:
        content, sha256 = _read_before(db, recording, file)
        if recording.again and sha256 != known_hash(db, recording.id):
            text = "the file is another one by now than was analyzed before"
            raise FileReplacedError(f"{shown_path(file.path)}: {text}")
        on_hash = partial(_keep_hash, db, recording)
        upload = Upload(file, sha256, content=content, on_hash=on_hash)
        return _converse(db, recording, upload, request, context, is_claimed)


def _opened(db: Database, recording: Recording, context: Context) -> AbstractContextManager[OpenFile]:
    """The file, if it is as it was taken in: what differs waits until the intake has seen it.

    The device does not count, whose number is another one after each mount, and on shares, which give files
    other inodes at any time, neither does the inode. In a folder that is not watched nobody would see it.
    """
    folder = context.folder_of(recording)
    known = taken_in_as(db, recording.id) if folder else None
    parts = slice(2) if recording.folder in context.remote() else slice(3)

    def is_expected(status: os.stat_result) -> bool:
        return known is None or stamp_of(status)[parts] == known[parts]

    return open_recording(root_of(recording, folder), recording.source, is_expected=is_expected)


def _read_before(db: Database, recording: Recording, file: OpenFile) -> tuple[bytes | None, str | None]:
    """Return a short file whole, and the hash of one that others are as long as: both are needed before."""
    with idle():
        if file.size_bytes <= HELD_BYTES:
            return whole_of(file)
        return None, content_hash(file) if _needs_hash(db, recording, file) else None


def _needs_hash(db: Database, recording: Recording, file: OpenFile) -> bool:
    if file.size_bytes < READ_ONCE_BYTES or recording.again:
        return True
    return not recording.anew and has_twin(db, recording.id, file.size_bytes)


def _keep_hash(db: Database, recording: Recording, sha256: str) -> None:
    """Store a hash before the reply comes, which may take long: other files of the same size wait for it."""
    try:
        with transaction(db):
            note_hash(db, recording.id, sha256)
    except StoreBusyError as error:
        logger.warning("hash kept with the reply only recording=%d error=%s", recording.id, error)


def _converse(
    db: Database,
    recording: Recording,
    upload: Upload | None,
    request: Request,
    context: Context,
    is_claimed: bool,
) -> _Answer | None:
    go, entry = _begin(db, recording, upload, request, context, is_claimed)
    if not go:
        return None
    try:
        with idle():
            if upload is None:
                reply = context.client.listen_url(recording.source, request)
            else:
                reply = context.client.listen_file(upload, request)
        parsed = parse_body(reply.body)
    except (AnalysisError, FileTrouble) as error:
        note_failed(db, recording, entry, error, context, sha256=_hash_after(upload, error))
        return None
    if upload and upload.sha256 and not still_same(upload.file, upload.sha256):
        note_discarded(db, recording, entry, reply, context)
        return None
    if recording.part_words is None:
        # Nothing more will be asked for it.
        context.throttle.replied(recording.id)
        context.on_reply()
    sha256 = upload.sha256 if upload else None
    body = compressed(reply.body)

    def keep(now: datetime) -> None:
        receive(db, recording, entry, reply, body, context, now, sha256=sha256)

    return _Answer(reply.body, parsed, keep)


def _begin(
    db: Database,
    recording: Recording,
    upload: Upload | None,
    request: Request,
    context: Context,
    is_claimed: bool,
) -> tuple[bool, int]:
    """Wait until a request may be under way, and decide; returns whether to send, and the request's row id.

    What is claimed has its place already. Raises _LeftError where what is not may not be sent any more.
    """
    with idle():
        context.throttle.ask(recording.id, is_stopped=context.retired if not is_claimed else lambda: True)
    expected = context.expected(upload.file if upload else None, request)

    def begin() -> tuple[Decision, int]:
        if not is_claimed:
            _claim(db, recording, context)
        decision = begin_request(
            db,
            recording,
            sha256=upload.sha256 if upload else None,
            size_bytes=upload.file.size_bytes if upload else None,
            request_key=request.key,
            expected=expected,
            now=context.clock(),
        )
        if decision[0] == "hash" and not is_claimed:
            # To read all of a file takes long, and may fail.
            raise _LeftError
        return decision

    while True:
        # What is still to be asked for comes before what is only to be stored.
        decision, number = in_transaction(db, begin, urgent=True)
        if decision == "duplicate":
            logger.info(
                "recording is a copy recording=%d name=%s of=%d", recording.id, recording.name, number
            )
        if decision != "hash" or upload is None:
            return decision == "send", number
        upload.sha256 = content_hash(upload.file)


def _claim(db: Database, recording: Recording, context: Context) -> None:
    """Claim what was got ready; raises _LeftError if it changed meanwhile, or may not be sent any more."""
    scopes = {EVERYTHING, context.request_for(recording).key, recording.folder}
    is_held = context.retired() or any(pause.scope in scopes for pause in pauses(db))
    if is_held or claim_this(db, recording.id, context.clock()) != recording:
        raise _LeftError


def _hash_after(upload: Upload | None, error: AnalysisError | FileTrouble) -> str | None:
    """Return the hash of a file that was refused, by which it is known when it is touched or renamed."""
    if upload is None or upload.sha256 or not isinstance(error, RecordingError):
        return upload.sha256 if upload else None
    try:
        return content_hash(upload.file)
    except FileTrouble:
        return None
