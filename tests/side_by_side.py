"""Tests side by side: `pytest --processes 8`.

One process loads and collects the tests, then makes copies of itself (fork), so what all of them need is
loaded once. Each copy takes what no other has taken yet, a test or all tests of a file, and tells what
became of it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby, pairwise, takewhile
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from tests.processes import NUMBER

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
"""Where each test takes seconds and is a service of its own: any copy that is free takes the next one.
Elsewhere the tests of a file stay together: they share what they begin with, or are done in no time."""
_BYTES = 4
_fork = multiprocessing.get_context("fork")


@dataclass
class _Copy:
    process: BaseProcess
    place: int | None = None
    """Of the test that it is at, among all."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--processes", type=int, default=0, help="so many tests at a time, in processes of their own"
    )


@pytest.fixture(scope="session")
def tmp_path_factory(pytestconfig: pytest.Config) -> pytest.TempPathFactory:
    """pytest's own, made only now: a copy has another folder than the process that it is a copy of."""
    return pytest.TempPathFactory.from_config(pytestconfig, _ispytest=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in copies of this process, where `--processes` says how many; report what they tell."""
    if (
        session.config.getoption("processes")
        and not session.testsfailed
        and not session.config.option.collectonly
    ):
        assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread would not be in the copies"
        with closing(_Run(session)) as run:
            try:
                run.until_all_ended()
            except KeyboardInterrupt:
                # A terminal says it to all of them.
                run.join(seconds=10)
                raise
        return True
    return None


class _Run:
    """The copies, and the tests that they have not ended yet."""

    def __init__(self, session: pytest.Session) -> None:
        self.session = session
        self.folder = pytest.TempPathFactory.from_config(session.config, _ispytest=True).getbasetemp()
        self.copies: dict[Connection, _Copy] = {}
        self.left = len(session.items)
        self.begun = 0
        self.taken, given = os.pipe()
        self.given = os.fdopen(given, "wb", buffering=0)
        for _, unit in groupby(range(self.left), lambda place: _scope(session.items[place])):
            self.give(next(unit))

    def close(self) -> None:
        for copy in self.copies.values():
            copy.process.kill()
        self.join()
        os.close(self.taken)
        self.given.close()

    def join(self, *, seconds: float | None = None) -> None:
        end = seconds and time.monotonic() + seconds
        for copy in self.copies.values():
            copy.process.join(end and max(0.0, end - time.monotonic()))

    def give(self, place: int) -> None:
        """Have whoever is free first do the tests from this one on, to the end of their unit."""
        self.given.write(place.to_bytes(_BYTES, "big"))

    def begin(self) -> None:
        """Make one more copy."""
        told, tell = _fork.Pipe(duplex=False)
        process = _fork.Process(target=_work, args=(self, tell, self.begun))
        process.start()
        tell.close()
        self.copies[told] = _Copy(process)
        self.begun += 1

    def until_all_ended(self) -> None:
        for _ in range(self.session.config.getoption("processes")):
            self.begin()
        while self.left:
            for told in wait(list(self.copies)):
                assert isinstance(told, Connection)
                self.hear(told, self.copies[told])
                if self.session.shouldfail:
                    raise self.session.Failed(self.session.shouldfail)
        self.given.close()
        self.join(seconds=60)
        for copy in self.copies.values():
            if (code := copy.process.exitcode) != 0:
                self.fail(f"after its last test, a process ended with {code}, or not at all (None)")

    def hear(self, told: Connection, copy: _Copy) -> None:
        """Take what a copy tells next, or that it has died: then another one goes on after its test."""
        hook = self.session.config.hook
        try:
            what, content = told.recv()
        except (EOFError, OSError):
            del self.copies[told]
            self.replace(copy)
            return
        if what == "begins":
            copy.place = content
        elif what == "ended":
            copy.place = None
            self.left -= 1
        else:
            report = hook.pytest_report_from_serializable(config=self.session.config, data=content)
            hook.pytest_runtest_logreport(report=report)

    def replace(self, died: _Copy) -> None:
        died.process.join()
        said = f"its process ended with {died.process.exitcode}"
        if died.place is None:
            self.fail(f"{said}, and nobody knows at which test")
        items, place = self.session.items, died.place
        item = items[place]
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", said, "call")
        item.config.hook.pytest_runtest_logreport(report=report)
        self.left -= 1
        if place + 1 < len(items) and _scope(items[place + 1]) == _scope(item):
            self.give(place + 1)
        self.begin()

    def fail(self, said: str) -> NoReturn:
        self.session.shouldfail = said
        raise self.session.Failed(said)


def _scope(item: pytest.Item) -> str:
    """What the tests have in common that one copy does one after the other."""
    return item.nodeid if item.nodeid.startswith(EACH_BY_ITSELF) else item.nodeid.partition("::")[0]


# In a copy.


class _Teller:
    def __init__(self, config: pytest.Config, tell: Connection) -> None:
        self.config, self.tell = config, tell

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        content = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.tell.send(("report", content))


def _work(run: _Run, tell: Connection, number: int) -> None:
    """Do what no other copy does, unit by unit, and tell of it."""
    session, config = run.session, run.session.config
    # Else there would be no end when all is done, or the process that gives it out has died.
    run.given.close()
    os.environ[NUMBER] = str(number)
    config.option.basetemp = run.folder / str(number)
    _have_own_output(config)
    config.pluginmanager.register(_Teller(config, tell))
    with suppress(KeyboardInterrupt):
        while given := os.read(run.taken, _BYTES):
            place = int.from_bytes(given, "big")
            rest = session.items[place:]
            unit = list(takewhile(lambda item: _scope(item) == _scope(rest[0]), rest))  # noqa: B023
            # The session follows the last: what is set up for all tests stays.
            for item, following in pairwise([*unit, session]):
                tell.send(("begins", place))
                config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                tell.send(("ended", place))
                place += 1
        runner: Any = config.pluginmanager.get_plugin("runner")
        runner.pytest_sessionfinish(session)


def _have_own_output(config: pytest.Config) -> None:
    """Catch what tests print in files of this copy, and have it print no progress."""
    plugins = config.pluginmanager
    capturing: Any = plugins.get_plugin("capturemanager")
    capturing.stop_global_capturing()
    capturing.start_global_capturing()
    capturing.suspend_global_capture()
    writer = config.get_terminal_writer()
    plugins.unregister(name="terminalreporter")
    plugins.register(SimpleNamespace(_tw=writer), "terminalreporter")
