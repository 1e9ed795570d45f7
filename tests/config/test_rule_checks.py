"""The conditions of rules in the configuration file: what they may say, and how a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.models import When, every_when
from tests.config.test_config import RULES, load, the_problem

BAD_CONDITIONS = [
    ("{any: []}", "any", "is empty"),
    ("{any: {intent: x}}", "any", "must be a list of conditions, such as [{intent: cancel*}"),
    ("{all: x}", "all", "must be a list of conditions"),
    ("{any: [intent]}", "any[0]", "must be conditions, such as {intent: cancel*}"),
    ("{any: [{}]}", "any[0]", "has no condition"),
    ("{not: {}}", "not", "has no condition"),
    ("{not: x}", "not", "must be keys with values"),
    ("{not: [{intent: x}]}", "not", "must be keys with values"),
    ("{not_: {intent: x}}", "not_", "did you mean 'not'?"),
    ("{intnt: x}", "intnt", "did you mean 'intent'?"),
    ("{any: [{intent: x}, {all: [{topc: y}]}]}", "any[1].all[0].topc", "did you mean 'topic'?"),
    ("{not: {any: [{phrase: }]}}", "not.any[0].phrase", "has no value"),
    ("{topic_confidence: 0.1}", "topic_confidence", "needs topic: beside it"),
    ("{not: {intent_confidence: 0.1}}", "not.intent_confidence", "needs intent: beside it"),
    ("{average_sentiment: angry}", "average_sentiment", "must be one of negative, neutral, positive"),
    ("{average_score_below: negative}", "average_score_below", "must be a number"),
    ("{average_score_below: yes}", "average_score_below", "must be a number"),
    ("{average_score_below: -1.5}", "average_score_below", "must be at least -1"),
    ("{any_score_below: -60}", "any_score_below", "must be at least -1"),
    ("{negative_share_above: 30}", "negative_share_above", "must be at most 1"),
    ("{negative_passages_at_least: 0}", "negative_passages_at_least", "must be at least 1"),
    ("{negative_passages_at_least: 1.5}", "negative_passages_at_least", "must be a whole number"),
    ("{negative_passages_at_least: yes}", "negative_passages_at_least", "must be a number"),
    ("{score_drop_above: 3}", "score_drop_above", "must be at most 2"),
    ("{speaker: customer}", "speaker", "write one of them beside it"),
    ("{speaker: customer, phrase: hello}", "speaker", "limits conditions on sentiment"),
    ("{phrase: '...'}", "phrase", "has no word in it"),
    ("{phrase: [hello, '']}", "phrase[1]", "has no word in it"),
    ("{tag: ''}", "tag", "must not be empty"),
    ("{tag: 5}", "tag", "must be text; put it into quotes"),
    ("{duration_above: long}", "duration_above", "is not a duration"),
    ("{duration_below: 0s}", "duration_below", "must be longer than 0s"),
    (
        "{duration_above: 10m, duration_below: 2m}",
        "duration_below",
        "never hold together with duration_above",
    ),
    (
        "{average_score_above: 0.1, average_score_below: -0.1}",
        "average_score_below",
        "can never hold together with average_score_above; write them under any:",
    ),
    ("{metadata: agent}", "metadata", "must be keys with values"),
    ("{metadata: {}}", "metadata", "is empty; write KEY: PATTERN"),
    ("{metadata: {agent: }}", "metadata.agent", "has no value"),
    ("{metadata: {agent: []}}", "metadata.agent", "is empty"),
    ("{metadata: {agent: 5}}", "metadata.agent", "must be text; put it into quotes"),
    ("{not_analyzed: false}", "not_analyzed", "must be one of true, summary, topics, intents, sentiment"),
    ("{not_analyzed: sentimnt}", "not_analyzed", "did you mean sentiment?"),
    ("{not_analyzed: }", "not_analyzed", "has no value"),
]


@pytest.mark.parametrize(("when", "key", "part"), BAD_CONDITIONS)
def test_a_bad_condition_is_told_with_its_line_and_key(
    tmp_path: Path, when: str, key: str, part: str
) -> None:
    problem = the_problem(
        tmp_path, f"{RULES}    - name: a\n      notify: team\n      when:\n        {when}\n"
    )
    assert problem.key == f"alerts.rules[0].when.{key}"
    # A problem of a value in a mapping on one line is on that line.
    assert problem.line in (8, 9)
    assert part in problem.problem


def test_a_condition_deep_inside_is_told_with_its_own_line(tmp_path: Path) -> None:
    text = f"""{RULES}
    - name: a
      notify: team
      when:
        phrase: hello
        not:
          any:
            - tag: vip
            - all:
                - intent: cancel
                - any_score_below: low
"""
    problem = the_problem(tmp_path, text)
    assert (problem.line, problem.key) == (16, "alerts.rules[0].when.not.any[1].all[1].any_score_below")


def when_of(tmp_path: Path, when: str) -> When:
    return load(tmp_path, f"{RULES}    - {{name: a, notify: team, when: {when}}}\n").alerts.rules[0].when


def test_one_value_stands_for_a_list_of_one_at_any_depth(tmp_path: Path) -> None:
    inner = (
        "{average_sentiment: negative, speaker: c, intent: i, topic: t, phrase: p, without_phrase: w, tag: g}"
    )
    for around in ("{not: %s}", "{any: [%s]}", "{all: [{not: %s}]}"):
        found = list(every_when(when_of(tmp_path, around % inner)))[-1]
        assert found == When(
            average_sentiment=("negative",),
            speaker=("c",),
            intent=("i",),
            topic=("t",),
            phrase=("p",),
            without_phrase=("w",),
            tag=("g",),
        )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("true", ("true",)),
        ("'true'", ("true",)),
        ("summary", ("summary",)),
        ("[topics, intents]", ("topics", "intents")),
        ("[true]", ("true",)),
    ],
)
def test_not_analyzed_takes_true_or_features(tmp_path: Path, value: str, expected: tuple[str, ...]) -> None:
    assert when_of(tmp_path, f"{{not_analyzed: {value}}}").not_analyzed == expected


def test_metadata_takes_a_pattern_or_several_for_each_field(tmp_path: Path) -> None:
    when = when_of(tmp_path, '{metadata: {agent: ann*, caller: ["49*", "43*"]}}')
    assert when.metadata == {"agent": ("ann*",), "caller": ("49*", "43*")}


def test_a_speaker_may_stand_around_the_conditions_that_it_limits(tmp_path: Path) -> None:
    when = when_of(tmp_path, "{speaker: customer, any: [{not: {any_score_below: -0.5}}]}")
    assert when.speaker == ("customer",)


def test_bounds_that_leave_room_between_them_are_fine(tmp_path: Path) -> None:
    when = when_of(tmp_path, "{duration_above: 90s, duration_below: 2m, average_score_above: -0.5}")
    assert (when.duration_above, when.duration_below) == (90.0, 120.0)


def test_every_mapping_of_a_rule_is_visited(tmp_path: Path) -> None:
    when = when_of(tmp_path, "{intent: a, any: [{intent: b}, {not: {intent: c}}], all: [{intent: d}]}")
    assert sorted(each.intent[0] for each in every_when(when) if each.intent) == ["a", "b", "c", "d"]
