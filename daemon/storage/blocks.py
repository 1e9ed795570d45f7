"""Insert many rows by few statements.

A statement for each row costs far more than the row: SQLite notes anew how to undo it, the full-text index
writes what it has to the database before each, and sqlite3 hands the interpreter to other threads and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from daemon.storage.connection import Database

MOST_ROWS, FEW_ROWS = 256, 32
"""In one statement, and those never parted. So the statements that sqlite3 keeps prepared are few."""


def insert_rows(db: Database, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert all rows; `sql` inserts one of them and ends with ` VALUES (…)`, with `?` for what it takes."""
    head, _, one = sql.rpartition(" VALUES ")
    for block in _blocks(rows):
        marks = ", ".join([one] * len(block))
        db.conn.execute(f"{head} VALUES {marks}", tuple(chain.from_iterable(block)))


def _blocks(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Cut the rows into blocks of MOST_ROWS, the rest into powers of two, and leave FEW_ROWS together."""
    start = 0
    while left := len(rows) - start:
        size = left if left <= FEW_ROWS else min(MOST_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size
