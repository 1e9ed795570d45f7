"""Backups: a copy is whole, for its owner alone, without what was erased, and in nobody's way."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.backups import Backup, back_up, is_backup
from daemon.errors import EarshotError, StoreError
from daemon.storage.connection import Database
from daemon.storage.copies import last_backup
from daemon.storage.database import open_database, rows, transaction
from tests.storage.stores import NOW, add

SAID = "the caller said rhododendron "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "earshot.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    with closing(open_database(path)) as db:
        yield db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "backups"
    place.mkdir()
    return place


def fill(db: Database, count: int = 20) -> None:
    """Recordings with transcripts of 30 kB each."""
    ids = add(db, count)
    with transaction(db):
        for number in ids:
            db.execute("UPDATE recordings SET transcript = ? WHERE id = ?", (SAID * 1000, number))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_is_whole_and_for_its_owner_alone_from_the_first_byte(
    path: Path, db: Database, folder: Path
) -> None:
    fill(db)
    seen: list[tuple[str, int]] = []

    def look(done: int, total: int) -> None:
        seen.extend((each.name, stat.S_IMODE(each.stat().st_mode)) for each in folder.iterdir())

    before = os.umask(0)
    try:
        made = back_up(db, path, str(folder / "copy.db"), now=NOW, on_progress=look)
    finally:
        os.umask(before)
    assert {mode for _, mode in seen} == {0o600}
    assert "copy.db" not in {name for name, _ in seen}
    assert names(folder) == ["copy.db"]
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert made.rows == {"recordings": 20, "alerts": 0, "webhooks": 0}
    assert last_backup(db) == {
        "at": "2026-08-01T12:00:00.000Z",
        "path": str(made.file),
        "size_bytes": made.file.stat().st_size,
        "recordings": 20,
    }
    with closing(sqlite3.connect(made.file)) as copy:
        everything = "SELECT * FROM recordings ORDER BY id"
        assert copy.execute(everything).fetchall() == db.execute(everything).fetchall()


def test_who_writes_meanwhile_does_not_wait_and_a_copy_has_whole_transactions(
    path: Path, db: Database, folder: Path
) -> None:
    fill(db)
    add(db, 2)
    writes: list[float] = []

    def copy() -> Backup:
        with closing(open_database(path)) as own:
            # So slow that there is much to write meanwhile.
            return back_up(own, path, str(folder), on_progress=lambda *_: time.sleep(0.02))

    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(copy)
        while not made.done():
            began = time.monotonic()
            # Two at once, or none.
            add(db, 2)
            writes.append(time.monotonic() - began)
    assert len(writes) > 5
    assert sorted(writes)[len(writes) // 2] < 1.0
    assert made.result().rows["recordings"] % 2 == 0
    assert made.result().rows["recordings"] < 22 + 2 * len(writes)


def test_what_was_erased_does_not_come_back_with_a_copy(path: Path, db: Database, folder: Path) -> None:
    fill(db)
    # Another program's SQLite may not overwrite what it deletes, and nothing does so in the index.
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA secure_delete = OFF")
        other.execute("DELETE FROM recordings")
        other.commit()
    files = [path, path.with_name("earshot.db-wal")]
    assert any(b"rhododendron" in file.read_bytes() for file in files)
    made = back_up(db, path, str(folder / "copy.db"))
    assert b"rhododendron" not in made.file.read_bytes()
    assert made.rows["recordings"] == 0


def foreign(place: Path) -> dict[str, Path]:
    """Files that a copy must not take the place of."""
    text, database, link = place / "notes.txt", place / "other.db", place / "link.db"
    text.write_text("not earshot's")
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE notes (text)")
    link.symlink_to(text)
    return {"text": text, "database": database, "link": link}


def test_what_is_no_backup_is_never_replaced(path: Path, db: Database, folder: Path) -> None:
    for file in foreign(folder).values():
        before = file.read_bytes()
        with pytest.raises(EarshotError, match="no backup that earshot made"):
            back_up(db, path, str(file))
        assert file.read_bytes() == before
    for name in ("earshot.db", "earshot.db-wal", "earshot.db-journal", "earshot.db.key", "earshot.db.lock"):
        with pytest.raises(EarshotError, match="belongs to the database itself"):
            back_up(db, path, str(path.with_name(name)))
    assert rows(db, "SELECT count(*) AS n FROM recordings") == [{"n": 0}]


def test_a_backup_that_was_put_to_use_is_a_backup_no_longer(path: Path, db: Database, folder: Path) -> None:
    made = back_up(db, path, str(folder / "copy.db"))
    assert is_backup(made.file)
    open_database(made.file).close()
    assert not is_backup(made.file)
    with pytest.raises(EarshotError, match="no backup that earshot made"):
        back_up(db, path, str(made.file))


def test_in_a_folder_the_newest_stay_and_only_earshot_s_own_go(
    path: Path, db: Database, folder: Path
) -> None:
    others = {"earshot-20200101-000000Z.db", "earshot-20250101-000000Z.db.sha256", "readme"}
    for name in others:
        (folder / name).write_text("not earshot's")
    made: list[Backup] = []
    for day in range(4):
        made.append(back_up(db, path, str(folder), keep=2, now=NOW + timedelta(days=day)))
    kept = {"earshot-20260803-120000Z.db", "earshot-20260804-120000Z.db"}
    assert set(names(folder)) == others | kept
    assert [[each.name for each in backup.deleted] for backup in made] == [
        *([[]] * 2),
        ["earshot-20260801-120000Z.db"],
        ["earshot-20260802-120000Z.db"],
    ]


def test_a_file_keeps_its_name_and_earlier_ones_are_numbered(path: Path, db: Database, folder: Path) -> None:
    file = folder / "copy.db"
    for count in range(4):
        back_up(db, path, str(file), keep=3)
        add(db)
        assert names(folder) == ["copy.db", "copy.db.1", "copy.db.2"][: count + 1]
    counts = []
    for name in names(folder):
        with closing(sqlite3.connect(folder / name)) as copy:
            counts.append(copy.execute("SELECT count(*) FROM recordings").fetchone()[0])
    assert counts == [3, 2, 1]
    back_up(db, path, str(file))
    assert names(folder) == ["copy.db", "copy.db.1", "copy.db.2"]
    (folder / "copy.db.2").write_text("not earshot's")
    with pytest.raises(EarshotError, match=r"copy\.db\.2: this is no backup"):
        back_up(db, path, str(file), keep=3)
    assert names(folder) == ["copy.db", "copy.db.1", "copy.db.2"]


def test_too_little_room_is_said_before_anything_is_written(path: Path, db: Database, folder: Path) -> None:
    with pytest.raises(EarshotError, match=r"a backup needs 100000.* MB there, and .* MB are free"):
        back_up(db, path, str(folder), min_free=10**17)
    assert names(folder) == []


def test_a_folder_that_is_not_there_is_said(path: Path, db: Database, folder: Path) -> None:
    for target in ("missing/copy.db", "missing/"):
        with pytest.raises(EarshotError, match="missing: there is no such folder; make it, or mount"):
            back_up(db, path, f"{folder}/{target}")


def test_a_backup_that_is_stopped_leaves_nothing_behind(path: Path, db: Database, folder: Path) -> None:
    fill(db)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(db, path, str(folder), on_progress=stop)
    assert names(folder) == []
    # What a killed process left goes a day later.
    for name, age in ((".earshot-backup-0123", 2), (".earshot-backup-4567", 0)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age * 86400,) * 2)
    back_up(db, path, str(folder / "copy.db"))
    assert names(folder) == [".earshot-backup-4567", "copy.db"]


def test_a_damaged_database_gives_no_backup(path: Path, folder: Path) -> None:
    with closing(open_database(path)) as db:
        fill(db)
        (root,) = rows(
            db, "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'recordings'"
        )
    with path.open("r+b") as file:
        file.seek((root["rootpage"] - 1) * root["page_size"])
        file.write(b"\xff" * root["page_size"])
    with closing(open_database(path)) as db, pytest.raises(StoreError, match="damaged"):
        back_up(db, path, str(folder))
    assert names(folder) == []
