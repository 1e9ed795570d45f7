"""What a closed terminal ends: the service that was started at it, and the demo with all its processes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import processes
from tests.harness import Service
from tests.servers import wait_until


def started_at_a_terminal(service: Service, *prefix: str) -> tuple[processes.Process, int]:
    """The service with a controlling terminal, and the descriptor that is its screen and keyboard."""
    ours, theirs = pty.openpty()
    arguments = ("run", "--config", str(service.config_file))
    process = subprocess.Popen(
        ["setsid", "--ctty", *prefix, *processes.command_line(*arguments)],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    service.process = process
    service.wait_ready()
    return process, ours


def test_a_closed_terminal_ends_the_service_in_order(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        process, terminal = started_at_a_terminal(service)
        os.close(terminal)
        assert process.wait(60) == 0


def test_what_is_to_survive_its_terminal_reloads_instead(
    tmp_path: Path,
) -> None:
    with Service(tmp_path) as service:
        process, terminal = started_at_a_terminal(service, "sh", "-c", """trap '' HUP; exec "$@" """, "-")
        said = b""
        process.send_signal(signal.SIGHUP)
        while b"configuration taken over" not in said:
            said += os.read(terminal, 65536)
        os.close(terminal)
        service.wait_ready()
        assert service.stop() == 0


def kill(demo: subprocess.Popen[bytes], terminal: int) -> None:
    demo.kill()


def close(demo: subprocess.Popen[bytes], terminal: int) -> None:
    os.close(terminal)


@pytest.mark.parametrize("end", [kill, close])
def test_the_processes_of_the_demo_end_with_it(
    tmp_path: Path, end: Callable[[subprocess.Popen[bytes], int], None]
) -> None:
    ours, theirs = pty.openpty()
    demo = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "daemon", "demo"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    # Killed, it can clean up nothing itself, so all its processes are there by then, those of the engine too.
    awaited, said = (b"The service watches" if end is kill else b"Starting the service"), b""
    while awaited not in said:
        said += os.read(ours, 65536)
    place = next(tmp_path.glob("earshot-demo-*"))
    wait_until(lambda: processes_about(place), what="the service")

    end(demo, ours)
    demo.wait(60)

    wait_until(lambda: not processes_about(place), what=f"the end of {processes_about(place)}")
    assert end is kill or not place.exists()


def processes_about(place: Path) -> list[int]:
    """The processes that have a file or folder of this place on their command line, and their children."""
    found = {int(each.parent.name): each for each in Path("/proc").glob("[0-9]*/stat")}
    return [pid for pid in found if _is_about(pid, str(place))]


def _is_about(pid: int, text: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except (OSError, IndexError):
        return False
    return text.encode() in command or (
        parent > 1 and b"exit-with-stdin" in command and _is_about(parent, text)
    )
