"""When a recording is tried again, and when a paused queue tries one: arithmetic only."""

from __future__ import annotations

import random

from daemon.backoff import backoff

BASE_SECONDS = 1.0
CAP_SECONDS = 300.0
LEAST_SECONDS = 0.2
FIRST_PROBE_SECONDS = 2.0
SERVICE_PROBE_SECONDS = 60.0
"""The longest time between two tries of a service that is down."""


def retry_seconds(failures: int, random_: random.Random) -> float:
    """Seconds until a recording is tried again after so many failures in a row: all of it is up to chance."""
    wait = backoff(failures, first=BASE_SECONDS, longest=CAP_SECONDS, spread=1.0, random_=random_)
    return max(LEAST_SECONDS, wait)


def probe_interval(cause: str, probes: int, setting: float) -> float:
    """Seconds from one probe of a paused queue to the next.

    A service that is down is looked at often at first, then once a minute; a refused key or an empty
    account as seldom as `analyzer.probe` (`setting`, seconds) says, because a person has to act first.
    """
    if cause != "service":
        return setting
    return backoff(probes, first=FIRST_PROBE_SECONDS, longest=min(SERVICE_PROBE_SECONDS, setting))
