"""Opening the file, writing to it from many threads, and the right to be the one daemon."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemon.errors import EarshotError, StoreBusyError, StoreError
from daemon.storage.connection import Database
from daemon.storage.database import (
    daemon_lock,
    free_bytes,
    memory_database,
    open_database,
    open_existing,
    rows,
    transaction,
)
from daemon.storage.lock import (
    ANSWER_AT,
    HOLDER_BYTES,
    ask_to_reload,
    daemon_status,
    refused_reload,
    reload_faults,
)
from daemon.storage.migrations import SCHEMA
from tests.databases import tables
from tests.storage.stores import add, schema_before, states

STOPPED = {"running": False, "ready": False, "stopping": False, "pid": None}


@contextmanager
def umask(mode: int) -> Iterator[None]:
    before = os.umask(mode)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {item.name: stat.S_IMODE(item.stat().st_mode) for item in folder.iterdir()}


# Opening


def test_files_are_their_owner_s_alone_whatever_the_umask(path: Path) -> None:
    with umask(0), daemon_lock(path), closing(open_database(path)) as db:
        add(db)
        found = modes(path.parent)

    assert found == dict.fromkeys(
        ["earshot.db", "earshot.db-wal", "earshot.db-shm", "earshot.db.lock", "earshot.db.key"], 0o600
    )
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_database_that_others_could_read_is_closed_to_them(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    open_database(path).close()
    path.chmod(0o644)

    open_database(path).close()

    assert modes(path.parent)["earshot.db"] == 0o600


def test_a_new_database_is_durable_and_checks_itself(db: Database) -> None:
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_was_stored_is_there_when_it_is_opened_again(path: Path) -> None:
    with closing(open_database(path)) as db:
        add(db, 3)
    with closing(open_existing(path)) as db:
        assert states(db) == {"waiting": 3}


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with closing(open_database(path)) as db:
        assert states(db) == {}


def test_a_reading_command_creates_no_database(path: Path) -> None:
    with pytest.raises(StoreError, match="no database yet"):
        open_existing(path)
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "content", [b"not a database", b"SQLite format 3\x00" + b"\xff" * 5000, os.urandom(8192)]
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(StoreError) as caught:
        open_database(path)

    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_not_changed(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()

    with pytest.raises(StoreError, match="another program"):
        open_database(path)

    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    with closing(open_database(path)) as db:
        db.execute("UPDATE _sqlite_migrations SET name = 'm999_from_the_future' WHERE id = 1")
    with pytest.raises(StoreError, match="newer earshot"):
        open_database(path)


@pytest.mark.parametrize("obstacle", ["parent is a file", "path is a folder"])
def test_a_place_where_no_database_can_be_is_said(path: Path, obstacle: str) -> None:
    if obstacle == "parent is a file":
        path.parent.write_text("x")
    else:
        path.mkdir(parents=True)
    with pytest.raises(StoreError) as caught:
        open_database(path)
    assert str(path) in str(caught.value)


def test_a_locked_database_may_be_free_later(path: Path) -> None:
    """Worth another try, unlike a file that is no database: exit code 78 would keep systemd from one."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError, match="locked by another process"):
            open_database(path, busy_seconds=0.05)
        holder.execute("ROLLBACK")
    open_database(path).close()


def test_every_refusal_closes_what_it_opened(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"x" * 5000)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(StoreError):
            open_database(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_processes_that_create_it_at_the_same_moment_all_get_it(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from daemon.storage.database import open_database;"
        "open_database(Path(sys.argv[1])).close()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script, path], stderr=subprocess.PIPE, env=environment)
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, errors
    with closing(open_database(path)) as db:
        assert db.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0] >= 1


def test_a_database_in_memory_has_the_same_tables(db: Database) -> None:
    with closing(memory_database()) as memory:
        assert set(tables(memory).table_names()) == set(tables(db).table_names())


def test_an_older_database_is_copied_before_its_tables_change(path: Path, tmp_path: Path) -> None:
    with closing(open_database(path)) as db:
        add(db, 2)
        version = db.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0]
    newer = tmp_path / "schema"
    shutil.copytree(SCHEMA, newer)
    (newer / "999_next.sql").write_text("ALTER TABLE folders ADD COLUMN note TEXT;\n")
    with umask(0), closing(open_database(path, schema=newer)):
        pass
    backup = path.with_name(f"earshot.db.before-{version + 1}")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT count(*) FROM recordings").fetchone() == (2,)


def test_room_is_that_of_the_file_system(path: Path) -> None:
    path.parent.mkdir()
    status = os.statvfs(path.parent)
    assert free_bytes(path) == pytest.approx(status.f_bavail * status.f_frsize, rel=0.2)


# Transactions


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_transaction_that_fails_leaves_nothing(db: Database, kind: type[BaseException]) -> None:
    add(db)
    with pytest.raises(kind), transaction(db):
        db.execute("DELETE FROM files")
        db.execute("DELETE FROM recordings")
        raise kind
    assert states(db) == {"waiting": 1}
    add(db)


def test_a_mistake_in_sql_is_no_trouble_of_the_disk(db: Database) -> None:
    with pytest.raises(sqlite3.OperationalError), transaction(db):
        db.execute("SELECT * FROM nothing")
    with pytest.raises(sqlite3.OperationalError):
        rows(db, "SELECT * FROM nothing")
    with pytest.raises(sqlite3.IntegrityError), transaction(db):
        db.execute("INSERT INTO requests (recording_id, started_at, outcome) VALUES (77, '', '')")
    add(db)


def test_a_write_lock_held_by_another_process_is_busy(path: Path) -> None:
    with (
        closing(open_database(path, busy_seconds=0.05)) as db,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="locked"), transaction(db):
            pass
        assert rows(db, "SELECT 1 AS one") == [{"one": 1}]
        other.execute("ROLLBACK")
        add(db)


def test_threads_behind_a_lock_of_another_process_do_not_wait_one_after_the_other(path: Path) -> None:
    """With many replies in hand the last thread would seem to hang, and the service would end itself."""
    waited: list[float] = []

    def write() -> None:
        with closing(open_database(path, busy_seconds=0.5)) as db:
            began = time.monotonic()
            with pytest.raises(StoreBusyError, match="locked"), transaction(db):
                pass
            waited.append(time.monotonic() - began)

    open_database(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=write) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(waited) == 12
    assert max(waited) < 8 * 0.5


def test_a_full_disk_is_busy_and_leaves_nothing(db: Database) -> None:
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    with transaction(db):
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreBusyError, match="full"), transaction(db):
        db.execute("UPDATE folders SET path = path")
        db.execute(
            "INSERT INTO recordings (path, name, source, state, first_seen_at, transcript)"
            " VALUES ('', '', '', 'waiting', '', zeroblob(1000000))"
        )
    assert not db.conn.in_transaction
    db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    assert states(db) == {}
    add(db)


def test_threads_that_write_lose_nothing(path: Path) -> None:
    open_database(path).close()
    failures: list[Exception] = []

    def write(thread: int) -> None:
        try:
            with closing(open_database(path)) as db:
                for number in range(200):
                    with transaction(db):
                        count = rows(db, "SELECT count(*) AS n FROM folders")[0]["n"]
                        db.execute(
                            "INSERT INTO folders (path, configured_at, available) VALUES (?, '', ?)",
                            (f"{thread}/{number}", count),
                        )
        except Exception as error:  # noqa: BLE001 - told below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(open_database(path)) as db:
        # What a transaction read still held when it wrote: each count was seen once.
        assert [item["available"] for item in rows(db, "SELECT available FROM folders ORDER BY 1")] == [
            *range(400)
        ]


# The one daemon


def test_one_daemon_at_a_time_and_the_second_hears_of_the_first(path: Path) -> None:
    with (
        daemon_lock(path),
        pytest.raises(EarshotError, match=f"process {os.getpid()}"),
        daemon_lock(path),
    ):
        pass
    with daemon_lock(path):
        pass


def test_a_link_to_the_database_leads_to_the_same_lock(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with daemon_lock(path):
        with pytest.raises(EarshotError, match="another earshot"), daemon_lock(link):
            pass
        assert daemon_status(link)["running"]


def test_a_database_created_through_a_link_is_its_owner_s_alone(tmp_path: Path) -> None:
    link, target = tmp_path / "link.db", tmp_path / "new" / "real.db"
    link.symlink_to(target)
    with umask(0), closing(open_database(link)):
        assert (target.stat().st_mode & 0o777, target.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_status_says_whether_a_daemon_runs_and_is_ready(path: Path) -> None:
    assert daemon_status(path) == STOPPED
    with daemon_lock(path) as lock:
        starting = {"running": True, "ready": False, "stopping": False, "pid": os.getpid()}
        assert daemon_status(path) == starting
        lock.say(ready=True)
        assert daemon_status(path) == starting | {"ready": True}
        lock.say(ready=False, stopping=True)
        assert daemon_status(path) == starting | {"stopping": True}
    assert daemon_status(path) == STOPPED


@contextmanager
def another_daemon(path: Path) -> Iterator[int]:
    """A process that holds the lock until it is killed at the end; its id."""
    script = (
        "import sys; from pathlib import Path; from daemon.storage.database import daemon_lock\n"
        "with daemon_lock(Path(sys.argv[1])) as lock:\n"
        "    lock.say(ready=True); print('held', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_tables_are_not_changed_under_a_service_that_runs_an_older_version(
    path: Path, tmp_path: Path
) -> None:
    open_database(path, schema=schema_before(tmp_path, "006")).close()
    with another_daemon(path) as pid:
        with pytest.raises(EarshotError, match=f"older earshot .process {pid}."):
            open_existing(path)
        assert list(path.parent.glob("*.before-*")) == []


def test_a_daemon_that_was_killed_does_not_run(path: Path) -> None:
    with another_daemon(path) as pid:
        assert daemon_status(path) == {"running": True, "ready": True, "stopping": False, "pid": pid}
    assert daemon_status(path) == STOPPED
    with daemon_lock(path):
        assert daemon_status(path)["ready"] is False


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff" * 100, b'{"pid": 5}'])
def test_a_lock_file_with_anything_in_it_is_no_obstacle(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.with_name("earshot.db.lock").write_bytes(content)
    assert daemon_status(path) == STOPPED
    with daemon_lock(path):
        assert daemon_status(path)["pid"] == os.getpid()


@pytest.mark.parametrize("pid", ['"all"', "0", "1e99", str(10**30), "null"])
def test_a_reload_is_asked_for_whatever_stands_for_the_process_in_the_lock_file(path: Path, pid: str) -> None:
    """And no process is sent a signal that the file does not name: 0 and less would be many."""
    path.parent.mkdir()
    path.with_name("earshot.db.lock").write_text(f'{{"pid": {pid}}}'.ljust(HOLDER_BYTES))
    came: list[int] = []
    before = signal.signal(signal.SIGURG, lambda number, _: came.append(number))
    try:
        assert (ask_to_reload(path), came) == (1, [])
    finally:
        signal.signal(signal.SIGURG, before)


@pytest.mark.parametrize("answer", ['{"asked": "x"}', '{"asked": null}', '{"asked": 0, "faults": 5}', "[0]"])
def test_an_answer_that_is_none_counts_as_no_answer(path: Path, answer: str) -> None:
    path.parent.mkdir()
    path.with_name("earshot.db.lock").write_text(" " * ANSWER_AT + answer)
    assert reload_faults(path, 0) is None
    assert refused_reload(path) is None


def test_a_look_at_the_status_keeps_no_daemon_from_starting(path: Path) -> None:
    open_database(path).close()
    path.with_name("earshot.db.lock").touch()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            daemon_status(path)
            stop.wait(0.0005)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with daemon_lock(path):
                pass
    finally:
        stop.set()
        thread.join()


def test_a_lock_file_that_cannot_be_written_is_said(path: Path) -> None:
    path.with_name("earshot.db.lock").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"earshot\.db\.lock: "), daemon_lock(path):
        pass
