"""`earshot engine` as clients meet it: who may ask, what is taken, what is refused and how that is said."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
import yaml

from daemon.engine.connections import Connection
from daemon.engine.workers import MAX_WAITING
from tests import processes
from tests.cli.sites import environment
from tests.engine.running import serving
from tests.servers import client, wait_until

SILENCE = (Path(__file__).parents[2] / "daemon" / "samples" / "silence.mp3").read_bytes()
KEY = "the-engines-own-key"
TEXT = "Nobody calls me back, that is awful. Then please close my account. Thank you, you were very kind."
HEADERS = {"Authorization": f"Token {KEY}"}
PR_SET_MDWE = 65


@contextmanager
def engine(folder: Path, *arguments: str, **section: Any) -> Iterator[str]:
    """A running `earshot engine`; gives the address that it printed."""
    config = folder / "engine.yaml"
    config.write_text(yaml.safe_dump({"engine": {"model": "tiny.en", **section}}), "utf-8")
    with (folder / "log").open("w") as log, serving(config, *arguments, stderr=log) as (address, _):
        yield address


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A host that has a recording and a text, and one that leads elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(TEXT.encode() if self.path.endswith(".txt") else SILENCE)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engine at `url` has its configuration, and its log."""
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """An engine with a key, one worker, one host to fetch from, and phrases for an intent."""
    (folder / "key").write_text(f"{KEY}\n")
    (folder / "key").chmod(0o600)
    examples = {"cancel subscription": ["please close my account"]}
    with engine(folder, api_key_file="key", workers=1, hosts=["127.0.0.1"], examples=examples) as address:
        yield address


def test_the_key_is_asked_for_everywhere_but_for_the_health(url: str) -> None:
    asked = [
        client().post(f"{url}/v1/listen", content=SILENCE),
        client().post(f"{url}/v1/listen", content=SILENCE, headers={"Authorization": "Token wrong"}),
        client().get(f"{url}/v1/projects"),
    ]
    for reply in asked:
        assert reply.status_code == 401
        assert reply.json()["err_code"] == "INVALID_AUTH"
        assert reply.json()["request_id"] == reply.headers["dg-request-id"]
    assert client().get(f"{url}/v1/projects", headers=HEADERS).status_code == 200
    assert client().get(f"{url}/healthz").status_code == 200


def test_a_page_in_a_browser_is_refused(url: str) -> None:
    reply = client().post(
        f"{url}/v1/listen", content=b"x", headers=HEADERS | {"Origin": "http://evil.example"}
    )
    assert reply.status_code == 403


def test_a_body_in_chunks_without_length_and_type_is_taken_and_logged(url: str, folder: Path) -> None:
    """As the Go client sends it."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    with closing(connection):
        connection.putrequest("POST", "/v1/listen", skip_accept_encoding=True)
        connection.putheader("Authorization", f"token {KEY}")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(
            b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in halves(SILENCE)) + b"0\r\n\r\n"
        )
        reply = connection.getresponse()
        assert reply.status == 200
        assert hashlib.sha256(SILENCE).hexdigest().encode() in reply.read()
    request, figures = reply.headers["dg-request-id"], r"audio_seconds=4.1 seconds=\d+\.\d\d"
    line = rf"request answered request={request} path=/v1/listen status=200 {figures}\n"
    wait_until(lambda: re.search(line, (folder / "log").read_text()) is not None)


def halves(body: bytes) -> tuple[bytes, bytes]:
    return body[: len(body) // 2], body[len(body) // 2 :]


def test_an_address_is_fetched_from_a_named_host_only(url: str, site: str) -> None:
    reply = client().post(f"{url}/v1/listen", json={"url": f"{site}/a.mp3"}, headers=HEADERS, timeout=60)
    assert reply.status_code == 200
    assert reply.json()["metadata"]["sha256"] == hashlib.sha256(SILENCE).hexdigest()
    other = site.replace("127.0.0.1", "localhost")
    refused = client().post(f"{url}/v1/listen", json={"url": f"{other}/a.mp3"}, headers=HEADERS)
    assert (refused.status_code, refused.json()["err_code"]) == (400, "REMOTE_CONTENT_ERROR")


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"url": 1}', b"{", b"[" * 100_000, b'{"url": "' + b"x" * 70_000]
)
def test_json_that_names_no_address_is_refused(url: str, body: bytes) -> None:
    headers = HEADERS | {"Content-Type": "application/json"}
    reply = client().post(f"{url}/v1/listen", content=body, headers=headers)
    assert reply.status_code == 400
    assert "could not process the JSON payload" in reply.json()["err_msg"]


def test_requests_are_counted_before_their_bodies_are_taken(url: str) -> None:
    parts = urlsplit(url)
    head = f"POST /v1/listen HTTP/1.1\r\nHost: x\r\nAuthorization: Token {KEY}\r\nContent-Length: 9\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(1 + MAX_WAITING):
            waiting = stack.enter_context(socket.create_connection((parts.hostname, parts.port)))
            waiting.sendall(head.encode())
        replies: list[httpx.Response] = []

        def is_full() -> bool:
            replies.append(client().post(f"{url}/v1/listen", content=b"x", headers=HEADERS))
            return replies[-1].status_code == 429

        wait_until(is_full, what="the engine to have its hands full")
        assert replies[-1].json()["err_code"] == "TOO_MANY_REQUESTS"
        assert int(replies[-1].headers["retry-after"]) > 0
    wait_until(lambda: not is_full(), what="the others to be gone")


def test_without_a_key_it_listens_on_this_host_alone(tmp_path: Path) -> None:
    config = tmp_path / "engine.yaml"
    config.write_text("engine: {model: tiny.en}\n")
    done = processes.run("engine", "--config", str(config), "--host", "::", env=environment())
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "engine.api_key_file" in done.stderr


def test_on_a_unix_socket_only_its_owner_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    # One that nobody listens on any more is replaced.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with engine(tmp_path, "--uds", str(path)) as address:
        assert address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=60) as local:
            assert local.get("http://engine/v1/projects").status_code == 200
            evil = local.get("http://engine/v1/projects", headers={"Origin": "http://evil.example"})
            assert evil.status_code == 403


def test_a_connection_that_never_ends_its_headers_is_closed() -> None:
    class Impatient(Connection):
        header_seconds = 0.3

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> tuple[bytes, bytes, bytes]:
        config = uvicorn.Config(app, http=Impatient, ws="none", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            task = asyncio.create_task(server.serve([listener]))
            answers = []
            for sent in (
                b"",
                b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET",
            ):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writer.write(sent)
                answers.append(await asyncio.wait_for(reader.read(), 10))
                writer.close()
            server.should_exit = True
            await task
        return answers[0], answers[1], answers[2]

    silent, slow, second = asyncio.run(run())
    assert (silent, slow) == (b"", b"")
    assert second.startswith(b"HTTP/1.1 200"), "it is the headers of the next request that never end"


def test_where_no_memory_may_be_made_executable_it_says_what_to_install(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute=yes, as the unit has it without the engine's drop-in."""
    config = tmp_path / "engine.yaml"
    config.write_text("engine: {model: tiny.en}\n")
    script = (
        "import ctypes, os, sys; "
        f"assert ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0) == 0, 'old kernel'; "
        f"os.execv(sys.executable, [sys.executable, '-m', 'daemon', 'engine', '--config', '{config}'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=False
    )
    if "old kernel" in done.stderr:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert done.returncode == 1
    assert "systemd/earshot.service.d/engine.conf" in done.stderr
    assert done.stderr.count("\n") == 1


def read(url: str, body: Any, **query: Any) -> httpx.Response:
    """What `/v1/read` answers to a body, as JSON or, where it is bytes, as plain text."""
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = HEADERS | ({"Content-Type": "text/plain"} if isinstance(body, bytes) else {})
    return client().post(
        f"{url}/v1/read", params={"language": "en"} | query, headers=headers, timeout=60, **content
    )


def test_a_text_is_analyzed_with_the_phrases_of_the_configuration(url: str) -> None:
    asked = {"sentiment": "true", "intents": "true", "custom_intent": "Cancel subscription"}
    reply = read(url, {"text": TEXT}, **asked)
    assert reply.status_code == 200
    found = reply.json()
    assert [s["sentiment"] for s in found["results"]["sentiments"]["segments"]][::2] == [
        "negative",
        "positive",
    ]
    assert [(s["text"], s["start_word"]) for s in found["results"]["intents"]["segments"]] == [
        ("Then please close my account.", 7)
    ]
    assert found["metadata"]["request_id"] == reply.headers["dg-request-id"]
    assert found["metadata"]["sentiment_info"]["input_tokens"] > 15


def test_a_text_may_be_fetched_or_sent_as_it_is(url: str, site: str) -> None:
    expected = read(url, {"text": TEXT}, summarize="true").json()["results"]
    assert expected == {"summary": {"text": TEXT}}
    assert read(url, {"url": f"{site}/call.txt"}, summarize="true").json()["results"] == expected
    assert read(url, TEXT.encode(), summarize="true").json()["results"] == expected
    other = site.replace("127.0.0.1", "localhost")
    refused = read(url, {"url": f"{other}/call.txt"}, summarize="true")
    assert (refused.status_code, refused.json()["err_code"]) == (400, "REMOTE_CONTENT_ERROR")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"language": []}, "missing field `language`"),
        ({"language": "es"}, "Only English is supported"),
        ({"summarize": "v2"}, "was not `true` or `false`"),
        ({"custom_topic": [f"topic {n}" for n in range(101)]}, "at most 100"),
    ],
)
def test_a_query_that_read_does_not_know_is_refused(url: str, query: dict[str, Any], message: str) -> None:
    reply = read(url, {"text": TEXT}, **query)
    assert (reply.status_code, reply.json()["err_code"]) == (400, "INVALID_QUERY_PARAMETER")
    assert message in reply.json()["err_msg"]


def test_a_text_over_the_limit_is_refused_by_its_words_its_tokens_and_its_bytes(url: str) -> None:
    for text in ("word " * 150_001, "!" * 150_001, "x" * (3 << 20)):
        reply = read(url, {"text": text}, sentiment="true")
        assert (reply.status_code, reply.json()["err_code"]) == (400, "TOKEN_LIMIT_EXCEEDED")
