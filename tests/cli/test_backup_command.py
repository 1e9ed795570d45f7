"""`earshot backup` as a person or a timer runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.backups import is_backup
from daemon.text import shown_size
from tests.cli.sites import Site

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(site: Site) -> Path:
    site.add("recordings", id=1, state="done")
    place = site.home / "backups"
    place.mkdir()
    return place


def test_a_backup_into_a_folder_is_named_after_the_time(run: Run, folder: Path) -> None:
    answer = run("backup", str(folder), "--keep", "1")
    assert answer.returncode == 0, answer.stderr
    (file,) = folder.iterdir()
    assert is_backup(file)
    size = shown_size(file.stat().st_size)
    assert answer.stdout == f"{file}: {size}, checked; 1 recording, 0 alerts, 0 webhooks\n"


def test_json_says_what_was_made(run: Run, folder: Path) -> None:
    file = folder / "copy.db"
    document = json.loads(run("backup", str(file), "--json").stdout)
    assert document.pop("seconds") > 0
    assert document.pop("at").endswith("Z")
    assert document == {
        "file": str(file),
        "size_bytes": file.stat().st_size,
        "rows": {"recordings": 1, "alerts": 0, "webhooks": 0},
        "deleted": [],
    }


def test_a_broken_configuration_stops_no_backup(run: Run, site: Site, folder: Path) -> None:
    site.configure(watchh=[])
    assert run("backup", str(folder)).returncode == 0
    assert len(list(folder.iterdir())) == 1


def test_what_cannot_be_is_one_line(run: Run, site: Site, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    answer = run("backup", str(folder / "notes.txt"))
    assert (answer.returncode, len(answer.stderr.splitlines())) == (1, 1)
    assert run("backup", str(folder), "--keep", "0").returncode == 2
    site.configure(database=str(site.home / "none.db"))
    answer = run("backup", str(folder))
    assert (answer.returncode, len(answer.stderr.splitlines())) == (78, 1)
