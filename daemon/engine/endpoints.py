"""What the engine answers: `/v1/listen` and `/v1/read`, from the request to the worker and back."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from daemon.engine import refusals
from daemon.engine.access import Access, denial
from daemon.engine.fetch import FetchError, fetching
from daemon.engine.launch import WorkerFailed
from daemon.engine.query import (
    InvalidParameter,
    Options,
    UnsupportedLanguage,
    UnsupportedSummary,
    parse_query,
    parse_read_query,
)
from daemon.engine.refusals import Refusal
from daemon.engine.settings import PROGRESS_PATH
from daemon.engine.slots import TooBusy
from daemon.engine.text_body import MAX_TEXT_BYTES, BadBody, read_body
from daemon.engine.upload import SlowUpload, TooLarge, free_bytes, open_upload, receive
from daemon.engine.workers import TextTooLong, UnusableRecording, Workers

logger = logging.getLogger(__name__)

MAX_URL_BYTES = 1 << 16
CLIENT_CLOSED_REQUEST = 499
# A refusal is sent once this much of the body was read, or this much time went by: a client that still sends
# when the connection is closed may not see it.
POLITE_BYTES, POLITE_SECONDS = 1 << 20, 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """What every request is answered with; `hosts` are those to fetch from, `uploads` a folder on disk.

    `progress` has, by request, how many seconds of its recording are done, of how many. `tells_progress`: who
    asks at `/progress` is told.
    """

    workers: Workers
    access: Access
    hosts: tuple[str, ...]
    uploads: Path
    knows_all_languages: bool
    tells_progress: bool = False
    progress: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way; `created` is when it came (RFC 3339, UTC)."""

    request: Request
    id: str
    created: str

    @property
    def content_type(self) -> str:
        """What its body is said to be."""
        return self.request.headers.get("content-type", "")


def routes(place: Place) -> list[Route]:
    """Return the routes of the engine."""

    async def listening(request: Request) -> Response:
        return await _answer(request, place, _listen)

    async def reading(request: Request) -> Response:
        return await _answer(request, place, _read)

    async def projects(request: Request) -> Response:
        """Answer a client that checks the service and its key."""
        refusal = _denied(request, place.access)
        return refusals.reply_of(refusal, str(uuid4())) if refusal else JSONResponse({"projects": []})

    async def progress(_: Request) -> Response:
        requests = [{"done_seconds": done, "seconds": seconds} for done, seconds in place.progress.values()]
        return JSONResponse({"requests": requests})

    telling = [Route(PROGRESS_PATH, progress, methods=["GET"])] if place.tells_progress else []
    return [
        *telling,
        Route("/v1/listen", listening, methods=["POST"]),
        Route("/v1/read", reading, methods=["POST"]),
        Route("/v1/projects", projects, methods=["GET"]),
        Route("/healthz", _health, methods=["GET"]),
    ]


async def no_such_page(request: Request, error: Exception) -> Response:
    """Answer a path or method that there is not."""
    assert isinstance(error, HTTPException)  # noqa: S101
    reply = refusals.reply_of(refusals.refusal_of(error), str(uuid4()))
    reply.headers.update(error.headers or {})  # which methods a path has
    return reply


async def _health(request: Request) -> Response:
    """Answer a load balancer: this process is here and accepts requests."""
    return PlainTextResponse("ok\n")


async def _answer(
    request: Request, place: Place, work: Callable[[Call, Place, BinaryIO], Awaitable[bytes]]
) -> Response:
    """Answer one request, and write one line about it into the log."""
    began = time.monotonic()
    created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    call = Call(request, str(uuid4()), created)
    response = await _reply(call, place, work)
    _, audio_seconds = place.progress.pop(call.id, (0.0, 0.0))
    logger.info(
        "request answered request=%s path=%s status=%d audio_seconds=%.1f seconds=%.2f",
        call.id,
        request.url.path,
        response.status_code,
        audio_seconds,
        time.monotonic() - began,
    )
    return response


async def _reply(
    call: Call, place: Place, work: Callable[[Call, Place, BinaryIO], Awaitable[bytes]]
) -> Response:
    """Do the work of a request; every failure becomes Deepgram's error JSON."""
    refusal = _denied(call.request, place.access)
    try:
        if refusal is None:
            # Counted before its body is taken: too many large ones at once would fill the disk.
            with _in_hand(place.workers), open_upload(place.uploads) as file:
                body = await work(call, place, file)
            return Response(body, media_type="application/json", headers={"dg-request-id": call.id})
    except Refusal as error:
        refusal = error
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    except OSError as error:  # disk full, no process or file left
        logger.error("request failed request=%s error=%s", call.id, error)
        refusal = refusals.UNAVAILABLE
    except WorkerFailed as error:
        logger.error("request failed request=%s worker=%s", call.id, error)
        refusal = refusals.FAILED
    except Exception:
        logger.exception("request failed request=%s", call.id)
        refusal = refusals.FAILED
    await _take_politely(call.request)
    return refusals.reply_of(refusal, call.id)


def _denied(request: Request, access: Access) -> Refusal | None:
    found = denial(access, request.headers)
    return Refusal(found.status, found.code, found.message) if found else None


@contextlib.contextmanager
def _in_hand(workers: Workers) -> Iterator[None]:
    try:
        workers.slots.take_in_hand()
    except TooBusy:
        raise refusals.TOO_BUSY from None
    try:
        yield
    finally:
        workers.slots.let_go()


async def _listen(call: Call, place: Place, file: BinaryIO) -> bytes:
    is_json = call.content_type.partition(";")[0].strip().lower() == "application/json"
    sha256 = "" if is_json else await _receive(call.request, file, place.uploads)
    options = _options(call.request, place)
    if is_json:
        sha256 = await _fetch(await _url(call.request), place, file)
    return await _work(call, place, file, options, sha256=sha256)


async def _read(call: Call, place: Place, file: BinaryIO) -> bytes:
    options = _read_options(call.request)
    body = await _body(call.request, MAX_TEXT_BYTES, refusals.TOKEN_LIMIT)
    try:
        given = read_body(body, call.content_type)
    except BadBody as error:
        raise Refusal(400, "INVALID_JSON", str(error)) from None
    if given.url is not None:
        await _fetch(given.url, place, file)
    else:
        file.write((given.text or "").encode())
    return await _work(call, place, file, options, reads=True)


async def _receive(request: Request, into: BinaryIO, folder: Path) -> str:
    declared = int(request.headers.get("content-length", "0"))
    try:
        room = partial(free_bytes, folder)
        return await receive(request.stream(), into, declared_bytes=declared, room=room)
    except TooLarge:
        raise refusals.TOO_LARGE from None
    except SlowUpload:
        raise refusals.SLOW from None


async def _url(request: Request) -> str:
    """Return the address in the request's JSON."""
    try:
        url = json.loads(await _body(request, MAX_URL_BYTES, refusals.NO_JSON))["url"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise refusals.NO_JSON from None
    if not isinstance(url, str):
        raise refusals.NO_JSON
    return url


async def _body(request: Request, most_bytes: int, refusal: Refusal) -> bytes:
    """Return a request's body; raises `refusal` when it has more bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise refusal
    return bytes(body)


async def _fetch(url: str, place: Place, into: BinaryIO) -> str:
    try:
        async with fetching(url, place.hosts) as blocks:
            return await receive(blocks, into, room=partial(free_bytes, place.uploads))
    except FetchError as error:
        raise refusals.remote_content(str(error)) from None
    except TooLarge:
        raise refusals.remote_content("The remote content is larger than 2 GB.") from None
    except SlowUpload:
        raise refusals.remote_content("The remote server took too long.") from None


def _options(request: Request, place: Place) -> Options:
    try:
        pairs = request.query_params.multi_items()
        return parse_query(pairs, knows_all_languages=place.knows_all_languages)
    except InvalidParameter as error:
        message = f"Failed to deserialize query parameters: {error}"
        raise refusals.invalid_parameter(message) from None
    except UnsupportedLanguage:
        raise refusals.NO_LANGUAGE from None
    except UnsupportedSummary:
        raise refusals.NO_SUMMARY from None


def _read_options(request: Request) -> Options:
    try:
        return parse_read_query(request.query_params.multi_items())
    except InvalidParameter as error:
        message = f"Failed to deserialize query parameters: {error}"
        raise refusals.invalid_parameter(message) from None
    except UnsupportedLanguage:
        language = request.query_params.get("language", "")
        message = f"Request specified unsupported language: {language}. Only English is supported."
        raise refusals.invalid_parameter(message) from None


async def _work(
    call: Call, place: Place, file: BinaryIO, options: Options, *, sha256: str = "", reads: bool = False
) -> bytes:
    """Return the worker's reply; if the client hangs up first, stop the work that nobody waits for."""
    upload = {"request_id": call.id, "sha256": sha256, "created": call.created}

    def on_progress(done: float, seconds: float) -> None:
        place.progress[call.id] = (done, seconds)

    work = asyncio.ensure_future(
        place.workers.work(file.fileno(), upload, options, reads=reads, on_progress=on_progress)
    )
    gone = asyncio.ensure_future(_disconnected(call.request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    except UnusableRecording:
        raise refusals.CORRUPT from None
    except TextTooLong:
        raise refusals.TOKEN_LIMIT from None
    finally:
        # The worker must be gone before its file is closed, also when the server is told to stop.
        work.cancel()
        gone.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _take_politely(request: Request) -> None:
    """Read some of what is left of a refused request's body."""
    taken = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(POLITE_SECONDS):
            async for chunk in request.stream():
                taken += len(chunk)
                if taken > POLITE_BYTES:
                    return
