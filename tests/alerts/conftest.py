"""What these tests do to the loggers of the whole process is undone after each of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """`open_service` silences the libraries that send, which other tests want to hear."""
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3")]
    before = [(logger, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, propagate, level in before:
        logger.propagate = propagate
        logger.setLevel(level)
