"""A real database file, closed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.storage.connection import Database
from tests.databases import new_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "earshot.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    with closing(new_database(path)) as database:
        yield database
