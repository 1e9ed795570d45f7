"""The embedded engine's query parameters: options within their bounds, or one of the two refusals."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from daemon.engine.languages import language_of
from daemon.engine.query import (
    FEATURES,
    MAX_CUSTOM,
    UNSUPPORTED,
    InvalidParameter,
    UnsupportedLanguage,
    UnsupportedSummary,
    parse_query,
)

PARAMETERS = """
    language custom_intent custom_intent_mode custom_topic custom_topic_mode multichannel paragraphs
    smart_format utterances utt_split tag extra
"""
WORTH = """
    true false v2 TRUE 1 strict extended en en-GB en- EN de multi 0.8 -0 -1 nan inf -inf 1e309 1e-400 1_0
    ٣ 0x1 cancel
"""
ANY = st.lists(st.integers(0, 0x10FFFF).map(chr), max_size=6).map("".join)
NAMES = ANY | st.sampled_from([*FEATURES, *UNSUPPORTED, *PARAMETERS.split()])
VALUES = ANY | st.sampled_from([*WORTH.split(), "", " 1 ", "en\n", "\x00", "\ud800"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_a_query_gives_options_within_bounds_or_is_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        options = parse_query(pairs)
    except (UnsupportedLanguage, UnsupportedSummary):
        return
    except InvalidParameter as error:
        name = str(error).partition(":")[0]
        assert name in dict(pairs)
        return
    assert set(options.features) <= set(FEATURES)
    assert set(options.unsupported) <= set(UNSUPPORTED)
    assert math.isfinite(options.utterance_pause_seconds)
    assert options.utterance_pause_seconds >= 0
    for given_names in (options.custom_intents, options.custom_topics):
        assert len(given_names) <= MAX_CUSTOM
        assert all(name == name.strip() != "" for name in given_names)
    assert options.language is None or options.language == language_of(options.language)


@given(st.lists(ANY, max_size=MAX_CUSTOM * 2))
def test_custom_names_are_each_there_once_or_too_many(values: list[str]) -> None:
    different = {value.strip() for value in values} - {""}
    try:
        options = parse_query([("custom_topic", value) for value in values])
    except InvalidParameter:
        assert len(different) > MAX_CUSTOM
    else:
        assert set(options.custom_topics) == different
        assert len(options.custom_topics) == len(different)
