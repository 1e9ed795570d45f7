"""What complete files become in the database: each rule on a real database with real files."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import WatchFolder
from daemon.files import stamp
from daemon.intake.arrivals import Arrival, Intake, Kind, Place
from daemon.intake.intake import take_in
from daemon.models import FileStamp
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.recordings import known_files, modified_at
from daemon.storage.results import compressed, store_response
from tests.databases import new_database, writing_connection

NOW = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 5, 13, 0, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path / "state/earshot.db")
    yield database
    database.close()


@pytest.fixture
def arrive(db: Database, root: Path) -> Callable[..., Intake]:
    """Take in files by name; the recordings as rows afterwards are what a test looks at."""
    folder = WatchFolder(path=root, tags=("support", "ü"))

    def take(*names: str, kind: Kind = Kind.COMPLETE, now: datetime = NOW) -> Intake:
        found = [stamp(f"{root}/{name}") for name in names]
        return take_in(db, Place(folder, now), [Arrival(one, kind) for one in found if one])

    return take


def write(path: Path, content: bytes = b"one", *, mtime_ns: int | None = None) -> Path:
    path.write_bytes(content)
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def recordings(db: Database) -> list[dict[str, Any]]:
    return rows(db, "SELECT * FROM recordings ORDER BY id")


def analyzed(db: Database, state: str = "done", *, attempts: int = 1, error_code: str | None = None) -> None:
    """As the analysis stage leaves every recording behind."""
    for row in recordings(db):
        source = Path(os.fsdecode(row["source"]))
        digest = hashlib.sha256(source.read_bytes()).hexdigest() if source.exists() else "gone"
        db.execute(
            "UPDATE recordings SET state = ?, attempts = ?, error_code = ?, sha256 = ?, not_before = NULL"
            " WHERE id = ?",
            (state, attempts, error_code, digest, row["id"]),
        )


def test_a_new_file_becomes_a_waiting_recording(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav", mtime_ns=1_700_000_000_123_456_789)
    assert arrive("a.wav").queued == 1
    [row] = recordings(db)
    assert row["path"] == f"{root}/a.wav"
    assert row["source"] == os.fsencode(root / "a.wav")
    assert (row["folder"], row["name"], row["size_bytes"]) == (str(root), "a.wav", 3)
    assert row["modified_at"] == "2023-11-14T22:13:20.123Z"
    assert row["first_seen_at"] == row["not_before"] == "2026-11-05T12:00:00.000Z"
    assert (row["state"], row["attempts"], row["quiet"], row["error_code"]) == ("waiting", 0, 0, None)
    assert json.loads(row["tags"]) == ["support", "ü"]


@pytest.mark.parametrize("state", ["waiting", "analyzing", "done", "failed", "duplicate", "skipped"])
def test_a_known_file_is_never_added_again(
    db: Database, root: Path, arrive: Callable[..., Intake], state: str
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db, state)
    before = recordings(db)
    assert arrive("a.wav", now=LATER) == Intake()
    assert recordings(db) == before


def test_names_that_are_not_text_are_kept_as_bytes_and_shown_escaped(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    name = os.fsdecode(b"caf\xe9\n.wav")
    write(root / name)
    arrive(name)
    [row] = recordings(db)
    assert row["name"] == "caf\\xe9\n.wav"
    assert row["source"] == os.fsencode(root / name)
    assert arrive(name) == Intake()


def test_a_touched_file_makes_no_new_row(db: Database, root: Path, arrive: Callable[..., Intake]) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db)
    write(root / "a.wav", mtime_ns=1_800_000_000_000_000_000)
    assert arrive("a.wav") == Intake()
    [row] = recordings(db)
    assert (row["state"], row["modified_at"]) == ("done", "2027-01-15T08:00:00.000Z")
    assert arrive("a.wav") == Intake()


def test_the_same_bytes_put_back_under_their_name_make_no_new_row(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db)
    write(root / "other", b"one").replace(root / "a.wav")
    assert arrive("a.wav") == Intake()
    assert len(recordings(db)) == 1


@pytest.mark.parametrize("content", [b"two", b"longer"])
def test_new_bytes_under_a_known_name_are_a_new_recording(
    db: Database, root: Path, arrive: Callable[..., Intake], content: bytes
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db)
    write(root / "a.wav", content)
    assert arrive("a.wav").queued == 1
    assert [row["state"] for row in recordings(db)] == ["done", "waiting"]
    assert arrive("a.wav") == Intake()


def test_a_recording_not_yet_sent_follows_its_file(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    write(root / "a.wav", b"much longer")
    assert arrive("a.wav", now=LATER).queued == 1
    [row] = recordings(db)
    assert (row["state"], row["size_bytes"]) == ("waiting", 11)


def test_a_recording_that_waits_for_another_try_follows_its_file(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db, "waiting", attempts=1)
    write(root / "a.wav", b"other bytes")
    arrive("a.wav", now=LATER)

    (row,) = recordings(db)
    assert (row["state"], row["size_bytes"]) == ("waiting", len(b"other bytes"))


def test_a_recording_whose_reply_is_stored_is_not_given_other_bytes(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db, "waiting", attempts=1)
    (row,) = recordings(db)
    store_response(db, row["id"], compressed(b"{}"), kind="listen", now=datetime.now(UTC))
    write(root / "a.wav", b"other bytes")
    arrive("a.wav", now=LATER)

    assert [row["size_bytes"] for row in recordings(db)] == [3, len(b"other bytes")]


def test_a_file_changed_while_it_is_analyzed_is_left_for_later(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db, "analyzing")
    write(root / "a.wav", b"longer")
    assert arrive("a.wav") == Intake(later=[f"{root}/a.wav"])
    analyzed(db, "done")
    db.execute("UPDATE recordings SET sha256 = 'of the old bytes'")
    assert arrive("a.wav").queued == 1


@pytest.mark.parametrize(
    ("state", "attempts", "code"),
    [("skipped", 0, "empty"), ("skipped", 0, "gone"), ("failed", 0, "unreadable")],
)
def test_what_was_never_sent_starts_anew_when_its_file_changes(
    db: Database, root: Path, arrive: Callable[..., Intake], state: str, attempts: int, code: str
) -> None:
    write(root / "a.wav", b"")
    arrive("a.wav", kind=Kind.EMPTY)
    analyzed(db, state, attempts=attempts, error_code=code)
    write(root / "a.wav", b"now there is something")
    assert arrive("a.wav", now=LATER).queued == 1
    [row] = recordings(db)
    assert (row["state"], row["error_code"], row["error"], row["sha256"]) == ("waiting", None, None, None)
    assert row["not_before"] == "2026-11-05T13:00:00.000Z"


def test_a_failed_recording_that_was_sent_stays_and_new_bytes_are_new(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db, "failed", error_code="corrupt_audio")
    write(root / "a.wav", b"whole now")
    assert arrive("a.wav").queued == 1
    assert [row["state"] for row in recordings(db)] == ["failed", "waiting"]


def test_a_file_that_was_gone_and_is_back_unchanged_is_queued_again(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db, "skipped", attempts=0, error_code="gone")
    assert arrive("a.wav").queued == 1
    assert [row["state"] for row in recordings(db)] == ["waiting"]


@pytest.mark.parametrize("state", ["waiting", "done", "failed", "skipped"])
@pytest.mark.parametrize("mtime_ns", [None, 1_700_000_000_000_000_000])
def test_a_renamed_file_keeps_its_row(
    db: Database, root: Path, arrive: Callable[..., Intake], state: str, mtime_ns: int | None
) -> None:
    write(root / "a.wav", mtime_ns=mtime_ns)
    arrive("a.wav")
    analyzed(db, state)
    (root / "sub").mkdir()
    (root / "a.wav").rename(root / "sub/b.wav")
    assert arrive("sub/b.wav") == Intake()
    [row] = recordings(db)
    assert (row["path"], row["name"], row["state"]) == (f"{root}/sub/b.wav", "b.wav", state)
    assert row["source"] == os.fsencode(root / "sub/b.wav")
    assert list(known_files(db, f"{root}/sub", ["b.wav"])) == ["b.wav"]
    assert known_files(db, str(root), ["a.wav"]) == {}
    assert arrive("sub/b.wav") == Intake()
    found = rows(db, "SELECT rowid FROM recordings_fts WHERE recordings_fts MATCH '\"b.wav\"'")
    assert [one["rowid"] for one in found] == [row["id"]]


def test_a_file_renamed_while_it_is_analyzed_waits_and_then_keeps_its_row(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db, "analyzing")
    (root / "a.wav").rename(root / "b.wav")
    assert arrive("b.wav") == Intake(later=[f"{root}/b.wav"])
    analyzed(db, "skipped", attempts=0, error_code="gone")
    assert arrive("b.wav").queued == 1
    [row] = recordings(db)
    assert (row["name"], row["state"], row["error_code"]) == ("b.wav", "waiting", None)


def test_a_rename_and_a_new_file_under_the_old_name_are_told_apart(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db)
    (root / "a.wav").rename(root / "b.wav")
    write(root / "a.wav", b"new")
    assert arrive("a.wav", "b.wav").queued == 1
    assert [(row["name"], row["state"]) for row in recordings(db)] == [
        ("b.wav", "done"),
        ("a.wav", "waiting"),
    ]


def test_a_rename_and_a_new_file_under_the_old_name_are_told_apart_before_anything_was_sent(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    (root / "a.wav").rename(root / "b.wav")
    write(root / "a.wav", b"new")
    assert arrive("a.wav", "b.wav").queued == 1
    assert [(row["name"], row["state"]) for row in recordings(db)] == [
        ("b.wav", "waiting"),
        ("a.wav", "waiting"),
    ]


def test_a_reused_inode_with_the_same_size_and_second_is_not_taken_for_a_rename(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    """Deleting and creating gives the same inode again on many file systems; here a rewrite stands for it."""
    whole_second = 1_700_000_000_000_000_000
    write(root / "a.wav", mtime_ns=whole_second)
    arrive("a.wav")
    analyzed(db)
    (root / "a.wav").rename(root / "b.wav")
    write(root / "b.wav", b"two", mtime_ns=whole_second)
    assert arrive("b.wav").queued == 1
    assert [(row["name"], row["state"]) for row in recordings(db)] == [
        ("a.wav", "done"),
        ("b.wav", "waiting"),
    ]


def test_hard_links_and_copies_become_rows_of_their_own(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    (root / "link.wav").hardlink_to(root / "a.wav")
    write(root / "copy.wav", b"one")
    assert arrive("a.wav", "link.wav", "copy.wav").queued == 3
    assert {row["state"] for row in recordings(db)} == {"waiting"}


def test_existing_files_are_left_alone_and_the_row_says_how_to_take_them_in(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    assert arrive("a.wav", kind=Kind.LEFT_ALONE).queued == 0
    [row] = recordings(db)
    assert (row["state"], row["error_code"], row["not_before"]) == ("skipped", "existing", None)
    assert "earshot retry" in row["error"]


def test_a_file_left_alone_and_put_back_by_a_backup_stays_so_but_new_bytes_are_taken_in_its_row(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav", mtime_ns=1_700_000_000_000_000_000)
    arrive("a.wav", kind=Kind.LEFT_ALONE)
    write(root / "other", mtime_ns=1_700_000_000_000_000_000).replace(root / "a.wav")
    assert arrive("a.wav") == Intake()
    write(root / "a.wav", b"longer")
    assert arrive("a.wav").queued == 1
    [row] = recordings(db)
    assert (row["state"], row["error_code"], row["size_bytes"]) == ("waiting", None, len(b"longer"))


def test_quiet_files_are_analyzed_quietly(db: Database, root: Path, arrive: Callable[..., Intake]) -> None:
    write(root / "a.wav")
    assert arrive("a.wav", kind=Kind.QUIET).queued == 1
    assert [(row["state"], row["quiet"]) for row in recordings(db)] == [("waiting", 1)]


def test_a_touched_file_that_cannot_be_read_is_left_for_later(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav")
    arrive("a.wav")
    analyzed(db)
    write(root / "a.wav", mtime_ns=5)
    found = stamp(f"{root}/a.wav")
    assert found
    intake = take_in(db, Place(WatchFolder(path=root), NOW), [Arrival(found)], hash_of=lambda *_: None)
    assert intake == Intake(later=[f"{root}/a.wav"])


def test_numbers_beyond_what_sqlite_holds_are_kept_apart_and_recognized(db: Database, root: Path) -> None:
    folder = WatchFolder(path=root)
    huge = FileStamp(f"{root}/a.wav", 1, 2**70, 1, 2**64 - 1, 2**64 - 1, 8)
    old = FileStamp(f"{root}/b.wav", 1, -(2**70), 1, 2**63, 1, 8)
    assert take_in(db, Place(folder, NOW), [Arrival(huge), Arrival(old)]).queued == 2
    assert take_in(db, Place(folder, NOW), [Arrival(huge), Arrival(old)]).queued == 0
    assert [row["modified_at"][:5] for row in recordings(db)] == ["9999-", "0001-"]
    assert modified_at(FileStamp("/a", 1, -1_500_000_000, 1, 1, 1, 1)) == "1969-12-31T23:59:58.500Z"


def test_many_files_take_few_transactions(db: Database, root: Path, arrive: Callable[..., Intake]) -> None:
    for number in range(1200):
        write(root / f"{number}.wav")
    commits: list[str] = []
    writing_connection(db).set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    assert arrive(*(f"{number}.wav" for number in range(1200))).queued == 1200
    assert len(commits) == 3
    sql = "SELECT 1 FROM files JOIN recordings ON recordings.id = recording_id"
    sql += " WHERE source = CAST(directory || '/' || files.name AS BLOB)"
    assert len(rows(db, sql)) == 1200


def test_beside_a_deleted_and_a_renamed_file_new_ones_are_added_once(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    for name in ("gone.wav", "old.wav", "new.wav", "other.wav"):
        write(root / name, name.encode())
    arrive("gone.wav", "old.wav")
    db.execute("DELETE FROM recordings WHERE name = 'gone.wav'")
    (root / "old.wav").rename(root / "renamed.wav")
    intake = arrive("new.wav", "gone.wav", "new.wav", "renamed.wav", "other.wav")
    assert [row["name"] for row in recordings(db)] == ["renamed.wav", "new.wav", "other.wav"]
    assert intake == Intake(2, [f"{root}/new.wav"], [f"{root}/new.wav", f"{root}/other.wav"])


def test_a_file_that_becomes_known_before_the_transaction_is_left_for_later(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "old.wav")
    arrive("old.wav")
    (root / "old.wav").rename(root / "new.wav")
    write(root / "a.wav", b"two")
    asked: list[int] = []

    def asking() -> AbstractContextManager[None]:
        # First about the folder; then, once the rows were read, whether the old name is still there.
        asked.append(len(asked))
        if len(asked) == 2:
            arrive("a.wav")
        return nullcontext()

    found = [stamp(f"{root}/{name}") for name in ("new.wav", "a.wav")]
    place = Place(WatchFolder(path=root), NOW, asking=asking)
    intake = take_in(db, place, [Arrival(one) for one in found if one])
    assert (intake.later, intake.new) == ([f"{root}/a.wav"], [])
    assert [row["name"] for row in recordings(db)] == ["new.wav", "a.wav"]


def test_a_file_of_a_deleted_recording_is_not_taken_again_and_new_content_is(
    db: Database, root: Path, arrive: Callable[..., Intake]
) -> None:
    write(root / "a.wav", mtime_ns=1_700_000_000_123_456_789)
    arrive("a.wav")
    db.execute("DELETE FROM recordings")

    assert arrive("a.wav").queued == 0
    (root / "a.wav").rename(root / "b.wav")
    assert arrive("b.wav").queued == 0
    write(root / "copy", mtime_ns=1_700_000_000_123_456_789).replace(root / "b.wav")
    assert arrive("b.wav").queued == 0
    assert not recordings(db)

    write(root / "b.wav", b"two two")
    assert arrive("b.wav").queued == 1
    assert [row["name"] for row in recordings(db)] == ["b.wav"]


@pytest.fixture
def choose(db: Database, root: Path) -> Callable[..., dict[str, str]]:
    """Take in files of a folder with `prefer: [wav, WAV]`; returns the code, else the state, by name."""
    folder = WatchFolder(path=root, prefer=("wav", "WAV"))

    def take(*names: str, kind: Kind = Kind.COMPLETE) -> dict[str, str]:
        for name in names:
            write(root / name, name.encode())
            found = stamp(f"{root}/{name}")
            assert found
            take_in(db, Place(folder, NOW), [Arrival(found, kind)])
        return {row["name"]: row["error_code"] or row["state"] for row in recordings(db)}

    return take


def test_of_a_recording_in_several_formats_the_preferred_one_is_taken(
    db: Database, choose: Callable[..., dict[str, str]]
) -> None:
    choose("msg1.gsm", "msg1.WAV", "msg1.wav", "msg1.mp3", "msg10.WAV", "msg1.a.WAV", "msg1")
    assert {row["name"]: row["error_code"] or row["state"] for row in recordings(db)} == {
        "msg1.gsm": "sibling",
        "msg1.WAV": "sibling",
        "msg1.wav": "waiting",
        "msg1.mp3": "sibling",
        "msg10.WAV": "waiting",
        "msg1.a.WAV": "waiting",
        "msg1": "waiting",
    }
    skipped = recordings(db)[0]
    assert skipped["state"] == "skipped"
    assert skipped["error"].startswith("the same recording as msg1.WAV, which is taken")


def test_a_preferred_file_that_comes_after_its_sibling_was_sent_is_skipped(
    db: Database, choose: Callable[..., dict[str, str]]
) -> None:
    choose("msg1.WAV", "msg2.WAV")
    analyzed(db)
    db.execute("UPDATE recordings SET state = 'failed', error_code = 'corrupt_audio' WHERE name = 'msg2.WAV'")
    found = choose("msg1.wav", "msg2.wav")
    assert found == {
        "msg1.WAV": "done",
        "msg2.WAV": "corrupt_audio",
        "msg1.wav": "sibling",
        "msg2.wav": "waiting",
    }


def test_of_siblings_that_were_there_before_one_is_left_for_later(
    choose: Callable[..., dict[str, str]],
) -> None:
    found = choose("msg1.WAV", "msg1.wav", kind=Kind.LEFT_ALONE)
    assert found == {"msg1.WAV": "sibling", "msg1.wav": "existing"}
    assert choose("msg1.mp3") == {"msg1.WAV": "sibling", "msg1.wav": "sibling", "msg1.mp3": "waiting"}
