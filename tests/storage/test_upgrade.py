"""A database of the version before, half-way through its work: the new version goes on without loss."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.errors import StoreError
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows
from tests.harness import ScriptedApi, Service, reply, wav
from tests.servers import HttpSink, wait_until
from tests.storage import old_database
from tests.storage.stores import schema_before

OLD = old_database.DATA / "bd662d3.db.xz"
PAST = "2026-01-02T03:04:05.000Z"


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(lambda conversation: conversation.reply(body=reply(average=-0.8))) as server:
        yield server


@pytest.fixture
def team() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def ops() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


class Before:
    """The database that the version before left, written by its own tables and triggers and by plain SQL."""

    def __init__(self, service: Service) -> None:
        self.folder = service.folder
        schema = schema_before(service.place, "006")
        self.db: Database = open_database(service.database, schema=schema)
        self.db.execute(
            "INSERT INTO folders (path, method, available, configured_at, first_seen_at, baseline_done)"
            " VALUES (?, 'events', 1, ?, ?, 1)",
            (str(self.folder), PAST, PAST),
        )
        for outcome in ("success", "failure"):
            self.db.execute("INSERT INTO afterwards VALUES (?, ?)", (str(self.folder), outcome))

    def take(self, name: str) -> int:
        """A recording that waits, and its file."""
        path = self.folder / name
        path.write_bytes(wav(name))
        status = path.stat()
        (number,) = rows(
            self.db,
            "INSERT INTO recordings (path, folder, name, size_bytes, state, not_before, first_seen_at,"
            " source, sha256, request_key) VALUES (?, ?, ?, ?, 'waiting', ?, ?, ?, ?, 'old') RETURNING id",
            (
                str(path),
                str(self.folder),
                name,
                status.st_size,
                PAST,
                PAST,
                os.fsencode(path),
                hashlib.sha256(path.read_bytes()).hexdigest(),
            ),
        )
        self.db.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                os.fsencode(self.folder),
                os.fsencode(name),
                str(self.folder),
                self.folder.stat().st_dev,
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                number["id"],
            ),
        )
        return int(number["id"])

    def claim(self, number: int, outcome: str) -> None:
        """In work, with a request that was sent."""
        self.db.execute(
            "UPDATE recordings SET state = 'analyzing', not_before = NULL, attempts = 1 WHERE id = ?",
            (number,),
        )
        self.db.execute(
            "INSERT INTO requests (recording_id, started_at, outcome) VALUES (?, ?, ?)",
            (number, PAST, outcome),
        )

    def end(self, number: int, state: str, code: str | None = None) -> None:
        """Ended; the triggers of that version write the rest."""
        self.db.execute(
            "UPDATE recordings SET state = ?, not_before = NULL, attempts = 1, error_code = ?, error = ?"
            " WHERE id = ?",
            (state, code, code, number),
        )


def half_way(service: Service) -> dict[str, int]:
    """Fill the database; returns the ids of the recordings by what they are in the middle of."""
    before = Before(service)
    with closing(before.db) as db:
        names = ("waiting", "sending", "answered", "done", "failed", "told", "duplicate")
        ids = {name: before.take(f"{name}.wav") for name in names}
        before.claim(ids["sending"], "sending")
        before.claim(ids["answered"], "received")
        db.execute("UPDATE recordings SET possibly_billed = 1 WHERE id = ?", (ids["answered"],))
        db.execute(
            "INSERT INTO responses (recording_id, received_at, kind, body) VALUES (?, ?, 'listen', ?)",
            (ids["answered"], PAST, zlib.compress(_body())),
        )
        before.end(ids["done"], "done")
        before.end(ids["duplicate"], "duplicate")
        db.execute("UPDATE recordings SET duplicate_of = ? WHERE id = ?", (ids["done"], ids["duplicate"]))
        before.end(ids["failed"], "failed", "corrupt_audio")
        before.end(ids["told"], "failed", "too_large")
        db.execute("UPDATE failures SET failed_at = ?", (PAST,))
        db.execute("UPDATE failures SET told_at = ? WHERE recording_id = ?", (PAST, ids["told"]))
        db.execute(
            "INSERT INTO alerts (recording_id, destination, target, rules, state, created_at, title, body)"
            " VALUES (?, 'team', 0, '[\"unhappy\"]', 'pending', ?, 'an alert from before', 'its body')",
            (ids["done"], PAST),
        )
        db.execute(
            "INSERT INTO pauses (cause, reason, since, next_probe_at, probe_seconds, shared)"
            " VALUES ('service', 'it was down', ?, '2999-01-01T00:00:00.000Z', 60, 1)",
            (PAST,),
        )
    return ids


def _body() -> bytes:
    return json.dumps(reply(average=-0.8)).encode()


def test_a_database_of_the_version_before_goes_on_without_loss(
    tmp_path: Path, api: ScriptedApi, team: HttpSink, ops: HttpSink
) -> None:
    done, failed = tmp_path / "done", tmp_path / "failed"
    done.mkdir()
    failed.mkdir()
    service = Service(tmp_path, {"analyzer": {"base_url": api.url}})
    service.write_config(
        watch=[
            {
                "path": str(service.folder),
                "settle": "0.2s",
                "after_success": {"move_to": str(done)},
                "after_failure": {"move_to": str(failed)},
            }
        ],
        alerts={
            "destinations": {"team": f"json://{team.address}/", "ops": f"json://{ops.address}/"},
            "rules": [{"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]}],
            "operations": ["ops"],
            "max_age": "3650d",
        },
    )
    ids = half_way(service)
    with service:
        service.start()
        service.wait_states(done=4, duplicate=1, failed=2)
        wait_until(lambda: len(list(service.folder.iterdir())) == 0, what="every original to be moved")
        wait_until(
            lambda: service.rows("SELECT count(*) AS n FROM alerts WHERE state != 'sent'")[0]["n"] == 0,
            what="every alert to be sent",
        )
        service.wait_row("SELECT 1 FROM failures WHERE recording_id = ? AND told_at > ?", ids["failed"], PAST)
        assert service.stop() == 0

        # Nothing twice: neither what was answered, nor what ended.
        sent = {call.sha256 for call in api.listened()}
        assert sent == {hashlib.sha256(wav(f"{name}.wav")).hexdigest() for name in ("waiting", "sending")}
        assert len(api.listened()) == 2
        billed = {row["id"]: row["possibly_billed"] for row in service.rows("SELECT * FROM recordings")}
        assert (billed[ids["waiting"]], billed[ids["sending"]], billed[ids["answered"]]) == (1, 2, 1)
        assert {path.name for path in done.iterdir()} == {
            f"{name}.wav" for name in ("waiting", "sending", "answered", "done", "duplicate")
        }
        assert {path.name for path in failed.iterdir()} == {"failed.wav", "told.wav"}
        titles = [request.json()["title"] for request in team.requests]
        assert titles.count("an alert from before") == 1
        assert len(titles) == 4
        told = [request.json()["title"] for request in ops.requests if "failed" in request.json()["title"]]
        assert len(told) == 1
        assert "1 recording" in told[0]
        assert service.rows("SELECT * FROM pauses") == []


@pytest.fixture
def upgraded(tmp_path: Path, api: ScriptedApi, team: HttpSink) -> Iterator[Service]:
    """A service on the stored database of an earlier version, which was killed in the middle of its work."""
    done = tmp_path / "done"
    done.mkdir()
    service = Service(tmp_path, old_database.settings(f"json://{team.address}/", done))
    service.write_config(analyzer={"base_url": api.url})
    old_database.put_in_place(service, OLD)
    assert service.states() == {"done": 2, "duplicate": 1, "failed": 1, "analyzing": 1, "waiting": 1}
    with service:
        yield service


def test_a_stored_database_of_an_earlier_version_is_taken_over_and_the_work_in_it_goes_on(
    upgraded: Service, api: ScriptedApi, team: HttpSink, tmp_path: Path
) -> None:
    upgraded.start()
    upgraded.wait_states(done=4, duplicate=1, failed=1)
    moved = {name for name, state in old_database.STATES.items() if state != "failed"}
    wait_until(
        lambda: {path.name for path in (tmp_path / "done").iterdir()} == moved, what="files to be moved"
    )
    team.wait_for(3)
    assert upgraded.stop() == 0
    # Nothing is asked twice but what was in flight, and the alert that had arrived does not come again.
    sent = [call.sha256 for call in api.listened()]
    assert sorted(sent) == sorted(
        hashlib.sha256(old_database.content(name)).hexdigest() for name in ("sending.wav", "waiting.wav")
    )
    told = sorted(request.json()["title"].rpartition(" - ")[2] for request in team.requests)
    assert told == ["done.wav", "sending.wav", "waiting.wav"]
    assert upgraded.status()["folders"][0]["available"]


def test_the_way_back_to_an_earlier_version_is_the_copy_that_was_made_before(upgraded: Service) -> None:
    schema = schema_before(upgraded.place, "017")
    assert upgraded.earshot("status").returncode == 0
    with pytest.raises(
        StoreError, match=rf"newer earshot; .* {upgraded.database}\.before-17 \(docs/operate.md, Going back"
    ):
        open_database(upgraded.database, schema=schema)
    (copy,) = upgraded.database.parent.glob("*.before-*")
    assert copy.stat().st_mode & 0o777 == 0o600
    copy.replace(upgraded.database)
    for suffix in ("-wal", "-shm"):
        upgraded.database.with_name(f"earshot.db{suffix}").unlink(missing_ok=True)
    with closing(open_database(upgraded.database, schema=schema)) as db:
        assert {
            row["name"]: row["state"] for row in rows(db, "SELECT * FROM recordings")
        } == old_database.STATES


@pytest.mark.soak
def test_the_earlier_version_itself_refuses_and_works_with_the_copy(
    upgraded: Service, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    archive = subprocess.run(
        ["git", "archive", OLD.name.partition(".")[0], "daemon"],
        cwd=old_database.ROOT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        pytest.skip("needs a checkout with the history of that version")
    subprocess.run(["tar", "-x"], cwd=code, input=archive.stdout, check=True)
    assert upgraded.earshot("status").returncode == 0

    def old() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "daemon", "status", "--config", str(upgraded.config_file)],
            cwd=code,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = old()
    assert (refused.returncode, "newer earshot" in refused.stderr) == (78, True)
    (copy,) = upgraded.database.parent.glob("*.before-*")
    copy.replace(upgraded.database)
    answer = old()
    assert answer.returncode == 0, answer.stderr
    assert "1 waiting, 1 analyzing, 2 done" in answer.stdout


def test_a_table_of_somebody_else_with_a_name_that_is_needed_is_named_and_stays(tmp_path: Path) -> None:
    database, before = tmp_path / "earshot.db", schema_before(tmp_path, "016")
    with closing(open_database(database, schema=before)) as db:
        db.execute("CREATE TABLE backups (mine)")
    with pytest.raises(StoreError, match=r"table backups already exists, .* rename yours"):
        open_database(database)
    with closing(open_database(database, schema=before)) as db:
        db.execute("ALTER TABLE backups RENAME TO mine")
    open_database(database).close()


def test_the_schema_of_a_database_that_grew_is_that_of_a_new_one(tmp_path: Path) -> None:
    def objects(db: Database) -> dict[str, str]:
        return {row["name"]: row["sql"] for row in rows(db, "SELECT name, sql FROM sqlite_master")}

    open_database(tmp_path / "old.db", schema=schema_before(tmp_path, "006")).close()
    with (
        closing(open_database(tmp_path / "old.db")) as old,
        closing(open_database(tmp_path / "new.db")) as new,
    ):
        assert objects(old) == objects(new)
        assert "afterwards" not in objects(new)
        assert not [
            name for name in objects(new) if name.startswith(("recordings_ended", "recordings_failed"))
        ]
