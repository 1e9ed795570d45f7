"""What the query parameters ask for, and which are refused."""

from __future__ import annotations

import pytest

from daemon.engine.query import (
    InvalidParameter,
    UnsupportedLanguage,
    UnsupportedSummary,
    parse_query,
    parse_read_query,
)


def test_parameters_become_options() -> None:
    options = parse_query(
        [
            ("summarize", "v2"),
            ("intents", "true"),
            ("custom_intent", " refund "),
            ("custom_intent", "refund"),
            ("custom_intent_mode", "strict"),
            ("search", "late fee"),
            ("utt_split", "1.5"),
            ("nonsense", "1"),
        ]
    )
    assert options.features == ("summarize", "intents")
    assert (options.custom_intents, options.custom_intents_strict) == (("refund",), True)
    assert (options.search, options.utterance_pause_seconds) == (("late fee",), 1.5)


def test_a_summary_in_another_language_is_refused_and_one_that_may_be_in_another_is_not() -> None:
    with pytest.raises(UnsupportedSummary):
        parse_query([("summarize", "v2"), ("language", "es")])
    assert parse_query([("summarize", "v2"), ("detect_language", "true")]).language is None
    assert parse_query([("summarize", "v2"), ("language", "en-GB")]).language == "en"
    assert parse_query([("sentiment", "true"), ("language", "es")]).language == "es"


def test_read_wants_a_language_and_takes_english_only() -> None:
    assert parse_read_query([("language", "en-US"), ("summarize", "true")]).features == ("summarize",)
    for pairs in ([], [("language", "en"), ("summarize", "v2")]):
        with pytest.raises(InvalidParameter):
            parse_read_query(pairs)
    for language in ("es", "multi"):
        with pytest.raises(UnsupportedLanguage):
            parse_read_query([("language", language)])
