"""A connection to the database, as all code that asks it has one."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daemon.storage.writer import Writer

BUSY_SECONDS = 10.0
"""How long SQLite itself waits for another process's lock before a write is refused."""


class Database:
    """A thread's own connection, for reading, and the writer that it shares with the other threads.

    Not that of sqlite-utils, which takes longer to load than most commands to do their work. `writer` is None
    for a database that is nobody else's; `file` is the device and the inode that were opened.
    """

    def __init__(self, connection: sqlite3.Connection, busy_seconds: float = BUSY_SECONDS) -> None:
        self.conn = connection
        self.busy_seconds = busy_seconds
        self.writer: Writer | None = None
        self.file: tuple[int, int] | None = None

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Run one statement by the connection of this moment: inside a transaction the one that writes."""
        return self.conn.execute(sql, parameters)

    def close(self) -> None:
        """Close the connection, and leave the writer to the others."""
        self.conn.close()
        if self.writer is not None:
            self.writer.leave()
            self.writer = None
