"""The far ends of the network, for tests that do not need special ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import ScriptedApi
from tests.servers import HttpSink


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    """An API that answers every call with a result, unless told otherwise."""
    with ScriptedApi() as server:
        yield server


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    """Where messages go to."""
    with HttpSink() as server:
        yield server
