"""Runs one worker process per request, no more at once than there are processors."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from daemon.engine.decode import UnreadableAudio
from daemon.engine.query import Options
from daemon.engine.reply import Upload
from daemon.engine.worker import EXIT_UNREADABLE

logger = logging.getLogger(__name__)

MAX_AT_ONCE = 6  # each needs about 170 MB
MAX_WAITING = 64
# A recording that crashes the decoder or uses up its processor time is a broken recording.
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL, -signal.SIGXCPU}
SOURCE = Path(__file__).parents[2]  # where `daemon` is imported from, for the child


class TooBusy(Exception):
    """More requests wait for a processor than is sensible; come back later."""


class WorkerFailed(Exception):
    """A worker ended through no fault of the recording."""


class Workers:
    """Hands out the processors to requests in the order they came; belongs to one event loop."""

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0

    async def transcribe(self, audio: BinaryIO, upload: Upload, options: Options) -> bytes:
        """Give the reply's JSON. Raises UnreadableAudio, TooBusy, WorkerFailed; cancelling ends the work."""
        async with self._slot():
            return await _run(audio, upload, options)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise TooBusy
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()


def sensible_number() -> int:
    """How many workers to run at once: one per processor that this process may use, as memory permits."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(processors, MAX_AT_ONCE)


async def _run(audio: BinaryIO, upload: Upload, options: Options) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # import nothing from the folder the service runs in
        "-m",
        "daemon.engine.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=(audio.fileno(),),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
        start_new_session=True,
    )
    job = {
        "audio_fd": audio.fileno(),
        "server_pid": os.getpid(),
        "upload": asdict(upload),
        "options": asdict(options),
    }
    try:
        reply, _ = await process.communicate(json.dumps(job).encode() + b"\n")
    finally:
        if process.returncode is None:
            process.kill()
            await asyncio.shield(process.wait())
    if process.returncode == EXIT_UNREADABLE or process.returncode in CRASHES:
        logger.info("recording unreadable request=%s exit=%s", upload.request_id, process.returncode)
        raise UnreadableAudio
    if process.returncode != 0:
        raise WorkerFailed(f"worker ended with status {process.returncode}")
    return reply


def _import_path() -> list[str]:
    return [str(SOURCE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
