"""Code that runs in a real worker finds nothing but the recording, libraries, and the way for its answer."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.engine.launch import Template, environment
from daemon.engine.query import Options
from daemon.engine.sandbox import Bounds, missing
from daemon.engine.worker import DONE, OUT_OF_MEMORY, UNREADABLE, Job
from tests.engine.attacks import ATTEMPTS
from tests.engine.bombs import sample_table

ROOT = Path(__file__).parents[2]
JOB = Job(
    upload={"request_id": "1", "sha256": "", "created": ""},
    options=Options(),
    model="",
    device="cpu",
    bounds=Bounds(memory_bytes=1 << 30, cpu_seconds=60),
    recognizing_cpu_per_second=4.0,
)

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"this kernel lacks {', '.join(missing())}")


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What an attacker would like to reach, and can without the sandbox."""
    folder = tmp_path_factory.mktemp("service")
    for name in ("earshot.db", "victim"):
        (folder / name).write_bytes(b"what was said")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as by_path,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other,
    ):
        by_path.bind(str(folder / "engine.sock"))
        by_path.listen()
        yield {
            "database": str(folder / "earshot.db"),
            "victim": str(folder / "victim"),
            "socket": str(folder / "engine.sock"),
            "port": listener.getsockname()[1],
            "pid": other.pid,
        }
        other.kill()


def attacking(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from tests.engine.attacks import main; main()", *arguments]


@pytest.fixture(scope="module")
def inside(targets: dict[str, Any]) -> dict[str, Any]:
    """What came of each attempt in a worker that was forked and shut in as all are."""
    env = environment(os.environ | {"DEEPGRAM_API_KEY": "secret"})
    status, said = asyncio.run(do(targets, Template(env, attacking())))
    assert status == DONE, said
    return dict(json.loads(said))


async def do(content: dict[str, Any] | bytes, template: Template, job: Job = JOB) -> tuple[int, bytes]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    await template.start()
    try:
        descriptor = os.memfd_create("recording")
        os.write(descriptor, body)
        return await template.run(descriptor, job)
    finally:
        await template.stop()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may trace a process that is not its own child")
def test_without_the_sandbox_every_attempt_succeeds(targets: dict[str, Any]) -> None:
    """So each refusal inside is a measure's work."""
    done = subprocess.run(
        attacking("--outside"), input=json.dumps(targets).encode(), capture_output=True, check=True, cwd=ROOT
    )
    outcome = json.loads(done.stdout)
    folder = Path(targets["database"]).parent
    for left in ("new", "link"):
        (folder / left).unlink()
    Path(targets["victim"]).write_bytes(b"again")
    assert not [name for name in ATTEMPTS if str(outcome[name]).startswith("refused")]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_code_in_a_worker_cannot(inside: dict[str, Any], attempt: str) -> None:
    assert str(inside[attempt]).startswith("refused"), inside[attempt]


def test_code_in_a_worker_can_still_do_its_work(inside: dict[str, Any]) -> None:
    assert inside["import"] == "wave"
    assert inside["thread"] == "ran"


def test_a_worker_has_the_recording_and_the_way_for_its_answer_and_nothing_else_open(
    inside: dict[str, Any],
) -> None:
    assert len(inside["descriptors"]) == 2


def test_a_worker_sees_no_secret_of_the_environment(inside: dict[str, Any]) -> None:
    assert "DEEPGRAM_API_KEY" not in inside["environment"]
    assert "PATH" not in inside["environment"]


def test_nothing_is_left_of_the_attempts(inside: dict[str, Any], targets: dict[str, Any]) -> None:
    assert inside
    left = sorted(each.name for each in Path(targets["database"]).parent.iterdir())
    assert left == ["earshot.db", "engine.sock", "victim"]


def test_a_table_that_claims_80_million_samples_is_no_recording() -> None:
    bomb = sample_table()
    assert len(bomb) < 640
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    status, _ = asyncio.run(do(bomb, Template(environment(os.environ))))
    assert status in (UNREADABLE, OUT_OF_MEMORY)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 1_500_000), "KB"
