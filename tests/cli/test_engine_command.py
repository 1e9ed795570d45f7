"""`earshot engine`: the embedded engine as a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from tests.cli.sites import environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def engine() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running engine and the address that it printed."""
    command = [sys.executable, "-m", "daemon", "engine", "--port", "0"]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line
        yield process, found[1]
        process.kill()


def test_it_needs_no_configuration_and_answers_where_it_says() -> None:
    with engine() as (_, address):
        assert httpx.get(f"{address}/nothing-here", trust_env=False).status_code == 404


def test_sigterm_ends_it_in_peace() -> None:
    with engine() as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_an_interrupt_ends_it_with_130() -> None:
    with engine() as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_a_port_that_is_taken_is_one_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("engine", "--port", str(port))
    assert answer.returncode == 1
    assert answer.stderr == (
        f"earshot: cannot listen on 127.0.0.1, port {port}: Address already in use; "
        "name others by --host and --port\n"
    )
