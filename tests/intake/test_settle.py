"""When a file is complete: pure, on a made-up clock."""

import random
import tracemalloc
from dataclasses import replace

import pytest

from daemon.intake.settle import MAX_PENDING, UNHINTED_LOOK_SECONDS, Outcome, Settler
from daemon.models import FileStamp
from daemon.sightings import Sighting

FILE = FileStamp("/r/a.wav", 100, 1_000, 1_000, 7, 1, 8)


def observe(settler: Settler, stamp: FileStamp, now: float, *, closed: bool = False) -> None:
    settler.observe(Sighting(stamp, is_closed=closed), now)


def grown(stamp: FileStamp, step: int) -> FileStamp:
    return replace(stamp, size_bytes=100 + step, ctime_ns=1_000 + step)


def test_a_quiet_file_is_complete_after_the_settle_time_and_not_before() -> None:
    settler = Settler(2.0, 600.0)
    observe(settler, FILE, 10.0)
    assert settler.look(FILE, 11.9) == Outcome.WAIT
    assert settler.look(FILE, 12.0) == Outcome.COMPLETE


@pytest.mark.parametrize(
    "change", [{"size_bytes": 101}, {"mtime_ns": 2_000}, {"ctime_ns": 2_000}, {"inode": 8}, {"blocks": 16}]
)
def test_any_change_begins_the_quiet_time_again(change: dict[str, int]) -> None:
    settler = Settler(2.0, 600.0)
    observe(settler, FILE, 10.0)
    changed = replace(FILE, **change)  # type: ignore[arg-type]
    assert settler.look(changed, 11.9) == Outcome.WAIT
    assert settler.look(changed, 13.8) == Outcome.WAIT
    assert settler.look(changed, 13.9) == Outcome.COMPLETE


def test_the_times_of_the_file_are_never_compared_with_ours() -> None:
    for moment in (-(10**18), 0, 10**19):
        settler = Settler(2.0, 600.0)
        stamp = replace(FILE, mtime_ns=moment, ctime_ns=moment)
        observe(settler, stamp, 5.0)
        assert settler.look(stamp, 6.0) == Outcome.WAIT
        assert settler.look(stamp, 7.0) == Outcome.COMPLETE


def test_closing_does_not_shorten_a_settle_time() -> None:
    settler = Settler(2.0, 600.0)
    observe(settler, FILE, 10.0, closed=True)
    assert settler.look(FILE, 11.0) == Outcome.WAIT


def test_with_no_settle_time_a_closed_file_is_complete_at_once() -> None:
    settler = Settler(0.0, 600.0)
    observe(settler, FILE, 10.0, closed=True)
    assert settler.due(10.0, 10) == [FILE.path]
    assert settler.look(FILE, 10.0) == Outcome.COMPLETE


def test_with_no_settle_time_a_file_nobody_reported_needs_a_second_look() -> None:
    settler = Settler(0.0, 600.0)
    observe(settler, FILE, 10.0)
    assert settler.due(10.0, 10) == []
    assert settler.look(FILE, 10.0) == Outcome.WAIT
    assert settler.look(FILE, 10.0 + UNHINTED_LOOK_SECONDS) == Outcome.COMPLETE


def test_with_no_settle_time_a_file_written_again_after_its_close_is_not_complete() -> None:
    settler = Settler(0.0, 600.0)
    observe(settler, FILE, 10.0, closed=True)
    assert settler.look(grown(FILE, 1), 10.1) == Outcome.WAIT


def test_an_empty_file_waits_and_is_reported_when_it_stays_so() -> None:
    empty = replace(FILE, size_bytes=0)
    settler = Settler(2.0, 60.0)
    observe(settler, empty, 0.0, closed=True)
    assert settler.look(empty, 30.0) == Outcome.WAIT
    assert settler.look(replace(empty, mtime_ns=9), 59.0) == Outcome.WAIT
    assert settler.look(replace(empty, mtime_ns=9), 60.0) == Outcome.EMPTY


def test_an_empty_file_that_fills_settles_like_any_other() -> None:
    settler = Settler(2.0, 60.0)
    observe(settler, replace(FILE, size_bytes=0), 0.0)
    observe(settler, FILE, 59.0)
    assert settler.next_due(59.0) is not None
    assert settler.look(FILE, 60.5) == Outcome.WAIT
    assert settler.look(FILE, 61.0) == Outcome.COMPLETE


def test_a_file_with_a_writer_is_due_again_within_half_a_second() -> None:
    settler = Settler(30.0, 600.0)
    observe(settler, FILE, 0.0)
    assert settler.due(30.0, 10) == [FILE.path]
    assert settler.look(FILE, 30.0) == Outcome.COMPLETE
    settler.postpone(FILE.path, 30.0)
    assert settler.due(30.4, 10) == []
    assert settler.due(30.5, 10) == [FILE.path]


def test_what_could_not_be_stored_is_offered_again() -> None:
    settler = Settler(2.0, 600.0)
    observe(settler, FILE, 0.0)
    assert settler.due(2.0, 10) == [FILE.path]
    assert settler.look(FILE, 2.0) == Outcome.COMPLETE
    assert settler.due(3.0, 10) == [FILE.path]
    settler.forget(FILE.path)
    assert settler.due(100.0, 10) == []
    assert settler.next_due(100.0) is None


def test_due_hands_over_no_more_than_the_limit_and_loses_none() -> None:
    settler = Settler(1.0, 600.0)
    for number in range(1000):
        observe(settler, replace(FILE, path=f"/r/{number}"), 0.0)
    seen: set[str] = set()
    while batch := settler.due(1.0, 300):
        assert len(batch) <= 300
        assert not seen.intersection(batch)
        seen.update(batch)
    assert len(seen) == 1000


def test_a_growing_file_hinted_often_does_not_grow_the_memory() -> None:
    settler = Settler(2.0, 600.0)
    tracemalloc.start()
    try:
        for step in range(10_000):
            observe(settler, grown(FILE, step), step * 0.001, closed=True)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("seed", range(200))
def test_any_order_of_observations_ends_with_the_same_files(seed: int) -> None:
    """Files that grow, hinted or only scanned, looked at whenever: all become complete, none too early."""
    chance = random.Random(seed)
    settle = chance.choice([0.0, 0.3, 2.0])
    settler = Settler(settle, 600.0)
    paths = [f"/r/{number}.wav" for number in range(8)]
    last_change = {path: chance.uniform(0, 10) for path in paths}
    shapes: dict[str, list[float]] = {}
    for path, last in last_change.items():
        before = [chance.uniform(0, last) for _ in range(chance.randrange(5))]
        shapes[path] = sorted([*before, last])

    def shape(path: str, now: float) -> FileStamp | None:
        changes = sum(moment <= now for moment in shapes[path])
        return replace(grown(FILE, changes), path=path) if changes else None

    hints = [(moment, path) for path in paths for moment in shapes[path] if chance.random() < 0.5]
    scans = [(moment, path) for moment in range(15) for path in paths]
    observations = sorted(hints + [(float(moment), path) for moment, path in scans])
    complete: dict[str, FileStamp] = {}
    now = 0.0
    while now < 30.0:
        while observations and observations[0][0] <= now:
            _, path = observations.pop(0)
            seen = shape(path, now)
            if seen and path not in complete:
                is_last = seen == shape(path, 99.0)
                observe(settler, seen, now, closed=is_last and chance.random() < 0.5)
        for path in settler.due(now, chance.randrange(1, 9)):
            seen = shape(path, now)
            assert seen is not None
            if settler.look(seen, now) == Outcome.COMPLETE and chance.random() < 0.9:
                complete[path] = seen
                settler.forget(path)
                if settle:
                    assert now - max(moment for moment in shapes[path] if moment <= now) >= settle
        now += chance.choice([0.01, 0.2, 0.7])
    # What became complete between two changes would be seen as changed by the next scan.
    for path, stamp in complete.items():
        if stamp != shape(path, 99.0):
            assert settle <= max(b - a for a, b in zip(shapes[path], shapes[path][1:], strict=False))
    assert set(complete) == set(paths)
    assert settler.room == MAX_PENDING
