"""The schema: steps from an empty file to today's tables, one .sql file each, in the order of their names."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from daemon.text import spaced_out

logger = logging.getLogger(__name__)

SCHEMA = Path(__file__).parent / "schema"


@cache
def steps(schema: Path) -> dict[str, str]:
    """Return the SQL of every step by name; `006_one_owner.sql` is `m006_one_owner`."""
    return {f"m{path.stem}": path.read_text("utf-8") for path in sorted(schema.glob("*.sql"))}


@cache
def migrations(schema: Path) -> Migrations:
    """Return the steps as sqlite-utils runs them and notes them in the database."""
    known = Migrations("earshot")
    for name, sql in steps(schema).items():
        _add(known, name, sql)
    return known


def _add(known: Migrations, name: str, sql: str) -> None:
    @known(name=name)
    def run(db: Database) -> None:
        # What `recordings_text` shows, in a tenth of the time.
        db.register_function(spaced_out, deterministic=True, replace=True)
        # Not with executescript, which commits first.
        for statement in statements(sql):
            db.execute(statement)


@contextmanager
def saying_progress(
    db: Database, path: Path, going_on: Callable[[], object], *, every_seconds: float = 10.0
) -> Iterator[None]:
    """While what is done inside takes long, log it now and then, and call `going_on`."""
    began = said = time.monotonic()

    def say() -> None:
        nonlocal said
        if (now := time.monotonic()) - said >= every_seconds:
            said = now
            logger.warning("bringing the tables up to date path=%s seconds=%.0f", path, now - began)
            going_on()

    # So many steps of SQLite's machine take some hundredths of a second.
    db.conn.set_progress_handler(say, 1_000_000)
    try:
        yield
    finally:
        db.conn.set_progress_handler(None, 0)


def statements(sql: str) -> Iterator[str]:
    """Split SQL into its statements; each has to end at the end of a line."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if any(line.strip() and not line.startswith("--") for line in statement.splitlines()):
        raise ValueError(f"a statement without an end: {statement}")
