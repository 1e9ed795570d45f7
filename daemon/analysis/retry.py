"""When to try again: pure arithmetic, no clock and no state of its own."""

from __future__ import annotations

import random

BASE_SECONDS = 1.0
CAP_SECONDS = 300.0
LEAST_SECONDS = 0.2
SERVICE_PROBE_SECONDS = 60.0
"""The longest that a service found down goes without another look."""


def backoff(failures: int, random_: random.Random) -> float:
    """Seconds to wait after the `failures`-th failure in a row: exponential, with full jitter.

    Full jitter, so that recordings that failed together do not come back together
    (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
    """
    ceiling = min(CAP_SECONDS, BASE_SECONDS * float(2 ** min(max(failures, 0), 20)))
    return max(LEAST_SECONDS, random_.uniform(0, ceiling))


def probe_interval(cause: str, probes: int, setting: float) -> float:
    """Seconds from one probe of a held queue to the next.

    A service that is down is looked at often at first, then once a minute; a refused key or an empty
    account as seldom as `analyzer.probe` (`setting`, seconds) says, because a person has to act first.
    """
    if cause != "service":
        return setting
    return min(SERVICE_PROBE_SECONDS, setting, 2.0 * float(2 ** min(probes, 10)))
