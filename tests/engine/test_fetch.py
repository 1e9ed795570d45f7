"""What the engine fetches for a client: from hosts that are named, and nowhere else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from daemon.engine.fetch import Address, FetchError, fetching

LOOPBACK = ("127.0.0.1",)


class Site(ThreadingHTTPServer):
    """Answers each path with status, headers and body; keeps paths and Host headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Site)
        self.server.asked.append((self.path, self.headers["host"]))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def started() -> Iterator[Site]:
    with Site() as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


@pytest.fixture
def site(started: Site) -> Site:
    started.asked.clear()
    started.answers = {"/a.wav": (200, {}, b"sound" * 1000)}
    return started


def fetched(url: str, hosts: Sequence[str] = LOOPBACK, leads_to: str | None = None) -> bytes:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [ip_address(leads_to or "")]

    async def fetch() -> bytes:
        async with fetching(url, hosts, resolve if leads_to else None, seconds=10) as blocks:
            return b"".join([block async for block in blocks])

    return asyncio.run(fetch())


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(FetchError, match=reason):
        yield


def test_what_a_named_host_has_is_fetched_byte_for_byte(site: Site) -> None:
    assert fetched(f"{site.url}/a.wav") == b"sound" * 1000


@pytest.mark.parametrize("hosts", [(), ("localhost",), ("recordings.example.com",)])
def test_a_host_that_is_not_named_is_not_asked(site: Site, hosts: Sequence[str]) -> None:
    with refused("not one that this engine may fetch from"):
        fetched(f"{site.url}/a.wav", hosts)
    assert site.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a",
        "http://user@127.0.0.1/a",
        "http://127.0.0.1\\@example.com/",
        "http://2130706433/a",
        "http://127.0.0.1.evil.example/a",
        "http://[::1]/a",
        "http:///a",
        "127.0.0.1/a",
        "http://127.0.0.1:99999/a",
        "http://127.0.0.1/\x00",
    ],
)
def test_an_address_in_disguise_is_refused(url: str) -> None:
    with pytest.raises(FetchError):
        fetched(url)


@pytest.mark.parametrize(
    ("named", "url", "asked"),
    [
        ("media.example", "http://media.example:8080/a", True),
        ("media.example:8443", "https://media.example:8443/a", True),
        ("media.example:8443", "https://media.example/a", False),
        ("media.example:443", "https://media.example/a", True),
        ("media.example:443", "http://media.example/a", False),
        ("media.example:80", "http://media.example/a", True),
        ("media.example:80", "http://media.example:/a", True),
        ("media.example:80", "http://media.example:8080/a", False),
        ("[2001:db8::1]:8080", "http://[2001:db8:0::1]:8080/a", True),
        ("[2001:db8::1]:8080", "http://[2001:db8::1]/a", False),
        ("2001:db8::1", "http://[2001:db8::1:80]/a", False),
    ],
)
def test_a_port_that_is_named_is_the_only_one(named: str, url: str, asked: bool) -> None:
    # It leads to this host, which is not named: that is found out only once it may be asked.
    with refused("an address of this machine" if asked else "not one that this engine may fetch from"):
        fetched(url, (named,), leads_to="127.0.0.1")


def test_this_host_may_be_named_with_a_port(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    for named in (f"127.0.0.1:{port}", "127.0.0.1"):
        assert fetched(f"http://localhost:{port}/a.wav", (f"localhost:{port}", named)) == b"sound" * 1000
    with refused("an address of this machine"):
        fetched(f"http://calls.example:{port}/a.wav", ("calls.example", "127.0.0.1:1"), leads_to="127.0.0.1")


def test_each_redirect_is_checked_like_the_first_address(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    site.answers["/there"] = (302, {"Location": "/a.wav"}, b"")
    site.answers["/away"] = (302, {"Location": f"http://localhost:{port}/a.wav"}, b"")
    site.answers["/file"] = (302, {"Location": "file:///etc/passwd"}, b"")
    site.answers["/round"] = (307, {"Location": "/round"}, b"")
    assert fetched(f"{site.url}/there") == b"sound" * 1000
    for path, reason in [("/away", "not one that"), ("/file", "no http"), ("/round", "without end")]:
        with refused(reason):
            fetched(f"{site.url}{path}")
    assert ("/a.wav", f"localhost:{port}") not in site.asked


def test_a_named_host_that_leads_to_this_machine_is_refused_unless_that_is_named(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    url, name = f"http://recordings.example.com:{port}/a.wav", "recordings.example.com"
    for special in ("127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1"):
        with refused("an address of this machine"):
            fetched(url, (name,), leads_to=special)
    assert site.asked == []
    assert fetched(url, (name, "127.0.0.1"), leads_to="127.0.0.1") == b"sound" * 1000
    assert site.asked == [("/a.wav", f"{name}:{port}")], "the address that was checked is asked, by its name"


def test_what_is_no_recording_is_said(site: Site) -> None:
    site.answers["/packed"] = (200, {"Content-Encoding": "gzip"}, b"bomb")
    for path, reason in [("/packed", "compressed"), ("/missing", "status 404")]:
        with refused(reason):
            fetched(f"{site.url}{path}")
    with refused("could not be reached"):
        fetched("http://127.0.0.1:1/a")
