"""What the rows say of a folder, also when they could not be written at once."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.config.models import WatchFolder
from daemon.errors import StoreBusyError
from daemon.storage.database import rows
from daemon.storage.folders import configure_folder
from daemon.watching.presence import Presence
from daemon.watching.source import Condition
from tests.databases import new_database, wait_at_most

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def test_a_start_that_could_not_be_stored_is_a_start_at_the_next_look(tmp_path: Path) -> None:
    """Else the folder would not be listed, nor what is mounted now taken for what it is."""
    root, path = tmp_path / "calls", tmp_path / "state/earshot.db"
    root.mkdir()
    presence = Presence(WatchFolder(path=root), lambda hint: None)
    with closing(new_database(path)) as db, closing(sqlite3.connect(path, isolation_level=None)) as other:
        configure_folder(db, str(root), NOW)
        wait_at_most(db, 0.05)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError):
            presence.tend(db, 0.0, NOW)
        other.execute("ROLLBACK")
        try:
            assert presence.tend(db, 0.1, NOW) == Condition.STARTED
            assert presence.tend(db, 0.2, NOW) == Condition.WATCHED
        finally:
            presence.source.close()
        assert rows(db, "SELECT available FROM folders") == [{"available": 1}]
