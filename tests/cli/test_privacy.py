"""What a process holds in memory and environment is hidden from the other processes of its user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import Conversation, ScriptedApi, Service, wav
from tests.programs import program
from tests.servers import wait_until


def unprivileged() -> tuple[str, ...]:
    """The prefix of a command that may not look into every process, although the tests run as root.

    Not CAP_SYS_PTRACE alone: newer kernels let CAP_PERFMON and CAP_SYS_ADMIN read as well.
    """
    if os.geteuid():
        return ()
    return (program("setpriv"), "--bounding-set=-all", "--inh-caps=-all", "--")


def may_read_environment(pid: int) -> bool:
    """Whether another process of the same user gets the environment, and by the same rule the memory."""
    look = "import sys; print(len(open(f'/proc/{sys.argv[1]}/environ', 'rb').read()))"
    run = subprocess.run(
        [*unprivileged(), sys.executable, "-c", look, str(pid)], capture_output=True, text=True, check=False
    )
    if "ProcessLookupError" in run.stderr or "FileNotFoundError" in run.stderr:
        raise ProcessLookupError(pid)
    if run.returncode:
        assert "PermissionError" in run.stderr, run.stderr
    return run.returncode == 0


def children(pid: int) -> list[int]:
    """The processes that this one started, and that have not ended."""
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def has_hidden_worker(engine: int) -> bool:
    """Whether a worker of the engine is there, and hides. Workers are children of a child, their template."""
    for worker in (each for template in children(engine) for each in children(template)):
        with suppress(ProcessLookupError):
            if not may_read_environment(worker):
                return True
    return False


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    """An API that keeps everybody waiting."""
    with ScriptedApi(Conversation.hang) as server:
        yield server


@pytest.fixture
def service(tmp_path: Path, api: ScriptedApi) -> Service:
    service = Service(tmp_path, {"analyzer": {"base_url": api.url}})
    service.write_config(watch=[{"path": str(service.folder), "settle": "0s", "existing": "analyze"}])
    service.drop("call.wav", wav("call"))
    return service


def test_an_ordinary_process_can_be_read_by_its_user() -> None:
    """Without this the others would prove nothing."""
    command = [*unprivileged(), sys.executable, "-c", "print('ready', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert may_read_environment(process.pid)


@pytest.mark.parametrize(
    "command", [["run"], ["scan"], ["analyze", "{call}"]], ids=lambda command: command[0]
)
def test_a_command_at_work_can_not(service: Service, api: ScriptedApi, command: list[str]) -> None:
    arguments = [each.format(call=service.folder / "call.wav") for each in command]
    with subprocess.Popen(
        [*unprivileged(), *service.command(*arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            api.wait_for_calls(1)
            assert not may_read_environment(process.pid)
        finally:
            process.kill()


def test_the_engine_can_not_and_neither_can_its_workers(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("engine: {model: tiny.en}\n", "utf-8")
    command = [*unprivileged(), sys.executable, "-m", "daemon", "engine", "--config", str(config)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().removeprefix("listening on ").strip()
            assert not may_read_environment(process.pid)
            sound = Path(__file__).parents[2] / "daemon" / "samples" / "complaint.mp3"
            send = [sys.executable, "-c", _SEND, address, str(sound)]
            with subprocess.Popen(send) as sender:
                # It hides before it reads the recording.
                wait_until(lambda: has_hidden_worker(process.pid), what="a worker that hides")
                sender.kill()
        finally:
            process.kill()


_SEND = """
import sys, httpx
httpx.post(sys.argv[1] + "/v1/listen", content=open(sys.argv[2], "rb").read(), timeout=60, trust_env=False)
"""
