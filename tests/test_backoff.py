"""How long is waited: longer each time, never longer than the longest, and not all at the same moment."""

from __future__ import annotations

import random

import pytest

from daemon.backoff import backoff


def test_waits_grow_by_the_factor_up_to_the_longest() -> None:
    assert [backoff(n, first=1.0, longest=5.0) for n in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert [backoff(n, first=2.0, longest=60.0, factor=3.0) for n in range(5)] == [2.0, 6.0, 18.0, 54.0, 60.0]


@pytest.mark.parametrize("failures", [-1, 1000, 10**9])
def test_no_number_of_failures_is_too_strange(failures: int) -> None:
    assert 1.0 <= backoff(failures, first=1.0, longest=60.0, factor=10.0) <= 60.0


def test_chance_takes_off_no_more_than_the_spread() -> None:
    waits = [backoff(9, first=1.0, longest=100.0, spread=0.1, random_=random.Random(n)) for n in range(300)]

    assert 90.0 <= min(waits) < 91.0
    assert 99.0 < max(waits) <= 100.0
