"""All that is at the other end of the network in the simulated year, as a process of its own: the API, the
destinations of alerts and a webhook's receiver.

It is a process so that what it needs counts for nothing in what the service needs. Each recording says in its
bytes what is to be answered (see `label`). `Ledger.ask` sets how the far end behaves and returns what it got.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).parents[1] / "data" / "deepgram" / "negative_average.json"
ALERT_ID = re.compile(r"earshot alert (\d+)")
LABEL = re.compile(rb"no=(\d+) kind=(\w+) seconds=([\d.]+)")
WORDS = 120
"""So many words of its own are in each transcript, of this many that there are:"""
VOCABULARY = 8000


def label(number: int, kind: str, seconds: float) -> bytes:
    """What a recording has in its bytes: its number, what the API finds in it, and how long it says it is."""
    return f"no={number:06} kind={kind} seconds={seconds} ".encode()


@dataclass
class Ledger:
    """What the far end got. Numbers of recordings and ids of alerts are keys as text, as in JSON."""

    answered: dict[str, int] = field(default_factory=dict)
    """Complete results by recording: what is billed."""
    lost: dict[str, int] = field(default_factory=dict)
    """Complete uploads whose reply got lost."""
    refused: int = 0
    """Uploads that were answered with an error."""
    alerts: dict[str, int] = field(default_factory=dict)
    """Messages that were accepted, by `destination/id`."""
    titles: list[str] = field(default_factory=list)
    """Of the messages that the operations got."""
    webhooks: dict[str, int] = field(default_factory=dict)
    """Messages that the webhook's receiver accepted, by `type/id`."""


@dataclass
class Mood:
    """How the far end behaves: the key that it takes, whether the API is up, which destinations are down."""

    key: str = ""
    is_up: bool = True
    down: tuple[str, ...] = ()


class FarEnd:
    """Answers requests; one connection each, as the service makes them."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.mood = Mood()
        self._sample = json.loads(SAMPLE.read_text("utf-8"))
        self._transcript = self._sample["results"]["channels"][0]["alternatives"][0]["transcript"]
        letters = random.Random(1)
        self._vocabulary = [
            "".join(letters.choices("abcdefghiklmnoprstuw", k=letters.randint(3, 9)))
            for _ in range(VOCABULARY)
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = re.search(r"(?im)^content-length: *(\d+)", head)
            body = await reader.readexactly(int(size[1]) if size else 0)
            answer = self.answer(head, body)
            if answer is not None:
                status, content = answer
                start = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n"
                writer.write(f"{start}content-length: {len(content)}\r\n\r\n".encode() + content)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def answer(self, head: str, body: bytes) -> tuple[int, bytes] | None:
        """Status and body of the answer, None to break the connection off."""
        path = head.split(" ", 2)[1].partition("?")[0]
        if path == "/ledger":
            self.mood = Mood(**json.loads(body))
            return 200, json.dumps(asdict(self.ledger)).encode()
        if path == "/v1/listen":
            return self._listen(head, body)
        return self._told(path.strip("/"), head, body), b"{}"

    def _told(self, name: str, head: str, body: bytes) -> int:
        if name in self.mood.down:
            return 500
        content = json.loads(body)
        if name == "crm":
            message_id = re.search(r"(?im)^webhook-id: *(\S+)", head)
            _count(self.ledger.webhooks, f"{content['type']}/{message_id[1] if message_id else ''}")
            return 204
        alert = ALERT_ID.search(content["message"])
        _count(self.ledger.alerts, f"{name}/{alert[1] if alert else ''}")
        if name == "ops":
            self.ledger.titles.append(content["title"])
        return 200

    def _listen(self, head: str, body: bytes) -> tuple[int, bytes] | None:
        if f"authorization: token {self.mood.key}\r\n" not in head.lower():
            return self._refuse(401, "INVALID_AUTH", "Invalid credentials.")
        if not self.mood.is_up:
            return self._refuse(503, "Service Unavailable", "try again later")
        found = LABEL.search(body)
        if found is None or found[2] == b"corrupt":
            text = "Bad Request: failed to process audio: corrupt or unsupported data"
            return self._refuse(400, "Bad Request", text)
        number, kind, seconds = found[1].decode(), found[2].decode(), float(found[3])
        if kind == "doubtful" and number not in self.ledger.lost:
            _count(self.ledger.lost, number)
            return None
        _count(self.ledger.answered, number)
        return 200, json.dumps(self._result(int(number), kind, seconds)).encode()

    def _refuse(self, status: int, code: str, text: str) -> tuple[int, bytes]:
        self.ledger.refused += 1
        content = {"err_code": code, "err_msg": text, "request_id": str(uuid.uuid4())}
        return status, json.dumps(content).encode()

    def _result(self, number: int, kind: str, seconds: float) -> dict[str, Any]:
        reply: dict[str, Any] = self._sample
        reply["metadata"] |= {"request_id": str(uuid.uuid4()), "duration": seconds}
        results = reply["results"]
        own = " ".join(random.Random(number).choices(self._vocabulary, k=WORDS))
        results["channels"][0]["alternatives"][0]["transcript"] = f"{self._transcript} {own}"
        average = ("negative", -0.61) if kind == "negative" else ("neutral", 0.11)
        results["sentiments"]["average"] = dict(zip(("sentiment", "sentiment_score"), average, strict=True))
        intent = "Cancel subscription" if kind == "cancel" else "Resolve order issue"
        results["intents"]["segments"][0]["intents"][0]["intent"] = intent
        return reply


def _count(counts: dict[str, int], key: str) -> None:
    counts[key] = counts.get(key, 0) + 1


async def main() -> None:
    """Serve until the end of standard input; prints the port first."""
    server = await asyncio.start_server(FarEnd().serve, "127.0.0.1", 0, limit=1 << 20)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@dataclass
class Remote:
    """A far end that runs. `mood` is how it behaves once `ask` has told it."""

    port: int
    mood: Mood = field(default_factory=Mood)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, **changes: Any) -> Ledger:
        """Change its mood, and return what it got until now."""
        from tests.servers import client

        for name, value in changes.items():
            setattr(self.mood, name, value)
        found = client().post(f"{self.url}/ledger", json=asdict(self.mood))
        return Ledger(**found.raise_for_status().json())


@contextmanager
def far_end(**mood: Any) -> Iterator[Remote]:
    """A far end as a child process, which ends with this block."""
    command = [sys.executable, "-m", "tests.soak.far_end"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        remote = Remote(int(process.stdout.readline()))
        remote.ask(**mood)
        try:
            yield remote
        finally:
            process.kill()


def twice(counts: dict[str, int]) -> dict[str, int]:
    """What was counted more than once."""
    return {key: count for key, count in Counter(counts).items() if count > 1}


if __name__ == "__main__":
    asyncio.run(main())
