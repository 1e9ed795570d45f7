"""Phrases in what was said: whole words in order, however they were written down."""

from __future__ import annotations

import time

import pytest

from daemon.alerting.patterns import has_phrase, hits


@pytest.mark.parametrize(
    ("phrase", "text", "said"),
    [
        ("credit card", "My Credit  CARD was charged.", True),
        ("credit card", "my credit\n\tcard", True),
        ("credit card", "my credit\u00a0card", True),
        ("credit card", "credit, card", True),
        ("credit card", "credit-card", True),
        ("credit-card", "credit card", True),
        ("credit card", "They gave me credit. Card fees too.", False),
        ("gave me credit. Card", "They gave me credit. Card fees too.", True),
        ("credit card", "credit cards", False),
        ("credit card", "accredit card", False),
        ("card", "discard", False),
        ("card", "(card)", True),
        ("card", "", False),
        ("I can", "I can't help you", False),
        ("I can't", "I can\u2019t help you", True),
        ("can\u2019t", "I CAN'T", True),
        ("can\u00b4t", "I can\u02bct", True),
        ("t help", "I can't help you", False),
        ("lawyer", "my lawyer's office", True),
        ('"so called" help', "your \u201cso called\u201d help", True),
        ("no thank you", "No, thank you!", True),
        ("thank you!", "thank you", True),
        ("3.5 percent", "about 3.5 percent", True),
        ("3.5 percent", "about 315 percent", False),
        ("C++", "we use C++ here", True),
        ("C++", "we use C here", False),
        ("a.*b", "a and b", False),
        ("a.*b", "say a.*b now", True),
        ("(a|b)", "only b", False),
        ("[abc]", "a", False),
        ("stra\u00dfe", "STRASSE", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("...", "...", False),
    ],
)
def test_a_phrase_is_whole_words_in_order(phrase: str, text: str, said: bool) -> None:
    assert has_phrase(phrase, text) is said
    assert bool(list(hits(phrase, text))) is said


def test_each_place_is_found_with_the_words_around_it() -> None:
    text = " ".join(["one", *["x"] * 20, '"Two', 'three",', *["y"] * 20, "two-three"])
    first, second = hits("two three", text)
    assert first.word == 21
    assert first.snippet == " ".join([*["x"] * 12, '"Two', 'three",', *["y"] * 12])
    assert second.word == 43


def test_a_phrase_takes_no_time_in_a_long_transcript() -> None:
    text = "very, " * 200_000 + "end"
    started = time.monotonic()
    assert not has_phrase("very very very very sure", text)
    assert time.monotonic() - started < 5
