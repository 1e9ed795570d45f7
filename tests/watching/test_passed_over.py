"""What a listing passes over: counted by reason, with names enough to find one's file."""

from __future__ import annotations

import os
from pathlib import Path

from daemon.config.models import WatchFolder
from daemon.sightings import PassedFile
from daemon.watching.names import is_ignored_directory, reasons
from daemon.watching.passed_over import MOST_ALIKE, PassedOver
from daemon.watching.scan import Walker


def passed_over(folder: WatchFolder) -> PassedOver:
    return PassedOver(folder.root, reasons(folder))


def counts(passed: PassedOver) -> dict[str, int]:
    return {reason: files.count for reason, files in passed.found().items()}


def test_each_file_that_is_not_taken_has_its_reason(tmp_path: Path) -> None:
    folder = WatchFolder.model_validate({"path": tmp_path, "exclude": ["old*"], "done_marker": "{name}.done"})
    for name in (
        "a.wav",
        "a.wav.done",
        "a.wav.json",
        "b.sln16",
        "noending",
        "old.wav",
        ".c.wav.Xy12Zq",
        "d.wav.part",
    ):
        (tmp_path / name).touch()
    (tmp_path / "e.mp3.download").mkdir()
    (tmp_path / "e.mp3.download" / "e.mp3").touch()
    for name in ("f.wav", "2025", "g.txt"):
        (tmp_path / name).symlink_to("/nowhere")
    os.mkfifo(tmp_path / "h.wav")
    passed = passed_over(folder)
    walker = Walker(folder.root, recursive=True, is_ignored=is_ignored_directory, pass_over=passed.add_other)
    found = [f"{directory}/{entry.name}" for directory, entries in walker.walk() for entry in entries]
    assert [path for path in found if passed.is_recording(path)] == [f"{tmp_path}/a.wav"]
    passed.add_unreadable([f"{tmp_path}/locked"])
    names = {
        reason: {file.path.removeprefix(f"{tmp_path}/") for file in files.files}
        for reason, files in passed.found().items()
    }
    assert names == {
        "ending": {"b.sln16", "noending"},
        "ignored": {"old.wav", ".c.wav.Xy12Zq", "d.wav.part", "e.mp3.download/"},
        "link": {"f.wav", "2025", "h.wav"},
        "unreadable": {"locked/"},
    }
    endings = {Path(file.path).name: file.why for file in passed.found()["ending"].files}
    assert endings == {
        "b.sln16": "files that end in .sln16 are not taken",
        "noending": "the name has no ending",
    }


def test_a_rare_name_is_not_lost_among_many_alike() -> None:
    passed = passed_over(WatchFolder(path=Path("/r")))
    for number in range(500):
        passed.is_recording(f"/r/{number}.txt")
    passed.is_recording("/r/call.sln16")
    files = passed.found()["ending"]
    assert files.count == 501
    assert len(files.files) == MOST_ALIKE + 1
    assert PassedFile("/r/call.sln16", "files that end in .sln16 are not taken") in files.files


def test_a_file_of_which_events_speak_is_counted_once_until_it_is_gone() -> None:
    passed = passed_over(WatchFolder(path=Path("/r")))
    passed.is_recording("/r/a.txt")
    for path in ("/r/a.txt", "/r/b.txt", "/r/b.txt"):
        passed.announce("ending", path)
    assert counts(passed) == {"ending": 2}
    passed.forget("/r/b.txt")
    passed.forget("/r/c.txt")
    assert counts(passed) == {"ending": 1}
    passed.forget("/r/a.txt")
    assert counts(passed) == {}
