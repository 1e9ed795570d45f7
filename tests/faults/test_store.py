"""The database's disk is full, its file locked, gone, broken or not ours: nothing paid for is lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.models import iso
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.migrations import SCHEMA
from tests.databases import new_database, tables
from tests.faults.crashes import alerting, compiled_counter, is_bad_news_name, is_sent, tally
from tests.harness import Conversation, ScriptedApi, Service, reply, running
from tests.servers import HttpSink, wait_until

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
MEGABYTE = 1000 * 1000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes where a Service in `tmp_path` keeps its database."""
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small file system here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Take all room but `leave` bytes; returns the file to delete for having it back."""
    filler = disk / "filler"
    with filler.open("wb") as file, suppress(OSError):
        while (left := shutil.disk_usage(disk).free - leave) > 0:
            file.write(bytes(min(left, MEGABYTE)))
            file.flush()
    return filler


class Held:
    """A script that holds every answer back until `release`."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self, conversation: Conversation) -> None:
        self._event.wait(60)
        conversation.reply()

    def release(self) -> None:
        self._event.set()


# D1, D2: no room


def test_too_little_room_holds_the_queue_before_anything_is_paid(
    tmp_path: Path, small_disk: Path, api: ScriptedApi
) -> None:
    """D1: below min_free nothing is sent, status says why, and it goes on by itself."""
    with running(tmp_path, api, min_free="2MB") as service:
        filler = fill(small_disk, leave=MEGABYTE)
        service.drop("call.wav")
        reason = service.wait_row("SELECT reason FROM pauses WHERE cause = 'store'")["reason"]
        service.wait_states(waiting=1)
        assert "min_free" in reason
        assert service.status()["paused"]["reason"] == reason
        assert api.calls == []
        filler.unlink()
        service.wait_states(done=1)
        assert service.status()["paused"] is None


def test_reply_in_hand_is_written_once_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    """D1: the disk fills up while requests are in flight; their replies wait, and are not asked for again."""
    held = Held()
    with ScriptedApi(held) as api, running(tmp_path, api, min_free="0B") as service:
        for number in range(3):
            service.drop(f"{number}.wav")
        api.wait_for_calls(3)
        filler = fill(small_disk)
        held.release()
        wait_until(lambda: service.log().count("cannot store a result") >= 3, what="replies that wait")
        check = service.earshot("status", "--check")
        assert (check.returncode, "the disk of the database is full" in check.stdout) == (1, True)
        assert "nothing can be stored now: the disk" in service.earshot("status").stderr
        assert service.process is not None
        assert service.process.poll() is None
        filler.unlink()
        service.wait_states(done=3)
        assert len(api.calls) == 3
        assert service.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_start_after_a_kill_waits_for_room_too(tmp_path: Path, small_disk: Path, api: ScriptedApi) -> None:
    """D1: SQLite's own files are still there, so that the database opens and reads, and nothing is left to
    bring back, so that the first write comes late."""
    with running(tmp_path, api, min_free="0B") as service:
        service.kill()
        filler = fill(small_disk)
        service.start(ready=False)
        wait_until(lambda: "database not usable, trying again" in service.log(), what="it to wait")
        filler.unlink()
        service.wait_ready()
        service.drop("call.wav")
        service.wait_states(done=1)


def test_reload_with_a_full_disk_ends_nothing(tmp_path: Path, small_disk: Path) -> None:
    """D1, P9: it is refused in one line; the reply in hand is stored as soon as there is room."""
    held = Held()
    with ScriptedApi(held) as api, running(tmp_path, api, min_free="0B") as service:
        service.drop("call.wav")
        api.wait_for_calls(1)
        filler = fill(small_disk)
        held.release()
        wait_until(lambda: "cannot store a result" in service.log(), what="a reply that waits")
        service.reload()
        assert 'configuration not taken over, the old one stays error="the disk' in service.log()
        filler.unlink()
        service.wait_states(done=1)
        assert len(api.calls) == 1


def test_start_with_a_full_disk_waits_for_room(tmp_path: Path, small_disk: Path, api: ScriptedApi) -> None:
    """D1: not an end with an error, again and again, until systemd starts it no more."""
    with running(tmp_path, api, min_free="0B") as service:
        service.stop()
        filler = fill(small_disk)
        service.start(ready=False)
        wait_until(lambda: "database not usable, trying again" in service.log(), what="it to wait")
        status = service.earshot("status")
        # It can be read while SQLite's own files are there, which come and go with each try.
        assert status.returncode in (0, 1)
        assert "Traceback" not in status.stderr
        filler.unlink()
        service.wait_ready()
        service.drop("call.wav")
        service.wait_states(done=1)


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled_counter(tmp_path_factory)


def failed_write(place: Path, library: Path, number: int) -> int:
    """A recording through a process whose `number`-th write or sync fails; returns how many it made."""
    calls = place / "calls"
    with (
        HttpSink() as sink,
        ScriptedApi(lambda conversation: conversation.reply(body=reply(average=-0.8))) as api,
        Service(place, alerting(sink, base_url=api.url)) as service,
    ):
        service.start()
        service.stop()
        service.drop(is_bad_news_name())
        service.environment = {"LD_PRELOAD": str(library), "FAIL_AT": str(number), "CALL_LOG": str(calls)}
        process = service.start(ready=False).process
        assert process is not None
        wait_until(lambda: process.poll() is not None or is_sent(service), what="its end, or the alert")
        if process.poll() is not None:
            service.kill()
            service.environment = {}
            service.start()
            wait_until(lambda: is_sent(service), what="the alert")
        service.stop()
        tally(service, api, sink, files=1, kills=0, bound=0, started=0.0).check()
    failing = ("pwrite", "pwrite64", "fdatasync", "fsync")
    return sum(name in failing for name in calls.read_text().splitlines())


def test_any_write_may_fail_without_a_loss_or_a_second_bill(tmp_path: Path, counter: Path) -> None:
    """D2: one of the writes and syncs of a recording's way; the long runs take every one."""
    assert failed_write(tmp_path, counter, 60) >= 60, "it makes fewer: name a smaller number"


def test_a_state_that_cannot_be_written_ends_nothing(tmp_path: Path, counter: Path) -> None:
    """`earshot status` reads it, and a request in flight is worth more: it is not paid for again."""
    held = Held()
    with ScriptedApi(held) as api, Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        service.environment = {"LD_PRELOAD": str(counter), "FAIL_IN": ".lock"}
        service.start(ready=False)
        wait_until(lambda: "ready folders=1" in service.log(), what="it to be ready")
        service.drop("call.wav")
        wait_until(lambda: len(api.calls) == 1, what="a request")
        service.signal(signal.SIGTERM)
        wait_until(lambda: "stopping in_flight=1" in service.log(), what="it to end")
        held.release()
        assert service.wait_end() == 0
        assert service.states() == {"done": 1}
        assert len(api.calls) == 1
        assert service.log().count("state for `earshot status` not written") == 1


@pytest.mark.soak
def test_every_write_may_fail(tmp_path: Path, counter: Path) -> None:
    """D2: each write and sync of a recording's whole way, one at a time."""
    for number in range(1, failed_write(tmp_path / "whole", counter, 0) + 1):
        failed_write(tmp_path / str(number), counter, number)


# D3: locked


def test_locked_database_stops_sending_and_keeps_what_arrives(tmp_path: Path) -> None:
    """D3: locked for longer than SQLite itself waits; the reply in hand is stored, the rest follows."""
    held = Held()
    with ScriptedApi(held) as api, running(tmp_path, api, analyzer={"concurrency": 4}) as service:
        service.drop("first.wav")
        api.wait_for_calls(1)
        with closing(sqlite3.connect(service.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            service.drop("second.wav")
            held.release()
            wait_until(lambda: "cannot store a result" in service.log(), what="it to give up once")
            assert len(api.calls) == 1
            other.execute("ROLLBACK")
        service.wait_states(done=2)
        assert len(api.calls) == 2


@pytest.mark.soak
def test_locked_database_at_a_reload_does_not_end_the_service(tmp_path: Path, api: ScriptedApi) -> None:
    """P9, D3: it is refused in one line, the old configuration stays, and a later reload takes place."""
    with running(tmp_path, api) as service:
        with closing(sqlite3.connect(service.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            service.signal(1)
            refused = 'configuration not taken over, the old one stays error="the database is locked'
            wait_until(lambda: refused in service.log(), seconds=90, what="the reload to be refused")
            other.execute("ROLLBACK")
        service.reload()
        assert "configuration taken over" in service.log()
        service.drop("a.wav")
        service.wait_states(done=1)


# D4 to D7: not the file that it should be


@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_database_that_vanishes_ends_the_service(tmp_path: Path, api: ScriptedApi, what: str) -> None:
    """D4: what is written into a file without a name is lost, so nothing more is begun."""
    with running(tmp_path, api) as service:
        if what == "deleted":
            service.database.unlink()
        else:
            copy = tmp_path / "copy.db"
            shutil.copy(service.database, copy)
            copy.rename(service.database)
        service.drop("call.wav")
        assert service.wait_end() == 1
        assert f"{service.database} was deleted or replaced" in service.log()
        assert api.calls == []
        assert service.database.exists() == (what == "replaced")


def test_lock_file_that_vanishes_ends_the_service(tmp_path: Path, api: ScriptedApi) -> None:
    """P7: a second one could start beside it, and pay for the same recordings."""
    with running(tmp_path, api) as service:
        service.database.with_name(f"{service.database.name}.lock").unlink()
        assert service.wait_end() == 1
        assert "the lock file of the database" in service.log()


def test_database_that_another_version_took_over_ends_the_service(tmp_path: Path, api: ScriptedApi) -> None:
    """P11: it does not go on claiming recordings that it can do nothing with."""
    with running(tmp_path, api) as service:
        with closing(sqlite3.connect(service.database)) as db:
            db.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
                " VALUES ('earshot', 'm999', '')"
            )
            db.commit()
        service.drop("call.wav")
        assert service.wait_end() == 1
        assert "written by a newer earshot" in service.log()
        assert api.calls == []


def test_first_start_leaves_alone_what_was_there(tmp_path: Path, api: ScriptedApi) -> None:
    """D6: a database that is missing must not make a whole archive be paid for."""
    with Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        for number in range(5):
            service.drop(f"{number}.wav")
        service.start()
        service.wait_states(skipped=5)
        service.stop()
        service.database.unlink()
        service.start()
        service.wait_states(skipped=5)
        assert api.calls == []


def broken(path: Path) -> None:
    path.write_bytes(b"this is no database, and longer than its header would be" * 200)


def damaged(path: Path) -> None:
    with closing(open_database(path)):
        pass
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE invoices (id INTEGER)")
        db.commit()


@pytest.mark.parametrize("spoil", [broken, damaged, foreign])
def test_file_that_is_no_database_of_ours_is_refused_unchanged(
    tmp_path: Path, api: ScriptedApi, spoil: object
) -> None:
    """D5: exit 78 and one line; a file re-created in silence would have everything paid for again."""
    with Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        service.database.parent.mkdir(mode=0o700)
        assert callable(spoil)
        spoil(service.database)
        before = service.database.read_bytes()
        done = service.earshot("run")
        assert done.returncode == 78
        assert str(service.database) in done.stderr
        assert "Traceback" not in done.stderr
        assert service.database.read_bytes() == before


def test_database_that_may_only_be_read_is_refused(
    tmp_path: Path, small_disk: Path, api: ScriptedApi
) -> None:
    """D7: exit 78, and it names the file."""
    with running(tmp_path, api) as service:
        service.stop()
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        done = service.earshot("run")
        assert done.returncode == 78
        assert str(service.database) in done.stderr


# D9 and the way SQLite is used


def test_transaction_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """D9: also with the insert of sqlite-utils, whose own transactions nest."""
    with closing(new_database(tmp_path / "earshot.db")) as db:
        with pytest.raises(RuntimeError), transaction(db):
            tables(db).table("folders").insert({"path": "/a", "configured_at": iso(NOW)})
            with closing(sqlite3.connect(tmp_path / "earshot.db")) as other:
                assert other.execute("SELECT count(*) FROM folders").fetchone() == (0,)
            raise RuntimeError
        assert tables(db).table("folders").count == 0


def test_opening_again_does_not_drop_the_locks_of_this_process(tmp_path: Path) -> None:
    """Any other descriptor of the file, closed, would: then another process takes itself for the last one
    and removes the journal under the connections that are still open."""
    path = tmp_path / "earshot.db"
    with closing(open_database(path)) as db:
        with transaction(db):
            db.execute("INSERT INTO folders (path, configured_at) VALUES ('/a', '')")
        open_database(path).close()
        other = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('ANALYZE'); db.close()"
        subprocess.run([sys.executable, "-c", other, path], check=True)
        assert path.with_name("earshot.db-wal").exists()
        assert tables(db).table("folders").count == 1


def test_older_database_is_migrated_after_a_backup(tmp_path: Path) -> None:
    """P11: what was there stays, and a copy of it as it was lies beside it."""
    path = tmp_path / "earshot.db"
    with closing(open_database(path)) as db, transaction(db):
        db.execute("INSERT INTO folders (path, configured_at) VALUES ('/kept', '')")

    newer = tmp_path / "schema"
    shutil.copytree(SCHEMA, newer)
    (newer / "999_test.sql").write_text("ALTER TABLE folders ADD COLUMN note TEXT;\n")
    with closing(open_database(path, schema=newer)) as db:
        assert list(rows(db, "SELECT path, note FROM folders")) == [{"path": "/kept", "note": None}]
    backups = list(tmp_path.glob("earshot.db.before-*"))
    assert len(backups) == 1
    assert backups[0].stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backups[0])) as old:
        assert old.execute("SELECT path FROM folders").fetchall() == [("/kept",)]
        assert "note" not in [column[1] for column in old.execute("PRAGMA table_info(folders)")]
