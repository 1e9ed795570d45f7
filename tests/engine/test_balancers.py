"""Several engines behind HAProxy and nginx, configured by examples/: nothing lost, nothing done twice."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests import processes
from tests.engine.balancers import Balancer
from tests.engine.running import serving
from tests.harness import Conversation, ScriptedApi, Service, answer, running
from tests.servers import client, free_port, wait_until

BALANCERS = pytest.mark.parametrize("kind", ["haproxy", "nginx"])
# As shipped an engine is left alone, or found to be well again, after several seconds.
QUICK = {"haproxy": {"inter 2s": "inter 200ms"}, "nginx": {"fail_timeout=10s": "fail_timeout=1s"}}
KEY = "the-engines-own-key"
BUSY = answer(429, {"err_code": "TOO_MANY_REQUESTS", "err_msg": "Too many requests"}, Retry_After="7")


class Engine(ScriptedApi):
    """A stand-in for `earshot engine`."""

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def done(self) -> list[str]:
        """What it answered with a result, by the digest of what was sent."""
        return [call.sha256 for call in self.listened() if call.answered == 200]


@pytest.fixture
def engines() -> Iterator[tuple[Engine, Engine]]:
    with Engine() as one, Engine() as other:
        yield one, other


def send(url: str, body: bytes = b"recording", **options: Any) -> httpx.Response:
    return client().post(f"{url}/v1/listen", content=body, **options)


def sending(url: str, count: int, at_once: int) -> list[int]:
    """The statuses of this many requests with bodies of their own, so many at once."""
    with ThreadPoolExecutor(at_once) as pool:
        bodies = [f"recording {number}".encode() for number in range(count)]
        return [reply.status_code for reply in pool.map(lambda body: send(url, body), bodies)]


def slow(seconds: float) -> Any:
    return lambda conversation: conversation.reply(delay=seconds)


@BALANCERS
def test_when_an_engine_dies_the_service_loses_nothing_and_only_its_work_is_begun_again(
    kind: str, tmp_path: Path
) -> None:
    begun = threading.Event()

    def die(conversation: Conversation) -> None:
        begun.set()
        conversation.closing.wait(60)
        conversation.reset()

    with Engine() as staying, ExitStack() as mortal:
        dying = mortal.enter_context(Engine(slow(0.05)))
        staying.script = slow(0.05)
        dying.then(slow(0.05), die, die)
        with (
            Balancer(kind, tmp_path, dying.address, staying.address, replacements=QUICK[kind]) as balancer,
            running(tmp_path, staying, analyzer={"base_url": balancer.url, "concurrency": 4}) as service,
        ):
            for number in range(12):
                service.drop(f"{number}.wav")
            assert begun.wait(60)
            mortal.close()
            service.wait_states(done=12)
        done = Counter(dying.done() + staying.done())
        assert len(done) == 12
        assert set(done.values()) == {1}
        broken_off = [call.sha256 for call in dying.listened() if call.answered is None]
        asked = Counter(call.sha256 for call in dying.listened() + staying.listened())
        assert asked == Counter([*done, *broken_off])


@BALANCERS
def test_a_slow_engine_gets_less_and_nothing_is_done_twice(
    kind: str, tmp_path: Path, engines: tuple[Engine, Engine]
) -> None:
    tardy, quick = engines

    def until_most_is_done(conversation: Conversation) -> None:
        wait_until(lambda: len(quick.done()) >= 18, what="the other one to do most")
        conversation.reply()

    tardy.script = until_most_is_done
    with Balancer(kind, tmp_path, tardy.address, quick.address) as balancer:
        assert set(sending(balancer.url, 24, at_once=4)) == {200}
    done = Counter(tardy.done() + quick.done())
    assert (len(done), set(done.values())) == (24, {1})
    assert 1 <= len(tardy.done()) < len(quick.done()) / 2


@BALANCERS
def test_an_engine_that_is_added_gets_work_and_what_was_in_work_goes_on(
    kind: str, tmp_path: Path, engines: tuple[Engine, Engine]
) -> None:
    first, added = engines
    finish = threading.Event()

    def until_told(conversation: Conversation) -> None:
        finish.wait(60)
        conversation.reply()

    with Balancer(kind, tmp_path, first.address) as balancer, ThreadPoolExecutor(1) as pool:
        first.then(until_told)
        pending = pool.submit(send, balancer.url, b"long")
        wait_until(first.listened, what="the long recording to arrive")
        balancer.configure(first.address, added.address)
        balancer.reload()
        wait_until(
            lambda: send(balancer.url, b"short").is_success and added.done(), what="work for the new one"
        )
        finish.set()
        assert pending.result().status_code == 200
    assert len(first.done() + added.done()) == len(first.listened() + added.listened())


@BALANCERS
def test_an_engine_that_cannot_be_reached_is_passed_over(
    kind: str, tmp_path: Path, engines: tuple[Engine, Engine]
) -> None:
    here = engines[0]
    with Balancer(kind, tmp_path, f"127.0.0.1:{free_port()}", here.address) as balancer:
        assert set(sending(balancer.url, 6, at_once=2)) == {200}
    assert len(here.done()) == 6


@BALANCERS
def test_where_no_engine_can_be_reached_the_status_says_that_nothing_is_at_work(
    kind: str, tmp_path: Path
) -> None:
    """A host that is off: no answer at all to the attempt to connect."""
    quick = {"haproxy": {"timeout connect 5s": "timeout connect 200ms"}}
    quick |= {"nginx": {"proxy_connect_timeout 5s": "proxy_connect_timeout 200ms"}}
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as opened:
        address = full.getsockname()
        for _ in range(2):
            filling = opened.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(address)
        name = f"127.0.0.1:{address[1]}"
        with Balancer(kind, tmp_path, name, name, replacements=quick[kind]) as balancer:
            # At first each is tried, later nginx knows that none is there.
            assert [send(balancer.url).status_code for _ in range(2)] == [503, 503]


@BALANCERS
def test_what_an_engine_may_be_working_on_is_given_to_no_other(
    kind: str, tmp_path: Path, engines: tuple[Engine, Engine]
) -> None:
    for engine in engines:
        engine.script = Conversation.reset
    with Balancer(kind, tmp_path, *(engine.address for engine in engines)) as balancer:
        assert send(balancer.url).status_code == 502
        assert sum(len(engine.listened()) for engine in engines) == 1


@BALANCERS
def test_a_full_engine_s_answer_is_passed_on_though_the_upload_is_not_over(kind: str, tmp_path: Path) -> None:
    """Nothing is left unread at any end: a socket that is closed with something in it resets, and the answer
    may be lost with it."""
    begun = b"0" * 1000

    def refuse_early(conversation: Conversation) -> None:
        assert conversation.handler.rfile.read(len(begun)) == begun
        BUSY(conversation)

    with (
        Engine(refuse_early, takes_body=False) as full,
        Balancer(kind, tmp_path, full.address) as balancer,
    ):
        replies = [
            unfinished_upload(balancer.port, begun, length)
            for length in (len(begun), len(begun) + 1, 1 << 29)
        ]
    assert [(reply.status, reply.headers["retry-after"]) for reply in replies] == [(429, "7")] * 3


def unfinished_upload(port: int, begun: bytes, length: int) -> http.client.HTTPResponse:
    """What is answered to the beginning of an upload of so many bytes, of which no more is sent."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.putrequest("POST", "/v1/listen")
        connection.putheader("Content-Length", str(length))
        connection.endheaders(begun)
        return connection.getresponse()


@BALANCERS
def test_an_upload_is_passed_on_as_it_comes(
    kind: str, tmp_path: Path, engines: tuple[Engine, Engine]
) -> None:
    engine = engines[0]
    part = b"0" * (1 << 20)
    with (
        Balancer(kind, tmp_path, engine.address) as balancer,
        closing(http.client.HTTPConnection("127.0.0.1", balancer.port, timeout=30)) as connection,
    ):
        connection.putrequest("POST", "/v1/listen")
        connection.putheader("Authorization", "token KEY")
        connection.putheader("Content-Length", str(3 * len(part)))
        connection.endheaders(part)
        wait_until(
            lambda: any(call.size > len(part) // 2 for call in engine.calls), what="the first part to arrive"
        )
        connection.send(2 * part)
        assert connection.getresponse().status == 200
    [call] = engine.listened()
    assert call.headers["authorization"] == "token KEY"
    assert call.size == 3 * len(part)


@BALANCERS
def test_a_client_that_hangs_up_ends_the_work(
    kind: str, tmp_path: Path, engines: tuple[Engine, Engine]
) -> None:
    ended = threading.Event()

    def notice(conversation: Conversation) -> None:
        with contextlib.suppress(ConnectionResetError):
            assert not conversation.handler.connection.recv(1)
        ended.set()

    engines[0].script = notice
    with Balancer(kind, tmp_path, engines[0].address) as balancer:
        with pytest.raises(httpx.ReadTimeout):
            send(balancer.url, timeout=httpx.Timeout(60, read=0.5))
        assert ended.wait(60)


@BALANCERS
def test_a_reply_may_take_longer_than_any_part_of_an_upload(
    kind: str, tmp_path: Path, engines: tuple[Engine, Engine]
) -> None:
    short = {"haproxy": {"timeout client 60s": "timeout client 500ms"}}
    short |= {"nginx": {"client_body_timeout 60s": "client_body_timeout 500ms"}}
    engines[0].script = slow(1.5)
    with Balancer(kind, tmp_path, engines[0].address, replacements=short[kind]) as balancer:
        assert send(balancer.url).status_code == 200


def test_a_service_goes_on_with_the_engine_that_is_left(tmp_path: Path) -> None:
    """Two real engines with a key, of which one is killed."""
    with ExitStack() as opened:
        engines = [opened.enter_context(real_engine(tmp_path)) for _ in range(2)]
        balancer = opened.enter_context(Balancer("haproxy", tmp_path, *(address for address, _ in engines)))
        analyzer = {"base_url": balancer.url, "api_key": KEY, "concurrency": 2}
        with Service(tmp_path, {"analyzer": analyzer}) as service:
            service.start()
            for number in range(2):
                service.drop(f"{number}.wav")
            service.wait_states(done=2)
            for number in range(2, 6):
                service.drop(f"{number}.wav")
            service.wait_row("SELECT id FROM recordings WHERE state = 'analyzing'")
            engines[0][1].kill()
            service.wait_states(done=6)
            [counted] = service.rows(
                "SELECT count(DISTINCT request_id) AS replies, sum(possibly_billed) AS asked FROM recordings"
            )
            assert counted["replies"] == 6
            assert 6 <= counted["asked"] <= 7, (
                "at most what the killed engine had in work was asked for again"
            )


@contextlib.contextmanager
def real_engine(folder: Path) -> Iterator[tuple[str, processes.Process]]:
    """A running `earshot engine` and its address."""
    (folder / "key").write_text(f"{KEY}\n")
    (folder / "key").chmod(0o600)
    section = {"model": "tiny.en", "api_key_file": "key", "workers": 1}
    (folder / "engine.yaml").write_text(yaml.safe_dump({"engine": section}), "utf-8")
    with serving(folder / "engine.yaml") as (address, process):
        yield address.removeprefix("http://"), process
