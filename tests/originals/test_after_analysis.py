"""The running service, from a dropped file to what becomes of it, and the backlog that was there before."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests import processes
from tests.harness import CANARY_KEY, ScriptedApi, Service, refuse, running, wav
from tests.servers import wait_until


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as server:
        yield server


def watching(place: Path, **settings: Any) -> dict[str, Any]:
    """The watch section for the folder that a Service has in this place."""
    return {"watch": [{"path": str(place / "recordings"), "settle": "0.2s", "rescan": "1s", **settings}]}


def names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def test_originals_go_where_the_configuration_says(tmp_path: Path, api: ScriptedApi) -> None:
    done, failed = tmp_path / "done", tmp_path / "failed"
    done.mkdir()
    failed.mkdir()
    after = {"after_success": {"move_to": str(done)}, "after_failure": {"move_to": str(failed)}}
    with running(tmp_path, api, **watching(tmp_path, **after)) as service:
        service.drop("2026/a.wav")
        service.wait_states(done=1)
        wait_until(lambda: names(done) == ["2026/a.wav"], what="the success to be moved")
        api.then(refuse("e400_audio"))
        service.drop("bad.wav")
        wait_until(lambda: names(failed) == ["bad.wav"], what="the failure to be moved")
        service.drop("copy.wav", wav("2026/a.wav"))
        wait_until(lambda: names(done) == ["2026/a.wav", "copy.wav"], what="the duplicate to be moved")
        wait_until(lambda: names(service.folder) == [], what="the folder to be empty")
        service.wait_states(done=1, failed=1, duplicate=1)
        moved = str(done / "2026/a.wav")
        service.wait_row("SELECT path FROM recordings WHERE state = 'done' AND path = ?", moved)
        assert len(api.listened()) == 2
        assert service.status()["originals"] == {"waiting": 0, "error": None}


def test_a_killed_service_finishes_with_the_originals_after_its_restart(
    tmp_path: Path, api: ScriptedApi
) -> None:
    done = tmp_path / "done"
    settings = watching(tmp_path, after_success={"move_to": str(done)})
    with running(tmp_path, api, **settings) as service:
        service.drop("a.wav")
        service.wait_row("SELECT * FROM originals WHERE tries > 0")
        assert "create or mount it" in service.status()["originals"]["error"]
        service.kill()
        done.mkdir()
        service.start()
        wait_until(lambda: names(done) == ["a.wav"], what="the original to be moved")
        wait_until(lambda: names(service.folder) == [], what="the folder to be empty")
        assert len(api.listened()) == 1


def test_one_pass_ends_only_when_the_originals_are_where_they_belong(
    tmp_path: Path, api: ScriptedApi
) -> None:
    settings = {**watching(tmp_path, after_success="delete", existing="analyze")}
    with Service(tmp_path, {"analyzer": {"base_url": api.url}, **settings}) as service:
        for number in range(5):
            service.drop(f"{number}.wav")
        answer = service.earshot("scan")
        assert answer.returncode == 0, answer.stderr
        assert names(service.folder) == []
        assert service.states() == {"done": 5}


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_works_where_originals_are_kept(tmp_path: Path, api: ScriptedApi) -> None:
    with running(tmp_path, api, **watching(tmp_path)) as service:
        service.drop("a.wav")
        service.folder.chmod(0o500)
        service.wait_states(done=1)
        service.folder.chmod(0o700)


def test_a_file_waits_for_its_marker(tmp_path: Path, api: ScriptedApi) -> None:
    settings = watching(tmp_path, done_marker="{name}.done", rescan="60s")
    with running(tmp_path, api, **settings) as service:
        service.drop("a.wav")
        service.drop("b.wav")
        service.drop("b.wav.done", b"")
        service.wait_states(done=1)
        assert service.rows("SELECT name FROM recordings") == [{"name": "b.wav"}]
        # Noticed by event: the folder is listed once a minute.
        service.drop("a.wav.done", b"")
        service.wait_states(done=2)


def test_what_the_name_says_is_stored_and_a_mismatch_is_said(tmp_path: Path, api: ScriptedApi) -> None:
    pattern = "{recorded_at:%Y%m%d-%H%M%S}_{agent}"
    settings = {**watching(tmp_path, filename_pattern=pattern), "timezone": "Europe/Berlin"}
    with running(tmp_path, api, **settings) as service:
        service.drop("20260701-120000_anna.wav")
        service.drop("nothing.wav")
        service.wait_states(done=2)
        found = service.rows("SELECT recorded_at, metadata FROM recordings ORDER BY name")
        assert found == [
            {"recorded_at": "2026-07-01T10:00:00.000Z", "metadata": '{"agent": "anna"}'},
            {"recorded_at": None, "metadata": "{}"},
        ]
        assert service.log().count("name does not fit filename_pattern") == 1


def test_a_list_of_addresses_is_analyzed_and_each_address_paid_for_once(
    tmp_path: Path, api: ScriptedApi
) -> None:
    one, two = "https://example.com/one.mp3?key=s3cr3t", "https://example.com/two.mp3"
    with running(tmp_path, api, **watching(tmp_path, lists=True)) as service:
        service.drop("calls.urls", f"# two\n{one}\n{two}\n".encode())
        service.wait_states(done=2)
        service.drop("again.url", f"[InternetShortcut]\nURL={one}\n".encode())
        service.wait_states(done=2, duplicate=1)
        assert sorted(json.loads(call.text)["url"] for call in api.listened()) == [one, two]
        found = service.rows("SELECT path, name, is_url FROM recordings ORDER BY id")
        assert found[0] == {"path": "https://example.com/one.mp3", "name": "one.mp3", "is_url": 1}
        assert not service.rows("SELECT 1 FROM recordings WHERE name LIKE '%.url%'")
        assert "s3cr3t" not in service.log()
        assert CANARY_KEY not in service.log()


def test_each_folder_asks_in_its_own_way_and_tags_its_own(tmp_path: Path, api: ScriptedApi) -> None:
    other = tmp_path / "german"
    other.mkdir()
    watch = watching(tmp_path, tags=["support"])["watch"]
    german = {"language": "de", "features": ["summary"], "model": "nova-2"}
    watch.append({"path": str(other), "settle": "0.2s", "tags": ["sales", "de"], "analyzer": german})
    with running(tmp_path, api, watch=watch) as service:
        service.drop("a.wav")
        service.wait_states(done=1)
        (other / "b.wav").write_bytes(wav("b"))
        service.wait_states(done=2)
        asked = [(call.parameters["language"], call.parameters["model"]) for call in api.listened()]
        assert asked == [(["en"], ["nova-3"]), (["de"], ["nova-2"])]
        assert "intents" not in api.listened()[1].parameters
        tags = [json.loads(row["tags"]) for row in service.rows("SELECT tags FROM recordings ORDER BY id")]
        assert tags == [["support"], ["sales", "de"]]


def backlog(tmp_path: Path, api: ScriptedApi, **more: Any) -> Service:
    """A site with three files that were there first, never started."""
    service = Service(tmp_path, {"analyzer": {"base_url": api.url}, **watching(tmp_path), **more})
    for number in range(3):
        service.drop(f"{number}.wav", wav(str(number), seconds=2))
    return service


def test_the_backlog_is_not_taken_in_without_a_yes(tmp_path: Path, api: ScriptedApi) -> None:
    with backlog(tmp_path, api) as service:
        answer = service.earshot("scan", "--existing")
        assert answer.returncode == 1
        assert "3 recordings left alone, about 0.1 minutes for about 0.0005 USD" in answer.stderr
        assert "--yes" in answer.stderr.splitlines()[-1]
        assert api.calls == []
        assert service.states() == {"skipped": 3}


def test_the_backlog_is_taken_in_with_a_yes(tmp_path: Path, api: ScriptedApi) -> None:
    with backlog(tmp_path, api) as service:
        answer = service.earshot("scan", "--existing", "--yes", "--json")
        assert answer.returncode == 0, answer.stderr
        document = json.loads(answer.stdout)
        assert (document["done"], document["existing"]["recordings"]) == (3, 3)
        assert document["existing"]["estimated_cost_usd"] is not None
        assert service.states() == {"done": 3}


@pytest.mark.parametrize(
    ("word", "code", "states"),
    [("y", 0, {"done": 3}), ("n", 1, {"skipped": 3}), ("\4", 1, {"skipped": 3})],
    ids=["yes", "no", "end of input"],
)
def test_on_a_terminal_somebody_is_asked(
    tmp_path: Path, api: ScriptedApi, word: str, code: int, states: dict[str, int]
) -> None:
    ours, theirs = pty.openpty()
    with backlog(tmp_path, api) as service:
        command = ("scan", "--existing", "--config", str(service.config_file))
        with service.log_file.open("wb") as log:
            process = processes.start(*command, stdin=theirs, stdout=log, stderr=log)
        os.write(ours, f"{word}\n".encode())
        ended = process.wait(60)
        said = service.log()
        assert ended == code, said
        assert "Take them in?" in said
        assert service.states() == states
    os.close(ours)
    os.close(theirs)


def test_the_progress_bar_leaves_the_cursor_alone(tmp_path: Path, api: ScriptedApi) -> None:
    """A second Ctrl-C ends the process at once, and nothing would bring it back."""
    ours, theirs = pty.openpty()
    said = b""
    with backlog(tmp_path, api) as service:
        with processes.start(
            *("scan", "--config", str(service.config_file)),
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm"},
        ) as process:
            os.close(theirs)
            # Linux: EIO once no process has the other end open.
            with suppress(OSError):
                while block := os.read(ours, 4096):
                    said += block
        assert process.returncode == 0
    os.close(ours)
    assert b"looking" in said
    assert b"\x1b[?25l" not in said


def test_a_running_service_takes_in_the_backlog(tmp_path: Path, api: ScriptedApi) -> None:
    with backlog(tmp_path, api) as service:
        service.start()
        service.wait_states(skipped=3)
        assert "`earshot scan --existing` takes them in" in service.log()
        answer = service.earshot("scan", "--existing", "--yes")
        assert answer.returncode == 0, answer.stderr
        assert "3 recordings queued; the running service analyzes them" in answer.stdout
        service.wait_states(done=3)
        nothing = service.earshot("scan", "--existing", "--yes")
        assert "nothing was left alone" in nothing.stderr


def test_yes_alone_is_wrong_usage(tmp_path: Path, api: ScriptedApi) -> None:
    with Service(tmp_path) as service:
        assert service.earshot("scan", "--yes").returncode == 2
