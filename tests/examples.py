"""How many examples Hypothesis tries: the same few in a normal run, many other ones in the long one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings


def is_long(config: pytest.Config) -> bool:
    """Whether this is the run of scripts/soak."""
    return bool(config.getoption("markexpr") == "soak")


def choose_examples(config: pytest.Config) -> None:
    """Other inputs each time only in the long run: a normal one fails for what changed, not by luck."""
    # No database of failures: it would be a folder in the checkout. How long it takes depends on others.
    shared = {"database": None, "deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("short", derandomize=True, max_examples=100, **shared)  # type: ignore[arg-type]
    settings.register_profile("long", max_examples=5_000, print_blob=True, **shared)  # type: ignore[arg-type]
    settings.load_profile("long" if is_long(config) else "short")
