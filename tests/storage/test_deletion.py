"""A row of `recordings` that goes takes along what belongs to it, whatever program deletes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from daemon.models import AlertDraft, AlertState, RecordingState
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.originals import configure_originals
from daemon.storage.outbox import add_alerts, add_messages
from daemon.storage.readings import cut_again
from daemon.storage.recordings import is_marked
from daemon.storage.requests import begin_part
from daemon.storage.results import compressed, store_response
from daemon.storage.sidecars import left_sidecars
from daemon.storage.stamps import known_stamps
from tests.databases import new_database, tables
from tests.storage.stores import NOW, add, committed, schema_before, stamp

Delete = Callable[[Path, int], None]


def by_shell(path: Path, recording_id: int) -> None:
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("needs the program sqlite3")
    sql = f"DELETE FROM recordings WHERE id = {recording_id};"  # noqa: S608
    subprocess.run([program, path, sql], check=True, timeout=60)


def by_sqlite_utils(path: Path, recording_id: int) -> None:
    program = [sys.executable, "-m", "sqlite_utils"]
    sql = f"DELETE FROM recordings WHERE id = {recording_id}"  # noqa: S608
    subprocess.run([*program, "query", path, sql], check=True, timeout=60)


def by_earshot(path: Path, recording_id: int) -> None:
    with closing(new_database(path)) as db, transaction(db):
        db.execute("DELETE FROM recordings WHERE id = ?", (recording_id,))


WAYS: dict[str, Delete] = {
    "sqlite3 shell": by_shell,
    "sqlite-utils": by_sqlite_utils,
    "with foreign keys": by_earshot,
}


def referring(db: Database) -> dict[str, str]:
    """Every table with the column by which its rows belong to a recording, or to an alert."""
    found = {}
    for table in tables(db).table_names():
        for column in tables(db).table(table).columns:
            if column.name in ("recording_id", "duplicate_of", "alert_id"):
                found[table] = column.name
    return found


def fill(db: Database) -> tuple[int, int, int]:
    """A recording with everything, its copy, and another one; returns their ids."""
    with transaction(db):
        configure_originals(db, [("/r", "success")], NOW)
    whole, other = add(db, 2, state=RecordingState.DONE)
    [copy] = add(db, state=RecordingState.WAITING)
    with transaction(db):
        db.execute("UPDATE recordings SET state = 'duplicate', duplicate_of = ? WHERE id = ?", (whole, copy))
        for number in (whole, copy):
            begin_part(db, number, None, NOW)
            db.execute("INSERT INTO costs (recording_id, at, usd) VALUES (?, '', 1.0)", (number,))
            store_response(db, number, compressed(b"{}"), kind="listen", now=NOW)
            cut_again(db, number, "key", 100)
            db.execute("INSERT INTO failures (recording_id, failed_at) VALUES (?, '')", (number,))
            db.execute(
                "INSERT INTO webhooks (recording_id, destination, event, message_id, created_at, body)"
                " VALUES (?1, '', 'done', ?1, '', '')",
                (number,),
            )
            db.execute(
                "INSERT INTO sidecars (recording_id, format, folder, path, inode)"
                " VALUES (?, 'txt', '/r', ?, 1)",
                (number, f"/r/{number}.txt".encode()),
            )
            for table in ("sentiments", "topics", "intents"):
                db.execute(f"INSERT INTO {table} (recording_id, position) VALUES (?, 0)", (number,))  # noqa: S608
            db.execute("INSERT INTO worst_scores (recording_id, score) VALUES (?, -0.5)", (number,))
            db.execute('UPDATE recordings SET metadata = \'{"agent": "Ines"}\' WHERE id = ?', (number,))
            db.execute("INSERT INTO waveforms (recording_id, peaks) VALUES (?, x'01')", (number,))
            [alert] = add_alerts(db, number, [draft("about it")], NOW)
            db.execute(
                "INSERT INTO verdicts (alert_id, verdict, given_at) VALUES (?, 'useful', '')", (alert,)
            )
    return whole, copy, other


def draft(body: str, about: tuple[int, ...] = ()) -> AlertDraft:
    return AlertDraft("team", 0, "info", "title", body, state=AlertState.SENT, about=about)


@pytest.mark.parametrize("delete", WAYS.values(), ids=WAYS)
def test_whatever_program_deletes_a_recording_nothing_of_it_is_left(
    path: Path, db: Database, delete: Delete
) -> None:
    whole, copy, other = fill(db)

    delete(path, whole)

    assert [row["id"] for row in rows(db, "SELECT id FROM recordings")] == [other]
    left = {
        table: rows(db, f"SELECT count(*) AS n FROM {table} WHERE {column} IN (?, ?)", (whole, copy))[0]["n"]  # noqa: S608
        for table, column in referring(db).items()
    }
    assert left == dict.fromkeys(left, 0)
    assert set(left) >= {"sentiments", "responses", "alerts", "verdicts", "requests", "originals", "files"}
    assert [path for path, _, _ in left_sidecars(db)] == [f"/r/{whole}.txt", f"/r/{copy}.txt"]
    assert rows(db, "SELECT sum(usd) AS usd FROM costs") == [{"usd": 2.0}]
    assert not rows(db, "SELECT 1 FROM recordings_fts WHERE recordings_fts MATCH '\"0000\"'")
    assert rows(db, "SELECT 1 FROM recordings_fts WHERE recordings_fts MATCH '\"0001\"'")
    db.execute("INSERT INTO recordings_fts (recordings_fts) VALUES ('integrity-check')")
    assert not db.execute("PRAGMA foreign_key_check").fetchall()
    [note] = rows(db, "SELECT recordings, by, why FROM erasures")
    assert note == {"recordings": 2, "by": "hand", "why": ""}


@pytest.mark.parametrize("delete", WAYS.values(), ids=WAYS)
def test_a_file_that_stays_is_known_by_a_mark_without_its_name(
    path: Path, db: Database, delete: Delete
) -> None:
    [number] = add(db)

    delete(path, number)

    file = stamp(0)
    known = (file.size_bytes, file.mtime_ns, file.inode)
    assert known_stamps(db, "/r", ["0000.wav", "0001.wav"]) == {"0000.wav": known}
    assert is_marked(db, file)
    assert not is_marked(db, stamp(1))
    [mark] = rows(db, "SELECT * FROM marks")
    assert b"0000.wav" not in mark["digest"]


def test_messages_that_named_a_deleted_recording_say_nothing_any_more(db: Database) -> None:
    number, other = add(db, 2)
    with transaction(db):
        add_messages(db, [draft("worst: Anna", about=(number, other))], NOW)
        add_messages(db, [draft("worst: Bert", about=(other,))], NOW)
        add_messages(db, [draft("cannot move 0000.wav")], NOW)
        db.execute("DELETE FROM recordings WHERE id = ?", (number,))

    bodies = [row["body"] for row in rows(db, "SELECT body FROM alerts ORDER BY id")]
    assert [body.startswith("(erased") for body in bodies] == [True, False, True]


def test_what_a_database_of_before_holds_can_be_deleted_and_marked(path: Path, tmp_path: Path) -> None:
    with closing(open_database(path, schema=schema_before(tmp_path, "011"))) as old:
        old.execute(
            "INSERT INTO recordings (id, path, name, folder, state, first_seen_at, source)"
            " VALUES (1, '/r/a.wav', 'a.wav', '/r', 'done', '', ?)",
            (b"/r/a.wav",),
        )
        old.execute("INSERT INTO files VALUES (?, ?, '/r', 1, 2, 3, 4, 1)", (b"/r", b"a.wav"))
        old.execute("PRAGMA foreign_keys=OFF")
        old.execute("INSERT INTO failures (recording_id, failed_at) VALUES (99, '')")

    with closing(open_database(path)) as db:
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        by_earshot(path, 1)
        assert known_stamps(db, "/r", ["a.wav"]) == {"a.wav": (3, 4, 2)}


def test_another_key_keeps_what_is_known_and_deletes_marks_that_say_nothing_any_more(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_database(path)) as db:
        first, _ = add(db, 2)
        committed(lambda db: db.execute("DELETE FROM recordings WHERE id = ?", (first,)), db)
    path.with_name("earshot.db.key").unlink()

    with closing(open_database(path)) as db:
        by_earshot(path, 2)
        assert set(known_stamps(db, "/r", ["0000.wav", "0001.wav"])) == {"0001.wav"}
    assert "files=1" in caplog.text


def test_everything_that_refers_to_recordings_is_known_to_these_tests(db: Database) -> None:
    """A new table needs a trigger, and a row in `fill`."""
    fill(db)
    tables = referring(db)
    empty = [table for table in tables if not rows(db, f"SELECT 1 FROM {table} LIMIT 1")]  # noqa: S608
    assert not empty


def test_secure_delete_is_on_for_every_connection(path: Path) -> None:
    with closing(open_database(path)) as db:
        assert db.execute("PRAGMA secure_delete").fetchone() == (1,)
