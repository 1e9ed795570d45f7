"""The schema: steps from an empty file to today's tables, one .sql file each, in the order of their names."""

from __future__ import annotations

import importlib
import logging
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from daemon.storage.connection import Database
from daemon.text import spaced_out

logger = logging.getLogger(__name__)

SCHEMA = Path(__file__).parent / "schema"

MIGRATION_SET = "earshot"
NOTES = "_sqlite_migrations"
"""Where sqlite-utils notes the steps that it applied; ours by the name MIGRATION_SET."""


@cache
def step_names(schema: Path) -> frozenset[str]:
    """Return the name of every step; `006_one_owner.sql` is `m006_one_owner`."""
    return frozenset(f"m{path.stem}" for path in schema.glob("*.sql"))


def applied_steps(db: Database) -> set[str]:
    """Return the names of the steps that were applied to the database, as sqlite-utils notes them in it."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (NOTES,)).fetchone():
        return set()
    noted = db.execute(f"SELECT name FROM {NOTES} WHERE migration_set = ?", (MIGRATION_SET,))  # noqa: S608 - ours
    return {name for (name,) in noted}


def migrate(db: Database, schema: Path) -> None:
    """Apply the steps that the database lacks, in the caller's transaction."""
    if applied_steps(db) == step_names(schema):
        return
    library = _sqlite_utils()
    known = library.Migrations(MIGRATION_SET)
    for path in sorted(schema.glob("*.sql")):
        known(name=f"m{path.stem}")(partial(_apply, statements(path.read_text("utf-8"))))
    # What `recordings_text` shows, in a tenth of the time.
    db.conn.create_function("spaced_out", 1, spaced_out, deterministic=True)
    known.apply(library.Database(db.conn, execute_plugins=False))


def _apply(sql: Iterable[str], db: Any) -> None:
    # Not with executescript, which commits first.
    for statement in sql:
        db.execute(statement)


def _sqlite_utils() -> ModuleType:
    """Load sqlite-utils without numpy and pandas, which it would, where they are, for data that are not here.

    A tenth of a second, and 15 MB. A module for which None stands in sys.modules is not found.
    """
    unused = {name: None for name in ("numpy", "pandas") if name not in sys.modules}
    sys.modules.update(unused)  # type: ignore[arg-type]
    try:
        return importlib.import_module("sqlite_utils")
    finally:
        for name in unused:
            del sys.modules[name]


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
