"""Which files of a listing are news."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.config.models import WatchFolder
from daemon.files import stamp
from daemon.intake.arrivals import Arrival, Place
from daemon.intake.intake import take_in
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.watching.changes import news
from tests.databases import new_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = new_database(tmp_path / "state/earshot.db")
    yield opened
    opened.close()


@pytest.fixture
def root(tmp_path: Path, db: Database) -> Path:
    """A folder with a known file, `known.wav`."""
    folder = tmp_path / "calls"
    folder.mkdir()
    (folder / "known.wav").write_bytes(b"x")
    found = stamp(str(folder / "known.wav"))
    assert found
    take_in(db, Place(WatchFolder(path=folder), datetime.now(UTC)), [Arrival(found)])
    return folder


def names(db: Database, root: Path, **settings: bool) -> list[tuple[str, bool]]:
    """The news, by name, each with whether the name was known."""
    with os.scandir(root) as entries:
        files = list(entries)
    found = news(db, str(root), files, is_recording=lambda name: name.endswith(".wav"), **settings)
    return sorted((Path(each.path).name, is_known) for each, is_known in found)


def rewrite(file: Path) -> None:
    file.write_bytes(b"longer")


def touch(file: Path) -> None:
    os.utime(file, ns=(1, 1))


def exchange(file: Path) -> None:
    (file.parent / "other").write_bytes(b"y")
    status = file.stat()
    os.utime(file.parent / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (file.parent / "other").rename(file)


def test_known_files_are_no_news_and_names_that_are_no_recordings_neither(db: Database, root: Path) -> None:
    (root / "notes.txt").write_text("x")
    assert names(db, root) == []
    (root / "new.wav").write_bytes(b"x")
    assert names(db, root) == [("new.wav", False)]


@pytest.mark.parametrize("change", [rewrite, touch, exchange])
def test_whatever_changes_about_a_known_file_is_news(
    db: Database, root: Path, change: Callable[[Path], None]
) -> None:
    change(root / "known.wav")
    assert names(db, root) == [("known.wav", True)]
    assert names(db, root, names_only=True) == []


def test_where_inodes_do_not_last_another_one_is_no_news(db: Database, root: Path) -> None:
    exchange(root / "known.wav")
    assert names(db, root, inodes_last=False) == []


@pytest.mark.parametrize("names_only", [True, False])
def test_a_file_that_was_set_aside_as_gone_is_news_when_it_is_there(
    db: Database, root: Path, names_only: bool
) -> None:
    with transaction(db):
        db.execute("UPDATE recordings SET state = 'skipped', error_code = 'gone'")
    assert names(db, root, names_only=names_only) == [("known.wav", True)]
