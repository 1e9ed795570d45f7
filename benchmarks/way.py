"""The way of one recording: how soon it is seen, what a large upload takes, how alerts leave."""

from __future__ import annotations

import math
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.clients import processor_seconds as own_processor_seconds
from benchmarks.far_end import far_end, telling_far_end
from benchmarks.figures import Figure, peak_bytes, pid_of, processor_seconds
from tests.faults.crashes import alerting
from tests.harness import ScriptedApi, Service, reply, wav
from tests.servers import Answer, HttpSink

LARGE_BYTES = 1_000_000_000
BLOCK_BYTES = 256 * 1024


def detection(*, small: bool) -> Iterator[Figure]:
    """Yield how long after its rename into the folder a file's request arrives, idle and when busy."""
    drops = 3 if small else 200
    with (
        tempfile.TemporaryDirectory() as place,
        telling_far_end() as (address, begun),
        _service(Path(place), address) as service,
    ):
        idle = _waits(begun, service, range(drops), is_idle=True)
        yield from _shown("rename to first byte, idle", idle)
        if small:
            return
        before = peak_bytes(pid_of(service))
        for large in [_large(service, f"large-{number}.wav", LARGE_BYTES // 4) for number in range(10)]:
            large.rename(service.folder / large.name)
        for _ in range(10):
            begun()
        yield from _shown(
            "rename to first byte, beside ten uploads", _waits(begun, service, range(drops, drops + 100))
        )
        growth = peak_bytes(pid_of(service)) - before
    yield Figure(f"growth of memory by ten uploads of {LARGE_BYTES / 4e6:.0f} MB", growth / 1e6, "MB")


def _shown(work: str, waits: list[float]) -> Iterator[Figure]:
    ordered = sorted(waits)
    yield Figure(f"{work}: median", statistics.median(ordered) * 1000, "ms")
    yield Figure(f"{work}: 99th percentile", ordered[math.ceil(len(ordered) * 0.99) - 1] * 1000, "ms")


def _waits(
    begun: Callable[[], float], service: Service, numbers: range, *, is_idle: bool = False
) -> list[float]:
    waits = []
    for number in numbers:
        if is_idle and number:
            service.wait_states(done=number)
        service.drop(f"{number}.wav")
        dropped_at = time.monotonic()
        waits.append(begun() - dropped_at)
    return waits


def upload(*, small: bool) -> Iterator[Figure]:
    """Yield rate, processor time and growth of memory of one large file, beside a stream and sendfile."""
    size = 20_000_000 if small else LARGE_BYTES
    with (
        tempfile.TemporaryDirectory() as place,
        far_end(0.0) as address,
        _service(Path(place), address) as service,
    ):
        service.drop("first.wav", wav("first"))
        service.wait_states(done=1)
        pid, before = pid_of(service), peak_bytes(pid_of(service))
        large = _large(service, "large.wav", size)
        processor, started = processor_seconds(pid), time.monotonic()
        file = large.rename(service.folder / large.name)
        service.wait_states(done=2, seconds=600)
        seconds, processor = time.monotonic() - started, processor_seconds(pid) - processor
        growth = peak_bytes(pid) - before
        stream_seconds, stream_processor = _timed(lambda: _stream(file, address))
        sendfile_seconds, _ = _timed(lambda: _sendfile(file, address))
    work = f"upload of {size / 1e6:.0f} MB"
    yield Figure(f"{work}: rate", size / seconds / 1e6, "MB/s", "sendfile", size / sendfile_seconds / 1e6)
    yield Figure(
        f"{work}: rate of the stream",
        size / stream_seconds / 1e6,
        "MB/s",
        "sendfile",
        size / sendfile_seconds / 1e6,
    )
    yield Figure(f"{work}: processor time", processor, "s", "httpx", stream_processor)
    yield Figure(f"{work}: growth of memory", growth / 1e6, "MB")


def _large(service: Service, name: str, size: int) -> Path:
    """Write a file that begins as a recording beside the folder; the system still has it in memory."""
    file = service.place / name
    with file.open("wb") as content:
        content.write(wav(name))
        while (left := size - content.tell()) > 0:
            content.write(bytes(min(left, BLOCK_BYTES)))
    return file


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    processor, started = own_processor_seconds(), time.monotonic()
    work()
    return time.monotonic() - started, own_processor_seconds() - processor


def _stream(file: Path, address: str) -> None:
    def blocks() -> Iterator[bytes]:
        with file.open("rb") as content:
            while block := content.read(BLOCK_BYTES):
                yield block

    headers = {"Content-Length": str(file.stat().st_size)}
    with httpx.Client(trust_env=False, timeout=600) as client:
        client.post(f"{address}/v1/listen", content=blocks(), headers=headers).json()


def _sendfile(file: Path, address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    size = file.stat().st_size
    with socket.create_connection((host, int(port))) as connection, file.open("rb") as content:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        sent = 0
        while sent < size:
            sent += os.sendfile(connection.fileno(), content.fileno(), sent, size - sent)
        connection.recv(1)


def alerts(*, small: bool) -> Iterator[Figure]:
    """Yield the rate of recordings while the place where alerts go hangs, and how fast these leave later."""
    files = 4 if small else 1000
    with HttpSink(default=Answer(delay=3600)) as sink, _alerting(sink) as service:
        hanging = _done_seconds(service, files)
        service.kill()
        hung = len(sink.requests)
        sink.then(default=200)
        service.start()
        told = sink.wait_for(hung + files, seconds=600)[hung:]
        with httpx.Client(trust_env=False) as client:
            seconds, _ = _timed(lambda: [client.post(sink.url, content=each.body) for each in told])
    leaving = (files - 1) / (told[-1].at - told[0].at)
    yield Figure(f"{files} pending alerts: messages", leaving, "/s", "httpx, one by one", files / seconds)
    if not small:
        with HttpSink() as sink, _alerting(sink) as service:
            fast = _done_seconds(service, files)
        beside = "when it does not"
        yield Figure("recordings while a destination hangs", files / hanging, "/s", beside, files / fast)


@contextmanager
def _alerting(sink: HttpSink) -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory() as place,
        ScriptedApi(lambda conversation: conversation.reply(body=reply(average=-0.8))) as api,
        Service(Path(place), alerting(sink, base_url=api.url)) as service,
    ):
        yield service.start()


def _done_seconds(service: Service, files: int) -> float:
    started = time.monotonic()
    for number in range(files):
        service.drop(f"{number}.wav")
    service.wait_states(done=files, seconds=600)
    return time.monotonic() - started


def _service(place: Path, address: str) -> Service:
    service = Service(place, {"analyzer": {"base_url": address, "concurrency": 20}})
    service.write_config(watch=[{"path": str(service.folder), "settle": "0s", "rescan": "60s"}])
    return service.start()
