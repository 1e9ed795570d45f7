"""A far end that answers each request after a fixed time: `python -m benchmarks.far_end LATENCY_SECONDS`.

It runs in a process of its own and does next to nothing, so that what is measured is the client. Prints its
port, and with `--tell` when each request began.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO

SAMPLE = Path(__file__).parents[1] / "tests" / "data" / "deepgram" / "full_diarized.json"


class Conversation(asyncio.Protocol):
    """One connection: requests one after the other, bodies counted and thrown away."""

    latency = 0.0
    tells = False
    body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.head = bytearray()
        self.left = -1

    def data_received(self, data: bytes) -> None:
        if self.left < 0:
            if self.tells and not self.head:
                print(time.monotonic(), flush=True)
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            lines = bytes(self.head[:end]).lower().split(b"\r\n")
            lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
            self.left = lengths[0] if lengths else 0
            data = bytes(self.head[end + 4 :])
            self.head.clear()
        self.left -= len(data)
        if self.left <= 0:
            self.left = -1
            asyncio.get_running_loop().call_later(self.latency, self.answer)

    def answer(self) -> None:
        if self.transport.is_closing():
            return
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + self.body)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Conversation, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def far_end(latency: float) -> Iterator[str]:
    """Run one; yields its address."""
    with _running(latency) as (address, _):
        yield address


@contextmanager
def telling_far_end() -> Iterator[tuple[str, Callable[[], float]]]:
    """Run one; yields its address and what waits for a request and returns when its first byte came.

    The time is that of the whole machine's monotonic clock.
    """
    with _running(0.0, "--tell") as (address, told):
        yield address, lambda: float(told.readline())


@contextmanager
def _running(latency: float, *options: str) -> Iterator[tuple[str, IO[str]]]:
    command = [sys.executable, "-m", "benchmarks.far_end", str(latency), *options]
    with Popen(command, stdout=PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.stdout
        finally:
            process.terminate()


if __name__ == "__main__":
    Conversation.latency = float(sys.argv[1])
    Conversation.tells = "--tell" in sys.argv
    Conversation.body = json.dumps(json.loads(SAMPLE.read_text("utf-8"))).encode()
    asyncio.run(serve())
