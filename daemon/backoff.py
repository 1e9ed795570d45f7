"""How long to wait before the next try: pure arithmetic, the same for everything that is tried again."""

from __future__ import annotations

import random

MOST_STEPS = 64
"""From here on every wait is the longest one anyway; a larger power would be too large for a float."""


def backoff(
    failures: int,
    *,
    first: float,
    longest: float,
    factor: float = 2.0,
    spread: float = 0.0,
    random_: random.Random | None = None,
) -> float:
    """Seconds until the next try: `first`, and `factor` times longer for each failure before this one.

    `spread` is the share of the wait that chance may take off, 1.0 all of it. What failed together then does
    not come back together (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
    """
    wait = min(longest, first * factor ** min(max(failures, 0), MOST_STEPS))
    chance = random_ or random
    return wait - wait * spread * chance.random()
