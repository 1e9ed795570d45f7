"""A share that stops answering just as a transaction begins: nothing that is asked of it may come after that.

Whoever waits for its server with the database locked stops the whole service.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.config.models import WatchFolder
from daemon.runtime.folder_loop import FolderLoop
from daemon.storage.database import open_database, rows, transaction
from tests.databases import new_database, writing_connection
from tests.servers import wait_until
from tests.watching.mounts import Share, shared


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    with shared(tmp_path) as made:
        yield made


class Watching:
    """The share watched in a thread, until it hangs; `hang_at` says by which statement that happens."""

    def __init__(self, database: Path, share: Share) -> None:
        self.hang_at = ""
        self.has_hung = threading.Event()
        # By events, so that there is no transaction but those that a test causes.
        folder = WatchFolder(path=share.path, settle=0.05, method="events", existing="analyze", lists=True)
        self.loop = FolderLoop(folder)
        self._database = database
        self._share = share
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with closing(open_database(self._database)) as db:
            writing_connection(db).set_trace_callback(self._trace)
            while not self._stop.is_set():
                self.loop.watch.wait(self.loop.step(db, time.monotonic(), datetime.now(UTC)))
        self.loop.watch.close()

    def _trace(self, statement: str) -> None:
        if self.hang_at and self.hang_at in statement and not self.has_hung.is_set():
            self._share.hang()
            self.has_hung.set()

    def stop(self) -> None:
        self._share.answer()
        self._stop.set()
        self.loop.watch.wake()
        self._thread.join()


def list_again(watching: Watching, _: Path) -> None:
    watching.loop.watch.list_again(0.0)
    watching.loop.watch.wake()


def drop(_: Watching, root: Path) -> None:
    (root / "new.wav").write_bytes(b"new")


def rename(_: Watching, root: Path) -> None:
    (root / "old.wav").rename(root / "renamed.wav")


def drop_a_list(_: Watching, root: Path) -> None:
    (root / "new.urls").write_text("https://calls.example.com/1.wav\n")


def rename_a_list(_: Watching, root: Path) -> None:
    (root / "old.urls").rename(root / "renamed.urls")


@pytest.mark.parametrize("act", [list_again, drop, rename, drop_a_list, rename_a_list])
def test_a_share_that_hangs_as_a_transaction_begins_locks_nobody_out(
    tmp_path: Path, share: Share, act: Callable[[Watching, Path], None]
) -> None:
    (share.files / "old.wav").write_bytes(b"x")
    (share.files / "old.urls").write_text("https://calls.example.com/0.wav\n")
    database = tmp_path / "state/earshot.db"
    with closing(new_database(database)) as db:
        watching = Watching(database, share)
        try:
            wait_until(lambda: len(rows(db, "SELECT 1 FROM recordings")) == 2, what="both to be taken in")
            wait_until(watching.loop.is_idle, what="the first listing")
            watching.hang_at = "BEGIN"
            act(watching, share.path)
            wait_until(watching.has_hung.is_set, what="the transaction")
            with transaction(db):
                pass
            # Else it asks nothing of the share until it next looks whether it is there.
            list_again(watching, share.path)
            wait_until(lambda: tells_stall(watching, database), what="the share to be called away")
        finally:
            watching.stop()


def tells_stall(watching: Watching, database: Path) -> bool:
    watching.loop.watch.tell_stall(lambda: open_database(database), after_seconds=0.5)
    return watching.loop.watch.is_away
