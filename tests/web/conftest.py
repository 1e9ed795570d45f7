"""A place with one recording that two rules told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.places import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
