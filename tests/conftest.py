"""The order of the tests, and which of them may part: so that no worker is left with much at the end."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests import processes
from tests.examples import choose_examples

# Else an assertion in it says nothing but that it failed. Here, because tests of other folders import it too.
pytest.register_assert_rewrite("tests.watching.places")

# numpy's threads look for work without pause, which takes the processor from all other processes.
os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")

# Until all is collected: next to nothing of it is ever thrown away.
gc.disable()

# In the background of a shell, or after nohup, all that is started would ignore Ctrl-C and a closed terminal.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

LONGEST_FIRST = (
    "tests/soak/",
    "tests/web/test_browser.py",
    "tests/runtime/test_engine_process.py::test_the_demo_shows",
    "tests/engine/test_engine.py",
    "tests/engine/test_server.py",
    "tests/runtime/test_engine_process.py",
    "tests/faults/test_storm.py",
    "tests/watching/test_writers.py",
    "tests/watching/test_shares.py",
    "tests/watching/test_mounting.py",
    "tests/engine/",
    "tests/faults/test_crashes.py",
    "tests/faults/test_store.py",
    "tests/faults/",
    "tests/runtime/",
    "tests/watching/test_hanging.py",
    "tests/test_flow.py",
    "tests/originals/test_after_analysis.py",
    "tests/watching/",
    "tests/deepgram/test_directed_replies.py",
    "tests/deepgram/test_client.py",
    "tests/cli/",
    "tests/originals/test_sidecars.py",
    "tests/web/",
    "tests/test_layout.py",
    "tests/test_tests.py",
    "tests/test_benchmarks.py",
    "tests/test_packaging.py",
    "tests/test_docs.py",
    "tests/test_wheel.py",
    "tests/test_requirements.py",
    "tests/test_logs.py",
)
EACH_BY_ITSELF = (
    "tests/faults/",
    "tests/runtime/",
    "tests/test_benchmarks.py",
    "tests/test_flow.py",
    "tests/watching/test_folder.py",
    "tests/watching/test_hanging.py",
    "tests/watching/test_limits.py",
    "tests/originals/test_after_analysis.py",
    "tests/cli/test_forget_command.py",
    "tests/cli/test_places.py",
    "tests/cli/test_privacy.py",
)
"""Where each test takes seconds and is a service of its own: any worker that is free takes the next one.
Elsewhere the tests of a file stay together: they share what they begin with, or are done in no time."""


def pytest_configure(config: pytest.Config) -> None:
    """The processes of pytest-xdist have one that starts earshot for all of them."""
    choose_examples(config)
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        processes.share()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file only: within one, tests stay as they are written."""
    items.sort(key=lambda item: _rank(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """What a command that a test calls in this process does to the log is undone after it."""
    loggers = [(logger, logger.level) for logger in (logging.root, logging.getLogger("daemon"))]
    handlers = list(logging.root.handlers)
    try:
        return (yield)
    finally:
        logging.root.handlers[:] = handlers
        for logger, level in loggers:
            logger.setLevel(level)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def _rank(nodeid: str) -> int:
    return next((rank for rank, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start)), 99)


class Units(LoadScopeScheduling):  # type: ignore[misc]
    """Hands the workers of pytest-xdist a test, or all tests of a file, at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(EACH_BY_ITSELF) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Units:
    # Not by its marks for groups: pytest-xdist 3.8 does not find them with pytest 9.2.
    return Units(config, log)
