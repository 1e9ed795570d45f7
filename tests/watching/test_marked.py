"""What is known of a deleted recording's file, or of a list, is dropped when it is long gone, not before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.config.models import Config
from daemon.periodic.retention import retention
from daemon.runtime.folder_loop import FolderLoop
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.marks import GONE_LOOKS
from tests.databases import new_database
from tests.harness import wav

BEGIN = datetime(2025, 1, 1, 12, tzinfo=UTC)


class Days:
    """A folder that is looked at, and a night's work that is done, every day."""

    def __init__(self, place: Path, db: Database) -> None:
        self.folder = place / "calls"
        self.folder.mkdir()
        watch = [{"path": self.folder, "method": "poll", "settle": "0s"}]
        config = Config.model_validate({"database": place / "earshot.db", "watch": watch})
        self._db = db
        self._passed = 0
        self._loop = FolderLoop(config.watch[0])
        self._retention = retention(config, clock=lambda: BEGIN + timedelta(days=self._passed))

    def close(self) -> None:
        self._loop.watch.close()

    def put(self, *names: str) -> None:
        for name in names:
            (self.folder / name).write_bytes(wav(name))

    def pass_by(self, count: int) -> None:
        """Let so many days go by."""
        for _ in range(count):
            self._passed += 1
            for seconds in (0.0, 1.0):
                now = BEGIN + timedelta(days=self._passed, seconds=seconds)
                self._loop.step(self._db, self._passed * 86400 + seconds, now)
            while self._retention(self._db) < 1:
                pass

    def names(self) -> set[str]:
        return {row["name"] for row in rows(self._db, "SELECT name FROM recordings")}

    def marks(self) -> int:
        return len(rows(self._db, "SELECT 1 FROM marks"))

    def lists(self) -> set[str]:
        return {row["name"].decode() for row in rows(self._db, "SELECT name FROM lists")}

    def forget_all(self) -> None:
        self._db.execute("DELETE FROM recordings")


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    with closing(new_database(tmp_path / "earshot.db")) as db, closing(Days(tmp_path, db)) as found:
        yield found


def test_a_file_that_is_long_gone_has_no_mark_and_one_that_stays_is_never_taken_again(days: Days) -> None:
    days.put("gone.wav", "stays.wav", "gone.urls", "stays.urls")
    days.pass_by(1)
    assert days.names() == {"gone.wav", "stays.wav"}
    days.forget_all()
    (days.folder / "gone.wav").unlink()
    (days.folder / "gone.urls").unlink()
    days.pass_by(GONE_LOOKS - 1)
    assert days.marks() == 2
    assert days.lists() == {"gone.urls", "stays.urls"}
    days.pass_by(2)
    assert days.marks() == 1
    assert days.lists() == {"stays.urls"}
    assert days.names() == set()


def test_while_a_folder_is_away_or_empty_its_marks_stay(days: Days, tmp_path: Path) -> None:
    """An empty folder may be the place where a share is not mounted."""
    days.put("call.wav")
    days.pass_by(1)
    days.forget_all()
    days.folder.rename(tmp_path / "away")
    days.pass_by(GONE_LOOKS + 5)
    days.folder.mkdir()
    days.pass_by(GONE_LOOKS + 5)
    days.folder.rmdir()
    (tmp_path / "away").rename(days.folder)
    days.pass_by(2)
    assert days.marks() == 1
    assert days.names() == set()


def test_a_file_that_comes_back_in_time_keeps_its_mark(days: Days) -> None:
    below = days.folder / "below"
    below.mkdir()
    days.put("below/call.wav", "other.wav")
    days.pass_by(1)
    days.forget_all()
    below.rename(days.folder / ".hidden")
    days.pass_by(GONE_LOOKS // 2)
    (days.folder / ".hidden").rename(below)
    days.pass_by(GONE_LOOKS * 2 // 3)
    assert days.marks() == 2
    assert days.names() == set()
