"""Dropped lists of addresses in a watched folder: a row for each address, none for the list."""

from __future__ import annotations

import json
import os
import plistlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlite_utils import Database

from daemon.config.filenames import facts_reader
from daemon.config.models import WatchFolder
from daemon.files import stamp
from daemon.intake.arrivals import Arrival, Intake, Kind
from daemon.intake.url_lists import LARGEST_BYTES, MOST_ADDRESSES, NoAddressesError, addresses, take_in_lists
from daemon.storage.database import open_database, rows
from daemon.storage.queue import claim
from daemon.storage.requests import begin_request
from tests.storage.stores import committed

NOW = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
ONE, TWO, THREE = (f"https://example.com/calls/{name}.mp3?key=s3cr3t" for name in ("one", "two", "three"))

Drop = Callable[..., Intake]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path / "state/earshot.db")
    yield database
    database.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def drop(db: Database, root: Path) -> Drop:
    """Write a list of these addresses and take it in."""
    folder = WatchFolder(path=root, tags=("support",), filename_pattern="{id}")

    def take(name: str, *urls: str, content: bytes | None = None, kind: Kind = Kind.COMPLETE) -> Intake:
        (root / name).write_bytes("\n".join(urls).encode() if content is None else content)
        found = stamp(f"{root}/{name}")
        assert found
        return take_in_lists(db, folder, [Arrival(found, kind)], NOW, facts_of=facts_reader("{id}", UTC))

    return take


def urls(db: Database) -> list[str]:
    return [row["source"].decode() for row in rows(db, "SELECT source FROM recordings ORDER BY id")]


def test_each_address_becomes_a_waiting_recording(db: Database, root: Path, drop: Drop) -> None:
    assert drop("a.urls", ONE, TWO).queued == 2
    first, second = rows(db, "SELECT * FROM recordings ORDER BY id")
    assert (first["path"], first["name"]) == ("https://example.com/…/one.mp3", "one.mp3")
    assert (first["is_url"], first["state"]) == (1, "waiting")
    assert first["source"] == ONE.encode()
    assert (first["folder"], first["size_bytes"], first["sha256"]) == (str(root), None, None)
    assert (json.loads(first["tags"]), json.loads(first["metadata"])) == (["support"], {"id": "one"})
    assert second["name"] == "two.mp3"


def test_the_same_list_touched_or_dropped_again_makes_no_new_rows(
    db: Database, root: Path, drop: Drop
) -> None:
    drop("a.urls", ONE, TWO)
    assert drop("a.urls", ONE, TWO).queued == 0
    os.utime(root / "a.urls", (5, 5))
    assert drop("a.urls", ONE, TWO).queued == 0
    assert urls(db) == [ONE, TWO]


def test_a_list_that_grew_brings_what_is_new_in_it(db: Database, drop: Drop) -> None:
    drop("a.urls", ONE, TWO)
    assert drop("a.urls", ONE, THREE, TWO).queued == 1
    assert urls(db) == [ONE, TWO, THREE]


def test_a_renamed_list_is_the_same_list(db: Database, root: Path, drop: Drop) -> None:
    drop("a.urls", ONE)
    (root / "a.urls").unlink()
    assert drop("b.urls", ONE).queued == 0
    assert drop("c.urls", ONE).queued == 1, "a copy, while the other is still there, is another list"


def test_an_address_that_another_list_brought_is_found_to_be_a_duplicate(db: Database, drop: Drop) -> None:
    drop("a.urls", ONE)
    first = committed(claim, db, NOW)
    assert first
    committed(begin_request, db, first, sha256=None, size_bytes=None, request_key="k", now=NOW)
    drop("b.urls", ONE)
    second = committed(claim, db, NOW)
    assert second
    assert committed(begin_request, db, second, sha256=None, size_bytes=None, request_key="k", now=NOW) == (
        "later",
        first.id,
    )
    db.execute("UPDATE recordings SET state = 'done' WHERE id = ?", (first.id,))
    db.execute("UPDATE recordings SET state = 'analyzing' WHERE id = ?", (second.id,))
    assert committed(begin_request, db, second, sha256=None, size_bytes=None, request_key="k", now=NOW) == (
        "duplicate",
        first.id,
    )
    [row] = rows(db, "SELECT state, duplicate_of FROM recordings WHERE id = ?", (second.id,))
    assert row == {"state": "duplicate", "duplicate_of": first.id}
    drop("c.urls", ONE)
    third = committed(claim, db, NOW)
    assert third
    assert (
        committed(begin_request, db, third, sha256=None, size_bytes=None, request_key="other", now=NOW)[0]
        == "send"
    )


def test_what_was_there_before_is_left_alone_with_its_addresses(db: Database, drop: Drop) -> None:
    assert drop("a.urls", ONE, kind=Kind.LEFT_ALONE).queued == 0
    [row] = rows(db, "SELECT state, error_code FROM recordings")
    assert row == {"state": "skipped", "error_code": "existing"}


def test_quiet_lists_make_quiet_recordings(db: Database, drop: Drop) -> None:
    drop("a.urls", ONE, kind=Kind.QUIET)
    assert rows(db, "SELECT quiet FROM recordings") == [{"quiet": 1}]


@pytest.mark.parametrize("content", [b"file:///etc/passwd", b"#\n" * LARGEST_BYTES])
def test_a_list_that_cannot_be_used_is_said_once_and_makes_no_row(
    db: Database, drop: Drop, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    assert drop("a.urls", content=content) == Intake()
    assert urls(db) == []
    assert "list of addresses not taken" in caplog.text
    assert rows(db, "SELECT count(*) AS n FROM lists") == [{"n": 1}]


def test_no_log_line_holds_an_address(db: Database, drop: Drop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    drop("a.urls", ONE, TWO)
    assert "one.mp3" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_list_that_changes_while_it_is_read_is_left_for_later(db: Database, root: Path) -> None:
    (root / "a.urls").write_text(ONE)
    found = stamp(f"{root}/a.urls")
    assert found
    (root / "a.urls").write_text(f"{ONE}\n{TWO}")
    intake = take_in_lists(db, WatchFolder(path=root), [Arrival(found)], NOW)
    assert intake == Intake(later=[f"{root}/a.urls"])


def test_a_list_that_is_reached_through_a_link_is_not_read(db: Database, tmp_path: Path, root: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.urls").write_text(ONE)
    (root / "sub").symlink_to(outside)
    found = stamp(f"{root}/sub/a.urls")
    assert found
    intake = take_in_lists(db, WatchFolder(path=root), [Arrival(found)], NOW)
    assert (urls(db), intake.later) == ([], [found.path])


URL = "https://example.com/calls/anna%201.mp3?key=s3cr3t"
SHORTCUT = f"[InternetShortcut]\r\nIconIndex=0\r\nURL={URL}\r\n[Other]\r\nURL=https://example.com/no\r\n"


@pytest.mark.parametrize(
    "content",
    [
        SHORTCUT.encode(),
        SHORTCUT.encode("utf-8-sig"),
        SHORTCUT.encode("utf-16"),
        SHORTCUT.upper().replace(URL.upper(), URL).encode(),
        f"[{{000214A0}}]\nProp3=19,2\n[InternetShortcut]\nURL = {URL}\n".encode(),
        f"[InternetShortcut]\nTitle=B\xfcro\nURL={URL}\n".encode("latin-1"),
    ],
)
def test_a_windows_shortcut_holds_one_address(content: bytes) -> None:
    assert addresses("a.URL", content).usable == [URL]


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_a_macos_shortcut_holds_one_address(form: plistlib.PlistFormat) -> None:
    assert addresses("a.webloc", plistlib.dumps({"URL": URL}, fmt=form)).usable == [URL]


def test_a_list_holds_an_address_a_line_each_taken_once() -> None:
    content = f"# calls\n\n  {URL}  \r\nhttp://example.com/2\n{URL}\n#{URL}x\n"
    assert addresses("a.urls", content.encode()).usable == [URL, "http://example.com/2"]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.urls", b"", "no address in it"),
        ("a.urls", b"# nothing\n", "no address in it"),
        ("a.url", b"URL=https://example.com/\n", "no address in it"),
        ("a.webloc", plistlib.dumps({"URL": 7}), "no address in it"),
        ("a.webloc", plistlib.dumps(["https://example.com"]), "no address in it"),
        ("a.webloc", b"bplist00 and then nothing", "no shortcut that can be read"),
        ("a.webloc", b"<?xml version='1.0'?><plist><dict><key>URL", "no shortcut that can be read"),
        ("a.webloc", b'<!DOCTYPE p [<!ENTITY a "b">]><plist><string>&a;</string></plist>', "can be read"),
        ("a.url", b"[InternetShortcut]\nURL=file:///etc/passwd\n", "no address in it is an http"),
        ("a.urls", b"ftp://s3cr3t@example.com/1\n", "no address in it is an http"),
        ("a.urls", b"https:///no/host\n", "no address in it is an http"),
        ("a.urls", b"https://host:99999/\n", "no address in it is an http"),
        ("a.urls", b"https://host/a b\n", "no address in it is an http"),
        ("a.urls", b"\x00\x01\xff\xfe\n", "no address in it is an http"),
        ("a.urls", b"https://host/" + b"x" * 9000, "no address in it is an http"),
        ("a.urls", b"".join(b"https://h/%d\n" % n for n in range(MOST_ADDRESSES + 1)), "at most 10000"),
    ],
)
def test_what_is_no_address_of_a_recording_is_refused_without_repeating_it(
    name: str, content: bytes, part: str
) -> None:
    with pytest.raises(NoAddressesError) as raised:
        addresses(name, content)
    assert part in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_of_a_list_what_is_of_use_is_taken_and_the_rest_counted() -> None:
    found = addresses("a.urls", b"https://example.com/1\nfile:///etc/passwd\nhttps://example.com/2\n")
    assert (found.usable, found.refused) == (["https://example.com/1", "https://example.com/2"], 1)
