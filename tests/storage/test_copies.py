"""What a copy of the database is checked for before it counts as a backup."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.errors import EarshotError, StoreError
from daemon.storage.connection import Database
from daemon.storage.copies import check_copy, finish_copy, is_copy, last_backup, note_backup, write_copy
from daemon.storage.database import open_copy, transaction
from tests.storage.stores import NOW, add, later


def nothing() -> None:
    pass


@pytest.fixture
def copy(db: Database, tmp_path: Path) -> Path:
    """A copy of a database with 50 recordings."""
    add(db, 50)
    file = tmp_path / "copy.db"
    file.touch()
    write_copy(db, file, nothing)
    with closing(open_copy(file)) as copied:
        finish_copy(copied, NOW, nothing)
    return file


def check(db: Database, file: Path) -> dict[str, int]:
    with closing(open_copy(file)) as copied:
        return check_copy(db, copied, file, nothing)


def test_rows_that_came_or_went_since_the_copy_was_made_are_none_that_it_lacks(
    db: Database, copy: Path
) -> None:
    assert is_copy(copy.read_bytes())
    with transaction(db):
        db.execute("DELETE FROM recordings WHERE id < 10")
    add(db, 5)
    assert check(db, copy) == {"recordings": 50, "alerts": 0, "webhooks": 0}


def test_a_copy_that_lacks_a_row_is_refused(db: Database, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as other:
        other.execute("DELETE FROM recordings WHERE id = 7")
        other.commit()
    with pytest.raises(StoreError, match=r"the copy is not whole, it lacks {'recordings': 1, "):
        check(db, copy)


def test_a_damaged_copy_is_refused(db: Database, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as other:
        sql = "SELECT rootpage FROM sqlite_master WHERE name = 'recordings_queue'"
        (page,) = other.execute(sql).fetchone()
    with copy.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(StoreError, match=r"the copy is damaged \(.*earshot doctor"):
        check(db, copy)


def test_a_copy_is_not_written_over_anything(db: Database, copy: Path) -> None:
    before = copy.read_bytes()
    with pytest.raises((EarshotError, sqlite3.OperationalError)):
        write_copy(db, copy, nothing)
    assert copy.read_bytes() == before


def test_of_a_file_the_last_copy_is_known_and_of_all_the_newest(db: Database) -> None:
    for seconds, path in enumerate(("/b/1", "/b/2", "/b/1")):
        with transaction(db):
            note_backup(db, path, 4096, seconds, later(seconds))
    assert db.execute("SELECT path, recordings FROM backups ORDER BY id").fetchall() == [
        ("/b/2", 1),
        ("/b/1", 2),
    ]
    found = last_backup(db)
    assert found
    assert (found["path"], found["recordings"]) == ("/b/1", 2)
