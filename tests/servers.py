"""Real servers on loopback that tests send alerts to: they record what arrives and answer as a test wants."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

DEADLINE_SECONDS = 60.0


def wait_until(condition: Callable[[], object], *, seconds: float = DEADLINE_SECONDS, what: str = "") -> None:
    """Return as soon as the condition holds; fail the test when it does not in time."""
    began = time.monotonic()
    pause = threading.Event()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s: {what or condition}"
        # Often at first, as most come true at once; less often later, as looking takes processor time.
        pause.wait(0.01 if waited < 0.5 else 0.03)


def stand_still(pid: int) -> None:
    """Stop a process, and return once none of its threads does anything any more: a signal takes its time."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    wait_until(lambda: all(_state(task) == "T" for task in tasks.iterdir()), what="it to stand still")


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        # It has ended meanwhile.
        return "T"


@functools.cache
def client() -> httpx.Client:
    """One for all who ask by plain HTTP, as httpx's own functions read all certificates each time.

    Each request has a connection of its own.
    """
    return httpx.Client(
        timeout=DEADLINE_SECONDS,
        trust_env=False,
        verify=False,  # noqa: S501
        limits=httpx.Limits(max_keepalive_connections=0),
    )


@dataclass(frozen=True)
class Answer:
    """How an HttpSink answers one request: after `delay` seconds, and not before `until` is set."""

    status: int = 200
    body: bytes = b"ok"
    delay: float = 0.0
    until: threading.Event | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """A request as it arrived. `path` has the query; `at` is time.monotonic()."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    def json(self) -> dict[str, Any]:
        content = json.loads(self.body)
        assert isinstance(content, dict)
        return content


class HttpSink:
    """An HTTP server that records requests and answers `answers` one by one, then always `default`."""

    def __init__(self, *answers: Answer | int, default: Answer | int = 200) -> None:
        self.requests: list[Received] = []
        self._answers = deque(map(_answer, answers))
        self._default = _answer(default)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`"""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def then(self, *answers: Answer | int, default: Answer | int | None = None) -> None:
        """Answer the next requests like this."""
        with self._changed:
            self._answers.extend(map(_answer, answers))
            if default is not None:
                self._default = _answer(default)

    def wait_for(self, count: int, *, seconds: float = DEADLINE_SECONDS) -> list[Received]:
        """The requests, as soon as there are at least `count`; they may not be answered yet."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.requests) >= count, seconds)
            assert arrived, f"{len(self.requests)} of {count} requests within {seconds} s"
            return list(self.requests)

    def answer_to(self, request: Received) -> Answer:
        with self._changed:
            self.requests.append(request)
            answer = self._answers.popleft() if self._answers else self._default
            self._changed.notify_all()
        if answer.delay:
            self._closing.wait(answer.delay)
        while answer.until and not answer.until.is_set() and not self._closing.wait(0.02):
            pass
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that gave up waiting is what some tests are about.
        pass


def _answer(answer: Answer | int) -> Answer:
    return Answer(answer) if isinstance(answer, int) else answer


def _handler_for(sink: HttpSink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                # The sender died: a real receiver has nothing to act on either.
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = sink.answer_to(Received(self.command, self.path, headers, body, time.monotonic()))
            # An answer with a date of its own has no other.
            begin = self.send_response_only if "Date" in answer.headers else self.send_response
            begin(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class SmtpSink:
    """A mail server without TLS or login that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self._changed = threading.Condition()
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def mailto(self, recipient: str = "team@example.org", query: str = "") -> str:
        """The Apprise URL that sends plain mail to this server."""
        return f"mailto://127.0.0.1:{self.port}?from=earshot@example.org&to={recipient}&mode=insecure{query}"

    def wait_for(self, count: int, *, seconds: float = DEADLINE_SECONDS) -> list[EmailMessage]:
        """The messages, as soon as there are at least `count`."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.messages) >= count, seconds)
            assert arrived, f"{len(self.messages)} of {count} mails within {seconds} s"
            return list(self.messages)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        with self._changed:
            self.messages.append(message)
            self.envelopes.append((envelope.mail_from or "", list(envelope.rcpt_tos)))
            self._changed.notify_all()
        return "250 OK"


def free_port() -> int:
    """A port of loopback on which nobody listens, and which nobody else is given meanwhile.

    It lies below those that the kernel gives to connections (from 32768 on Linux), and each of pytest-xdist's
    workers has ports of its own.
    """
    first = 10_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.SystemRandom().randrange(first, 32_000, 16)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
