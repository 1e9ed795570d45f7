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


@pytest.mark.parametrize(
    ("pairs", "language", "candidates"),
    [
        ([], "en", ()),
        ([("language", "de-CH")], "de", ()),
        ([("language", "multi")], None, ()),
        ([("detect_language", "true")], None, ()),
        ([("detect_language", "false")], "en", ()),
        ([("detect_language", "en"), ("detect_language", "es-MX")], None, ("en", "es")),
        ([("language", "fr"), ("detect_language", "true")], "fr", ()),
    ],
)
def test_the_language_is_named_or_found_out(
    pairs: list[tuple[str, str]], language: str | None, candidates: tuple[str, ...]
) -> None:
    options = parse_query(pairs)
    assert (options.language, options.candidates) == (language, candidates)


@pytest.mark.parametrize("pairs", [[("language", "tlh")], [("detect_language", "qq")]])
def test_a_language_that_nobody_knows_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(UnsupportedLanguage):
        parse_query(pairs)


def test_an_english_model_refuses_another_language_and_needs_not_find_it_out() -> None:
    for named in ("de", "multi"):
        with pytest.raises(UnsupportedLanguage):
            parse_query([("language", named)], knows_all_languages=False)
    assert parse_query([("detect_language", "true")], knows_all_languages=False).language is None
    assert parse_query([("language", "en-GB")], knows_all_languages=False).language == "en"


@pytest.mark.parametrize(
    ("pairs", "diarize"),
    [
        ([], False),
        ([("diarize", "true")], True),
        ([("diarize", "false")], False),
        ([("diarize_model", "latest")], True),
    ],
)
def test_speakers_are_told_apart_when_asked_for(pairs: list[tuple[str, str]], diarize: bool) -> None:
    assert parse_query(pairs).diarize == diarize
