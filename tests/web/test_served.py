"""The pages inside the real service, and alone: they begin, follow a reload, and end in time."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from daemon.engine.connections import listen_on_path
from daemon.web.server import END_SECONDS
from tests import processes
from tests.cli.sites import environment
from tests.harness import ScriptedApi, running
from tests.servers import free_port, wait_until
from tests.web.places import Place

GRACE_SECONDS = 60.0
"""For everything else at the end of the service, on a busy machine."""


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as scripted:
        yield scripted


def test_the_service_serves_its_pages_and_ends_in_time_with_viewers(tmp_path: Path, api: ScriptedApi) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    settings = {"web": {"listen": f"127.0.0.1:{port}"}}
    with running(tmp_path, api, **settings) as service, ExitStack() as viewers:
        wait_until(lambda: _status(f"{base}/healthz") == 200, what="ready")
        for _ in range(10):
            client = viewers.enter_context(httpx.Client(timeout=60))
            stream = viewers.enter_context(client.stream("GET", f"{base}/live"))
            lines = stream.iter_lines()
            assert '"word": "All well"' in next(line for line in lines if line)
        half = viewers.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
        half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        begun = time.monotonic()
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(END_SECONDS + GRACE_SECONDS) == 0
        assert time.monotonic() - begun < END_SECONDS + GRACE_SECONDS


def test_an_address_that_another_program_has_stops_no_analysis_and_is_tried_again(
    tmp_path: Path, api: ScriptedApi
) -> None:
    address = tmp_path / "pages"
    with (
        closing(listen_on_path(address, for_all=False)) as other,
        running(tmp_path, api, web={"listen": str(address)}) as service,
    ):
        service.drop("a.wav")
        service.wait_states(done=1)
        assert "web pages   not served: cannot listen on" in service.earshot("status").stdout
        other.close()
        service.reload()
        transport = httpx.HTTPTransport(uds=str(address))
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as client:
            assert client.get("/healthz").status_code == 200
        service.wait_row("SELECT id FROM troubles WHERE cause = 'pages' AND over_at IS NOT NULL")


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=30, verify=False).status_code  # noqa: S501
    except httpx.TransportError:
        return 0


def test_the_pages_alone_say_where_they_are_and_end_with_0(place: Place) -> None:
    number = place.add()
    said = place.home / "said"
    with (
        said.open("wb") as output,
        processes.start(
            *("web", "--listen", "127.0.0.1:0"),
            env=environment(EARSHOT_CONFIG=str(place.file)),
            stdin=subprocess.DEVNULL,
            stdout=output,
        ) as process,
    ):
        wait_until(lambda: "\n" in said.read_text(), what="listening")
        address = re.fullmatch(r"listening on (\S+)\n", said.read_text())
        assert address is not None
        assert _status(f"{address[1]}/recordings/{number}") == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("0.0.0.0:8765", "can be reached from other hosts and need a password"),
        ("nowhere", "is no address to listen on"),
    ],
)
def test_where_the_pages_may_not_listen_is_said_in_a_line(place: Place, listen: str, said: str) -> None:
    env = environment(EARSHOT_CONFIG=str(place.file))
    answer = processes.run("web", "--listen", listen, env=env, cwd=place.home)
    assert answer.returncode in (1, 2)
    assert said in answer.stderr
