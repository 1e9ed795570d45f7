"""What every loop of the service does: go on after errors, wake up, take over, show when it does not move."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.errors import StoreBusyError, StoreError
from daemon.runtime.loops import Alarm, Loops
from daemon.storage.connection import Database
from daemon.storage.database import rows
from tests.servers import wait_until


@pytest.fixture
def loops() -> Iterator[Loops]:
    loops = Loops(retry_seconds=0.01)
    yield loops
    loops.end(10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "earshot.db"


class Steps:
    """A step that does one thing after the other: an error is raised, a number of seconds returned."""

    def __init__(self, *outcomes: Exception | float) -> None:
        self.calls = 0
        self._outcomes = outcomes

    def __call__(self, db: Database) -> float:
        assert rows(db, "SELECT 1 AS one") == [{"one": 1}]
        self.calls += 1
        outcome = self._outcomes[min(self.calls, len(self._outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_a_loop_goes_on_after_any_error_and_says_its_name(
    loops: Loops, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    locked = StoreBusyError("locked")
    steps = Steps(ValueError("a mistake"), locked, locked, KeyError("another"), 60.0)
    loops.start("folder /r", steps, database=path, wake=Alarm())

    wait_until(lambda: steps.calls == 5, what="it to go on")
    assert loops.troubles() == []
    assert "loop interrupted, trying again loop=folder /r" in caplog.text
    assert "a mistake" in caplog.text
    # Once, as long as it lasts: a disk may be full for days.
    assert caplog.text.count("database not usable, trying again loop=folder /r error=locked") == 1


def test_a_database_that_cannot_be_used_ends_the_loop_and_that_is_seen(
    loops: Loops, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("no database")
    loops.start("workers", Steps(0.0), database=path, wake=Alarm())
    wait_until(lambda: loops.troubles() == ["workers ended"], what="its end to be seen")

    other = Steps(0.01, StoreError("it is damaged"))
    loops.start("schedule", other, database=path.with_name("other.db"), wake=Alarm())
    wait_until(lambda: "schedule ended" in loops.troubles(), what="its end to be seen")
    assert "it is damaged" in caplog.text


def test_waking_ends_the_wait_and_is_not_lost_while_a_step_works(loops: Loops, path: Path) -> None:
    working, go_on = threading.Event(), threading.Event()
    calls: list[float] = []

    def step(db: Database) -> float:
        calls.append(time.monotonic())
        working.set()
        go_on.wait(60)
        return 60.0

    loops.start("schedule", step, database=path, wake=Alarm())
    working.wait(60)
    loops.wake()
    go_on.set()
    wait_until(lambda: len(calls) == 2, what="the look after the one that was under way")
    loops.wake()
    wait_until(lambda: len(calls) == 3, what="another look")


def test_a_loop_that_is_to_finish_does_what_is_due_and_ends(loops: Loops, path: Path) -> None:
    go_on = threading.Event()
    left = [0.0, 0.0, 30.0]

    def step(db: Database) -> float:
        go_on.wait(60)
        return left.pop(0)

    loops.start("alerts", step, database=path, wake=Alarm())
    locked = Steps(60.0, StoreBusyError("locked"), 60.0)
    loops.start("locked", locked, database=path, wake=Alarm())
    wait_until(lambda: locked.calls == 1, what="its first look")
    threading.Timer(0.1, go_on.set).start()
    loops.finish(60)
    assert sorted(loops.troubles()) == ["alerts ended", "locked ended"]
    assert (left, locked.calls) == ([], 2), "a database that cannot be written holds up no end"


def test_a_loop_begins_when_the_one_that_it_replaces_has_ended(loops: Loops, path: Path) -> None:
    go_on, other = threading.Event(), Steps(60.0)
    entered = threading.Event()

    def step(db: Database) -> float:
        entered.set()
        go_on.wait(60)
        return 60.0

    before = Loops()
    before.start("alerts", step, database=path, wake=Alarm())
    entered.wait(60)
    loops.take_over(before)
    steps = Steps(60.0)
    loops.start("alerts", steps, database=path, wake=Alarm())
    loops.start("schedule", other, database=path, wake=Alarm())
    wait_until(lambda: other.calls == 1, what="one of another name, which waits for nobody")
    assert steps.calls == 0
    go_on.set()
    wait_until(lambda: steps.calls == 1, what="the one of the same name")
    before.end(60)


def test_a_loop_that_does_not_move_is_named_and_the_end_does_not_wait_for_one_that_may_hang(
    path: Path,
) -> None:
    go_on = threading.Event()
    loops = Loops()

    def step(db: Database) -> float:
        go_on.wait(60)
        return 60.0

    loops.start("workers", step, database=path, wake=Alarm(), patience=0.05)
    wait_until(lambda: loops.troubles() == ["workers has not moved for 0 s"], what="it to be named")
    go_on.set()
    loops.end(60)

    go_on.clear()
    hanging = Loops()
    hanging.start("watch-/share", step, database=path, wake=Alarm(), patience=math.inf)
    began = time.monotonic()
    hanging.end(60)
    assert time.monotonic() - began < 60
    assert hanging.troubles() == []
    go_on.set()
    hanging.end(60)


def test_an_alarm_that_rests_is_heard_at_once_and_then_seldom() -> None:
    alarm = Alarm(rest_seconds=0.3)
    alarm.wake()
    started = time.monotonic()
    alarm.wait(60.0)
    assert time.monotonic() - started < 60.0
    looks = 1
    while time.monotonic() < started + 1.0:
        alarm.wake()
        alarm.wait(60.0)
        looks += 1
    assert looks <= (time.monotonic() - started) / 0.3 + 1
