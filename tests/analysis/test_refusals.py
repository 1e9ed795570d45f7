"""A refusal is about the request or about one recording: what becomes of the others tells."""

from __future__ import annotations

from daemon.analysis.refusals import ALIKE_UNTIL_SHARED, MOST_WORDINGS, Refusals

REQUEST = "a request"


def test_a_first_refusal_speaks_of_every_recording() -> None:
    refusals = Refusals()
    assert not refusals.is_alone(1, REQUEST)
    assert not refusals.is_alone(1, REQUEST)


def test_a_recording_that_is_refused_again_while_others_are_taken_is_alone() -> None:
    refusals = Refusals()
    refusals.is_alone(1, REQUEST)
    refusals.accepted(2, REQUEST)

    assert refusals.is_alone(1, REQUEST)
    assert refusals.is_alone(1, REQUEST)
    assert not refusals.is_alone(3, REQUEST)


def test_another_request_that_is_taken_says_nothing() -> None:
    refusals = Refusals()
    refusals.is_alone(1, REQUEST)
    refusals.accepted(2, "another request")

    assert not refusals.is_alone(1, REQUEST)


def test_a_recording_that_is_taken_in_the_end_is_under_no_suspicion() -> None:
    refusals = Refusals()
    refusals.is_alone(1, REQUEST)
    refusals.accepted(1, REQUEST)
    refusals.accepted(2, REQUEST)

    assert not refusals.is_alone(1, REQUEST)


def test_the_same_words_for_one_recording_after_the_other_are_about_none_of_them() -> None:
    refusals = Refusals()
    ids = range(ALIKE_UNTIL_SHARED)
    assert [refusals.refused_alike(each, REQUEST, "no") for each in ids] == [
        *[frozenset()] * (ALIKE_UNTIL_SHARED - 1),
        frozenset(ids),
    ]


def test_the_same_recording_does_not_count_twice_and_other_words_not_at_all() -> None:
    refusals = Refusals()
    for _ in range(10):
        assert not refusals.refused_alike(1, REQUEST, "no")
    assert not refusals.refused_alike(2, REQUEST, "not this one")
    assert not refusals.refused_alike(3, "another request", "no")


def test_one_that_is_taken_ends_the_row() -> None:
    refusals = Refusals()
    for each in range(ALIKE_UNTIL_SHARED - 1):
        refusals.refused_alike(each, REQUEST, "no")
    refusals.accepted(9, REQUEST)

    assert not refusals.refused_alike(8, REQUEST, "no")
    # The others had their turn, and were refused again.
    assert not any(refusals.refused_alike(each, REQUEST, "no") for each in range(ALIKE_UNTIL_SHARED))


def test_words_that_are_new_each_time_are_not_kept_for_ever() -> None:
    refusals = Refusals()
    for each in range(ALIKE_UNTIL_SHARED - 1):
        refusals.refused_alike(each, REQUEST, "no")
    for each in range(MOST_WORDINGS):
        assert not refusals.refused_alike(1000 + each, REQUEST, f"no {each}")

    assert not refusals.refused_alike(9, REQUEST, "no"), "those before it are forgotten"
