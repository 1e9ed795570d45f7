"""How long to try: some seconds in a normal run, always with the same inputs; by scripts/soak as long as set.

    FUZZ_SECONDS=3600 scripts/soak tests/fuzz

gives that long to each test that mutates, and 5,000 examples to each that Hypothesis feeds. What fails
is said with its seed, or with the smallest example.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.examples import is_long

FOLDER = Path(__file__).parent
Check = Callable[[Random], None]
Fuzz = Callable[[Check, int], None]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each test here belongs to both runs, the short one and the long one."""
    if is_long(config):
        for item in items:
            if FOLDER in item.path.parents:
                item.add_marker("soak")


@pytest.fixture
def fuzz(pytestconfig: pytest.Config) -> Fuzz:
    """Calls a check with one random source after the other, so many times, or for FUZZ_SECONDS."""

    def run(check: Check, rounds: int) -> None:
        lasts = float(os.environ.get("FUZZ_SECONDS", "120")) if is_long(pytestconfig) else 0.0
        first = time.time_ns() if lasts else 0
        end = time.monotonic() + lasts
        for seed in itertools.count(first):
            if seed - first >= rounds and time.monotonic() >= end:
                return
            try:
                check(Random(seed))
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise

    return run
