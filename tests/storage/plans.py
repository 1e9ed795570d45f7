"""How SQLite finds the rows of a statement."""

from __future__ import annotations

from collections.abc import Callable

from daemon.storage.connection import Database
from daemon.storage.database import transaction


def plans(db: Database, work: Callable[[], object]) -> list[str]:
    """Do the work in a transaction; returns the steps of EXPLAIN QUERY PLAN of all its statements."""
    statements: list[str] = []
    with transaction(db):
        db.conn.set_trace_callback(statements.append)
        work()
        db.conn.set_trace_callback(None)
        return [
            step[3]
            for statement in statements
            if not statement.startswith("--")
            for step in db.conn.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
