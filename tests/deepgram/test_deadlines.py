"""One thread for many deadlines: what passes is told, what was lifted is waited for no more."""

from __future__ import annotations

import threading

from daemon.deepgram.deadlines import Deadlines


def test_what_passes_is_told_though_it_was_set_after_what_is_far_off() -> None:
    near, far = threading.Event(), threading.Event()
    deadlines = Deadlines()
    deadlines.set(far.set, 3600)
    deadlines.set(near.set, 0.05)
    assert near.wait(60)
    assert not far.is_set()
    deadlines.lift(far.set)
    deadlines.close()


def test_the_thread_ends_once_it_is_closed_and_all_deadlines_were_lifted_or_have_passed() -> None:
    before = threading.enumerate()
    deadlines = Deadlines()
    passed, lifted = threading.Event(), threading.Event()
    deadlines.set(lifted.set, 3600)
    deadlines.lift(lifted.set)
    deadlines.set(passed.set, 0.1)
    (thread,) = (each for each in threading.enumerate() if each.name == "deadlines" and each not in before)
    deadlines.close()
    thread.join(60)
    assert not thread.is_alive()
    assert passed.is_set()
