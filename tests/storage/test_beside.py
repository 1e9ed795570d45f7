"""The files beside the database: what somebody else put in their place is neither followed nor written to."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils

from daemon.errors import StoreError
from daemon.storage.database import daemon_lock, open_database
from daemon.storage.lock import daemon_status, reading_lock
from daemon.storage.private_file import COMPANIONS
from tests.databases import lay_database
from tests.harness import Service
from tests.storage.stores import schema_before

Plant = Callable[[Path, Path], None]
PLANTS: dict[str, Plant] = {
    "link": lambda place, target: place.symlink_to(target),
    "link that leads nowhere": lambda place, target: place.symlink_to(target.with_name("nothing")),
    "fifo": lambda place, target: os.mkfifo(place, 0o666),
    "folder": lambda place, target: place.mkdir(),
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file of somebody else, which is to stay as it is."""
    path = tmp_path / "target"
    path.write_bytes(b"not earshot's" * 10)
    return path


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
@pytest.mark.parametrize("suffix", COMPANIONS)
def test_what_was_planted_beside_the_database_is_refused_by_its_name(
    path: Path, target: Path, suffix: str, plant: Plant
) -> None:
    lay_database(path)
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    beside = path.with_name(path.name + suffix)
    plant(beside, target)
    before = target.read_bytes()

    with pytest.raises(StoreError, match="earshot did not put this") as caught:
        open_database(path)
    with pytest.raises(StoreError, match="did not put this"), daemon_lock(path):
        pass

    assert str(caught.value).startswith(f"{beside}: ")
    assert daemon_status(path)["running"] is False
    assert target.read_bytes() == before
    assert not target.with_name("nothing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_of_another_user_gets_nothing_of_what_was_said(path: Path) -> None:
    lay_database(path)
    wal = path.with_name("earshot.db-wal")
    wal.touch(mode=0o666)
    os.chown(wal, 12345, 12345)
    with pytest.raises(StoreError, match=r"earshot\.db-wal: earshot did not"):
        open_database(path)


def test_a_link_planted_before_the_first_start_is_refused(path: Path, target: Path) -> None:
    path.parent.mkdir()
    path.with_name("earshot.db-wal").symlink_to(target)
    with pytest.raises(StoreError, match=r"earshot\.db-wal: earshot did not"):
        open_database(path)


def test_a_link_to_the_database_itself_is_followed_and_its_files_lie_beside_the_real_one(
    path: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with daemon_lock(link), closing(open_database(link)):
        assert path.with_name("earshot.db.lock").is_file()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["link.db", "state"]


def old_database(path: Path) -> None:
    """A database as an earlier version left it, which is copied before its tables change."""
    open_database(path, schema=schema_before(path.parent.parent, "002")).close()


@pytest.mark.parametrize("plant", [PLANTS["link"], PLANTS["fifo"]], ids=["link", "fifo"])
def test_the_copy_before_an_upgrade_is_a_file_of_its_own(path: Path, target: Path, plant: Plant) -> None:
    old_database(path)
    before = target.read_bytes()
    backup = path.with_name("earshot.db.before-2")
    plant(backup, target)

    open_database(path).close()

    assert target.read_bytes() == before
    assert stat.S_ISREG(backup.lstat().st_mode)
    assert stat.S_IMODE(backup.lstat().st_mode) == 0o600
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT count(*) FROM recordings").fetchone() == (0,)


def test_an_upgrade_without_room_for_its_copy_says_which_file_and_changes_nothing(path: Path) -> None:
    old_database(path)
    path.with_name("earshot.db.before-2").mkdir()
    with pytest.raises(StoreError, match=r"earshot\.db\.before-2: the copy made before an upgrade"):
        open_database(path)
    with closing(sqlite_utils.Database(path)) as old:
        assert "verdicts" not in old.table_names()


def test_the_service_ends_with_one_line_and_78(tmp_path: Path, target: Path) -> None:
    with Service(tmp_path / "site") as service:
        service.database.parent.mkdir()
        service.database.with_name(service.database.name + ".lock").symlink_to(target)
        before = target.read_bytes()
        service.start(ready=False)
        assert service.wait_end() == 78
        (line,) = [line for line in service.log().splitlines() if "did not put this" in line]
        assert ".lock: earshot did not put this" in line
    assert target.read_bytes() == before


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_key_that_was_planted_is_refused_by_its_name(path: Path, target: Path, plant: Plant) -> None:
    path.parent.mkdir()
    key = path.with_name("earshot.db.key")
    plant(key, target)
    before = target.read_bytes()
    with pytest.raises(StoreError, match=r"earshot\.db\.key: the key beside the database cannot be used"):
        open_database(path)
    assert target.read_bytes() == before
    assert not target.with_name("nothing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to somebody else")
def test_a_lock_that_root_makes_is_the_database_owner_s(tmp_path: Path) -> None:
    path = tmp_path / "state" / "earshot.db"
    lay_database(path)
    os.chown(path, 65534, -1)
    with reading_lock(path) as is_free, reading_lock(path) as again:
        assert (is_free, again) == (True, False)
    assert path.with_name("earshot.db.reading").stat().st_uid == 65534
