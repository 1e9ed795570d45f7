"""Threads that compute take turns, and none waits for one that stands still."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from daemon.turns import Turns


def test_one_thread_computes_at_a_time() -> None:
    turns = Turns(patience_seconds=60.0)
    at_once, most = 0, 0

    def work() -> None:
        nonlocal at_once, most
        for _ in range(20):
            with turns.computing(), turns.computing():
                at_once += 1
                most = max(most, at_once)
                threading.Event().wait(0.0001)
                at_once -= 1
                with turns.idle(), turns.idle():
                    threading.Event().wait(0.0001)

    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(work) for _ in range(5)]:
            done.result(60)
    assert most == 1


def test_who_waits_gives_the_turn_to_another_and_has_it_again_afterwards() -> None:
    turns = Turns(patience_seconds=60.0)
    computed, over = threading.Event(), threading.Event()

    def other() -> None:
        with turns.computing():
            computed.set()
            assert over.wait(20)

    with ThreadPoolExecutor(2) as pool, turns.computing():
        with turns.idle():
            first = pool.submit(other)
            assert computed.wait(20)
            over.set()
        first.result(20)
        computed.clear()
        second = pool.submit(other)
        assert not computed.wait(0.05)
        with turns.idle():
            second.result(20)


def test_who_stands_still_with_the_turn_is_not_waited_for() -> None:
    turns = Turns(patience_seconds=0.01)
    stands, over = threading.Event(), threading.Event()

    def still() -> None:
        with turns.computing():
            stands.set()
            assert over.wait(60)

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(still)
        assert stands.wait(20)
        for _ in range(3):
            with turns.computing(), turns.idle():
                pass
        over.set()
        hanging.result(20)
