"""The order of the tests, and which of them may part: so that no worker is left with much at the end."""

from __future__ import annotations

import pytest

# Else an assertion in it says nothing but that it failed. Here, because tests of other folders import it too.
pytest.register_assert_rewrite("tests.watching.places")

LONGEST_FIRST = (
    "tests/engine/test_engine.py",
    "tests/faults/test_storm.py",
    "tests/faults/test_crashes.py",
    "tests/faults/test_store.py",
    "tests/runtime/test_engine_process.py",
    "tests/watching/test_writers.py",
    "tests/watching/test_shares.py",
    "tests/watching/test_mounting.py",
    "tests/faults/",
    "tests/test_flow.py",
    "tests/watching/test_folder.py",
    "tests/watching/test_hanging.py",
    "tests/originals/test_after_analysis.py",
    "tests/watching/",
    "tests/cli/",
)
EACH_BY_ITSELF = (
    "tests/faults/",
    "tests/runtime/test_engine_process.py",
    "tests/test_flow.py",
    "tests/watching/test_folder.py",
    "tests/watching/test_hanging.py",
    "tests/originals/test_after_analysis.py",
)
"""Where each test takes seconds and is a service of its own: any worker that is free takes the next one.
Elsewhere the tests of a file stay together: they share what they begin with, or are done in no time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file only: within one, tests stay as they are written."""
    items.sort(key=lambda item: _rank(item.nodeid))
    for item in items:
        if not item.nodeid.startswith(EACH_BY_ITSELF):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _rank(nodeid: str) -> int:
    return next((rank for rank, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start)), 99)
