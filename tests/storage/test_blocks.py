"""Tests of many rows by few statements."""

from __future__ import annotations

import pytest

from daemon.storage.blocks import FEW_ROWS, MOST_ROWS, insert_rows
from daemon.storage.database import memory_database, tuples


@pytest.mark.parametrize("count", [0, 1, 7, MOST_ROWS - 1, MOST_ROWS, 3 * MOST_ROWS + 85])
def test_all_rows_are_inserted_in_their_order_by_few_statements(count: int) -> None:
    db = memory_database()
    db.conn.execute("CREATE TABLE numbers (id INTEGER PRIMARY KEY, number INTEGER, digest BLOB)")
    statements: list[str] = []
    db.conn.set_trace_callback(statements.append)
    rows = [(number, f"{number}".encode()) for number in range(count)]
    insert_rows(db, "INSERT INTO numbers (number, digest) VALUES (?, keyed_digest(?))", rows)
    db.conn.set_trace_callback(None)
    assert len(statements) <= (1 if count <= FEW_ROWS else count // MOST_ROWS + MOST_ROWS.bit_length())
    stored = tuples(db, "SELECT number FROM numbers ORDER BY id")
    assert [number for (number,) in stored] == list(range(count))
    assert tuples(db, "SELECT count(DISTINCT digest) FROM numbers") == [(count,)]
