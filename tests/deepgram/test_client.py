"""The HTTP conversation with a real server that misbehaves: streamed, and bounded in time and size."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon.deepgram.client import MAX_REPLY_BYTES, ApiClient, Reply, unpaid_look
from daemon.deepgram.upload import BLOCK_BYTES, Upload, open_recording
from daemon.errors import (
    AccountError,
    AnalysisError,
    DoubtfulReplyError,
    EarshotError,
    FileChangedError,
    RateLimitedError,
    RecordingError,
    ServiceDownError,
    TemporaryError,
)
from tests.deepgram.asking import request
from tests.harness import CANARY_KEY, Conversation, ScriptedApi, answer, error, refuse
from tests.servers import DEADLINE_SECONDS, Answer, HttpSink, wait_until

REQUEST = request(custom_intents=["cancel & leave", "übel"], options={"keyterm": ["a b", "c"]})
BIG = 32 * 1024 * 1024
"""More than the buffers of a loopback connection hold."""


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as server:
        yield server


def connection(url: str, *, timeout: float = 20.0, key: str | None = CANARY_KEY) -> ApiClient:
    return ApiClient(url, key=key, timeout=timeout)


def send(path: Path, url: str, *, timeout: float = 20.0, sha256: str | None = None) -> Reply:
    """Hash and send a file."""
    with connection(url, timeout=timeout) as client, open_recording(str(path.parent), str(path)) as file:
        return client.listen_file(Upload(file, sha256), REQUEST)


def failure(path: Path, url: str, *, timeout: float = 20.0) -> AnalysisError:
    """The error that sending a file ends in."""
    with pytest.raises(AnalysisError) as caught:
        send(path, url, timeout=timeout)
    return caught.value


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.wav"
    path.write_bytes(os.urandom(100_000))
    return path


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.wav"
    path.touch()
    os.truncate(path, BIG)
    return path


# What is sent


def test_a_file_is_sent_byte_for_byte_with_its_length(api: ScriptedApi, small: Path) -> None:
    api.script = answer(200, b'{"a": 1}', dg_request_id="id-1")

    assert send(small, api.url) == Reply(b'{"a": 1}', "id-1")

    (call,) = api.calls
    content = small.read_bytes()
    assert (call.method, call.path, call.body_complete) == ("POST", "/v1/listen", True)
    assert call.sha256 == hashlib.sha256(content).hexdigest()
    assert call.headers["content-length"] == str(len(content))
    assert "transfer-encoding" not in call.headers
    assert call.headers["authorization"] == f"Token {CANARY_KEY}"
    assert call.headers["content-type"] == "application/octet-stream"
    assert call.headers["accept-encoding"] == "identity"
    assert call.headers["connection"] == "close", "or httpcore may use it again and close it meanwhile"
    assert call.parameters["custom_intent"] == ["cancel & leave", "übel"]
    assert call.parameters["keyterm"] == ["a b", "c"]
    assert call.parameters["summarize"] == ["v2"]


def test_a_hosted_recording_is_named_and_not_fetched(api: ScriptedApi) -> None:
    url = "https://user:pass@example.org/a b.mp3?x=1&y=ü"
    with connection(api.url) as client:
        client.listen_url(url, REQUEST)

    (call,) = api.calls
    assert json.loads(call.text) == {"url": url}
    assert call.headers["content-type"] == "application/json"
    assert call.headers["content-length"] == str(call.size)


@pytest.mark.parametrize("url", ["https://example.com/\udcff.mp3", "https://example.com/\x01.mp3"])
def test_an_address_that_is_no_text_is_its_own_fault(api: ScriptedApi, url: str) -> None:
    with connection(api.url) as client, pytest.raises(RecordingError):
        client.listen_url(url, REQUEST)
    assert api.calls == []


def test_a_text_is_sent_to_read(api: ScriptedApi) -> None:
    with connection(api.url) as client:
        client.read_text('He said "no".', REQUEST.for_text())

    (call,) = api.calls
    assert call.path == "/v1/read"
    assert json.loads(call.text) == {"text": 'He said "no".'}
    assert call.parameters["language"] == ["en"]
    assert call.parameters["summarize"] == ["true"]


def test_without_a_key_none_is_sent(api: ScriptedApi, small: Path) -> None:
    with connection(api.url, key=None) as client, open_recording(str(small.parent), str(small)) as file:
        client.listen_file(Upload(file), REQUEST)

    assert "authorization" not in api.calls[0].headers


class ByPath(ThreadingHTTPServer):
    """An HTTP server on a Unix socket, which keeps what it was sent."""

    address_family = socket.AF_UNIX

    def __init__(self, path: Path) -> None:
        self.bodies: list[bytes] = []
        super().__init__(str(path), self.handler(), bind_and_activate=False)  # type: ignore[arg-type]
        self.socket.bind(str(path))
        self.server_activate()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                return

        return Handler


def test_with_a_unix_socket_requests_go_there(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with ByPath(path) as server:
        threading.Thread(target=server.serve_forever).start()
        with (
            ApiClient("http://localhost", key=None, timeout=20.0, socket_path=path) as client,
            open_recording(str(small.parent), str(small)) as file,
        ):
            assert client.listen_file(Upload(file), REQUEST).body == b"{}"
        server.shutdown()
        assert server.bodies == [small.read_bytes()]


def test_a_unix_socket_that_does_not_answer_is_left_at_the_deadline(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with (
            ApiClient("http://localhost", key=None, timeout=0.5, socket_path=path) as client,
            open_recording(str(small.parent), str(small)) as file,
            pytest.raises(DoubtfulReplyError),
        ):
            client.listen_file(Upload(file), REQUEST)


def test_memory_does_not_grow_with_the_file(api: ScriptedApi, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.touch()
    os.truncate(path, 200 * 1024 * 1024)
    script = """
import re, sys
from pathlib import Path
from daemon.deepgram.client import ApiClient
from daemon.deepgram.upload import Upload, open_recording
from tests.deepgram.asking import request

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

small, large, url = sys.argv[1:]
with ApiClient(url, key="k", timeout=20.0) as client:
    peaks = []
    for path in (small, large):
        with open_recording("/", path) as file:
            client.listen_file(Upload(file), request())
        peaks.append(peak())
print(peaks[1] - peaks[0])
"""
    small = tmp_path / "short.wav"
    small.write_bytes(b"x")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, small, path, api.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 * 1024
    assert api.calls[1].size == 200 * 1024 * 1024


# A file that changes


class SlowServer:
    """Takes connections and reads only when told, so that an upload stands still in between."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._go = threading.Event()
        self.received = b""
        self.started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            self.received = connection.recv(65536)
            self.started.set()
            self._go.wait(60)
            while block := connection.recv(1 << 20):
                self.received += block

    def go_on(self) -> None:
        self._go.set()

    def body_size(self) -> int:
        self._thread.join(60)
        return len(self.received.partition(b"\r\n\r\n")[2])

    def close(self) -> None:
        self._go.set()
        self._thread.join(60)
        self._listener.close()


@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten"])
def test_a_file_that_changes_during_the_upload_is_not_received_whole(big: Path, change: str) -> None:
    """The server sees fewer bytes than announced, so there is nothing that it could bill."""
    sha256 = hashlib.sha256(big.read_bytes()).hexdigest()
    with closing(SlowServer()) as server:

        def disturb() -> None:
            server.started.wait(60)
            if change == "is rewritten":
                with big.open("r+b") as stream:
                    stream.seek(BIG - 1)
                    stream.write(b"x")
            else:
                os.truncate(big, BIG + 1 if change == "grows" else BIG - BLOCK_BYTES)
            server.go_on()

        disturber = threading.Thread(target=disturb)
        disturber.start()
        with pytest.raises(FileChangedError):
            send(big, server.url, sha256=sha256)
        disturber.join()
        assert f"Content-Length: {BIG}".encode() in server.received
        assert 0 < server.body_size() < BIG


# Time


def endless(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length


@pytest.mark.parametrize(
    "drip",
    [
        lambda conversation: (conversation.raw(endless(10**6)), conversation.drip(b" " * 10**6, every=0.02)),
        lambda conversation: conversation.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10**6, every=0.02),
        lambda conversation: (
            conversation.raw(b"HTTP/1.1 200 OK\r\n\r\n"),
            conversation.drip(b"{" + b" " * 10**6, every=0.02),
        ),
        lambda conversation: conversation.hang(),
    ],
    ids=["body", "headers", "body without length", "silence"],
)
def test_the_time_for_a_reply_ends_however_it_drips(api: ScriptedApi, small: Path, drip: object) -> None:
    api.script = drip  # type: ignore[assignment]
    with connection(api.url, timeout=0.5) as client, open_recording(str(small.parent), str(small)) as file:
        started = time.monotonic()
        try:
            reply = client.listen_file(Upload(file), REQUEST)
        except DoubtfulReplyError as caught:
            assert caught.possibly_billed
        else:
            # Without a length the end of the connection is the end of the reply: the parser refuses it.
            assert reply.body.strip() == b"{"
        assert 0.4 < time.monotonic() - started < 30.0


def test_what_dripped_until_then_is_kept(api: ScriptedApi, small: Path) -> None:
    def drip(conversation: Conversation) -> None:
        conversation.raw(endless(10**6).replace(b"\r\n\r\n", b"\r\ndg-request-id: id-2\r\n\r\n"))
        conversation.raw(b'{"half"')
        conversation.hang()

    api.script = drip
    lost = failure(small, api.url, timeout=1.5)
    assert isinstance(lost, DoubtfulReplyError)
    assert lost.body == b'{"half"'
    assert lost.request_id == "id-2"


def test_the_time_for_a_reply_does_not_run_during_the_upload(small: Path) -> None:
    big = small.with_name("big.wav")
    big.write_bytes(os.urandom(BIG))
    with closing(SlowServer()) as server:
        threading.Timer(0.8, server.go_on).start()
        lost = failure(big, server.url, timeout=0.3)
        assert server.started.is_set()
        server.close()
        assert server.body_size() == BIG
    assert isinstance(lost, DoubtfulReplyError)


def test_a_reply_in_time_leaves_no_timer_behind(api: ScriptedApi, small: Path) -> None:
    before = threading.active_count()
    with connection(api.url) as client, open_recording(str(small.parent), str(small)) as file:
        for _ in range(3):
            client.listen_file(Upload(file), REQUEST)
    # The one is that of all deadlines; the server's own end in their time.
    wait_until(lambda: threading.active_count() <= before + 1, what="the threads of the requests to end")


# Answers before the upload ends


@pytest.mark.parametrize(
    ("status", "expected", "detail"), [(413, RecordingError, "too_large"), (401, AccountError, "key")]
)
def test_a_refusal_during_the_upload_is_read(
    big: Path, status: int, expected: type[AnalysisError], detail: str
) -> None:
    """The server does not read the body: it answers and closes, which breaks the upload."""
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse_early() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65536)
            body = json.dumps(error("e401_key")[1]).encode()
            head = f"HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            peer.sendall(head.encode() + body)
            peer.shutdown(socket.SHUT_WR)
            # What a server that lingers does; without it the reset may overtake the answer.
            peer.settimeout(60)
            for _ in range(8):
                peer.recv(1 << 20)

    thread = threading.Thread(target=refuse_early)
    thread.start()
    with closing(listener):
        refused = failure(big, f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert isinstance(refused, expected)
    assert (getattr(refused, "code", None) or getattr(refused, "cause", None)) == detail
    assert not refused.possibly_billed


@pytest.mark.parametrize("ending", ["cut", "reset", "drip"])
@pytest.mark.parametrize(("name", "expected"), [("e401_key", AccountError), ("e429", RateLimitedError)])
def test_a_status_counts_although_its_body_never_ends(
    api: ScriptedApi, small: Path, name: str, expected: type[AnalysisError], ending: str
) -> None:
    """The status came whole, so a refusal is a refusal and not a reply lost."""
    status, body = error(name)

    def refuse_badly(conversation: Conversation) -> None:
        content = json.dumps(body).encode()
        conversation.reply(
            status, content, {"Content-Length": str(len(content) + 99), "dg-request-id": "id-3"}
        )
        if ending == "drip":
            conversation.drip(b" " * 98, every=0.1)
        getattr(conversation, "reset" if ending == "reset" else "close")()

    api.script = refuse_badly
    refused = failure(small, api.url, timeout=1.5)
    assert type(refused) is expected
    assert refused.request_id == "id-3"
    assert not refused.possibly_billed


# Endings


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_connection_that_ends_without_an_answer_leaves_doubt(
    api: ScriptedApi, small: Path, ending: str
) -> None:
    api.script = lambda conversation: getattr(conversation, ending)()

    assert isinstance(failure(small, api.url), DoubtfulReplyError)


def test_a_connection_that_ends_during_the_upload_leaves_none(big: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        peer, _ = listener.accept()
        peer.recv(65536)
        peer.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with closing(listener):
        broken = failure(big, f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert type(broken) is TemporaryError
    assert not broken.possibly_billed


def test_where_nobody_listens_the_service_is_not_reached(small: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    down = failure(small, f"http://127.0.0.1:{port}")

    assert isinstance(down, ServiceDownError)
    assert not down.reached


@pytest.mark.parametrize(
    ("variable", "value", "url"),
    [
        ("ALL_PROXY", "socks5://me:a-password@127.0.0.1:1", "http://10.0.0.1:1"),
        ("HTTPS_PROXY", "ftp://me:a-password@127.0.0.1:1", "https://api.deepgram.com"),
        ("http_proxy", "http://me:a-password@[::1", "http://10.0.0.1:1"),
        ("SSL_CERT_FILE", "/nowhere", "https://127.0.0.1:1"),
    ],
)
def test_an_environment_that_is_of_no_use_is_said_in_a_line_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, url: str
) -> None:
    monkeypatch.setenv(variable, value)
    for ask in (lambda: connection(url), lambda: unpaid_look(url, None)):
        with pytest.raises(EarshotError) as caught:
            ask()
        assert variable in str(caught.value)
        assert "a-password" not in str(caught.value)
    with connection("http://127.0.0.1:1"), pytest.raises(ServiceDownError):
        unpaid_look("http://127.0.0.1:1", None)


@pytest.mark.parametrize("url", ["", "api.deepgram.com", "ftp://x", "http://", "http://[::1", "http://a:b"])
def test_an_address_that_is_none_is_the_configuration_s(small: Path, url: str) -> None:
    refused = failure(small, url)

    assert isinstance(refused, AccountError)
    assert refused.cause == "request"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(api: ScriptedApi, small: Path, status: int) -> None:
    """Neither the key nor the recording goes to a host that the configuration does not name."""
    with ScriptedApi() as elsewhere:
        api.script = answer(status, b"", Location=f"{elsewhere.url}/v1/listen")
        refused = failure(small, api.url)
        assert elsewhere.calls == []
    assert isinstance(refused, AccountError)
    assert len(api.calls) == 1


def test_a_reply_without_end_is_cut_off(api: ScriptedApi, small: Path) -> None:
    api.script = answer(200, b"x" * MAX_REPLY_BYTES, dg_request_id="id-4")
    assert len(send(small, api.url).body) == MAX_REPLY_BYTES
    api.script = answer(200, b"x" * 2 * MAX_REPLY_BYTES, dg_request_id="id-4")
    lost = failure(small, api.url)
    assert isinstance(lost, DoubtfulReplyError)
    assert len(lost.body) == 4096
    assert lost.request_id == "id-4"


def test_an_error_without_end_is_cut_off(api: ScriptedApi, small: Path) -> None:
    api.script = answer(400, b"x" * 50_000_000)
    refused = failure(small, api.url)
    assert isinstance(refused, RecordingError)
    assert len(str(refused)) < 600


def test_a_body_that_is_compressed_against_our_wish_is_doubtful(api: ScriptedApi, small: Path) -> None:
    api.script = answer(200, b"no gzip at all", Content_Encoding="gzip")

    assert isinstance(failure(small, api.url), DoubtfulReplyError)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, identity", "GZIP , br"])
def test_an_encoding_that_nobody_asked_for_is_not_unpacked(
    api: ScriptedApi, small: Path, encoding: str
) -> None:
    api.script = answer(200, b"{}", Content_Encoding=encoding)

    assert "cannot be decoded" in str(failure(small, api.url))


def test_encodings_within_one_another_are_not_unpacked(api: ScriptedApi, small: Path) -> None:
    """Some kilobytes would become gigabytes before their length is known."""
    bomb = gzip.compress(gzip.compress(bytes(50_000_000), 1) * 10, 9)
    api.script = answer(200, bomb, Content_Encoding="gzip, gzip")
    tracemalloc.start()
    lost = failure(small, api.url)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert isinstance(lost, DoubtfulReplyError)
    assert peak < 20_000_000


def test_a_reply_that_repeats_the_key_is_kept_without_it(api: ScriptedApi, small: Path) -> None:
    """What is received goes into the database, also when it is no reply."""
    page = f"<html>Authorization: Token {CANARY_KEY}</html>".encode()
    api.script = answer(200, page, dg_request_id=f"for {CANARY_KEY}")
    assert send(small, api.url) == Reply(b"<html>Authorization: Token ***</html>", "for ***")

    def cut(conversation: Conversation) -> None:
        conversation.reply(200, f"Token {CANARY_KEY}".encode(), {"Content-Length": "1000"})
        conversation.close()

    api.script = cut
    lost = failure(small, api.url)
    assert isinstance(lost, DoubtfulReplyError)
    assert lost.body == b"Token ***"


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".com"])
def test_a_host_that_no_resolver_takes_is_the_configuration_s(small: Path, host: str) -> None:
    refused = failure(small, f"http://{host}:80")
    assert isinstance(refused, AccountError)
    assert refused.cause == "request"
    with pytest.raises(AccountError):
        unpaid_look(f"http://{host}:80", CANARY_KEY)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 504])
def test_an_error_that_repeats_the_key_does_not_spread_it(api: ScriptedApi, small: Path, status: int) -> None:
    """Some proxies put the request's headers into their error pages."""
    api.script = answer(status, f"Authorization: Token {CANARY_KEY} is not welcome".encode())
    refused = failure(small, api.url)

    assert CANARY_KEY not in str(refused)
    assert "is not welcome" in str(refused)
    assert CANARY_KEY.encode() not in getattr(refused, "body", b"")


def test_a_key_that_no_header_can_hold_is_not_repeated(api: ScriptedApi, small: Path) -> None:
    with (
        connection(api.url, key=f"{CANARY_KEY}\nX: y") as client,
        open_recording(str(small.parent), str(small)) as file,
        pytest.raises(AccountError) as caught,
    ):
        client.listen_file(Upload(file), REQUEST)
    assert CANARY_KEY not in str(caught.value)
    assert api.calls == []


@pytest.mark.parametrize(
    ("names", "expected"), [(("dg-request-id",), "a"), (("x-dg-request-id",), "a"), ((), None)]
)
def test_the_request_id_is_read_from_either_header(
    api: ScriptedApi, small: Path, names: tuple[str, ...], expected: str | None
) -> None:
    api.script = lambda conversation: conversation.reply(200, b"{}", dict.fromkeys(names, "a"))

    assert send(small, api.url).request_id == expected


def test_many_recordings_are_under_way_at_once(api: ScriptedApi, small: Path) -> None:
    all_of_them = threading.Barrier(20)

    def meet(conversation: Conversation) -> None:
        all_of_them.wait(DEADLINE_SECONDS)
        conversation.reply()

    api.script = meet
    with connection(api.url) as client, open_recording(str(small.parent), str(small)) as file:
        threads = [
            threading.Thread(target=client.listen_file, args=(Upload(file), REQUEST)) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert api.most_in_flight == 20
    assert len(api.listened()) == 20


# A look that costs nothing


def test_a_client_that_was_closed_sends_nothing_and_blames_no_recording(
    api: ScriptedApi, small: Path
) -> None:
    with open_recording(str(small.parent), str(small)) as file:
        client = connection(api.url)
        with client:
            pass
        with pytest.raises(ServiceDownError) as caught:
            client.listen_file(Upload(file), REQUEST)
    assert not caught.value.reached
    assert api.calls == []


def test_what_is_for_this_host_is_kept_from_proxies(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedApi() as proxy, ScriptedApi() as api:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        port = api.url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost"):
            send(small, f"http://{host}:{port}")
            assert unpaid_look(f"http://{host}:{port}", CANARY_KEY).status == 200
        assert (len(api.listened()), proxy.calls) == (2, [])


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_an_unpaid_look_says_the_status(status: int) -> None:
    with HttpSink(status) as server:
        assert unpaid_look(server.url + "/", CANARY_KEY).status == status
        (seen,) = server.requests
    assert (seen.method, seen.path) == ("GET", "/v1/projects")
    assert seen.headers["authorization"] == f"Token {CANARY_KEY}"


def test_an_unpaid_look_does_not_read_what_it_does_not_need() -> None:
    with HttpSink(Answer(200, bytes(80_000_000))) as sink:
        tracemalloc.start()
        assert unpaid_look(sink.url, CANARY_KEY).status == 200
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 5_000_000


def test_an_unpaid_look_without_an_answer_says_that_the_service_is_down() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ServiceDownError):
            unpaid_look(url, None, seconds=0.3)
    with pytest.raises(ServiceDownError):
        unpaid_look(url, None)


def test_refusals_are_told_apart_from_the_wire(api: ScriptedApi, small: Path) -> None:
    api.then(refuse("e402"), refuse("e503"), refuse("e400_audio"))
    kinds = [type(failure(small, api.url)) for _ in range(3)]

    assert kinds == [AccountError, ServiceDownError, RecordingError]
