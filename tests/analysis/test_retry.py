"""How long is waited: bounds, spread, and how often a held queue looks again."""

from __future__ import annotations

import random
import statistics
from itertools import pairwise

import pytest

from daemon.analysis.retry import (
    BASE_SECONDS,
    CAP_SECONDS,
    LEAST_SECONDS,
    SERVICE_PROBE_SECONDS,
    probe_interval,
    retry_seconds,
)


@pytest.mark.parametrize("failures", [-1, 0, 1, 2, 8, 9, 20, 1000, 10**9])
def test_a_wait_is_never_shorter_than_the_least_nor_longer_than_the_cap(failures: int) -> None:
    random_ = random.Random(1)
    waits = [retry_seconds(failures, random_) for _ in range(300)]

    assert min(waits) >= LEAST_SECONDS
    assert max(waits) <= min(
        CAP_SECONDS, BASE_SECONDS * 2.0 ** max(failures, 0) if failures < 30 else CAP_SECONDS
    )


def test_waits_double_until_the_cap() -> None:
    random_ = random.Random(2)
    means = [statistics.mean(retry_seconds(each, random_) for _ in range(4000)) for each in range(2, 8)]

    assert all(1.7 < later / earlier < 2.3 for earlier, later in pairwise(means))


def test_recordings_that_failed_together_do_not_come_back_together() -> None:
    random_ = random.Random(3)
    waits = sorted(retry_seconds(6, random_) for _ in range(100))

    assert len(set(waits)) == 100
    assert waits[-1] - waits[0] > 32


@pytest.mark.parametrize("cause", ["key", "credit", "request", "store"])
@pytest.mark.parametrize("probes", [0, 1, 50])
def test_what_waits_for_a_person_is_probed_as_the_setting_says(cause: str, probes: int) -> None:
    assert probe_interval(cause, probes, 300.0) == 300.0


def test_a_service_that_is_down_is_probed_soon_and_then_once_a_minute() -> None:
    intervals = [probe_interval("service", probes, 300.0) for probes in range(8)]

    assert intervals == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert probe_interval("service", 10**6, 300.0) == SERVICE_PROBE_SECONDS
    assert probe_interval("service", 5, 0.5) == 0.5
