"""One writer a database and process: threads take turns, and what waits while one commit is under way shares
the next.

A commit waits for the disk, and costs the same for one change as for fifty. So whoever has made his change
leaves the commit to the next in the queue, if there is one, and waits for it: `writing` returns only when the
change is on the disk.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from daemon.errors import StoreBusyError

LOCKED = "the database is locked by another process; end what holds it"
MOST_CHANGES = 100
MOST_SECONDS = 0.05
"""So many changes share a commit at most, and so long one waits for the others."""


@dataclass(slots=True)
class _Batch:
    """Changes that are committed together; `error` is what the commit failed of."""

    began_at: float = field(default_factory=time.monotonic)
    changes: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        """Let those go on whose changes these are."""
        self.error = error
        self.is_over.set()


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
        self._queue: deque[threading.Lock] = deque()
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
        self._take_turn(seconds)
        try:
            connection, batch = self._begin(seconds)
            try:
                if batch.changes:
                    connection.execute("SAVEPOINT change")
                yield connection
                if not connection.in_transaction:
                    raise sqlite3.OperationalError("the transaction ended before its last statement")
                if batch.changes:
                    connection.execute("RELEASE change")
                batch.changes += 1
            except BaseException as error:
                self._undo(connection, batch, error)
                raise
        finally:
            self._pass_on()
        batch.is_over.wait()
        if batch.error:
            raise batch.error

    def _begin(self, seconds: float) -> tuple[sqlite3.Connection, _Batch]:
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
            self._batch = _Batch()
        return self._connection, self._batch

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
        connection, batch = self._connection, self._batch
        self._batch = None
        if connection is None or batch is None:
            return
        try:
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - raised by each whose change it was
            self._roll_back(connection)
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

    def _take_turn(self, seconds: float) -> None:
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        try:
            came = turn.acquire(timeout=seconds)
        except BaseException:
            # Ctrl-C.
            self._step_out(turn)
            raise
        if not came:
            self._step_out(turn)
            raise StoreBusyError(LOCKED)

    def _step_out(self, turn: threading.Lock) -> None:
        with self._lock:
            if turn in self._queue:
                self._queue.remove(turn)
                return
        # It came in the very moment.
        self._pass_on()

    def _pass_on(self) -> None:
        while not self._hand_over():
            self._commit()

    def _hand_over(self) -> bool:
        """Give the turn to the next in the queue; False when there is something to be committed before."""
        with self._lock:
            if self._batch and (not self._queue or self._is_enough(self._batch)):
                return False
            if self._queue:
                self._queue.popleft().release()
            else:
                self._is_taken = False
            return True

    def _is_enough(self, batch: _Batch) -> bool:
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
