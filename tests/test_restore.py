"""The way back from a backup as docs/operate.md has it, with the real process."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Conversation, ScriptedApi, Service, reply, wav
from tests.servers import HttpSink

OPERATE = Path(__file__).parents[1] / "docs" / "operate.md"
ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(lambda conversation: conversation.reply(body=reply(average=-0.8))) as server:
        yield server


@pytest.fixture
def team() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def service(tmp_path: Path, api: ScriptedApi, team: HttpSink) -> Iterator[Service]:
    with Service(tmp_path, {"analyzer": {"base_url": api.url, "drain": "0s"}}) as service:
        service.write_config(
            alerts={
                "destinations": {"team": f"json://{team.address}/"},
                "rules": [{"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]}],
            }
        )
        yield service


PAID_TIMES = {"told": 1, "pending": 1, "in-flight": 1, "since": 2}


def drill() -> list[str]:
    """The commands of the page, without what is said of them."""
    _, _, text = OPERATE.read_text("utf-8").partition("## Restore\n")
    block = re.search(r"(?s)```sh\n(.*?)```", text)
    assert block
    lines = block[1].splitlines()
    return [line.partition("    #")[0].strip() for line in lines]


def restore(service: Service, copy: Path) -> list[str]:
    """Run the drill on this service; returns what each of its programs is."""
    state = str(service.database.parent)
    programs = []
    for line in drill():
        line = re.sub(r"/var/backups/earshot/\S+", str(copy), line)
        line = line.replace("/var/lib/earshot", state).replace("-o earshot -g earshot", f"-o {ME}")
        line = line.replace("sudo -u earshot earshot", "earshot")
        program, *arguments = line.split()
        programs.append(program)
        if line == "systemctl stop earshot":
            assert service.stop() == 0
        elif line == "systemctl start earshot":
            service.start()
        elif program == "earshot":
            done = service.earshot(*arguments)
            assert done.returncode == 0, done.stderr
            assert "service     running" in done.stdout
        else:
            subprocess.run(shlex.split(line), check=True)
    return programs


def test_the_way_back_loses_nothing_and_pays_again_only_for_what_the_copy_does_not_know(
    service: Service, api: ScriptedApi, team: HttpSink, tmp_path: Path
) -> None:
    service.start()
    service.drop("told.wav")
    team.wait_for(1)
    team.then(default=503)
    service.drop("pending.wav")
    service.wait_row("SELECT 1 FROM alerts WHERE state = 'pending' AND error IS NOT NULL")
    api.then(Conversation.hang)
    service.drop("in-flight.wav")
    service.wait_states(done=2, analyzing=1)
    copy = tmp_path / "copy.db"
    assert service.earshot("backup", str(copy)).returncode == 0
    team.then(default=200)
    service.drop("since.wav")
    service.wait_states(done=3, analyzing=1)
    service.wait_row("SELECT 1 FROM alerts JOIN recordings ON recordings.id = recording_id"
                     " WHERE name = 'since.wav' AND alerts.state = 'sent'")  # fmt: skip

    assert restore(service, copy) == ["systemctl", "cp", "rm", "install", "systemctl", "earshot"]

    service.wait_states(done=4)
    service.wait_row("SELECT count(*) AS n FROM alerts WHERE state = 'sent' GROUP BY state HAVING n = 4")
    shutil.copy(service.folder / "told.wav", service.folder / "again.wav")
    service.wait_states(done=4, duplicate=1)
    paid = Counter(call.sha256 for call in api.listened() if call.answered)
    assert paid == Counter(
        {hashlib.sha256(wav(f"{name}.wav")).hexdigest(): times for name, times in PAID_TIMES.items()}
    )
    accepted = Counter(request.json()["message"].splitlines()[-1] for request in team.requests)
    assert accepted["earshot alert 1, recording 1"] == 1
    assert service.database.stat().st_mode & 0o777 == 0o600
    (folder,) = service.status()["folders"]
    assert (folder["available"], folder["left_alone"]) == (True, 0)
