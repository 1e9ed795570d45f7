"""The engine's HTTP side: routes, error replies in Deepgram's shape, and `serve`, which runs it all."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from daemon.engine.decode import UnreadableAudio
from daemon.engine.query import InvalidParameter, Options, UnsupportedLanguage, parse_query
from daemon.engine.reply import Upload
from daemon.engine.upload import SlowUpload, TooLarge, receive
from daemon.engine.workers import TooBusy, Workers, sensible_number

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 30
DRAIN_SECONDS = 3600  # only with an owner, who may end the wait by closing the pipe
MAX_JSON_BYTES = 1 << 16
CLIENT_CLOSED_REQUEST = 499


class Refusal(Exception):
    """A reply other than 200; codes and messages are Deepgram's (developers.deepgram.com/docs/errors)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def serve(host: str, port: int, *, exit_with_stdin: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight and return; port 0 takes a free one.

    Prints `listening on http://HOST:PORT` once connections are accepted. With `exit_with_stdin` the process
    ends at once when stdin does: its owner holds the other end of that pipe, and the engine dies with it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    if exit_with_stdin:
        threading.Thread(target=_exit_at_end_of_stdin, name="stdin", daemon=True).start()
    config = uvicorn.Config(
        build_app(),
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_SECONDS if exit_with_stdin else SHUTDOWN_SECONDS,
    )
    with _quiet_signals():
        _Server(config).run(sockets=[listener])


def build_app() -> Starlette:
    """The HTTP application, for one event loop."""
    workers = Workers(sensible_number())

    async def listen(request: Request) -> Response:
        return await _answer(request, workers)

    return Starlette(
        routes=[
            Route("/v1/listen", listen, methods=["POST"]),
            Route("/v1/projects", _projects, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error},
    )


class _Server(uvicorn.Server):
    """Prints where it listens: from this line on requests are answered."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"listening on http://{shown}:{port}\n")
            sys.stdout.flush()


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


def _exit_at_end_of_stdin() -> None:
    """Exit when stdin closes; the kernel ends the workers as well."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


async def _answer(request: Request, workers: Workers) -> Response:
    """Answer one request; every failure becomes Deepgram's error JSON."""
    request_id = str(uuid4())
    try:
        return _with_id(await _listen(request, request_id, workers), request_id)
    except Refusal as refusal:
        return _error(refusal, request_id)
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    except OSError as error:  # disk full, no process or file left
        logger.error("request failed request=%s error=%s", request_id, error)
        return _error(Refusal(503, "Service Unavailable", "Please try again later"), request_id)
    except Exception:
        logger.exception("request failed request=%s", request_id)
        return _error(
            Refusal(500, "INTERNAL_SERVER_ERROR", "The engine failed; its log says why."), request_id
        )


async def _listen(request: Request, request_id: str, workers: Workers) -> Response:
    created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # The file has no name, so nothing is left behind however this process ends.
    with tempfile.TemporaryFile(prefix="earshot-engine-", buffering=0) as audio:
        sha256 = await _receive(request, audio)
        options = _options(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            raise _json_refusal(audio)
        upload = Upload(request_id=request_id, sha256=sha256, created=created)
        body = await _transcribe(request, audio, upload, options, workers)
    return Response(body, media_type="application/json")


async def _receive(request: Request, into: BinaryIO) -> str:
    declared = request.headers.get("content-length", "0")
    try:
        return await receive(request.stream(), into, declared_bytes=int(declared))
    except TooLarge:
        raise Refusal(413, "PAYLOAD_TOO_LARGE", "The maximum file size is 2 GB.") from None
    except SlowUpload:
        raise Refusal(408, "SLOW_UPLOAD", "Request upload timeout.") from None


def _options(request: Request) -> Options:
    try:
        return parse_query(request.query_params.multi_items())
    except InvalidParameter as error:
        message = f"Failed to deserialize query parameters: {error}"
        raise Refusal(400, "INVALID_QUERY_PARAMETER", message) from None
    except UnsupportedLanguage:
        message = "Bad Request: No such model/language/tier combination found."
        raise Refusal(400, "Bad Request", message) from None


def _json_refusal(body: BinaryIO) -> Refusal:
    body.seek(0)
    try:
        has_url = "url" in json.loads(body.read(MAX_JSON_BYTES))
    except (ValueError, TypeError, RecursionError):
        has_url = False
    if has_url:
        message = "The embedded engine does not download recordings; send the recording itself."
        return Refusal(400, "REMOTE_CONTENT_ERROR", message)
    message = "Content-type was application/json, but we could not process the JSON payload."
    return Refusal(400, "Bad Request", message)


async def _transcribe(
    request: Request, audio: BinaryIO, upload: Upload, options: Options, workers: Workers
) -> bytes:
    """Return the worker's reply; if the client hangs up first, stop the work that nobody waits for."""
    work = asyncio.ensure_future(workers.transcribe(audio, upload, options))
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    except UnreadableAudio:
        message = "Bad Request: failed to process audio: corrupt or unsupported data"
        raise Refusal(400, "Bad Request", message) from None
    except TooBusy:
        raise Refusal(429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later") from None
    finally:
        # The worker must be gone before its file is closed, also when the server is told to stop.
        work.cancel()
        gone.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _projects(request: Request) -> Response:
    """Answer a client that checks the service and its key; here any key is valid."""
    return JSONResponse({"projects": []})


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return _error(Refusal(error.status_code, error.detail, error.detail), str(uuid4()))


def _error(refusal: Refusal, request_id: str) -> Response:
    body = {"err_code": refusal.code, "err_msg": refusal.message, "request_id": request_id}
    return _with_id(JSONResponse(body, status_code=refusal.status), request_id)


def _with_id(response: Response, request_id: str) -> Response:
    response.headers["dg-request-id"] = request_id
    return response
