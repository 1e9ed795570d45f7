"""Dropped lists of addresses in a watched folder: a row for each address, none for the list."""

from __future__ import annotations

import json
import os
import plistlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.config.addresses import BadAddressError
from daemon.config.filenames import facts_reader
from daemon.config.models import WatchFolder
from daemon.files import stamp
from daemon.intake.arrivals import Arrival, Intake, Kind, Place
from daemon.intake.url_lists import LARGEST_BYTES, MOST_ADDRESSES, addresses, take_in_lists
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.folders import configure_folder
from daemon.storage.queue import claim
from daemon.storage.requests import begin_request
from daemon.storage.requeue import requeue, requeue_failed
from daemon.storage.stamps import known_stamps
from daemon.storage.views import folder_rows
from tests.databases import new_database
from tests.storage.stores import committed

NOW = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
ONE, TWO, THREE = (f"https://example.com/calls/{name}.mp3?key=s3cr3t" for name in ("one", "two", "three"))

Drop = Callable[..., Intake]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path / "state/earshot.db")
    yield database
    database.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def drop(db: Database, root: Path) -> Drop:
    """Write a list of these addresses and take it in."""
    folder = WatchFolder(path=root, tags=("support",), filename_pattern="{id}", lists=True)

    def take(name: str, *urls: str, content: bytes | None = None, kind: Kind = Kind.COMPLETE) -> Intake:
        (root / name).write_bytes("\n".join(urls).encode() if content is None else content)
        found = stamp(f"{root}/{name}")
        assert found
        return take_in_lists(db, Place(folder, NOW, facts_reader("{id}", UTC)), [Arrival(found, kind)])

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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file:///etc/passwd", "1 of 1 addresses not taken: line 1: what is there is no http"),
        (b"#\n" * LARGEST_BYTES, "it has more than 1000000 bytes; split it"),
        (b"", "there is no address in it"),
    ],
)
def test_of_a_file_that_cannot_be_used_one_row_says_why(
    db: Database, root: Path, drop: Drop, content: bytes, said: str
) -> None:
    assert drop("a.urls", content=content) == Intake()
    os.utime(root / "a.urls", (5, 5))
    assert drop("a.urls", content=content) == Intake()
    [row] = rows(db, "SELECT name, is_url, state, error_code, error FROM recordings")
    assert (row["name"], row["is_url"]) == ("a.urls", 0)
    assert (row["state"], row["error_code"]) == ("failed", "bad_address")
    assert said in row["error"]
    assert rows(db, "SELECT count(*) AS n FROM lists") == [{"n": 1}]


def test_of_many_that_are_refused_the_first_are_named_in_the_one_row_of_the_file(
    db: Database, drop: Drop
) -> None:
    bad = [f"http://10.0.0.{number}/s3cr3t/a.mp3" for number in range(12)]
    assert drop("a.urls", ONE, *bad).queued == 1
    [row] = rows(db, "SELECT id, error FROM recordings WHERE is_url = 0")
    assert row["error"].startswith("12 of 13 addresses not taken: line 2: http://10.0.0.0/…/a.mp3 points to")
    assert row["error"].count("10.0.0.") == 5
    assert row["error"].endswith("; and 7 more. Correct the file and save it again")
    assert "s3cr3t" not in row["error"]
    assert committed(requeue, db, [row["id"]], NOW)[row["id"]].endswith("it is then read anew")
    assert committed(requeue_failed, db, NOW) == 0

    assert drop("a.urls", ONE, bad[0]).queued == 0
    [row] = rows(db, "SELECT error FROM recordings WHERE is_url = 0")
    assert row["error"].startswith("1 of 2 addresses")
    assert drop("a.urls", ONE, TWO).queued == 1
    [row] = rows(db, "SELECT state, error_code FROM recordings WHERE is_url = 0")
    assert row == {"state": "skipped", "error_code": "corrected"}


def test_lists_are_taken_only_where_the_folder_says_so_and_are_counted_until_then(
    db: Database, root: Path
) -> None:
    (root / "a.urls").write_text(ONE)
    (root / "b.url").write_text(f"[InternetShortcut]\nURL={TWO}\n")
    arrivals = [Arrival(found) for name in ("a.urls", "b.url") if (found := stamp(f"{root}/{name}"))]
    configure_folder(db, str(root), NOW)

    assert take_in_lists(db, Place(WatchFolder(path=root), NOW), arrivals).queued == 1
    assert urls(db) == [TWO]
    assert folder_rows(db)[str(root)]["not_taken"]["lists"] == 1
    assert known_stamps(db, str(root), ["a.urls"])["a.urls"][0] == len(ONE)
    assert known_stamps(db, str(root), ["a.urls"], takes_lists=True)["a.urls"][0] is None

    assert take_in_lists(db, Place(WatchFolder(path=root, lists=True), NOW), arrivals[:1]).queued == 1
    assert folder_rows(db)[str(root)]["not_taken"]["lists"] == 0


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
    intake = take_in_lists(db, Place(WatchFolder(path=root, lists=True), NOW), [Arrival(found)])
    assert intake == Intake(later=[f"{root}/a.urls"])


def test_a_list_that_is_reached_through_a_link_is_not_read(db: Database, tmp_path: Path, root: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.urls").write_text(ONE)
    (root / "sub").symlink_to(outside)
    found = stamp(f"{root}/sub/a.urls")
    assert found
    intake = take_in_lists(db, Place(WatchFolder(path=root, lists=True), NOW), [Arrival(found)])
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
        ("a.urls", b"".join(b"https://h/%d\n" % n for n in range(MOST_ADDRESSES + 1)), "at most 10000"),
    ],
)
def test_what_is_no_address_of_a_recording_is_refused_without_repeating_it(
    name: str, content: bytes, part: str
) -> None:
    with pytest.raises(BadAddressError) as raised:
        addresses(name, content)
    assert part in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("file:///etc/passwd", "what is there is no http"),
        ("ftp://s3cr3t@example.com/1", "what is there is no http"),
        ("password s3cr3t", "what is there is no http"),
        ("https:///no/host", "no host that can be asked"),
        ("https://host:99999/", "no host that can be asked"),
        ("https://ho st/a", "no host that can be asked"),
        ("https://me:s3cr3t@example.com/a.mp3", "https://example.com/a.mp3 has a user or a password in it"),
        ("https://me%40s3cr3t@example.com/a.mp3", "has a user or a password in it"),
        ("https://example.com\\@127.0.0.1/a", "characters in it that no address has"),
        ("https://example.com/\x01", "characters in it that no address has"),
        ("https://example.com/" + "x" * 9000, "is too long"),
        ("http://169.254.169.254/s3cr3t/iam?s3cr3t", "http://169.254.169.254/…/iam points to this host"),
        ("http://[::ffff:127.0.0.1]/a", "points to this host"),
    ],
)
def test_of_a_list_what_is_of_use_is_taken_and_of_the_rest_said_where_and_why(line: str, reason: str) -> None:
    found = addresses("a.urls", f"https://example.com/1\n# no\n{line}\nhttps://example.com/2\n".encode())

    assert found.usable == ["https://example.com/1", "https://example.com/2"]
    (refused,) = found.refused
    assert refused.startswith("line 3: ")
    assert reason in refused
    assert "s3cr3t" not in refused


def test_blanks_are_encoded_as_browsers_do() -> None:
    content = b"[InternetShortcut]\nURL=https://x.example.com/Shared Documents/call one.mp3?by=a b\n"

    encoded = "https://x.example.com/Shared%20Documents/call%20one.mp3?by=a%20b"
    assert addresses("a.url", content).usable == [encoded]


def test_only_addresses_to_the_folder_s_hosts_are_taken() -> None:
    found = addresses("a.urls", b"http://nas/1\nhttp://nas.example.com/2\n", hosts=["nas"])

    assert found.usable == ["http://nas/1"]
    assert found.refused == [
        "line 2: http://nas.example.com/2 points to a host that `hosts` of the folder does not name"
    ]
