"""Which rules fire, which stay silent for what is not known, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import Rule, When
from daemon.models import Recording
from daemon.rules.match import conversation_of, matches
from daemon.text import pattern_matches, shown_confidence, shown_score
from tests.alerts.examples import UNHAPPY, analysis, conversation, passage


def rule(when: When, **changes: Any) -> Rule:
    return Rule.model_validate({"name": "a rule", "when": when, "notify": ("team",)} | changes)


def churn(*patterns: str, at_least: float | None = None) -> Rule:
    return rule(When(intent=patterns, intent_confidence=at_least))


def test_a_negative_average_fires_with_value_and_bound() -> None:
    (found,) = matches([UNHAPPY], conversation())
    assert found.rule == "unhappy caller"
    assert found.severity == "warning"
    assert found.notify == ("team",)
    assert found.reasons == ("average -0.52, negative at -0.33 and below",)


@pytest.mark.parametrize(
    ("label", "score", "reason"),
    [
        ("neutral", 0.1, "average 0.10, neutral between -0.33 and 0.33"),
        ("positive", 0.7, "average 0.70, positive at 0.33 and above"),
        ("positive", None, "average, positive at 0.33 and above"),
        ("neutral", -0.001, "average 0.00, neutral between -0.33 and 0.33"),
    ],
)
def test_every_label_names_its_bounds(label: str, score: float | None, reason: str) -> None:
    when = When(average_sentiment=("neutral", "positive"))
    (found,) = matches([rule(when)], conversation(analysis(average=label, score=score)))
    assert found.reasons == (reason,)


def test_another_label_does_not_fire() -> None:
    assert matches([UNHAPPY], conversation(analysis(average="neutral", score=0.0))) == []


def test_the_worst_passages_come_first_and_only_negative_ones() -> None:
    said = [
        passage("fine", "neutral", 0.0, word=1),
        passage("bad", score=-0.4, word=2),
        passage("worst", score=-0.9, word=3),
        passage("no score", score=None, word=4),
    ]
    (found,) = matches([UNHAPPY], conversation(analysis(sentiments=said)))
    assert [segment.text for segment in found.segments] == ["worst", "bad", "no score"]


def test_a_conversation_that_went_well_is_quoted_with_its_best_passages() -> None:
    said = [passage("good", "positive", 0.4, word=1), passage("great", "positive", 0.9, word=2)]
    found = analysis(average="positive", score=0.6, sentiments=said)
    (matched,) = matches([rule(When(average_sentiment=("positive",)))], conversation(found))
    assert [segment.text for segment in matched.segments] == ["great", "good"]


def test_where_no_passage_is_negative_the_lowest_is_quoted_all_the_same() -> None:
    said = [passage("fine", "neutral", 0.1, word=1), passage("meh", "neutral", -0.2, word=2)]
    found = analysis(average="neutral", score=0.0, sentiments=said)
    (matched,) = matches([rule(When(average_sentiment=("neutral",)))], conversation(found))
    assert [segment.text for segment in matched.segments] == ["meh", "fine"]
    assert [segment.text for segment in found.worst_passages()] == ["meh"]


@pytest.mark.parametrize(
    "unknown",
    [
        analysis(average=None, score=None, not_analyzed={"sentiment": "language", "intents": "language"}),
        analysis(not_analyzed={"sentiment": "too short", "intents": "too short"}),
        analysis(transcript="  ", average="negative", intents=[passage(label="Cancel")]),
    ],
)
def test_what_was_not_analyzed_fires_nothing(unknown: Any) -> None:
    everything = When(average_sentiment=("negative", "neutral", "positive"))
    assert matches([rule(everything), churn("*")], conversation(unknown)) == []


def test_a_rule_without_conditions_fires_nothing() -> None:
    assert matches([rule(When())], conversation()) == []


def test_an_intent_fires_with_confidence_pattern_and_threshold() -> None:
    said = [passage(label="Cancel subscription", score=0.41)]
    (found,) = matches([churn("*refund*", "cancel*", at_least=0.3)], conversation(analysis(intents=said)))
    assert found.reasons == ('intent "Cancel subscription" 41 %, pattern "cancel*", at least 30 %',)
    assert found.segments == tuple(said)


def test_confidence_and_pattern_must_hold_for_the_same_segment() -> None:
    said = [passage(label="Cancel subscription", score=0.1), passage(label="Say hello", score=0.9, word=9)]
    assert matches([churn("cancel*", at_least=0.3)], conversation(analysis(intents=said))) == []


def test_a_missing_confidence_counts_as_zero() -> None:
    said = conversation(analysis(intents=[passage(label="Cancel", score=None)]))
    assert matches([churn("cancel", at_least=0.01)], said) == []
    (found,) = matches([churn("cancel", at_least=0.0)], said)
    assert found.reasons == ('intent "Cancel", pattern "cancel", at least 0 %',)


def test_a_confidence_alone_takes_any_intent() -> None:
    said = [passage(label="Cancel", score=0.4)]
    assert matches([rule(When(intent_confidence=0.3))], conversation(analysis(intents=said)))
    assert not matches([rule(When(intent_confidence=0.5))], conversation(analysis(intents=said)))


def test_an_analysis_without_any_intent_is_known_and_does_not_fire() -> None:
    assert matches([churn("*")], conversation(analysis(intents=[]))) == []


def test_each_intent_is_named_once_with_its_best_confidence_and_not_without_end() -> None:
    said = [passage(label=f"Intent {n}", score=0.1 * n, word=n) for n in range(1, 7)]
    said.append(passage(label="Intent 6", score=0.9, word=20))
    (found,) = matches([churn("intent*")], conversation(analysis(intents=said)))
    assert found.reasons == (
        'intent "Intent 6" 90 %, pattern "intent*"',
        'intent "Intent 5" 50 %, pattern "intent*"',
        'intent "Intent 4" 40 %, pattern "intent*"',
        "and 3 more",
    )


def test_an_intent_cannot_inject_anything_into_the_reason() -> None:
    said = [passage(label="<!channel>\x1b[2J\nhttp://evil.example", score=0.4)]
    (found,) = matches([churn("*")], conversation(analysis(intents=said)))
    assert not set("<>\x1b\n") & set(found.reasons[0])
    assert "://" not in found.reasons[0]


def test_all_conditions_of_a_rule_must_hold() -> None:
    both = rule(When(average_sentiment=("negative",), intent=("cancel*",)))
    cancel = passage("Cancel it.", "Cancel", 0.4, word=9)
    assert not matches([both], conversation())
    assert not matches([both], conversation(analysis(average="neutral", intents=[cancel])))
    assert not matches([both], conversation(analysis(intents=[cancel], not_analyzed={"sentiment": "x"})))
    (found,) = matches([both], conversation(analysis(intents=[cancel])))
    assert len(found.reasons) == 2
    assert [segment.text for segment in found.segments] == ["I want to cancel.", "Cancel it."]


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("cancel*", "Cancel subscription", True),
        ("cancel*", "I cancel", False),
        ("*REFUND*", "ask for refund now", True),
        ("?ay", "Pay", True),
        ("?ay", "Repay", False),
        ("[abc]", "a", False),
        ("[abc]", "[ABC]", True),
        ("[!a]*", "[!A] b", True),
        ("a.c", "abc", False),
        ("*a*a*a*a*a*a*a*a*a*b", "a" * 5000, False),
        ("stra\u00dfe", "STRASSE", True),
        ("a*b", "a\nb", True),
    ],
)
def test_only_star_and_question_mark_are_special(pattern: str, text: str, fits: bool) -> None:
    assert pattern_matches(pattern, text) is fits


@pytest.mark.parametrize(
    ("folder", "fires"),
    [
        ("/srv/recordings/support", True),
        ("/srv/recordings/support/", True),
        ("/srv/recordings", True),
        ("/srv/recordings/support/vip", True),
        ("/srv/recordings/supp", False),
        ("/srv/recordings/other", False),
    ],
)
def test_folders_limit_a_rule(folder: str, fires: bool) -> None:
    """The watched folder counts, and so does the folder below it in which the file lies."""
    limited = UNHAPPY.model_copy(update={"folders": (Path("/nowhere"), Path(folder))})
    inside = conversation(path="/srv/recordings/support/vip/call.wav")
    assert bool(matches([limited], inside)) is fires


def test_a_recording_without_a_folder_fires_only_rules_without_folders() -> None:
    hosted = conversation(path="https://example.com/call.wav", folder=None)
    limited = UNHAPPY.model_copy(update={"folders": (Path("/srv"),)})
    assert [found.rule for found in matches([UNHAPPY, limited], hosted)] == ["unhappy caller"]


def test_rules_fire_in_the_order_of_the_configuration() -> None:
    other = rule(When(average_sentiment=("negative",)), name="second", severity="critical")
    assert [found.rule for found in matches([UNHAPPY, other], conversation())] == ["unhappy caller", "second"]


@pytest.mark.parametrize(
    ("confidence", "shown"),
    [
        (0.634, "63 %"),
        (1, "100 %"),
        (0.0006, "0.06 %"),
        (3.4e-6, "0.0003 %"),
        (2e-9, "0.0000002 %"),
        (0.0, "0 %"),
    ],
)
def test_a_confidence_is_in_percent_and_no_small_one_looks_like_none(confidence: float, shown: str) -> None:
    assert shown_confidence(confidence) == shown


@pytest.mark.parametrize(
    ("score", "shown"), [(-0.524, "-0.52"), (-0.001, "0.00"), (-0.0, "0.00"), (1, "1.00"), (0.005, "0.01")]
)
def test_scores_have_two_decimals_and_an_ascii_minus(score: float, shown: str) -> None:
    assert shown_score(score) in (shown, "0.00")
    assert shown_score(-0.524) == "-0.52"


def test_a_claimed_recording_becomes_a_conversation() -> None:
    recording = Recording(
        id=3,
        source="/srv/\udcff.wav",
        is_url=False,
        folder="/srv",
        name="\\xff.wav",
        attempts=1,
        failures=0,
        doubtful=0,
        quiet=True,
        failing_since=None,
        modified_at="2026-03-01T12:00:00.000Z",
        recorded_at=None,
        tags=("a",),
        metadata={"k": "v"},
    )
    known = conversation_of(recording, analysis())
    assert (known.recording_id, known.path, known.quiet) == (3, "/srv/\\xff.wav", True)
    assert (known.tags, known.metadata) == (("a",), {"k": "v"})
