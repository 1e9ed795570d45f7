"""`earshot export`: what goes where, under which name, and what is refused."""

from __future__ import annotations

import csv
import json
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.sites import Site
from tests.harness import sample

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def filled(site: Site) -> Site:
    for number, name in enumerate(("../../etc/a.wav", "call.wav", "call.wav"), start=1):
        site.add(
            "recordings",
            id=number,
            state="done",
            name=name,
            transcript=f"words {number}",
            metadata={"n": "=1"},
        )
    site.add("recordings", id=4, state="waiting")
    body = zlib.compress(json.dumps(sample("full_diarized")).encode())
    site.sql(
        "INSERT INTO responses (recording_id, received_at, kind, body) VALUES (2, 'x', 'listen', ?)", body
    )
    return site


def test_csv_has_a_line_for_each_recording(run: Run, filled: Site, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    answer = run("export", "--format", "csv", "--columns", "id,state,metadata.n", "-o", str(file))
    assert answer.returncode == 0, answer.stderr
    header, *lines = csv.reader(file.read_text().splitlines())
    assert header == ["id", "state", "metadata.n"]
    assert lines == [["4", "waiting", ""], *([str(i), "done", "'=1"] for i in (3, 2, 1))]
    assert run("list", "--csv", "--sort", "name", "--columns", "id").stdout.splitlines() == [
        *("id", "1", "4", "3", "2")
    ]


def test_captions_come_from_the_words_of_the_stored_reply(run: Run, filled: Site) -> None:
    answer = run("export", "2", "--format", "vtt")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("WEBVTT\n\n00:00:")
    assert "<v speaker 0>" in answer.stdout


def test_a_folder_gets_a_file_for_each_under_a_name_that_leads_nowhere(
    run: Run, filled: Site, tmp_path: Path
) -> None:
    into = tmp_path / "out"
    answer = run("export", "--format", "md", "-o", f"{into}/")
    assert answer.returncode == 0, answer.stderr
    assert sorted(path.name for path in into.iterdir()) == [
        "1-.._.._etc_a.wav.md",
        "2-call.wav.md",
        "3-call.wav.md",
    ]
    assert "words 3" in (into / "3-call.wav.md").read_text()
    assert (into / "3-call.wav.md").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if "Umask" in line)
    return int(line.split()[1], 8)


def test_what_has_no_times_is_said_and_the_rest_written(run: Run, filled: Site, tmp_path: Path) -> None:
    answer = run("export", "--format", "srt", "-o", str(tmp_path))
    assert answer.returncode == 1
    assert "recording 3: neither its reply" in answer.stderr
    assert [path.name for path in tmp_path.glob("*.srt")] == ["2-call.wav.srt"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--format", "vtt"), 2, "-o FOLDER/"),
        (("--format", "csv", "--columns", "nme"), 2, "there is no column 'nme'"),
        (("--format", "md", "--columns", "id"), 2, "--columns is for csv and jsonl"),
        (("--format", "md", "4", "99"), 1, "4, 99"),
        (("--format", "html", "-o", "/nowhere/at/all.html"), 1, "earshot: /nowhere/at: there is no such"),
    ],
)
def test_what_cannot_be_exported_is_said(
    run: Run, filled: Site, arguments: tuple[str, ...], code: int, text: str
) -> None:
    answer = run("export", *arguments)
    assert (answer.returncode, answer.stdout) == (code, "")
    assert text in answer.stderr


def test_a_file_is_replaced_only_by_a_complete_one(run: Run, filled: Site, tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text("before")
    assert run("export", "2", "--format", "jsonl", "-o", str(file)).returncode == 0
    shown = json.loads(run("show", "2", "--json").stdout)
    assert shown | json.loads(file.read_text()) == shown
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []
