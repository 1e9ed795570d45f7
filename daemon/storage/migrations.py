"""The schema: steps from an empty file to today's tables, one .sql file each, in the order of their names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

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
        # Not with executescript, which commits first.
        for statement in statements(sql):
            db.execute(statement)


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
