"""One writer a database and process: threads take turns, and what waits while one commit is under way shares
the next.

A commit waits for the disk, and costs the same for one change as for fifty. So whoever has made his change
leaves the commit to the next in the queue, if there is one, and waits for it: `writing` and `write` return
only when the change is on the disk.

To hand the turn to another thread takes longer than a change itself: the other has to wake and to get the
interpreter. So who has the turn makes the changes of those, too, that wait in `write`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from daemon.errors import StoreBusyError
from daemon.turns import computing, idle

LOCKED = "the database is locked by another process; end what holds it"
MOST_CHANGES = 100
MOST_SECONDS = 0.05
"""So many changes share a commit at most, and so long one waits for the others."""


Result = TypeVar("Result")
Change = Callable[[sqlite3.Connection], Any]


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Waiting:
    """A thread that waits for its turn, or until who has the turn has made its `change`.

    `woken` is released when the turn is its own, and when the change is committed or has failed.
    """

    change: Change | None = None
    is_urgent: bool = False
    woken: threading.Lock = field(default_factory=_locked)
    is_made: bool = False
    result: Any = None
    error: BaseException | None = None

    def outcome(self) -> Any:
        """Return what the change returned, or raise its error."""
        if self.error is not None:
            raise self.error
        return self.result


@dataclass(slots=True)
class _Batch:
    """Changes that are committed together; `error` is what the commit failed of."""

    connection: sqlite3.Connection
    began_at: float = field(default_factory=time.monotonic)
    changes: int = 0
    is_urgent: bool = False
    is_over: threading.Event = field(default_factory=threading.Event)
    made: list[_Waiting] = field(default_factory=list)
    error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        """Let those go on whose changes these are."""
        self.error = error
        self.is_over.set()
        for each in self.made:
            each.error = error
            each.woken.release()


class Writer:
    """The connection by which all threads of this process write to one database; `connect` opens it.

    A thread that stands still within `writing` holds up all others: nothing may be done there that can hang.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], *, most_seconds: float = MOST_SECONDS
    ) -> None:
        self._connect = connect
        self._most_seconds = most_seconds
        self._connection: sqlite3.Connection | None = None
        self._busy_seconds: float | None = None
        self._batch: _Batch | None = None
        self._lock = threading.Lock()
        self._is_taken = False
        self._queue: deque[_Waiting] = deque()
        self.users = 1

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._queue)

    def leave(self) -> None:
        """Close the connection when its last user has gone; it may be used again."""
        with _opening:
            self.users -= 1
            if self.users:
                return
            for which in [which for which, writer in _writers.items() if writer is self]:
                del _writers[which]
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def writing(self, seconds: float) -> Iterator[sqlite3.Connection]:
        """Lend the connection for one change, which is undone on any exception and else committed.

        Waits `seconds` at most for the turn, and so long again for another process. Raises StoreBusyError
        when it does not come, or the commit is lost that this change was to share, and sqlite3.DatabaseError.
        """
        self._take_turn(_Waiting(), seconds)
        with self._turn(seconds) as connection:
            yield connection

    def write(
        self, change: Callable[[sqlite3.Connection], Result], seconds: float, *, urgent: bool = False
    ) -> Result:
        """Have one change made, perhaps by another thread, and return what it returned once it is committed.

        Waits and raises as `writing` does, and what `change` raises. An `urgent` one comes before those that
        are not, and its commit waits for no others.
        """
        waiting = _Waiting(change, urgent)
        self._take_turn(waiting, seconds)
        if not waiting.is_made:
            with self._turn(seconds, urgent=urgent) as connection:
                waiting.result = change(connection)
        result: Result = waiting.outcome()
        return result

    @contextmanager
    def _turn(self, seconds: float, *, urgent: bool = False) -> Iterator[sqlite3.Connection]:
        """Make the change of this thread, which has the turn, and wait for its commit."""
        try:
            with self._changing(seconds) as batch:
                yield batch.connection
                batch.is_urgent |= urgent
        finally:
            self._pass_on(seconds)
        with idle():
            batch.is_over.wait()
        if batch.error:
            raise batch.error

    @contextmanager
    def _changing(self, seconds: float) -> Iterator[_Batch]:
        batch = self._begin(seconds)
        connection = batch.connection
        try:
            if batch.changes:
                connection.execute("SAVEPOINT change")
            with computing():
                yield batch
            if not connection.in_transaction:
                raise sqlite3.OperationalError("the transaction ended before its last statement")
            if batch.changes:
                connection.execute("RELEASE change")
            batch.changes += 1
        except BaseException as error:
            self._undo(connection, batch, error)
            raise

    def _make(self, waiting: _Waiting, change: Change, seconds: float) -> None:
        """Make the change of another thread, which waits for it."""
        try:
            with self._changing(seconds) as batch:
                waiting.result = change(batch.connection)
            batch.is_urgent |= waiting.is_urgent
            batch.made.append(waiting)
        except BaseException as error:
            waiting.error = error if isinstance(error, Exception) else StoreBusyError("the process ends")
            waiting.woken.release()
            if waiting.error is not error:
                # Ctrl-C, which is for this thread.
                self._pass_on(seconds)
                raise

    def _begin(self, seconds: float) -> _Batch:
        if self._connection is None:
            self._connection = self._connect()
            self._busy_seconds = None
        if self._batch is None:
            if seconds != self._busy_seconds:
                self._connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
                self._busy_seconds = seconds
            # IMMEDIATE: a transaction that begins by reading and then writes fails at once when another one
            # wrote in between, whatever the timeout.
            self._connection.execute("BEGIN IMMEDIATE")
            self._batch = _Batch(self._connection)
        return self._batch

    def _undo(self, connection: sqlite3.Connection, batch: _Batch, error: BaseException) -> None:
        """Undo the change that failed, and no other where SQLite has left the transaction standing."""
        if connection.in_transaction and batch.changes:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK TO change")
                connection.execute("RELEASE change")
                return
        # A full or failing disk ends the whole transaction: the others' changes are gone with it.
        self._batch = None
        self._roll_back(connection)
        batch.end(StoreBusyError(f"a change of the same moment failed: {error}"))

    def _commit(self) -> None:
        batch, self._batch = self._batch, None
        if batch is None:
            return
        try:
            with idle():
                batch.connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - raised by each whose change it was
            self._roll_back(batch.connection)
            batch.end(error)
        else:
            batch.end()

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Leave no transaction open; where that fails, the next change gets a new connection."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection = None
            connection.close()

    def _take_turn(self, waiting: _Waiting, seconds: float) -> None:
        """Wait until it is this thread's turn, or its change `is_made`."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return
            if waiting.is_urgent:
                self._queue.appendleft(waiting)
            else:
                self._queue.append(waiting)
        try:
            with idle():
                is_woken = waiting.woken.acquire(timeout=seconds)
            if is_woken:
                return
        except BaseException:
            # Ctrl-C.
            if not self._step_out(waiting) and not waiting.is_made:
                self._pass_on(seconds)
            raise
        if self._step_out(waiting):
            raise StoreBusyError(LOCKED)

    def _step_out(self, waiting: _Waiting) -> bool:
        """Leave the queue; False when the turn, or who makes the change, came in the very moment."""
        with self._lock:
            if waiting in self._queue:
                self._queue.remove(waiting)
                return True
        waiting.woken.acquire()
        return False

    def _pass_on(self, seconds: float) -> None:
        """Make the changes that wait and share the present batch, commit it, and give the turn away."""
        while True:
            with self._lock:
                following = self._queue[0] if self._queue else None
                is_full = self._batch is not None and self._is_enough(self._batch, following)
                if not is_full:
                    if following is None:
                        self._is_taken = False
                        return
                    self._queue.popleft()
                    following.is_made = self._batch is not None and following.change is not None
            if following is None or is_full:
                self._commit()
            elif following.is_made and following.change:
                self._make(following, following.change, seconds)
            else:
                following.woken.release()
                return

    def _is_enough(self, batch: _Batch, following: _Waiting | None) -> bool:
        if following is None or (batch.is_urgent and not following.is_urgent):
            return True
        return batch.changes >= MOST_CHANGES or time.monotonic() - batch.began_at >= self._most_seconds


_writers: dict[tuple[int, int, bytes], Writer] = {}
_opening = threading.Lock()


def shared_writer(which: tuple[int, int, bytes], connect: Callable[[], sqlite3.Connection]) -> Writer:
    """Return the writer of a file (device, inode) with a key; each who asked calls its `leave` in the end."""
    with _opening:
        writer = _writers.get(which)
        if writer is None:
            writer = _writers[which] = Writer(connect)
        else:
            writer.users += 1
        return writer
