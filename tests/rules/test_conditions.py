"""Each condition of a rule: when it holds, when it does not, when nobody can know, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from daemon.config.models import Rule
from daemon.models import Analysis, Conversation, Segment
from daemon.rules.logic import Finding
from daemon.rules.match import evaluated
from tests.alerts.examples import analysis, conversation

UNKNOWN_SENTIMENT = {"sentiment": "language"}


def said(
    score: float | None,
    start: float | None,
    end: float | None = None,
    *,
    by: str | None = "customer",
    words: int = 10,
    text: str | None = None,
) -> Segment:
    """A passage of so many words; its label follows from its score as Deepgram's does."""
    value = score or 0.0
    label = "negative" if value <= -1 / 3 else "positive" if value >= 1 / 3 else "neutral"
    end = start if end is None else end
    return Segment(0, text or " ".join(["word"] * words), None, None, start, end, by, label, score)


CALL = (
    said(0.6, 0, 20, by="agent"),
    said(0.2, 20, 40),
    said(-0.5, 40, 80, words=20, text="I was charged twice, and nobody told me why. " + "So " * 11),
    said(-0.8, 80, 100, text="I will talk to a lawyer about this, believe me."),
)
"""100 seconds and 50 words: agent 0.60, customer 0.20, -0.50 (20 words), -0.80; all of it -0.20."""


def heard(sentiments: Sequence[Segment] = CALL, **changes: Any) -> Analysis:
    known = {"average": "neutral", "score": -0.2, "transcript": " ".join(each.text for each in sentiments)}
    return analysis(sentiments=sentiments, **{**known, **changes})


def about(**labels: Sequence[tuple[str, float | None]]) -> Analysis:
    """An analysis with these topics or intents, each with its confidence."""
    found = {
        kind: tuple(
            Segment(n, f"passage {n}", n, n, None, None, None, label, score)
            for n, (label, score) in enumerate(pairs)
        )
        for kind, pairs in labels.items()
    }
    return replace(heard(), **found)  # type: ignore[arg-type]


def finding(when: dict[str, Any], found: Analysis | None = None, **known: Any) -> Finding:
    rule = Rule.model_validate({"name": "r", "when": when, "notify": ("team",)})
    return evaluated(rule, conversation(found or heard(), **known))


NO_SPEAKERS = tuple(replace(each, speaker=None) for each in CALL)
NO_TIMES = tuple(replace(each, start_seconds=None, end_seconds=None) for each in CALL)
NO_SCORES = tuple(replace(each, score=None) for each in CALL)
ONE_STRANGER = (*CALL[:3], replace(CALL[3], speaker=None))
SHORT = heard([said(-0.5, 0, 4, words=9)])

SENTIMENT = [
    ({"average_sentiment": ("neutral",)}, heard(), True, "average -0.20, neutral between -0.33 and 0.33"),
    ({"average_sentiment": ("negative",)}, heard(), False, "average -0.20, neutral between -0.33 and 0.33"),
    ({"average_sentiment": ("neutral",)}, heard(not_analyzed=UNKNOWN_SENTIMENT), None, ""),
    ({"average_sentiment": ("neutral",)}, heard(average=None), None, ""),
    ({"average_score_below": -0.1}, heard(), True, "average sentiment -0.20, below -0.10"),
    ({"average_score_below": -0.2}, heard(), False, "average sentiment -0.20, not below -0.20"),
    ({"average_score_below": 1}, heard(score=None), None, ""),
    ({"average_score_above": -0.3}, heard(), True, "average sentiment -0.20, above -0.30"),
    ({"average_score_above": -0.2}, heard(), False, "average sentiment -0.20, not above -0.20"),
    ({"average_score_above": -1}, heard(not_analyzed=UNKNOWN_SENTIMENT), None, ""),
    ({"any_score_below": -0.7}, heard(), True, "worst sentiment -0.80, below -0.70"),
    ({"any_score_below": -0.8}, heard(), False, "worst sentiment -0.80, not below -0.80"),
    ({"any_score_below": -0.7}, heard(not_analyzed=UNKNOWN_SENTIMENT), None, ""),
    ({"any_score_below": -0.7}, heard(()), None, ""),
    ({"any_score_below": -0.7}, heard(NO_SCORES), None, ""),
    ({"any_score_below": -0.9}, heard((*CALL, said(None, 100))), None, ""),
    ({"any_score_below": -0.7}, heard((*CALL, said(None, 100))), True, "worst sentiment -0.80, below -0.70"),
    ({"negative_share_above": 0.5}, heard(), True, "share of negative passages 0.60, above 0.50"),
    ({"negative_share_above": 0.6}, heard(), False, "share of negative passages 0.60, not above 0.60"),
    ({"negative_share_above": 0}, heard(not_analyzed=UNKNOWN_SENTIMENT), None, ""),
    ({"negative_share_above": 0}, heard(()), None, ""),
    ({"negative_passages_at_least": 2}, heard(), True, "2 negative passages, at least 2"),
    ({"negative_passages_at_least": 3}, heard(), False, "2 negative passages, fewer than 3"),
    ({"negative_passages_at_least": 2}, SHORT, False, "1 negative passage, fewer than 2"),
    ({"negative_passages_at_least": 1}, heard(not_analyzed=UNKNOWN_SENTIMENT), None, ""),
    ({"negative_passages_at_least": 1}, heard(()), None, ""),
    # Of the last 25 s, 20 are the last passage; of the one before, 5 of 40 s are an eighth of its 20 words.
    ({"last_part_score_below": -0.7}, heard(), True, "sentiment in the last quarter -0.74, below -0.70"),
    (
        {"last_part_score_below": -0.75},
        heard(),
        False,
        "sentiment in the last quarter -0.74, not below -0.75",
    ),
    ({"last_part_score_below": 1}, heard(NO_TIMES), None, ""),
    ({"last_part_score_below": 1}, heard((*CALL[:3], NO_TIMES[3])), None, ""),
    ({"last_part_score_below": 1}, heard(not_analyzed=UNKNOWN_SENTIMENT), None, ""),
    ({"last_part_score_below": -0.4}, SHORT, True, "sentiment in the last quarter -0.50, below -0.40"),
    (
        {"score_drop_above": 1.2},
        heard(),
        True,
        "fall of sentiment from 0.52 in the first quarter to -0.74 in the last: 1.26, above 1.20",
    ),
    (
        {"score_drop_above": 1.3},
        heard(),
        False,
        "fall of sentiment from 0.52 in the first quarter to -0.74 in the last: 1.26, not above 1.30",
    ),
    (
        {"score_drop_above": 0},
        SHORT,
        False,
        "fall of sentiment from -0.50 in the first quarter to -0.50 in the last: 0.00, ",
    ),
    ({"score_drop_above": 0}, heard(NO_TIMES), None, ""),
    ({"score_drop_above": 0}, heard(not_analyzed=UNKNOWN_SENTIMENT), None, ""),
]

CUSTOMER: dict[str, Any] = {"speaker": ("Customer",)}
ONE_SIDE: list[tuple[dict[str, Any], Analysis, bool | None, str]] = [
    ({"average_sentiment": ("negative",)}, heard(), True, "average of Customer -0.40, negative at -0.33 and"),
    ({"average_sentiment": ("neutral",)}, heard(), False, "average of Customer -0.40, negative"),
    ({"average_score_below": -0.3}, heard(), True, "average sentiment of Customer -0.40, below -0.30"),
    ({"average_score_above": -0.3}, heard(), False, "average sentiment of Customer -0.40, not above -0.30"),
    ({"any_score_below": -0.7}, heard(), True, "worst sentiment of Customer -0.80, below -0.70"),
    ({"any_score_below": -0.9}, heard(), False, "worst sentiment of Customer -0.80, not below -0.90"),
    ({"negative_share_above": 0.7}, heard(), True, "share of negative passages of Customer 0.75, above 0.70"),
    ({"negative_passages_at_least": 2}, heard(), True, "2 negative passages of Customer, at least 2"),
    (
        {"last_part_score_below": -0.7},
        heard(),
        True,
        "sentiment in the last quarter of Customer -0.74, below -0.70",
    ),
    (
        {"score_drop_above": 0.9},
        heard(),
        True,
        "fall of sentiment of Customer from 0.20 in the first quarter to -0.74",
    ),
    # Nobody knows who said what, or the side is not there: unknown, also where the whole would decide.
    *(
        (condition, heard(passages), None, "")
        for condition in (
            {"average_sentiment": ("negative", "neutral", "positive")},
            {"average_score_below": 1},
            {"average_score_above": -1},
            {"any_score_below": 1},
            {"negative_share_above": 0},
            {"negative_passages_at_least": 1},
            {"last_part_score_below": 1},
            {"score_drop_above": 0},
        )
        for passages in (NO_SPEAKERS, CALL[:1], ())
    ),
    # With one passage of which nobody knows whose it is, what the others show is still true.
    ({"any_score_below": -0.4}, heard(ONE_STRANGER), True, "worst sentiment of Customer -0.50, below -0.40"),
    ({"any_score_below": -0.6}, heard(ONE_STRANGER), None, ""),
    ({"negative_passages_at_least": 1}, heard(ONE_STRANGER), True, "1 negative passage of Customer"),
    ({"negative_passages_at_least": 2}, heard(ONE_STRANGER), None, ""),
    ({"average_score_below": 1}, heard(ONE_STRANGER), None, ""),
    ({"negative_share_above": 0}, heard(ONE_STRANGER), None, ""),
]

LABELS = [
    (
        {"intent": ("cancel*",)},
        about(intents=[("Cancel it", 0.4)]),
        True,
        'intent "Cancel it" 40 %, pattern "c',
    ),
    ({"intent": ("refund", "cancel*")}, about(intents=[("Cancel it", 0.4)]), True, 'intent "Cancel it" 40 %'),
    ({"intent": ("refund",)}, about(intents=[("Cancel it", 0.4)]), False, 'no intent "refund"'),
    ({"intent": ("*",), "intent_confidence": 0.5}, about(intents=[("Cancel", 0.4)]), False, "at least 50 %"),
    ({"intent": ("*",)}, about(intents=[]), False, 'no intent "*"'),
    ({"intent": ("*",)}, heard(not_analyzed={"intents": "language"}), None, ""),
    (
        {"topic": ("*bill*",)},
        about(topics=[("Billing", 0.9)]),
        True,
        'topic "Billing" 90 %, pattern "*bill*"',
    ),
    ({"topic": ("*bill*",)}, about(topics=[("Weather", 0.9)]), False, 'no topic "*bill*"'),
    # Deepgram's confidences can be very small, and 0.00 against 0.00 says nothing.
    ({"intent": ("*",), "intent_confidence": 0.001}, about(intents=[("C", 0.0042)]), True, "0.4 %, pattern"),
    ({"intent": ("*",), "intent_confidence": 0.001}, about(intents=[("C", 0.0042)]), True, "at least 0.1 %"),
    ({"topic": ("*",), "topic_confidence": 0.9}, about(topics=[("Bill", 0.9)]), True, "at least 90 %"),
    ({"topic": ("*",), "topic_confidence": 0.95}, about(topics=[("Bill", 0.9)]), False, "at least 95 %"),
    ({"topic": ("*",)}, about(intents=[("Bill", 0.9)]), False, 'no topic "*"'),
    ({"topic": ("*",)}, heard(not_analyzed={"topics": "too short"}), None, ""),
]

WORDS = [
    ({"phrase": ("Talk to a LAWYER",)}, heard(), True, 'phrase "Talk to a LAWYER" said'),
    ({"phrase": ("police", "lawyer")}, heard(), True, 'phrase "lawyer" said'),
    ({"phrase": ("police",)}, heard(), False, 'phrase "police" not said'),
    ({"phrase": ("police",)}, heard(transcript="  "), None, ""),
    (
        {"without_phrase": ("police", "sorry")},
        heard(),
        True,
        'phrase "police" not said; phrase "sorry" not said',
    ),
    ({"without_phrase": ("police", "lawyer")}, heard(), False, 'phrase "lawyer" said'),
    ({"without_phrase": ("police",)}, heard(transcript=""), None, ""),
    (
        {"without_phrase": ("dr miller",)},
        heard(transcript="I am Dr. Miller."),
        False,
        'phrase "dr miller" said',
    ),
    ({"without_phrase": ("cafe",)}, heard(transcript="the café"), True, 'phrase "cafe" not said'),
    (
        {"without_phrase": ("cafe",), "fold_accents": True},
        heard(transcript="the café"),
        False,
        'phrase "cafe" said',
    ),
    ({"phrase": ("cafe",), "fold_accents": True}, heard(transcript="the café"), True, 'phrase "cafe" said'),
]

FACTS = [
    ({"duration_above": 600}, heard(), True, "length 12:34, above 10m"),
    ({"duration_above": 754}, heard(), False, "length 12:34, not above 754s"),
    ({"duration_below": 3600}, heard(), True, "length 12:34, below 1h"),
    ({"duration_below": 754}, heard(), False, "length 12:34, not below 754s"),
    ({"duration_above": 0}, replace(heard(), duration_seconds=None), None, ""),
    ({"duration_above": 600}, heard(transcript=""), True, "length 12:34, above 10m"),
    ({"tag": ("vip", "SUPPORT")}, heard(), True, 'tag "support"'),
    ({"tag": ("sup*",)}, heard(transcript=""), True, 'tag "support"'),
    ({"tag": ("vip",)}, heard(), False, 'no tag "vip"'),
    ({"metadata": {"agent": ("bob", "an?")}}, heard(), True, 'agent "Ann"'),
    ({"metadata": {"agent": ("bob",)}}, heard(), False, 'agent "Ann", not "bob"'),
    ({"metadata": {"agent": ("*",), "caller": ("*",)}}, heard(), False, "no caller"),
    ({"metadata": {"caller": ("*",)}}, heard(transcript=""), False, "no caller"),
    ({"not_analyzed": ("true",)}, heard(), False, "everything analyzed"),
    ({"not_analyzed": ("true",)}, heard(not_analyzed=UNKNOWN_SENTIMENT), True, "sentiment (language)"),
    (
        {"not_analyzed": ("true",)},
        heard(not_analyzed={"topics": "not requested"}),
        False,
        "everything analyzed",
    ),
    ({"not_analyzed": ("true",)}, heard(transcript=""), True, "summary (no speech), topics (no speech), in"),
    (
        {"not_analyzed": ("topics",)},
        heard(not_analyzed={"topics": "not requested"}),
        True,
        "topics (not reque",
    ),
    (
        {"not_analyzed": ("topics", "sentiment")},
        heard(not_analyzed=UNKNOWN_SENTIMENT),
        True,
        "sentiment (lang",
    ),
    ({"not_analyzed": ("topics",)}, heard(not_analyzed=UNKNOWN_SENTIMENT), False, "analyzed: topics"),
    ({"not_analyzed": ("summary",)}, heard(transcript=""), True, "not analyzed: summary (no speech)"),
]

TABLE = [
    *SENTIMENT,
    *((CUSTOMER | condition, found, truth, reason) for condition, found, truth, reason in ONE_SIDE),
    *LABELS,
    *WORDS,
    *FACTS,
]


@pytest.mark.parametrize(("when", "found", "truth", "reason"), TABLE)
def test_a_condition_holds_does_not_hold_or_is_unknown(
    when: dict[str, Any], found: Analysis, truth: bool | None, reason: str
) -> None:
    outcome = finding(when, found)
    assert outcome.truth is truth
    assert reason in "; ".join(outcome.reasons)
    assert bool(outcome.reasons) is (truth is not None)


@pytest.mark.parametrize(("when", "found", "truth", "reason"), TABLE)
def test_not_any_and_all_keep_what_a_condition_says(
    when: dict[str, Any], found: Analysis, truth: bool | None, reason: str
) -> None:
    opposite = None if truth is None else not truth
    for around, expected in (
        ({"not": when}, opposite),
        ({"not": {"not": when}}, truth),
        ({"any": [when]}, truth),
        ({"all": [when]}, truth),
        ({"any": [when, {"tag": ("support",)}]}, True),
        ({"any": [{"tag": ("vip",)}, when]}, truth),
        ({"all": [when, {"tag": ("vip",)}]}, False),
        ({"not": {"all": [when, {"tag": ("vip",)}]}}, True),
        ({"tag": ("support",), "not": when}, opposite),
    ):
        assert finding(around, found).truth is expected, around
    for around in ({"not": when}, {"any": [when]}, {"all": [when]}):
        assert reason in "; ".join(finding(around, found).reasons)


def test_only_what_decided_gives_reasons_and_quotes() -> None:
    outcome = finding({"any": [{"tag": ("vip",)}, {"any_score_below": -0.7}, {"phrase": ("charged twice",)}]})
    assert outcome.reasons == ("worst sentiment -0.80, below -0.70", 'phrase "charged twice" said')
    assert list(outcome.segments) == [CALL[3], CALL[2]]


def test_a_speaker_counts_in_the_mappings_below_until_another_is_named() -> None:
    below = {"any": [{"average_score_below": -0.3}]}
    assert finding(below).truth is False
    assert finding({**CUSTOMER, **below}).truth is True
    assert finding({**CUSTOMER, "not": {"average_score_above": -0.3}}).truth is True
    agent = {"speaker": ("agent",), "average_score_above": 0.5}
    assert finding({**CUSTOMER, "any_score_below": -0.7, "all": [agent]}).truth is True


def test_two_speakers_are_one_side() -> None:
    both = finding({"speaker": ("agent", "customer"), "average_score_below": 0})
    assert both.reasons == ("average sentiment of agent or customer -0.20, below 0.00",)


def test_a_speaker_limits_nothing_but_sentiment() -> None:
    when = {"speaker": ("agent",), "any_score_below": 1, "phrase": ("lawyer",)}
    assert finding(when).truth is True


def test_a_low_score_without_negative_passages_is_quoted_by_the_lowest() -> None:
    outcome = finding({"average_score_below": 0.5}, heard([said(0.3, 0, words=9), said(0.1, 1)], score=0.2))
    assert [each.score for each in outcome.segments] == [0.1, 0.3]


def test_a_phrase_is_quoted_by_the_passage_that_has_it() -> None:
    assert list(finding({"phrase": ("a lawyer",)}).segments) == [CALL[3]]


def test_a_phrase_that_no_passage_has_is_quoted_from_the_transcript() -> None:
    words = [f"w{n}" for n in range(40)]
    outcome = finding({"phrase": ("w20 w21",)}, heard((), transcript=" ".join(words)))
    (quote,) = outcome.segments
    assert quote.text == " ".join(words[8:34])
    assert (quote.start_word, quote.start_seconds, quote.score) == (20, None, None)


def test_names_of_channels_are_not_said() -> None:
    """With several channels each one's name stands before what it said."""
    stereo = replace(heard((), transcript="customer: hello\nagent: my customer: you"), channels=2)
    assert finding({"phrase": ("my customer",)}, stereo).truth is True
    assert finding({"phrase": ("customer hello",)}, stereo).truth is False
    assert finding({"phrase": ("hello my",)}, stereo).truth is False
    mono = heard((), transcript="customer: hello")
    assert finding({"phrase": ("customer",)}, mono).truth is True


def test_what_comes_from_outside_is_harmless_in_a_reason() -> None:
    evil = "<!channel>\x1b[2J\nhttp://evil.example @here"
    outcome = finding({"metadata": {"agent": ("*",)}, "tag": ("*",)}, metadata={"agent": evil}, tags=(evil,))
    for reason in outcome.reasons:
        assert not set("<>\x1b\n") & set(reason)
        assert "://" not in reason
        assert "@here" not in reason


def test_a_rule_is_false_outside_of_its_folders_and_says_nothing() -> None:
    rule = Rule.model_validate(
        {"name": "r", "when": {"tag": ("*",)}, "notify": ("team",), "folders": ("/elsewhere",)}
    )
    known: Conversation = conversation()
    assert evaluated(rule, known) == Finding(False)
