"""The engine's HTTP side: routes, error replies in Deepgram's shape, and `serve`, which runs it all."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from daemon.engine.access import Access, denial
from daemon.engine.capacity import capacity
from daemon.engine.connections import Connection, address_of
from daemon.engine.fetch import FetchError, fetching
from daemon.engine.launch import WorkerFailed
from daemon.engine.query import (
    InvalidParameter,
    Options,
    UnsupportedLanguage,
    parse_query,
    parse_read_query,
)
from daemon.engine.refusals import CORRUPT, NO_JSON, TOKEN_LIMIT, TOO_BUSY, Refusal
from daemon.engine.sandbox import may_run_new_code, missing
from daemon.engine.settings import Settings
from daemon.engine.slots import TooBusy
from daemon.engine.text_body import MAX_TEXT_BYTES, BadBody, read_body
from daemon.engine.upload import SlowUpload, TooLarge, open_upload, receive, uploads_folder
from daemon.engine.workers import TextTooLong, UnusableRecording, Workers
from daemon.errors import EarshotError

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 30
DRAIN_SECONDS = 3600  # only with an owner, who may end the wait by closing the pipe
MAX_JSON_BYTES = 1 << 16
CLIENT_CLOSED_REQUEST = 499
RETRY_AFTER_SECONDS = 5
# A refusal is sent once this much of the body was read, or this much time went by: a client that still sends
# when the connection is closed may not see it.
POLITE_BYTES, POLITE_SECONDS = 1 << 20, 1.0


Handle = Callable[[Request, str, Workers, Settings, Path], Awaitable[Response]]


def serve(
    listener: socket.socket, settings: Settings, access: Access, *, exit_with_stdin: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight and return. Raises EarshotError.

    Prints `listening on` and its address once connections are accepted. With `exit_with_stdin` the process
    ends at once when stdin does: its owner holds the other end of that pipe, and the engine dies with it.
    """
    if exit_with_stdin:
        threading.Thread(
            target=_exit_at_end_of_stdin, args=[address_of(listener)], name="stdin", daemon=True
        ).start()
    if not may_run_new_code():
        raise EarshotError(
            "the embedded engine does not start: this service may not make memory executable; install "
            "systemd/earshot.service.d/engine.conf beside its unit (MemoryDenyWriteExecute=no)"
        )
    for measure in missing():
        logger.warning("this system has no %s for the engine's workers; the other measures hold", measure)
    shares = capacity(settings.model_bytes, settings.workers)
    logger.info("engine workers=%d worker_mb=%d", shares.workers, shares.worker_bytes >> 20)
    workers = Workers(settings, shares)
    config = uvicorn.Config(
        build_app(workers, settings, access, _uploads(settings)),
        http=Connection,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_SECONDS if exit_with_stdin else SHUTDOWN_SECONDS,
    )
    with _quiet_signals():
        _Server(config, workers).run(sockets=[listener])


def build_app(workers: Workers, settings: Settings, access: Access, uploads: Path) -> Starlette:
    """The HTTP application, for one event loop."""

    async def listen(request: Request) -> Response:
        return await _answer(request, workers, settings, access, uploads, _listen)

    async def read(request: Request) -> Response:
        return await _answer(request, workers, settings, access, uploads, _read)

    async def projects(request: Request) -> Response:
        """Answer a client that checks the service and its key."""
        refused = denial(access, request.headers)
        if refused:
            return _error(Refusal(refused.status, refused.code, refused.message), str(uuid4()))
        return JSONResponse({"projects": []})

    return Starlette(
        routes=[
            Route("/v1/listen", listen, methods=["POST"]),
            Route("/v1/read", read, methods=["POST"]),
            Route("/v1/projects", projects, methods=["GET"]),
            Route("/healthz", _health, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error},
    )


class _Server(uvicorn.Server):
    """Starts and ends the workers, and prints where it listens: from this line on requests are answered."""

    def __init__(self, config: uvicorn.Config, workers: Workers) -> None:
        super().__init__(config)
        self._workers = workers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await self._workers.start()
        except WorkerFailed as error:
            raise EarshotError(f"the embedded engine does not start: {error}") from error
        await super().startup(sockets)
        for listener in sockets or ():
            sys.stdout.write(f"listening on {address_of(listener)}\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._workers.stop()


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """Ignore the SIGTERM that uvicorn raises again at its end: it has been obeyed by then.

    SIGINT still raises KeyboardInterrupt, which the command line turns into its exit code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit_at_end_of_stdin(address: str) -> None:
    """Exit when stdin closes, and take the socket's folder along; the kernel ends the workers as well."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()
    os._exit(0)


def _uploads(settings: Settings) -> Path:
    try:
        return Path(settings.uploads) if settings.uploads else uploads_folder()
    except OSError as error:
        raise EarshotError(f"the embedded engine does not start: {error}") from error


async def _health(request: Request) -> Response:
    """Answer a load balancer: this process is here and accepts requests."""
    return PlainTextResponse("ok\n")


async def _answer(
    request: Request,
    workers: Workers,
    settings: Settings,
    access: Access,
    uploads: Path,
    handle: Handle,
) -> Response:
    """Answer one request; every failure becomes Deepgram's error JSON."""
    request_id = str(uuid4())
    try:
        refused = denial(access, request.headers)
        if refused:
            raise Refusal(refused.status, refused.code, refused.message)
        # Counted before its body is taken: too many large ones at once would fill the disk.
        with _in_hand(workers):
            return _with_id(await handle(request, request_id, workers, settings, uploads), request_id)
    except Refusal as refusal:
        await _take_politely(request)
        return _error(refusal, request_id)
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    except OSError as error:  # disk full, no process or file left
        logger.error("request failed request=%s error=%s", request_id, error)
        return _error(Refusal(503, "Service Unavailable", "Please try again later"), request_id)
    except Exception as error:
        if isinstance(error, WorkerFailed):
            logger.error("request failed request=%s worker=%s", request_id, error)
        else:
            logger.exception("request failed request=%s", request_id)
        return _error(
            Refusal(500, "INTERNAL_SERVER_ERROR", "The engine failed; its log says why."), request_id
        )


@contextlib.contextmanager
def _in_hand(workers: Workers) -> Iterator[None]:
    try:
        workers.slots.take_in_hand()
    except TooBusy:
        raise TOO_BUSY from None
    try:
        yield
    finally:
        workers.slots.let_go()


async def _listen(
    request: Request, request_id: str, workers: Workers, settings: Settings, uploads: Path
) -> Response:
    created = _now()
    with open_upload(uploads) as audio:
        is_json = (
            request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        )
        sha256 = "" if is_json else await _receive(request, audio)
        options = _options(request)
        if is_json:
            sha256 = await _fetch(await _url(request), settings, audio)
        upload = {"request_id": request_id, "sha256": sha256, "created": created}
        body = await _while_waited_for(request, workers.work(audio.fileno(), upload, options))
    return Response(body, media_type="application/json")


async def _read(
    request: Request, request_id: str, workers: Workers, settings: Settings, uploads: Path
) -> Response:
    created = _now()
    options = _read_options(request)
    body = await _body(request, MAX_TEXT_BYTES, TOKEN_LIMIT)
    try:
        given = read_body(body, request.headers.get("content-type", ""))
    except BadBody as error:
        raise Refusal(400, "INVALID_JSON", str(error)) from None
    with open_upload(uploads) as file:
        if given.url is not None:
            await _fetch(given.url, settings, file)
        else:
            file.write((given.text or "").encode())
        upload = {"request_id": request_id, "sha256": "", "created": created}
        body = await _while_waited_for(request, workers.work(file.fileno(), upload, options, reads=True))
    return Response(body, media_type="application/json")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _receive(request: Request, into: BinaryIO) -> str:
    declared = request.headers.get("content-length", "0")
    try:
        return await receive(request.stream(), into, declared_bytes=int(declared))
    except TooLarge:
        raise Refusal(413, "PAYLOAD_TOO_LARGE", "The maximum file size is 2 GB.") from None
    except SlowUpload:
        raise Refusal(408, "SLOW_UPLOAD", "Request upload timeout.") from None


async def _url(request: Request) -> str:
    """Return the address in the request's JSON."""
    try:
        url = json.loads(await _body(request, MAX_JSON_BYTES, NO_JSON))["url"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise NO_JSON from None
    if not isinstance(url, str):
        raise NO_JSON
    return url


async def _body(request: Request, most: int, refusal: Refusal) -> bytes:
    """Return a request's body; raises `refusal` when it has more than `most` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise refusal
    return bytes(body)


async def _fetch(url: str, settings: Settings, into: BinaryIO) -> str:
    try:
        async with fetching(url, settings.hosts) as blocks:
            return await receive(blocks, into)
    except FetchError as error:
        raise Refusal(400, "REMOTE_CONTENT_ERROR", str(error)) from None
    except TooLarge:
        raise Refusal(400, "REMOTE_CONTENT_ERROR", "The remote content is larger than 2 GB.") from None
    except SlowUpload:
        raise Refusal(400, "REMOTE_CONTENT_ERROR", "The remote server took too long.") from None


def _options(request: Request) -> Options:
    try:
        return parse_query(request.query_params.multi_items())
    except InvalidParameter as error:
        message = f"Failed to deserialize query parameters: {error}"
        raise Refusal(400, "INVALID_QUERY_PARAMETER", message) from None
    except UnsupportedLanguage:
        message = "Bad Request: No such model/language/tier combination found."
        raise Refusal(400, "Bad Request", message) from None


def _read_options(request: Request) -> Options:
    try:
        return parse_read_query(request.query_params.multi_items())
    except InvalidParameter as error:
        message = f"Failed to deserialize query parameters: {error}"
        raise Refusal(400, "INVALID_QUERY_PARAMETER", message) from None
    except UnsupportedLanguage:
        language = request.query_params.get("language", "")
        message = f"Request specified unsupported language: {language}. Only English is supported."
        raise Refusal(400, "INVALID_QUERY_PARAMETER", message) from None


async def _while_waited_for(request: Request, reply: Coroutine[None, None, bytes]) -> bytes:
    """Return the worker's reply; if the client hangs up first, stop the work that nobody waits for."""
    work = asyncio.ensure_future(reply)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    except UnusableRecording:
        raise CORRUPT from None
    except TextTooLong:
        raise TOKEN_LIMIT from None
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


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return _error(Refusal(error.status_code, error.detail, error.detail), str(uuid4()))


def _error(refusal: Refusal, request_id: str) -> Response:
    body = {"err_code": refusal.code, "err_msg": refusal.message, "request_id": request_id}
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if refusal.status in (429, 503) else None
    return _with_id(JSONResponse(body, status_code=refusal.status, headers=headers), request_id)


def _with_id(response: Response, request_id: str) -> Response:
    response.headers["dg-request-id"] = request_id
    return response
