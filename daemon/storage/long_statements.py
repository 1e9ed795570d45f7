"""Look on while SQLite works on a statement that takes long."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daemon.storage.connection import Database

_OPERATIONS = 1000
"""Steps of SQLite's virtual machine between two looks: less than a millisecond, but for long rows."""


@contextmanager
def watched(db: Database, look: Callable[[], None]) -> Iterator[None]:
    """Call `look` now and then during the statements in here.

    What it raises ends the statement, and is raised here; without a look Ctrl-C would wait for the end.
    """
    raised: list[BaseException] = []

    def on_progress() -> int:
        try:
            look()
        except BaseException as error:  # noqa: BLE001 - SQLite would only say that it was interrupted
            raised.append(error)
            return 1
        return 0

    db.conn.set_progress_handler(on_progress, _OPERATIONS)
    try:
        yield
    except sqlite3.OperationalError:
        if raised:
            raise raised[0] from None
        raise
    finally:
        db.conn.set_progress_handler(None, 0)
