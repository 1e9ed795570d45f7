"""Runs the engine: its server, its workers, and how both end."""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from daemon.engine.access import Access
from daemon.engine.capacity import capacity
from daemon.engine.connections import Connection, address_of
from daemon.engine.endpoints import Place, no_such_page, routes
from daemon.engine.launch import WorkerFailed
from daemon.engine.sandbox import may_run_new_code, missing
from daemon.engine.settings import Settings
from daemon.engine.upload import uploads_folder
from daemon.engine.workers import Workers
from daemon.errors import EarshotError

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 30
DRAIN_SECONDS = 3600  # only with an owner, who may end the wait by closing the pipe


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
    place = Place(
        workers=workers,
        access=access,
        hosts=settings.hosts,
        uploads=_uploads(settings),
        knows_all_languages=settings.knows_all_languages,
        tells_progress=exit_with_stdin,
    )
    config = uvicorn.Config(
        Starlette(routes=routes(place), exception_handlers={HTTPException: no_such_page}),
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
