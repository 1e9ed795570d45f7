"""`earshot engine`: the embedded engine as a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from daemon.engine.weights import find
from tests import processes
from tests.engine.running import serving

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def section(tmp_path: Path) -> Path:
    """A configuration of the engine alone."""
    file = tmp_path / "engine.yaml"
    file.write_text("engine: {model: tiny.en}\n", encoding="utf-8")
    return file


@contextmanager
def engine(section: Path) -> Iterator[tuple[processes.Process, str]]:
    """A running engine and the address that it printed."""
    # A process of its own from the start: how it ends is looked at, and a copy leaves the quick way.
    with serving(section, "--port", "0", prefix=("env",)) as (address, process):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        yield process, address


def test_its_section_of_a_configuration_is_enough_and_it_answers_where_it_says(section: Path) -> None:
    with engine(section) as (_, address):
        assert httpx.get(f"{address}/nothing-here", trust_env=False).status_code == 404


def test_sigterm_ends_it_in_peace(section: Path) -> None:
    with engine(section) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_an_interrupt_ends_it_with_130(section: Path) -> None:
    with engine(section) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_a_port_that_is_taken_is_one_line(run: Run, section: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("engine", "--port", str(port), "--config", str(section))
    assert answer.returncode == 1
    assert answer.stderr == (
        f"earshot: cannot listen on 127.0.0.1, port {port}: Address already in use; "
        "name others by --host and --port\n"
    )


def test_a_unix_socket_beside_an_address_is_wrong_usage(run: Run, section: Path) -> None:
    answer = run("engine", "--uds", "engine.sock", "--port", "8080", "--config", str(section))
    assert answer.returncode == 2
    assert "--uds excludes --port" in answer.stderr


def test_a_model_that_is_not_there_is_one_line_that_says_how_to_get_it(run: Run, section: Path) -> None:
    text = f"watch: [{section.parent}]\nanalyzer: {{base_url: embedded}}\n"
    section.write_text(f"{text}engine: {{model: some/model@{40 * 'a'}}}\n", encoding="utf-8")
    # 78 of what serves: the unit would start it again and again for what a person has to do.
    for command, code in ((["engine"], 78), (["run"], 78), (["engine", "--check"], 1)):
        answer = run(*command, "--config", str(section))
        assert answer.returncode == code
        assert answer.stderr == (
            f"earshot: the model some/model@{40 * 'a'} is not installed; "
            f"fetch it with: earshot engine --install some/model@{40 * 'a'}\n"
        )


def test_check_says_model_hash_device_and_speed(run: Run, section: Path) -> None:
    answer = run("engine", "--config", str(section), "--check")
    assert answer.returncode == 0, answer.stderr
    lines = dict(line.split(": ", 1) for line in answer.stdout.splitlines())
    assert lines["model"].startswith("tiny.en, Whisper tiny.en, English speech")
    assert lines["hash"].startswith(
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a, as pinned"
    )
    assert lines["device"] in ("cpu (int8)", "cuda (float16)")
    assert re.fullmatch(r"\d+\.\d times real time \(.*\)", lines["speed"])


def test_install_finds_what_is_there_already(run: Run) -> None:
    answer = run("engine", "--install", "tiny.en")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"tiny.en is there already: {find('tiny.en')}\n" + (
        f"sentences is there already: {find('sentences')}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--install", "large"],
            1,
            "no model called large can be fetched; name one of base, tiny.en, sentences",
        ),
        (["--into", "/tmp"], 2, "--into goes with --install"),
        (["--install", "tiny.en", "--check"], 2, "--check and --install exclude each other"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: list[str], code: int, said: str) -> None:
    answer = run("engine", *arguments)
    assert answer.returncode == code
    assert said in answer.stderr
