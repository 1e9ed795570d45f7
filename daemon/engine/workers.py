"""Runs one worker process per request, within bounds, and decides what its end says of the recording."""

import asyncio
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path

from daemon.engine.capacity import Capacity, processors
from daemon.engine.launch import Template, WorkerFailed, environment
from daemon.engine.query import Options
from daemon.engine.sandbox import Bounds
from daemon.engine.settings import Settings
from daemon.engine.slots import Slots
from daemon.engine.worker import (
    DECODER_FAILED,
    DONE,
    FAILED,
    OUT_OF_MEMORY,
    TOO_LONG,
    UNREADABLE,
    Job,
    Tell,
    decoding_seconds,
)

logger = logging.getLogger(__name__)

MAX_WAITING = 32
# Recognizing takes a tenth of a second per second with the small model, all of it with hopeless audio, and
# more with larger models, about in proportion to their size.
CPU_PER_SECOND, OF_MODEL_BYTES = 4.0, 150 << 20
CRASHES = {
    *(-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL, -signal.SIGTRAP),
    DECODER_FAILED,
}
SAMPLE = Path(__file__).parents[1] / "samples" / "thanks.mp3"


class UnusableRecording(Exception):
    """The worker found it to be no recording, or was ended by it."""


class TextTooLong(Exception):
    """The text has more tokens than are analyzed at once."""


class Workers:
    """The workers of one event loop, between `start` and `stop`."""

    def __init__(self, settings: Settings, capacity: Capacity, template: Template | None = None) -> None:
        self.slots = Slots(capacity.workers, MAX_WAITING)
        self._settings = settings
        self._capacity = capacity
        self._template = template or Template(environment(os.environ))
        self._model_bytes = settings.model_bytes
        self._is_sound = False
        self._checking = asyncio.Lock()

    async def start(self) -> None:
        """Start the process that workers are forked from; raises WorkerFailed."""
        await self._template.start()

    async def stop(self) -> None:
        """End all workers."""
        await self._template.stop()

    async def work(
        self,
        file: int,
        upload: dict[str, str],
        options: Options,
        *,
        reads: bool = False,
        on_progress: Tell = lambda *_: None,
    ) -> bytes:
        """Return the reply's JSON for an open recording, or with `reads` a written text.

        `on_progress` hears how many seconds of the recording are done, of how many. Raises
        UnusableRecording, TextTooLong, WorkerFailed; cancelling ends the work.
        """
        name = upload["request_id"]
        async with self.slots.one():
            job = replace(self._job(file, upload, options), reads=reads)
            status, reply = await self._template.run(file, job, on_progress)
        if self._may_be_anothers_fault(status):
            logger.warning("worker ended, once more alone request=%s by=%s", name, shown_status(status))
            async with self.slots.alone():
                bounds = replace(job.bounds, memory_bytes=self._capacity.alone_bytes)
                status, reply = await self._template.run(file, replace(job, bounds=bounds), on_progress)
        if status == DONE:
            return reply
        if status == TOO_LONG:
            raise TextTooLong
        if status == FAILED:
            raise WorkerFailed(reply.decode(errors="replace"))
        if status == DECODER_FAILED:
            logger.warning("decoder failed request=%s error=%s", name, reply.decode(errors="replace"))
        if status in CRASHES and not await self._recognizes_its_own():
            raise WorkerFailed(f"it ends by {shown_status(status)} with earshot's own sample as well")
        logger.info("recording unusable request=%s worker=%s", name, shown_status(status))
        raise UnusableRecording

    async def _recognizes_its_own(self) -> bool:
        """Whether a crash is the recording's fault: the engine itself may not work on this machine."""
        async with self._checking:
            if not self._is_sound:
                with SAMPLE.open("rb") as sample:
                    upload = {"request_id": "own sample", "sha256": "", "created": ""}
                    async with self.slots.one():
                        job = self._job(sample.fileno(), upload, Options())
                        status, _ = await self._template.run(sample.fileno(), job)
                self._is_sound = status not in CRASHES
        return self._is_sound

    def _may_be_anothers_fault(self, status: int) -> bool:
        """Whether memory ran out that others had; what a recording does within its own bounds is its own."""
        has_more_alone = self._capacity.alone_bytes > self._capacity.worker_bytes
        return status == -signal.SIGKILL or (status == OUT_OF_MEMORY and has_more_alone)

    def _job(self, audio: int, upload: dict[str, str], options: Options) -> Job:
        bounds = Bounds(
            readable=self._settings.models,
            memory_bytes=self._capacity.worker_bytes,
            cpu_seconds=decoding_seconds(os.fstat(audio).st_size),
            graphics=self._settings.device != "cpu" and os.path.exists("/dev/nvidiactl"),  # noqa: PTH110
        )
        return Job(
            upload=upload,
            options=options,
            model=next(iter(self._settings.models), ""),
            device=self._settings.device,
            bounds=bounds,
            examples=self._settings.examples,
            recognizing_cpu_per_second=CPU_PER_SECOND * max(1.0, self._model_bytes / OF_MODEL_BYTES),
            threads=max(1, processors() // max(1, self.slots.running)),
        )


def shown_status(status: int) -> str:
    """Return how a worker ended, in words for the log."""
    if status < 0:
        return signal.Signals(-status).name
    names = {UNREADABLE: "unreadable", OUT_OF_MEMORY: "out of memory", DECODER_FAILED: "an error in decoding"}
    return names.get(status, str(status))
