"""A real folder, watched for real: what people do to it, and the rows that it must end in."""

import os
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import WatchFolder
from daemon.errors import StoreBusyError
from daemon.intake.settle import MAX_PENDING
from daemon.models import iso
from daemon.runtime.folder_loop import FolderLoop
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows
from daemon.watching.events import Events, EventsFactory, Hint, HintKind
from tests.databases import new_database, wait_at_most
from tests.watching.mounts import bind, mount, mounts_undone

DEADLINE_SECONDS = 60.0
SETTLE_SECONDS = 0.3


def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + DEADLINE_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_SECONDS} s: {what or condition}"
        pause.wait(0.01)


class Running:
    """A folder's loop in its thread, as the service runs it, and the rows it made."""

    def __init__(self, database: Path, folder: WatchFolder, events: EventsFactory) -> None:
        self.loop = FolderLoop(folder, events=events)
        self.watch = self.loop.watch
        self.db = new_database(database)
        self.errors: list[Exception] = []
        self._database = database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        db = open_database(self._database)
        # So that a database that is locked is noticed soon.
        wait_at_most(db, 0.05)
        try:
            while not self._stop.is_set():
                try:
                    pause = self.loop.step(db, time.monotonic(), datetime.now(UTC))
                except StoreBusyError as error:
                    self.errors.append(error)
                    pause = 0.05
                self.watch.wait(pause)
        finally:
            self.watch.close()
            db.close()

    def end(self) -> None:
        self._stop.set()
        self.watch.wake()
        self._thread.join()

    def recordings(self) -> list[dict[str, Any]]:
        return rows(self.db, "SELECT * FROM recordings ORDER BY id")

    def names(self) -> list[str]:
        root = str(self.watch.folder.path)
        return sorted(row["path"].removeprefix(f"{root}/") for row in self.recordings())

    def folder_row(self) -> dict[str, Any]:
        return rows(self.db, "SELECT * FROM folders")[0]

    def settled_names(self) -> list[str]:
        """The names once another listing of everything has found nothing more to do."""
        for _ in range(2):
            self._list_again(self.folder_row()["last_scan_at"])
            eventually(lambda: self.loop.intake.room == MAX_PENDING, "nothing pending")
        return self.names()

    def list_all(self) -> None:
        """Have the whole folder listed at the next look, which is now."""
        self.watch.list_again(0.0)
        self.watch.wake()

    def _list_again(self, before: str) -> None:
        # The time of a listing has milliseconds.
        eventually(lambda: iso(datetime.now(UTC)) > before)
        self.list_all()
        eventually(lambda: self.folder_row()["last_scan_at"] > before, "another listing")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def start(tmp_path: Path, root: Path) -> Iterator[Callable[..., Running]]:
    """Starts watching the folder and returns once it is watched; stopped at the end of the test."""
    running: list[Running] = []

    def run(*, wait: bool = True, events: EventsFactory = Events, **settings: Any) -> Running:
        values = {"path": root, "settle": SETTLE_SECONDS, **settings}
        started = Running(tmp_path / "state/earshot.db", WatchFolder.model_validate(values), events)
        running.append(started)
        if wait:
            eventually(lambda: started.watch.is_ready, "ready")
        return started

    yield run
    for one in running:
        one.end()
        one.db.close()


@pytest.fixture(params=["events", "poll"])
def watched(request: pytest.FixtureRequest, start: Callable[..., Running]) -> Running:
    """The folder watched both ways: each test must end with the same rows."""
    return start(method=request.param, rescan=60 if request.param == "events" else 0.2)


def test_a_slow_writer_is_waited_for_however_quiet_it_is(watched: Running, root: Path) -> None:
    with (root / "slow.wav").open("wb") as file:
        for _ in range(3):
            file.write(b"x" * 1000)
            file.flush()
            # A file that nobody holds open proves that settle time has passed.
            marker = root / f"marker{file.tell()}.wav"
            marker.write_bytes(b"m")
            eventually(lambda marker=marker: marker.name in watched.names())  # type: ignore[misc]
            assert "slow.wav" not in watched.names()
    eventually(lambda: "slow.wav" in watched.names())
    assert [row["size_bytes"] for row in watched.recordings() if row["name"] == "slow.wav"] == [3000]
    assert len(watched.settled_names()) == 4


def test_a_file_reopened_for_each_append_is_taken_when_it_stops_growing(watched: Running, root: Path) -> None:
    end = time.monotonic() + 4 * SETTLE_SECONDS
    size = 0
    while time.monotonic() < end:
        with (root / "a.wav").open("ab") as file:
            size += file.write(b"x" * 100)
        assert watched.names() == []
        threading.Event().wait(SETTLE_SECONDS / 10)
    eventually(lambda: watched.names() == ["a.wav"])
    assert watched.recordings()[0]["size_bytes"] == size
    assert watched.settled_names() == ["a.wav"]


def test_whole_trees_copied_in_are_found_to_the_last_file(
    watched: Running, root: Path, tmp_path: Path
) -> None:
    expected = []
    for number in range(120):
        directory = tmp_path / f"tree/{number % 12}/d{number}/e"
        directory.mkdir(parents=True)
        (directory / "a.wav").write_bytes(b"x")
        expected.append(f"tree/{number % 12}/d{number}/e/a.wav")
    subprocess.run(["cp", "-r", tmp_path / "tree", root / "tree"], check=True)
    eventually(lambda: len(watched.names()) >= 120, "all files")
    assert watched.settled_names() == sorted(expected)


@pytest.mark.parametrize("method", ["events", "poll"])
def test_a_full_tree_moved_in_is_found_although_its_files_are_old(
    start: Callable[..., Running], root: Path, tmp_path: Path, method: str
) -> None:
    (tmp_path / "old/deep").mkdir(parents=True)
    (tmp_path / "old/deep/a.wav").write_bytes(b"x")
    threading.Event().wait(0.02)  # the kernel's clock for files is up to some milliseconds behind
    watched = start(method=method, rescan=0.2)
    (tmp_path / "old").rename(root / "old")
    eventually(lambda: watched.names() == ["old/deep/a.wav"])
    assert [row["state"] for row in watched.recordings()] == ["waiting"]
    (root / "old/deep/b.wav").write_bytes(b"y")
    eventually(lambda: len(watched.names()) == 2)


def test_renaming_and_touching_known_files_makes_no_rows(watched: Running, root: Path) -> None:
    (root / "a.wav").write_bytes(b"x")
    eventually(lambda: watched.names() == ["a.wav"])
    (root / "a.wav").rename(root / "b.wav")
    eventually(lambda: watched.names() == ["b.wav"])
    os.utime(root / "b.wav", ns=(1_800_000_000_000_000_000, 1_800_000_000_000_000_000))
    assert watched.settled_names() == ["b.wav"]
    assert watched.recordings()[0]["modified_at"] == "2027-01-15T08:00:00.000Z"


def test_a_rewritten_file_is_updated_until_sent_and_new_after(watched: Running, root: Path) -> None:
    (root / "a.wav").write_bytes(b"one")
    eventually(lambda: watched.names() == ["a.wav"])
    (root / "a.wav").write_bytes(b"three")
    eventually(lambda: [row["size_bytes"] for row in watched.recordings()] == [5])
    watched.db.execute("UPDATE recordings SET state = 'done', attempts = 1, sha256 = 'x'")
    (root / "a.wav").write_bytes(b"seven..")
    eventually(lambda: [row["size_bytes"] for row in watched.recordings()] == [5, 7])
    assert watched.settled_names() == ["a.wav", "a.wav"]


def test_only_regular_files_become_rows(watched: Running, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"secret")
    (root / "link.wav").symlink_to(secret)
    (root / "dir.wav").mkdir()
    os.mkfifo(root / "fifo.wav")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.wav"))
        (root / "real.wav").write_bytes(b"x")
        eventually(lambda: watched.names() == ["real.wav"])
        assert watched.settled_names() == ["real.wav"]


def test_any_name_the_kernel_allows_becomes_a_row(watched: Running, root: Path) -> None:
    names = [
        b"new\nline.wav",
        b"\xff\xfe.wav",
        b"n" * 251 + b".wav",
        b"-rf $(id) %s.wav",
        "ü\u202e.wav".encode(),
    ]
    for name in names:
        path = os.fsencode(root) + b"/" + name
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"x")
        os.close(descriptor)
    eventually(lambda: len(watched.names()) == len(names))
    assert len(watched.settled_names()) == len(names)
    assert {row["source"] for row in watched.recordings()} == {
        os.fsencode(root) + b"/" + name for name in names
    }


def test_a_file_deleted_before_it_was_complete_is_forgotten(watched: Running, root: Path) -> None:
    (root / "a.wav").write_bytes(b"x")
    eventually(lambda: watched.loop.intake.room < MAX_PENDING)
    (root / "a.wav").unlink()
    eventually(lambda: watched.loop.intake.room == MAX_PENDING)
    assert watched.settled_names() == []


def test_deleting_known_files_changes_no_rows(watched: Running, root: Path) -> None:
    (root / "a.wav").write_bytes(b"x")
    eventually(lambda: watched.names() == ["a.wav"])
    (root / "a.wav").unlink()
    assert watched.settled_names() == ["a.wav"]
    assert watched.recordings()[0]["state"] == "waiting"


def test_an_empty_file_is_set_aside_and_taken_up_when_it_fills(
    start: Callable[..., Running], root: Path
) -> None:
    watched = start(empty_after=0.5)
    (root / "a.wav").touch()
    eventually(lambda: [row["error_code"] for row in watched.recordings()] == ["empty"])
    assert watched.settled_names() == ["a.wav"]
    (root / "a.wav").write_bytes(b"x")
    eventually(lambda: [row["state"] for row in watched.recordings()] == ["waiting"])


def test_with_no_settle_time_a_closed_or_renamed_file_is_taken_at_once(
    start: Callable[..., Running], root: Path, tmp_path: Path
) -> None:
    watched = start(settle=0)
    (root / "a.wav").write_bytes(b"x")
    eventually(lambda: watched.names() == ["a.wav"])
    (tmp_path / "b.wav").write_bytes(b"x")
    (tmp_path / "b.wav").rename(root / "b.wav")
    eventually(lambda: watched.names() == ["a.wav", "b.wav"])
    assert watched.settled_names() == ["a.wav", "b.wav"]


def test_existing_files_are_left_alone_and_later_ones_are_not(
    start: Callable[..., Running], root: Path
) -> None:
    (root / "sub").mkdir()
    for name in ("old.wav", "sub/older.wav", "empty.wav"):
        (root / name).write_bytes(b"" if name == "empty.wav" else b"x")
    threading.Event().wait(0.02)  # the kernel's clock for files is up to some milliseconds behind
    watched = start()
    assert {(row["state"], row["error_code"]) for row in watched.recordings()} == {("skipped", "existing")}
    assert len(watched.names()) == 3
    (root / "new.wav").write_bytes(b"x")
    eventually(lambda: "new.wav" in watched.names())
    assert [row["state"] for row in watched.recordings() if row["name"] == "new.wav"] == ["waiting"]
    (root / "old.wav").write_bytes(b"grew after all")
    eventually(lambda: [row["state"] for row in watched.recordings()].count("waiting") == 2)
    assert len(watched.names()) == 4, "its row goes on"


@pytest.mark.parametrize(("existing", "quiet"), [("quiet", 1), ("analyze", 0)])
def test_existing_files_can_be_analyzed_with_or_without_alerts(
    start: Callable[..., Running], root: Path, existing: str, quiet: int
) -> None:
    (root / "old.wav").write_bytes(b"x")
    threading.Event().wait(0.02)
    watched = start(existing=existing)
    eventually(lambda: watched.names() == ["old.wav"])
    (root / "new.wav").write_bytes(b"x")
    eventually(lambda: len(watched.names()) == 2)
    assert {row["name"]: row["quiet"] for row in watched.recordings()} == {"old.wav": quiet, "new.wav": 0}
    assert {row["state"] for row in watched.recordings()} == {"waiting"}


def test_what_arrives_while_the_service_is_down_is_new(start: Callable[..., Running], root: Path) -> None:
    (root / "old.wav").write_bytes(b"x")
    threading.Event().wait(0.02)
    first = start()
    first.watch.wake()
    (root / "one.wav").write_bytes(b"x")
    eventually(lambda: len(first.names()) == 2)
    first.end()
    (root / "two.wav").write_bytes(b"x")
    second = start()
    eventually(lambda: "two.wav" in second.names())
    assert second.settled_names() == ["old.wav", "one.wav", "two.wav"]
    assert {row["name"]: row["state"] for row in second.recordings()} == {
        "old.wav": "skipped",
        "one.wav": "waiting",
        "two.wav": "waiting",
    }


def test_a_folder_missing_at_first_is_watched_when_it_appears(
    start: Callable[..., Running], root: Path
) -> None:
    root.rmdir()
    watched = start()
    assert watched.folder_row()["available"] == 0
    assert watched.folder_row()["first_seen_at"] is None
    root.mkdir()
    (root / "a.wav").write_bytes(b"x")
    eventually(lambda: watched.names() == ["a.wav"])
    assert watched.recordings()[0]["state"] == "waiting"
    assert watched.folder_row()["available"] == 1
    assert watched.folder_row()["first_seen_at"]


@pytest.mark.parametrize("method", ["events", "poll"])
def test_a_folder_watched_inside_another_one_has_its_files_to_itself(
    start: Callable[..., Running], root: Path, method: str
) -> None:
    """Both hear of what is in it; the outer one leaves subfolders out."""
    inner = root / "inner"
    inner.mkdir()
    outside = start(method=method, rescan=0.2, recursive=False)
    inside = start(method=method, rescan=0.2, path=inner)
    (root / "a.wav").write_bytes(b"x")
    (inner / "b.wav").write_bytes(b"x")
    eventually(lambda: outside.names() == ["a.wav", "inner/b.wav"])
    assert outside.settled_names() == ["a.wav", "inner/b.wav"]
    assert {row["name"]: row["folder"] for row in inside.recordings()} == {
        "a.wav": str(root),
        "b.wav": str(inner),
    }


class Lossy:
    """Makes real events, and loses what the latest ones say while `is_deaf`."""

    def __init__(self) -> None:
        self.made = 0
        self.is_deaf = False

    def __call__(self, root: str, *, recursive: bool, put: Callable[[Hint], None]) -> Events:
        self.made += 1
        self.is_deaf = False
        self.put = put
        return Events(root, recursive=recursive, put=self._hear)

    def _hear(self, hint: Hint) -> None:
        if not self.is_deaf:
            self.put(hint)


def test_events_that_were_lost_are_made_up_for(start: Callable[..., Running], root: Path) -> None:
    events = Lossy()
    watched = start(rescan=3600, events=events)
    events.is_deaf = True
    (root / "deep").mkdir()
    (root / "deep/a.wav").write_bytes(b"x")
    events.put(Hint(HintKind.LOST))
    eventually(lambda: watched.names() == ["deep/a.wav"])
    eventually(lambda: events.made == 2, "watched anew")
    assert watched.settled_names() == ["deep/a.wav"]
    (root / "deep/b.wav").write_bytes(b"x")
    eventually(lambda: len(watched.names()) == 2)
    eventually(lambda: watched.folder_row()["missed_by_events"] == 1, "counted")


def test_what_only_a_listing_finds_is_counted_and_the_folder_watched_anew(
    start: Callable[..., Running], root: Path
) -> None:
    (root / "old.wav").write_bytes(b"x")
    events = Lossy()
    watched = start(existing="analyze", rescan=3600, events=events)
    eventually(lambda: watched.names() == ["old.wav"])
    events.is_deaf = True
    (root / "a.wav").write_bytes(b"x")
    os.utime(root / "old.wav", ns=(10**18, 10**18))
    watched.list_all()
    eventually(lambda: watched.names() == ["a.wav", "old.wav"])
    eventually(lambda: events.made == 2, "watched anew")
    # What comes before the listing that follows would be found by it.
    assert watched.settled_names() == ["a.wav", "old.wav"]
    (root / "b.wav").write_bytes(b"x")
    eventually(lambda: "b.wav" in watched.names())
    assert watched.folder_row()["missed_by_events"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_observer_is_replaced(start: Callable[..., Running], root: Path) -> None:
    made: list[Events] = []

    def first_dies(path: str, *, recursive: bool, put: Callable[[Hint], None]) -> Events:
        def end_the_thread(_: Hint) -> None:
            raise SystemExit

        made.append(Events(path, recursive=recursive, put=put if made else end_the_thread))
        return made[-1]

    watched = start(rescan=3600, events=first_dies)
    (root / "lost.wav").write_bytes(b"x")
    eventually(lambda: not made[0].is_alive)
    eventually(lambda: watched.names() == ["lost.wav"])
    (root / "a.wav").write_bytes(b"x")
    eventually(lambda: len(watched.names()) == 2)


@pytest.mark.parametrize("number", [28, 24])
def test_without_inotify_the_folder_is_polled_and_the_log_says_what_to_raise(
    start: Callable[..., Running], root: Path, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(*_: object, **__: object) -> Events:
        raise OSError(number, os.strerror(number))

    watched = start(rescan=0.2, events=refuse)
    assert watched.folder_row()["method"] == "poll"
    assert "sysctl fs.inotify.max_user" in caplog.text
    (root / "a.wav").write_bytes(b"x")
    eventually(lambda: watched.names() == ["a.wav"])


def test_a_locked_database_loses_nothing(start: Callable[..., Running], root: Path, tmp_path: Path) -> None:
    (root / "old.wav").write_bytes(b"x")
    threading.Event().wait(0.02)
    open_database(tmp_path / "state/earshot.db").close()
    with closing(sqlite3.connect(tmp_path / "state/earshot.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        watched = start(rescan=3600, wait=False)
        eventually(lambda: len(watched.errors) >= 2, "noticed")
        other.execute("ROLLBACK")
        eventually(lambda: [row["error_code"] for row in watched.recordings()] == ["existing"])
        eventually(lambda: watched.watch.is_ready)
        other.execute("BEGIN IMMEDIATE")
        errors = len(watched.errors)
        (root / "a.wav").write_bytes(b"x")
        eventually(lambda: len(watched.errors) >= errors + 2, "noticed again")
        other.execute("ROLLBACK")
        eventually(lambda: watched.names() == ["a.wav", "old.wav"])


@contextmanager
def one_shot(tmp_path: Path, folder: WatchFolder) -> Iterator[tuple[FolderLoop, Database]]:
    loop, db = FolderLoop(folder), new_database(tmp_path / "state/earshot.db")
    yield loop, db
    loop.watch.close()
    db.close()


def test_one_pass_is_over_when_only_what_cannot_settle_is_left(tmp_path: Path, root: Path) -> None:
    folder = WatchFolder(path=root, existing="analyze", settle=1.0)
    (root / "a.wav").write_bytes(b"x")
    (root / "empty.wav").touch()
    with one_shot(tmp_path, folder) as (loop, db), (root / "held.wav").open("wb") as held:
        held.write(b"x")
        held.flush()
        now = 100.0
        while not loop.is_idle():
            loop.step(db, now, datetime.now(UTC))
            now += 0.25
            assert now < 120, "never idle"
        assert 110 < now < 112
        assert [row["name"] for row in rows(db, "SELECT name FROM recordings")] == ["a.wav"]
        assert loop.intake.room == MAX_PENDING - 2


def test_one_pass_over_a_missing_folder_is_over_at_once(tmp_path: Path) -> None:
    with one_shot(tmp_path, WatchFolder(path=tmp_path / "none")) as (loop, db):
        loop.step(db, 100.0, datetime.now(UTC))
        assert loop.is_idle()
        assert loop.watch.is_ready


def test_a_share_mounted_later_over_an_empty_place_is_not_news(tmp_path: Path, root: Path) -> None:
    """An empty mount point is there first; what the share then shows was there before and costs nothing."""
    share = tmp_path / "share"
    share.mkdir()
    with mounts_undone(tmp_path):
        mount("tmpfs", share)
        (share / "old.wav").write_bytes(b"x")
        threading.Event().wait(0.02)
        with one_shot(tmp_path, WatchFolder(path=root, settle=0.1)) as (loop, db):
            loop.step(db, 100.0, datetime.now(UTC))
            assert loop.watch.is_ready
            bind(share, root)
            for tick in range(10):
                loop.step(db, 110.0 + tick, datetime.now(UTC))
            found = rows(db, "SELECT name, state, error_code FROM recordings")
            assert found == [{"name": "old.wav", "state": "skipped", "error_code": "existing"}]
