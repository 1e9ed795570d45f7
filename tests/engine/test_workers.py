"""How a worker's end is told from the outside: the recording's fault, another's, or the engine's own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

from daemon.engine.capacity import Capacity
from daemon.engine.launch import Template, WorkerFailed, environment
from daemon.engine.query import Options
from daemon.engine.sandbox import Bounds
from daemon.engine.settings import Settings
from daemon.engine.worker import Job, Tell, decoding_seconds
from daemon.engine.workers import UnusableRecording, Workers
from tests.servers import wait_until

MB = 1 << 20
# Does what the recording says; earshot's own sample is an MP3 and says nothing.
OBEDIENT = """
import os, signal, socket, sys, time
from functools import partial
from daemon.engine import template, worker
from daemon.engine.decode import UnreadableAudio

def work(recording, job, tell):
    said = recording.read()
    if said == b"damaged": raise UnreadableAudio
    if said == b"bug": raise ZeroDivisionError
    if said == b"tells":
        for done in (0.0, 1.5, 2.5, 9.0, float("nan")): tell(done, 3.0)
        return b"done"
    if said == b"odd": raise worker.DecoderError
    if said == b"memory": bytearray(job.bounds.memory_bytes * 2)
    if said == b"endless": return bytes(70 << 20)
    if said == b"busy":
        while True: pass
    if said in (b"hang", b"wait"): time.sleep(60 if said == b"hang" else 0.5)
    if said == b"crash" or {is_broken}: os.abort()
    return b"%d MB" % (job.bounds.memory_bytes >> 20)

with socket.socket(fileno=os.dup(0)) as control:
    template.serve(control, partial(worker.run, work=work))
"""


def obedient(capacity: Capacity, *, is_broken: bool = False) -> Workers:
    template = Template(environment(os.environ), command(is_broken=is_broken))
    return Workers(Settings(device="cpu"), capacity, template)


def command(*, is_broken: bool = False) -> tuple[str, ...]:
    return (sys.executable, "-c", OBEDIENT.replace("{is_broken}", str(is_broken)))


def answered(
    *bodies: bytes,
    is_broken: bool = False,
    capacity: Capacity | None = None,
    on_progress: Tell = lambda *_: None,
) -> list[object]:
    """What came of each recording, sent one after the other: the reply, or the error."""

    async def run() -> list[object]:
        workers = obedient(capacity or Capacity(2, 300 * MB, 300 * MB), is_broken=is_broken)
        await workers.start()
        try:
            return [await outcome(workers, body, on_progress) for body in bodies]
        finally:
            await workers.stop()

    return asyncio.run(run())


async def outcome(workers: Workers, body: bytes, on_progress: Tell = lambda *_: None) -> object:
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        try:
            upload = {"request_id": "1", "sha256": "", "created": ""}
            reply = await workers.work(file.fileno(), upload, Options(), on_progress=on_progress)
            return reply.decode()
        except (UnusableRecording, WorkerFailed) as error:
            return error


def test_a_recording_that_breaks_its_worker_is_unusable_and_the_next_is_done() -> None:
    bombs = (b"damaged", b"crash", b"odd", b"memory", b"endless")
    *broken, well = answered(*bombs, b"well")
    assert [type(each) for each in broken] == [UnusableRecording] * len(bombs)
    assert well == "300 MB"


def test_how_far_a_worker_is_is_heard_and_what_cannot_be_is_not() -> None:
    heard: list[tuple[float, float]] = []

    def tell(done: float, seconds: float) -> None:
        heard.append((done, seconds))

    assert answered(b"tells", on_progress=tell) == ["done"]
    assert heard == [(0.0, 3.0), (1.5, 3.0), (2.5, 3.0)]


def test_a_mistake_of_the_engines_own_fails_no_recording() -> None:
    (failed,) = answered(b"bug")
    assert isinstance(failed, WorkerFailed)
    assert "ZeroDivisionError" in str(failed)


def test_an_engine_that_crashes_with_its_own_sample_blames_no_recording() -> None:
    (failed,) = answered(b"crash", is_broken=True)
    assert isinstance(failed, WorkerFailed)
    assert "earshot's own sample" in str(failed)


def test_one_that_ran_out_of_memory_beside_others_has_more_when_it_is_alone() -> None:
    first, second = answered(b"memory", b"well", capacity=Capacity(2, 200 * MB, 300 * MB))
    assert isinstance(first, UnusableRecording)
    assert second == "200 MB"


def test_a_recording_that_keeps_its_worker_busy_for_ever_ends_it() -> None:
    async def run() -> int:
        template = Template(environment(os.environ), command())
        await template.start()
        try:
            bounds = Bounds(memory_bytes=300 * MB, cpu_seconds=1)
            job = Job(
                upload={"request_id": "1"}, options=Options(), bounds=bounds, recognizing_cpu_per_second=4.0
            )
            with tempfile.TemporaryFile() as file:
                file.write(b"busy")
                file.flush()
                status, _ = await template.run(file.fileno(), job)
            return status
        finally:
            await template.stop()

    assert asyncio.run(run()) == -signal.SIGXCPU


def test_the_processor_time_for_decoding_goes_by_the_size() -> None:
    assert decoding_seconds(640) < 20
    assert decoding_seconds(54 * 10**6) > 240, "a day at 5 kbit/s"
    assert decoding_seconds(2 * 10**9) == 600


def test_hanging_up_ends_the_worker_and_a_template_that_dies_is_replaced() -> None:
    async def run() -> str:
        workers = obedient(Capacity(2, 300 * MB, 300 * MB))
        await workers.start()
        try:
            hanging = asyncio.ensure_future(outcome(workers, b"hang"))
            while not (pids := grandchildren()):
                await asyncio.sleep(0.01)
            hanging.cancel()
            await asyncio.gather(hanging, return_exceptions=True)
            assert workers.slots.running == 0
            assert grandchildren() == []
            (first,) = templates()
            os.kill(first, signal.SIGKILL)
            assert pids
            return str(await outcome(workers, b"well"))
        finally:
            await workers.stop()

    assert asyncio.run(run()) == "300 MB"
    wait_until(lambda: not grandchildren(), what="all to be gone")


def grandchildren() -> list[int]:
    return [pid for template in templates() for pid in children(template)]


def templates() -> list[int]:
    """The templates among the children of this process: other tests may have left it some that serve them."""
    program = OBEDIENT.partition("{is_broken}")[0].encode()
    return [pid for pid in children(os.getpid()) if program in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def children(pid: int) -> list[int]:
    """The processes that any thread of this one started (proc(5))."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(each) for each in (task / "children").read_text("ascii").split()]
        except OSError:
            continue
    return found
