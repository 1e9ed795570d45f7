"""Starts the template process, and has workers forked from it; says how each ended."""

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon.engine.template import READY
from daemon.engine.worker import PROGRESS, Job, Tell

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
END_SECONDS = 10.0
MAX_REPLY_BYTES = 64 << 20
LONGEST_LINE = 100  # about progress
SOURCE = Path(__file__).parents[2]  # where `daemon` is imported from, for the child
# -P: import nothing from the folder that the service runs in
COMMAND = (sys.executable, "-P", "-m", "daemon.engine.template")
KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "PYTHONPATH")
SETTINGS = {
    # Threads are for the worker to start, once it is forked.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # Threads that wait for work would use up a processor while they do.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_ARENA_MAX": "2",
    # What takes 4 MB goes back to the system when it is freed. Otherwise the arrays of a block leave holes
    # between those of the next, and a worker grows by 130 MB in 40 minutes of sound.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime would start a thread, and report to its maker
}


class WorkerFailed(Exception):
    """A worker ended through no fault of the recording."""


class Template:
    """The process that workers are forked from; started again when it has died."""

    def __init__(self, env: Mapping[str, str], command: Sequence[str] = COMMAND) -> None:
        self._env = env
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start it, and wait until it takes jobs; raises WorkerFailed."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                env=self._env,
                start_new_session=True,
            )
        self._control = ours
        try:
            async with asyncio.timeout(START_SECONDS):
                said = await asyncio.get_running_loop().sock_recv(ours, 64)
        except (TimeoutError, ConnectionError):
            said = b""
        if said != READY:
            await self.stop()
            raise WorkerFailed("the process that workers are forked from does not start")

    async def stop(self) -> None:
        """End it and its workers."""
        if self._control:
            self._control.close()
        if self._process is not None and self._process.returncode is None:
            try:
                async with asyncio.timeout(END_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = self._control = None

    async def run(self, audio: int, job: Job, on_progress: Tell = lambda *_: None) -> tuple[int, bytes]:
        """Do a job on a recording; return how the worker ended (status, or minus a signal) and its answer.

        `on_progress` hears what the worker says of how far it is. Cancelled, it ends the worker and returns
        when that is gone.
        """
        # The template itself may be killed, and all workers with it: that is nothing that a recording can do.
        outcome = await self._run_once(audio, job, on_progress) or await self._run_once(
            audio, job, on_progress
        )
        if outcome is None:
            raise WorkerFailed("the process that workers are forked from ended")
        return outcome

    async def _run_once(self, audio: int, job: Job, on_progress: Tell) -> tuple[int, bytes] | None:
        way, end = await self._hand_over(audio)
        reader, writer = await asyncio.open_connection(sock=way)
        gone = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(end, 16))
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(job.to_json())
                await writer.drain()
            reply = await _read(reader, on_progress)
            if reply is None:
                logger.warning("worker writes without end request=%s", job.upload["request_id"])
                end.shutdown(socket.SHUT_WR)
            said = await asyncio.shield(gone)
        finally:
            writer.close()
            if not gone.done():
                end.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    await asyncio.shield(gone)
            end.close()
        if not said:
            return None
        return (-signal.SIGXFSZ, b"") if reply is None else (int(said), reply)

    async def _hand_over(self, audio: int) -> tuple[socket.socket, socket.socket]:
        """Have a worker forked for a recording; return the way to it, and the socket that tells its end."""
        way, their_way = socket.socketpair()
        end, their_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        way.setblocking(False)
        end.setblocking(False)
        # Opened anew, for reading alone: each worker reads from the beginning, and none can write into it.
        recording = os.open(f"/proc/self/fd/{audio}", os.O_RDONLY)
        try:
            with their_way, their_end:
                descriptors = [recording, their_way.fileno(), their_end.fileno()]
                await self._send(descriptors)
        except BaseException:
            way.close()
            end.close()
            raise
        finally:
            os.close(recording)
        return way, end

    async def _send(self, descriptors: list[int]) -> None:
        async with self._starting:
            try:
                if self._control is None:
                    raise BrokenPipeError
                socket.send_fds(self._control, [b"job"], descriptors)
            except ConnectionError:
                logger.warning("the process that workers are forked from ended; starting it again")
                await self.stop()
                await self.start()
                assert self._control is not None  # noqa: S101
                socket.send_fds(self._control, [b"job"], descriptors)


async def _read(reader: asyncio.StreamReader, on_progress: Tell) -> bytes | None:
    """Read to the end; return what comes after the lines about progress, None when that is too much."""
    received, size = bytearray(), 0
    with contextlib.suppress(ConnectionError):
        while block := await reader.read(1 << 16):
            received += block
            size += len(block)
            if size > MAX_REPLY_BYTES:
                return None
            while received.startswith(PROGRESS) and (end := received.find(b"\n", 0, LONGEST_LINE)) > 0:
                _pass_on(received[len(PROGRESS) : end], on_progress)
                del received[: end + 1]
    return bytes(received)


def _pass_on(figures: bytearray, on_progress: Tell) -> None:
    """Pass on how far a worker is; one that a recording has taken over may write anything."""
    with contextlib.suppress(ValueError):
        done, seconds = map(float, figures.split())
        if 0 <= done <= seconds < math.inf:
            on_progress(done, seconds)


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return what workers see of the environment: nothing but what they need."""
    kept = {name: env[name] for name in KEPT if name in env}
    path = [str(SOURCE), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    return {**kept, **SETTINGS, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
