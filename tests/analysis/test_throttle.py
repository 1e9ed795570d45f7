"""How many requests are under way at once: down at once, up slowly, never above the setting."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon.analysis.throttle import FAILURES_UNTIL_DOWN, LONGEST_REST_SECONDS, SUCCESSES_TO_CLIMB, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(throttle: Throttle) -> int:
    """How many more places there are; all of them are taken afterwards."""
    count = 0
    while throttle.enter():
        count += 1
    return count


LOOK = 0.1


def rest_of(throttle: Throttle, clock: Clock) -> float:
    """Seconds until a place can be taken again, by steps of LOOK; the clock is there then."""
    began = clock.now
    while not throttle.enter():
        clock.now += LOOK
    throttle.leave()
    return clock.now - began


def answer(throttle: Throttle, times: int) -> None:
    for _ in range(times):
        throttle.answered(0)


def test_there_are_as_many_places_as_the_setting_says() -> None:
    throttle = Throttle(3)
    assert taken(throttle) == 3
    throttle.leave()
    assert throttle.in_flight == 2
    assert taken(throttle) == 1


def test_a_fifth_more_is_got_ready_and_waits_for_a_request_to_end() -> None:
    throttle = Throttle(10)
    assert [throttle.enter(ahead=True) for _ in range(13)] == [True] * 12 + [False]
    assert not throttle.enter()
    assert all(throttle.ask(number, is_stopped=lambda: True) for number in range(10))
    assert throttle.ask(3, is_stopped=lambda: True), "it has its place"
    assert not throttle.ask(10, is_stopped=lambda: True)
    with ThreadPoolExecutor() as pool:
        looked = threading.Event()

        def is_stopped() -> bool:
            looked.set()
            return False

        waits = pool.submit(throttle.ask, 10, is_stopped=is_stopped)
        assert looked.wait(20)
        throttle.replied(7)
        assert waits.result(20) is False, "and it waited"
    assert not throttle.ask(11, is_stopped=lambda: True), "the place is taken"
    throttle.leave(10)
    assert throttle.ask(11, is_stopped=lambda: True)
    assert throttle.in_flight == 11


def test_what_was_got_ready_rests_after_a_429_as_all_do() -> None:
    clock = Clock()
    throttle = Throttle(10, monotonic=clock)
    throttle.enter(ahead=True)
    throttle.too_many(30.0)
    assert not throttle.ask(1, is_stopped=lambda: True)
    clock.now += 31.0
    assert throttle.ask(1, is_stopped=lambda: True)


def test_too_many_halves_what_is_under_way_at_once() -> None:
    throttle = Throttle(10)
    taken(throttle)
    throttle.too_many(None)
    assert throttle.limit == 5
    throttle.too_many(None)
    assert throttle.limit == 2


def test_it_is_halved_from_what_was_under_way_and_not_from_the_setting() -> None:
    throttle = Throttle(100)
    for _ in range(6):
        throttle.enter()
    throttle.too_many(None)
    assert throttle.limit == 3


def test_one_request_at_a_time_is_always_left() -> None:
    clock = Clock()
    throttle = Throttle(10, monotonic=clock)
    for _ in range(20):
        throttle.too_many(None)
    clock.now += LONGEST_REST_SECONDS
    assert throttle.limit == 1
    assert taken(throttle) == 1


def test_after_each_429_in_a_row_nothing_is_asked_for_a_longer_time_up_to_a_minute() -> None:
    clock = Clock()
    throttle = Throttle(1, monotonic=clock)
    rests = []
    for _ in range(10):
        throttle.too_many(None)
        rests.append(rest_of(throttle, clock))
    for rest, longest in zip(rests, (1, 2, 4, 8, 16, 32, 60, 60, 60, 60), strict=True):
        assert longest / 2 <= rest <= longest + LOOK
    assert len(set(rests)) > 5, "spread by chance"


def test_requests_that_are_refused_together_count_as_one_refusal() -> None:
    clock = Clock()
    throttle = Throttle(10, monotonic=clock)
    for _ in range(10):
        throttle.too_many(None)
    assert rest_of(throttle, clock) <= 1.0 + LOOK


def test_an_answer_ends_the_row_of_429() -> None:
    clock = Clock()
    throttle = Throttle(1, monotonic=clock)
    for _ in range(5):
        throttle.too_many(None)
        rest_of(throttle, clock)
    throttle.answered(1)
    throttle.too_many(None)
    assert rest_of(throttle, clock) <= 1.0 + LOOK


def test_what_failed_while_others_were_answered_fails_alone() -> None:
    throttle = Throttle(4)
    throttle.failed(1)
    throttle.failed(2)
    assert not throttle.is_alone(1)
    throttle.answered(3)
    assert throttle.is_alone(1)
    assert throttle.is_alone(2)
    assert not throttle.is_alone(3)
    throttle.answered(1)
    assert not throttle.is_alone(1)


def test_it_climbs_back_by_one_for_every_twenty_answers_and_never_above_the_setting() -> None:
    throttle = Throttle(4)
    throttle.enter()
    throttle.too_many(None)
    limits = []
    for _ in range(5 * SUCCESSES_TO_CLIMB):
        throttle.answered(0)
        limits.append(throttle.limit)
    assert SUCCESSES_TO_CLIMB == 20
    assert [limits[20 * n - 1] for n in range(1, 6)] == [2, 3, 4, 4, 4]
    assert limits[18] == 1


def test_a_new_429_begins_the_count_of_answers_again() -> None:
    throttle = Throttle(4)
    throttle.too_many(None)
    answer(throttle, SUCCESSES_TO_CLIMB - 1)
    throttle.too_many(None)
    answer(throttle, SUCCESSES_TO_CLIMB - 1)
    assert throttle.limit == 1


def test_nothing_is_asked_for_as_long_as_the_service_said() -> None:
    clock = Clock()
    throttle = Throttle(4, monotonic=clock)
    throttle.too_many(30.0)
    throttle.too_many(5.0)
    clock.now += 29.9
    assert not throttle.enter()
    clock.now += 0.1
    assert throttle.enter()


@pytest.mark.parametrize(("before", "after"), [(10, 20), (10, 5), (10, 10), (1, 100)])
def test_a_new_setting_holds_at_once_when_nothing_slowed_it(before: int, after: int) -> None:
    throttle = Throttle(before)
    throttle.resize(after)
    assert throttle.limit == after


@pytest.mark.parametrize(("after", "limit", "end"), [(20, 5, 20), (3, 3, 3), (5, 5, 5)])
def test_a_new_setting_does_not_undo_a_429(after: int, limit: int, end: int) -> None:
    throttle = Throttle(10)
    taken(throttle)
    throttle.too_many(None)
    throttle.resize(after)
    assert throttle.limit == limit
    answer(throttle, 20 * SUCCESSES_TO_CLIMB)
    assert throttle.limit == end


def test_a_rest_that_was_asked_for_ends_with_a_new_setting_or_by_itself() -> None:
    clock = Clock()
    throttle = Throttle(10, monotonic=clock)
    throttle.rest(60.0)
    assert not throttle.enter()
    clock.now += 60.0
    assert throttle.enter()

    throttle.too_many(900.0)
    assert not throttle.enter()
    throttle.resize(10)
    throttle.leave()
    assert throttle.enter()


def test_places_beyond_a_smaller_setting_are_given_back_first() -> None:
    throttle = Throttle(4)
    taken(throttle)
    throttle.resize(2)
    throttle.leave()
    throttle.leave()
    assert not throttle.enter()
    throttle.leave()
    assert throttle.enter()


def test_the_service_seems_down_after_failures_in_a_row_only() -> None:
    throttle = Throttle(10)
    for _ in range(FAILURES_UNTIL_DOWN - 1):
        assert throttle.failed(1) == (False, False)
    assert throttle.failed(1) == (True, False)
    assert throttle.failed(2) == (True, True)
    throttle.answered(0)
    assert throttle.failed(2) == (False, False)


def test_a_429_is_an_answer() -> None:
    throttle = Throttle(10)
    for _ in range(FAILURES_UNTIL_DOWN):
        throttle.failed(1)
    throttle.too_many(None)
    assert throttle.failed(1) == (False, False)


def test_threads_take_no_more_places_than_there_are() -> None:
    throttle = Throttle(5)
    most = 0
    lock = threading.Lock()
    inside = 0

    def work() -> None:
        nonlocal most, inside
        for _ in range(500):
            if throttle.enter():
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1
                throttle.leave()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 5
    assert throttle.in_flight == 0


def test_a_place_is_free_while_a_reply_is_stored_but_not_for_more_than_a_fifth_of_them() -> None:
    throttle = Throttle(10)
    assert taken(throttle) == 10
    for number in range(3):
        throttle.replied(number)
    assert not throttle.enter(), "three replies are in hand, and nothing stores them"
    throttle.leave(0)
    assert taken(throttle) == 3
    assert throttle.in_flight == 12
    for _ in range(10):
        throttle.leave()
    throttle.leave(1)
    throttle.leave(2)
    assert throttle.in_flight == 0
