"""The order of the tests: what takes longest begins first, so that no worker is left with it at the end."""

from __future__ import annotations

import pytest

LONGEST_FIRST = (
    "tests/engine/test_engine.py",
    "tests/faults/test_api.py",
    "tests/faults/test_crashes.py",
    "tests/test_flow.py",
    "tests/faults/test_store.py",
    "tests/runtime/test_engine_process.py",
    "tests/faults/test_storm.py",
    "tests/runtime/test_folder_loop.py",
    "tests/watching/test_hanging.py",
    "tests/faults/test_folders.py",
    "tests/faults/",
    "tests/originals/test_after_analysis.py",
    "tests/cli/",
    "tests/watching/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file only: within one, tests stay as they are written."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    return next((rank for rank, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start)), 99)
