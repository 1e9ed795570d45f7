"""The real process against a scripted API: what tests of the whole service are made of.

`ScriptedApi` is an HTTP server on loopback that speaks `/v1/listen`, keeps a ledger of what it was asked,
and misbehaves as a test wants. `Service` is `python -m daemon run` as a child process with a configuration,
a watched folder and a database of its own.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

from daemon.storage.lock import daemon_status
from tests import processes
from tests.databases import lay_database
from tests.servers import DEADLINE_SECONDS, wait_until

DATA = Path(__file__).parent / "data" / "deepgram"
CANARY_KEY = "CANARY-api-key-0123456789abcdef"
HAS_TABLES = "SELECT 1 FROM sqlite_master WHERE name = 'recordings'"
STATES = "SELECT state, count(*) AS n FROM recordings GROUP BY state"


def sample(name: str) -> dict[str, Any]:
    """A reply of the API from tests/data/deepgram, as a fresh copy."""
    content = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def reply(*, name: str = "negative_average", average: float | None = None, **metadata: Any) -> dict[str, Any]:
    """A complete transcription reply with a request id of its own; `average` sets the average sentiment."""
    content = sample(name)
    content["metadata"]["request_id"] = str(uuid.uuid4())
    content["metadata"].update(metadata)
    if average is not None:
        label = "negative" if average <= -1 / 3 else "positive" if average >= 1 / 3 else "neutral"
        content["results"]["sentiments"]["average"] = {"sentiment": label, "sentiment_score": average}
    return content


def error(name: str) -> tuple[int, dict[str, Any]]:
    """Status and body of a documented error, by its name in tests/data/deepgram/errors.json."""
    entry = sample("errors")[name]
    return entry["status"], entry["body"]


@dataclass(slots=True)
class Call:
    """One request as the API saw it. `body_complete` is what Deepgram would bill."""

    method: str
    path: str
    parameters: dict[str, list[str]]
    headers: dict[str, str]
    number: int
    started_at: float
    size: int = 0
    sha256: str = ""
    text: str = ""
    body_complete: bool = False
    answered: int | None = None
    ended_at: float | None = None


@dataclass(slots=True)
class Conversation:
    """What a script gets to answer a call with: its handler's methods decide what goes over the wire."""

    call: Call
    handler: Any
    closing: threading.Event
    over: Callable[[], None]
    """Counts the call as ended: before the last bytes go out, as their reader may begin the next at once."""

    def reply(
        self,
        status: int = 200,
        body: dict[str, Any] | bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        delay: float = 0.0,
    ) -> None:
        """A whole answer; a dict becomes JSON."""
        if delay:
            self.closing.wait(delay)
        content = body if isinstance(body, bytes) else json.dumps(reply() if body is None else body).encode()
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            self.handler.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.handler.send_header("Content-Length", str(len(content)))
        self.call.answered = status
        self.over()
        self.handler.end_headers()
        self.handler.wfile.write(content)
        self.handler.wfile.flush()

    def raw(self, content: bytes) -> None:
        """Bytes as they are, instead of an answer or a part of one."""
        self.handler.wfile.write(content)
        self.handler.wfile.flush()

    def drip(self, content: bytes, *, every: float) -> None:
        """A byte at a time, until the client has enough of it."""
        for byte in content:
            self.raw(bytes([byte]))
            if self.closing.wait(every):
                return

    def close(self) -> None:
        """End the connection without a word."""
        self.over()
        with contextlib.suppress(OSError):
            self.handler.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.over()
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handler.connection.close()

    def hang(self) -> None:
        """Say nothing until the test ends."""
        self.closing.wait()


Script = Callable[[Conversation], None]


def answer(status: int = 200, body: dict[str, Any] | bytes | None = None, **headers: str) -> Script:
    """A script that always gives this answer; header names with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda conversation: conversation.reply(status, body, named)


def refuse(name: str) -> Script:
    """A script that answers with a documented error."""
    status, body = error(name)
    return answer(status, body)


def together(count: int, script: Script) -> list[Script]:
    """Scripts for the next calls, so many, of which none is answered before all of them are in flight."""
    met = threading.Barrier(count)

    def held(conversation: Conversation) -> None:
        met.wait(DEADLINE_SECONDS)
        script(conversation)

    return [held] * count


class ScriptedApi:
    """The far end of the network. `script` answers every call that none of `then(…)` is left for.

    `takes_body` False answers without reading what is uploaded.
    """

    def __init__(self, script: Script | None = None, *, port: int = 0, takes_body: bool = True) -> None:
        self.script: Script = script or answer()
        self.takes_body = takes_body
        self.calls: list[Call] = []
        self.most_in_flight = 0
        self._next: list[Script] = []
        self._in_flight = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler_for(self))
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
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def then(self, *scripts: Script) -> None:
        """Answer the next calls with these, one each."""
        with self._lock:
            self._next.extend(scripts)

    def listened(self) -> list[Call]:
        """The calls of /v1/listen whose body arrived whole: what would be billed at most."""
        return [call for call in self.calls if call.path == "/v1/listen" and call.body_complete]

    def wait_for_calls(self, count: int, *, seconds: float = DEADLINE_SECONDS) -> None:
        """Return once `count` requests have begun."""
        wait_until(
            lambda: len(self.calls) >= count, seconds=seconds, what=f"{count} calls, {len(self.calls)} seen"
        )

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Take one request; called by the server's threads."""
        address = urlsplit(handler.path)
        with self._lock:
            call = Call(
                method=handler.command,
                path=address.path,
                parameters=parse_qs(address.query),
                headers={name.lower(): value for name, value in handler.headers.items()},
                number=len(self.calls),
                started_at=time.monotonic(),
            )
            self.calls.append(call)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)

        def over() -> None:
            with self._lock:
                if call.ended_at is None:
                    call.ended_at = time.monotonic()
                    self._in_flight -= 1

        try:
            if self.takes_body:
                _read_body(handler, call)
            with self._lock:
                script = self._next.pop(0) if self._next and call.method == "POST" else self.script
            if call.method == "GET":
                script = answer(200, {"projects": []})
            script(Conversation(call, handler, self._closing, over))
        finally:
            over()


def _read_body(handler: BaseHTTPRequestHandler, call: Call) -> None:
    left = int(handler.headers.get("Content-Length") or 0)
    digest = hashlib.sha256()
    is_json = "json" in (handler.headers.get("Content-Type") or "")
    while left:
        block = handler.rfile.read(min(left, 65536))
        if not block:
            return
        digest.update(block)
        call.size += len(block)
        left -= len(block)
        if is_json:
            call.text += block.decode("utf-8", "replace")
    call.sha256 = digest.hexdigest()
    call.body_complete = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed are what these tests are about."""


def _handler_for(api: ScriptedApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.close_connection = True
            api.serve(self)

        do_GET = do_POST = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@dataclass
class Service:
    """The daemon as a child process. `folder` is watched; `settings` are merged over `default_settings`.

    Its log (stderr) is kept in `log_file` over restarts.
    """

    place: Path
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    process: processes.Process | None = None

    def __post_init__(self) -> None:
        self.folder = self.place / "recordings"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.database = self.place / "state" / "earshot.db"
        self.config_file = self.place / "config.yaml"
        self.log_file = self.place / "log"
        self.write_config()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def write_config(self, **settings: Any) -> None:
        """Write the configuration anew, with these settings merged over what it was."""
        self.settings = merged(self.settings, settings)
        content = merged(self._defaults(), self.settings)
        self.config_file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    def _defaults(self) -> dict[str, Any]:
        return {
            "database": str(self.database),
            "watch": [{"path": str(self.folder), "settle": "0.2s", "rescan": "2s"}],
            "analyzer": {"base_url": "http://127.0.0.1:1", "api_key": CANARY_KEY, "timeout": "60s"},
        }

    def command(self, *arguments: str) -> list[str]:
        """The command line of an earshot command with this configuration."""
        return processes.command_line(*arguments, "--config", str(self.config_file))

    def _env(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "DEEPGRAM_API_KEY"}
        return inherited | {"PYTHONUNBUFFERED": "1"} | self.environment

    def earshot(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another earshot command to its end."""
        return processes.run(*arguments, "--config", str(self.config_file), env=self._env())

    def status(self) -> dict[str, Any]:
        """What `earshot status --json` prints."""
        done = self.earshot("status", "--json")
        assert done.returncode == 0, done.stderr
        content = json.loads(done.stdout)
        assert isinstance(content, dict)
        return content

    def start(self, *arguments: str, ready: bool = True, prefix: tuple[str, ...] = ()) -> Self:
        """Start the process and, unless told otherwise, wait until it watches its folders.

        It finds a database with no recording in it: to make one takes half as long again as all else does.
        Where a test has made the folder of the database, there is what that has put into it.
        """
        assert self.process is None
        if not self.database.parent.exists():
            lay_database(self.database)
        with self.log_file.open("ab") as log:
            self.process = processes.start(
                "run",
                *arguments,
                "--config",
                str(self.config_file),
                stderr=log,
                env=self._env(),
                prefix=prefix,
            )
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Return once the process watches its folders."""
        process = self.process
        assert process is not None
        wait_until(lambda: process.poll() is not None or daemon_status(self.database)["ready"], what="ready")
        assert process.poll() is None, f"it ended with {process.returncode}:\n{self.log()}"

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = DEADLINE_SECONDS) -> int:
        """End it by a signal; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        self.process = None
        return code

    def signal(self, number: int) -> None:
        """Send it a signal and leave it running."""
        assert self.process is not None
        self.process.send_signal(number)

    def reload(self) -> None:
        """SIGHUP, and return once the configuration was taken over or refused."""
        said = "configuration taken over", "configuration not taken over"
        before = sum(map(self.log().count, said))
        self.signal(signal.SIGHUP)
        wait_until(
            lambda: sum(map(self.log().count, said)) > before, what="the configuration to be read again"
        )

    def wait_end(self, *, seconds: float = DEADLINE_SECONDS) -> int:
        """Wait until it ends by itself; returns its exit code."""
        assert self.process is not None
        code = self.process.wait(seconds)
        self.process = None
        return code

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def drop(self, name: str, content: bytes | None = None) -> Path:
        """Put a recording into the folder, in one go (written elsewhere, then moved)."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.place / f"incoming-{uuid.uuid4().hex}"
        temporary.write_bytes(content if content is not None else wav(name))
        temporary.rename(target)
        return target

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Read the database as a user would, beside the running process."""
        with self.reading() as read:
            return read(sql, *parameters)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[..., list[dict[str, Any]]]]:
        """A function like `rows` that looks again and again over one connection."""
        with contextlib.ExitStack() as opened:
            found: list[sqlite3.Connection] = []

            def read(sql: str, *parameters: object) -> list[dict[str, Any]]:
                if not found and self.database.exists():
                    db = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)
                    opened.callback(db.close)
                    db.row_factory = sqlite3.Row
                    found.append(db)
                # The process may have created the file and not its tables yet.
                if not found or not found[0].execute(HAS_TABLES).fetchone():
                    return []
                return [dict(row) for row in found[0].execute(sql, parameters)]

            yield read

    def states(self) -> dict[str, int]:
        """How many recordings are in each state that occurs."""
        return {row["state"]: row["n"] for row in self.rows(STATES)}

    def wait_states(self, *, seconds: float = DEADLINE_SECONDS, **expected: int) -> None:
        """Return once the recordings are exactly in these states."""

        def is_so() -> bool:
            return {row["state"]: row["n"] for row in read(STATES)} == expected

        try:
            with self.reading() as read:
                wait_until(is_so, seconds=seconds, what=str(expected))
        except AssertionError as error:
            rows = self.rows("SELECT * FROM recordings LIMIT 3")
            raise AssertionError(f"{error}; now {self.states()}\n{rows}\n{self.log()[-3000:]}") from None

    def wait_row(self, sql: str, *parameters: object, seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """The first row of a query, as soon as there is one."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = read(sql, *parameters)
            return bool(found)

        with self.reading() as read:
            wait_until(look, seconds=seconds, what=f"{sql}\n{self.log()[-3000:]}")
        return found[0]


def wav(text: str = "", *, seconds: float = 0.1) -> bytes:
    """A small valid WAV file (16 kHz mono) whose bytes differ for different texts."""
    seed = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    samples = (seed * (int(seconds * 32000) // len(seed) + 1))[: int(seconds * 16000) * 2]
    header = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt "
    header += (
        struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + b"data" + struct.pack("<I", len(samples))
    )
    return header + samples


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, mapping by mapping; lists are replaced."""
    result = copy.deepcopy(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


@contextlib.contextmanager
def running(place: Path, api: ScriptedApi, **settings: Any) -> Iterator[Service]:
    """A service that works against `api` with an empty database, started and ready; killed at the end."""
    base = {"analyzer": {"base_url": api.url}}
    with Service(place, merged(base, settings)) as service:
        yield service.start()
