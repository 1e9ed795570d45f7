"""What was there before earshot, in the cases that one listing does not settle."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import WatchFolder
from daemon.intake.settle import MAX_PENDING
from daemon.runtime.folder_loop import FolderLoop
from daemon.storage.connection import Database
from daemon.storage.database import rows
from tests.databases import new_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = new_database(tmp_path / "state/earshot.db")
    yield opened
    opened.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "calls/closed").mkdir(parents=True)
    (tmp_path / "calls/closed/old.wav").write_bytes(b"x")
    (tmp_path / "calls/open.wav").write_bytes(b"x")
    threading.Event().wait(0.02)  # the kernel's clock for files is up to some milliseconds behind
    return tmp_path / "calls"


@pytest.fixture
def permission(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set, nobody may read the directory `closed`; root may read everything, so it is played."""
    granted, real = threading.Event(), os.scandir

    def refusing(path: Any) -> Any:
        if os.fsdecode(path).rstrip("/").endswith("/closed") and not granted.is_set():
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return granted


def listed(loop: FolderLoop, db: Database) -> None:
    """Step until the folder is listed in full once more and everything in it has settled."""
    loop.watch.list_again(0.0)
    end = time.monotonic() + 20
    while True:
        loop.step(db, time.monotonic(), datetime.now(UTC))
        if loop.watch.is_ready and loop.is_idle() and loop.intake.room == MAX_PENDING:
            return
        assert time.monotonic() < end


def states(db: Database) -> dict[str, tuple[str, str | None]]:
    found = rows(db, "SELECT name, state, error_code FROM recordings")
    return {row["name"]: (row["state"], row["error_code"]) for row in found}


def test_a_directory_that_becomes_readable_later_was_there_before(
    db: Database, root: Path, permission: threading.Event
) -> None:
    loop = FolderLoop(WatchFolder(path=root, settle=0.05))
    try:
        listed(loop, db)
        assert states(db) == {"open.wav": ("skipped", "existing")}
        assert rows(db, "SELECT baseline_done FROM folders") == [{"baseline_done": 0}]

        (root / "closed/new.wav").write_bytes(b"y")
        permission.set()
        listed(loop, db)

        assert states(db) == {
            "open.wav": ("skipped", "existing"),
            "old.wav": ("skipped", "existing"),
            "new.wav": ("waiting", None),
        }
        assert rows(db, "SELECT baseline_done FROM folders") == [{"baseline_done": 1}]
    finally:
        loop.watch.close()


def test_it_was_there_before_after_a_restart_too(
    db: Database, root: Path, permission: threading.Event
) -> None:
    for _ in range(2):
        loop = FolderLoop(WatchFolder(path=root, settle=0.05))
        listed(loop, db)
        loop.watch.close()
        permission.set()
    assert states(db) == {"open.wav": ("skipped", "existing"), "old.wav": ("skipped", "existing")}


def test_names_that_are_no_recordings_do_not_end_the_baseline(db: Database, tmp_path: Path) -> None:
    place = tmp_path / "mountpoint"
    place.mkdir()
    (place / "README.txt").write_text("nothing is mounted here")
    loop = FolderLoop(WatchFolder(path=place, settle=0.05))
    try:
        listed(loop, db)
        assert rows(db, "SELECT baseline_done FROM folders") == [{"baseline_done": 0}]
    finally:
        loop.watch.close()
