"""Results as files beside their originals: through the real process, and file by file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.config.load import load_config
from daemon.config.models import Sidecars, WatchFolder
from daemon.errors import ConfigError, EarshotError
from daemon.models import NewRecording
from daemon.originals.sidecars import write_sidecars
from daemon.storage import queue
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.sidecars import configure_sidecars, sidecars_left
from daemon.watching.names import recording_names
from tests.databases import new_database
from tests.harness import ScriptedApi, Service, wav
from tests.servers import wait_until

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@dataclass
class Stage:
    db: Database
    folder: WatchFolder
    calls: Path

    def add(self, name: str) -> int:
        """A recording that is done, with its file."""
        file = self.calls / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"sound")
        file.chmod(0o640)
        with transaction(self.db):
            new = NewRecording(str(file), is_url=False, folder=str(self.calls))
            recording_id = queue.add(self.db, new, NOW)
            queue.finish(self.db, recording_id, NOW)
        return recording_id

    def again(self, recording_id: int) -> None:
        with transaction(self.db):
            queue.finish(self.db, recording_id, NOW)

    def write(self, text: str = "{}", *, now: datetime = NOW) -> None:
        write_sidecars(self.db, self.folder, lambda _db, number, form: f"{text} {number} {form}", now)

    def files(self) -> dict[str, str]:
        found = [path for path in self.calls.parent.rglob("*") if path.suffix in (".json", ".vtt")]
        return {str(path.relative_to(self.calls.parent)): path.read_text() for path in found}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    calls = tmp_path / "calls"
    calls.mkdir()
    with closing(new_database(tmp_path / "state" / "earshot.db")) as db:
        yield configured(Stage(db, WatchFolder(path=calls), calls))


def configured(stage: Stage, into: Path | None = None, formats: tuple[Any, ...] = ("json",)) -> Stage:
    stage.folder = WatchFolder(path=stage.calls, sidecars=Sidecars(formats=formats, into=into))
    with transaction(stage.db):
        configure_sidecars(stage.db, [(stage.folder.name, formats)], NOW)
    return stage


def test_a_sidecar_lies_beside_its_original_for_those_who_may_hear_it(stage: Stage) -> None:
    stage.add("call.wav")
    stage.add("sub/call.wav")
    stage.write()
    assert stage.files() == {"calls/call.wav.json": "{} 1 json", "calls/sub/call.wav.json": "{} 2 json"}
    assert (stage.calls / "call.wav.json").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in stage.calls.iterdir() if path.name.startswith(".")] == []
    assert sidecars_left(stage.db) == {"waiting": 0, "error": None}


def test_a_new_result_replaces_ours_and_nothing_of_others(stage: Stage) -> None:
    recording_id = stage.add("call.wav")
    (stage.calls / "call.wav.json").write_text("theirs")
    stage.write("first")
    stage.again(recording_id)
    stage.write("second")
    assert stage.files() == {"calls/call.wav.json": "theirs", "calls/call.wav (2).json": "second 1 json"}


def test_no_link_is_followed(stage: Stage, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    stage.add("call.wav")
    stage.add("sub/call.wav")
    (stage.calls / "call.wav.json").symlink_to(outside / "precious")
    (stage.calls / "sub" / "call.wav").unlink()
    (stage.calls / "sub").rmdir()
    (stage.calls / "sub").symlink_to(outside)
    stage.write()
    assert (outside / "precious").read_text() == "precious"
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert "symbolic link" in sidecars_left(stage.db)["error"]


def test_a_folder_that_is_not_there_is_waited_for(stage: Stage, tmp_path: Path) -> None:
    into = tmp_path / "results"
    configured(stage, into)
    stage.add("sub/call.wav")
    stage.write()
    assert sidecars_left(stage.db) == {
        "waiting": 1,
        "error": f"{into} is not there or not mounted; it is tried again",
    }
    into.mkdir()
    stage.write(now=NOW + HOUR)
    assert stage.files() == {"results/sub/call.wav.json": "{} 1 json"}


def test_a_form_that_a_recording_does_not_have_is_not_tried_again(stage: Stage) -> None:
    def without_times(_db: Database, _number: int, _form: str) -> str:
        raise EarshotError("no times")

    stage.add("call.wav")
    write_sidecars(stage.db, stage.folder, without_times, NOW)
    assert sidecars_left(stage.db)["waiting"] == 0
    assert stage.files() == {}


def test_what_was_written_when_the_process_died_is_known_again(stage: Stage) -> None:
    recording_id = stage.add("call.wav")
    stage.write("first")
    # As a crash leaves it: the file is there, and the row still says that it is to be written.
    stage.db.execute("UPDATE sidecars SET not_before = '' WHERE recording_id = ?", [recording_id])
    stage.write("second")
    assert stage.files() == {"calls/call.wav.json": "second 1 json"}


def test_a_format_that_is_not_wanted_any_more_is_not_written(stage: Stage) -> None:
    stage.add("call.wav")
    configured(stage, formats=("vtt",))
    stage.write()
    assert stage.files() == {}


def test_the_longest_name_has_a_sidecar_too(stage: Stage) -> None:
    stage.add("n" * 251 + ".wav")
    stage.write()
    (name,) = stage.files()
    assert len(os.fsencode(name.removeprefix("calls/"))) == 255


@pytest.mark.parametrize(
    ("name", "taken"),
    [("a.wav.json", False), ("a.json", False), ("a.WAV.vtt", False), ("a.vtt", True), ("a.wav", True)],
)
def test_no_sidecar_is_a_recording_whatever_include_says(tmp_path: Path, name: str, taken: bool) -> None:
    folder = WatchFolder(path=tmp_path, include=("*",), sidecars=Sidecars(formats=("json",)))
    assert recording_names(folder)(name) is taken


def test_sidecars_follow_a_move_and_are_never_taken_in(tmp_path: Path) -> None:
    archive, results = tmp_path / "archive", tmp_path / "results"
    archive.mkdir()
    watch = {"settle": "0.2s", "rescan": "1s", "include": ["*"], "after_success": {"move_to": str(archive)}}
    with ScriptedApi() as api, Service(tmp_path) as service:
        other = tmp_path / "other"
        other.mkdir()
        folders = [
            watch | {"path": str(service.folder), "sidecars": ["json", "vtt"]},
            {"path": str(other), "settle": "0.2s", "include": ["*"], "rescan": "1s"}
            | {"sidecars": {"formats": "html", "into": str(results)}},
        ]
        service.write_config(watch=folders, analyzer={"base_url": api.url})
        service.start()
        service.drop("call.wav")
        (other / "two.wav").write_bytes(wav("two"))
        wait_until(lambda: (archive / "call.wav.vtt").exists() and (archive / "call.wav.json").exists())
        wait_until(lambda: service.status()["sidecars"]["error"])
        service.kill()
        results.mkdir()
        service.start()
        wait_until(lambda: (results / "two.wav.html").exists())
        assert json.loads((archive / "call.wav.json").read_text())["transcript"]
        assert (archive / "call.wav.vtt").read_text().startswith("WEBVTT")
        assert service.rows("SELECT count(*) AS n FROM recordings") == [{"n": 2}]


def test_where_sidecars_may_not_go_is_told_with_its_line(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    folder = {"path": str(calls), "done_marker": "{name}.json"}
    file = tmp_path / "config.yaml"
    sidecars = {"formats": ["json"], "into": str(calls / "results")}
    file.write_text(json.dumps({"watch": [folder | {"sidecars": sidecars}]}, indent=1))
    with pytest.raises(ConfigError) as raised:
        load_config(file, env={"HOME": str(tmp_path)})
    found = {problem.key: problem.problem for problem in raised.value.problems}
    assert "lies inside the watched folder" in found["watch[0].sidecars.into"]
    assert "leave json out of sidecars" in found["watch[0].done_marker"]
