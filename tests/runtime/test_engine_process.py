"""The service with the engine that earshot brings along: nothing scripted between a file and its alert."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from daemon.engine.decode import SAMPLE_RATE, samples
from tests.harness import Service
from tests.servers import HttpSink, wait_until

SAMPLES = Path(__file__).parents[2] / "daemon" / "samples"


def children(pid: int) -> list[int]:
    """The processes that this one started and that still run (proc(5))."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def excerpt(name: str, begin_seconds: int, end_seconds: int) -> bytes:
    """A part of a sample, as a WAV file: to recognize all of it takes a quarter of a minute or two."""
    with (SAMPLES / f"{name}.mp3").open("rb") as recording:
        every = np.concatenate(list(samples(recording)))
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        part = every[begin_seconds * SAMPLE_RATE : end_seconds * SAMPLE_RATE]
        file.writeframes((part * 32_767).astype("<i2").tobytes())
    return content.getvalue()


def in_work(database: Path) -> bool:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute("SELECT 1 FROM recordings WHERE state = 'analyzing'").fetchone() is not None


@pytest.fixture
def settings() -> dict[str, object]:
    # A busy machine recognizes slowly; other tests are about the time that a reply may take.
    analyzer = {"base_url": "embedded", "custom_intents": ["cancel subscription"], "timeout": "2m"}
    return {"analyzer": analyzer, "engine": {"model": "tiny.en"}}


def test_a_spoken_complaint_becomes_an_alert_and_silence_does_not(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    with HttpSink() as sink:
        alerts = {
            "destinations": {"team": f"json://{sink.address}/hook"},
            "rules": [
                {"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]},
                {"name": "churn", "when": {"intent": "cancel*"}, "notify": ["team"]},
            ],
        }
        with Service(tmp_path, settings | {"alerts": alerts}) as service:
            service.start()
            service.drop("complaint.wav", excerpt("complaint", 24, 38))
            service.drop("silence.wav", excerpt("silence", 0, 4))
            service.wait_states(done=2)
            (request,) = sink.wait_for(1)

            rows = {row["name"]: row for row in service.rows("SELECT * FROM recordings")}
    assert rows["complaint.wav"]["average_sentiment"] == "negative"
    assert set(json.loads(rows["silence.wav"]["not_analyzed"]).values()) == {"no speech"}
    assert rows["complaint.wav"]["model"] == "embedded"
    assert "unhappy: average -0." in request.json()["message"]
    assert 'churn: intent "cancel subscription"' in request.json()["message"]


@pytest.fixture
def runtime_folder() -> Iterator[Path]:
    """As systemd gives one; a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="run-", dir="/tmp") as folder:
        yield Path(folder)


def test_the_engine_is_its_owners_alone_and_ends_with_the_service_even_when_that_is_killed(
    tmp_path: Path, runtime_folder: Path, settings: dict[str, object]
) -> None:
    with Service(tmp_path, settings, {"RUNTIME_DIRECTORY": str(runtime_folder)}) as service:
        service.start()
        assert service.process is not None
        (engine,) = children(service.process.pid)
        (socket,) = runtime_folder.glob("*/*.sock")
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert not listening_ports(engine)
        service.kill()

        wait_until(lambda: not is_running(engine), what="the engine to end")
    assert not any(runtime_folder.iterdir()), "nothing is left behind"


def listening_ports(pid: int) -> list[str]:
    """The TCP sockets of a process that listen (proc(5))."""
    mine = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: PTH115
    tables = [Path(f"/proc/{pid}/net/{name}").read_text("ascii") for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table.splitlines()]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in mine]


def test_an_engine_that_dies_is_started_again_and_the_recording_is_analyzed(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    with Service(tmp_path, settings) as service:
        service.start()
        assert service.process is not None
        (engine,) = children(service.process.pid)
        os.kill(engine, 9)
        wait_until(lambda: not is_running(engine), what="the engine to die")
        service.drop("silence.mp3", (SAMPLES / "silence.mp3").read_bytes())

        service.wait_states(done=1)
        assert service.stop() == 0


def test_the_demo_shows_a_real_conversation_and_a_real_alert(tmp_path: Path) -> None:
    # A proxy that many networks have must not get what stays on this machine.
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:1")
    environment = os.environ | proxies | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "demo"], capture_output=True, text=True, check=False, env=environment
    )

    assert done.returncode == 0, done.stderr
    assert "That takes about" in " ".join(done.stdout.split())
    assert done.stderr == "", "nothing moves where nobody watches"
    turns = [line for line in done.stdout.splitlines() if re.match(r"\d\d:\d\d  ", line)]
    assert any(re.search(r"-0\.\d\d +This is the worst service I have ever had\.", line) for line in turns)
    assert len(turns) > 8
    assert [line.split()[2] for line in turns if " speaker " in line][:2] == ["0", "1"]
    assert re.search(r"cancel subscription \(\d\d %\)", done.stdout)
    assert "│ [warning] unhappy customer, churn risk - call.ogg" in done.stdout
    assert "│ earshot alert 1, recording 1" in done.stdout
    assert "In one SQLite file" in done.stdout
    assert not any(tmp_path.iterdir()), "nothing is left behind"


def test_an_interrupted_demo_ends_soon_and_leaves_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    demo = subprocess.Popen(
        [sys.executable, "-m", "daemon", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with demo:
        assert demo.stdout is not None
        assert any("The service watches" in line for line in demo.stdout)
        (database,) = tmp_path.glob("*/earshot.db")
        wait_until(lambda: in_work(database), what="the sample to be in work")
        demo.send_signal(signal.SIGINT)
        _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "Traceback" not in said
    assert not any(tmp_path.iterdir()), "nothing is left behind"
