"""What the rules would have done: counts, the busiest day, and what volume control would have held back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.config.models import Alerts, Burst, Rule
from daemon.models import Conversation
from daemon.runtime.backtest import EXAMPLES, Fired, backtest, held_back, needed_tables, peak_per_day
from daemon.storage.results import stored_conversations
from tests.alerts.examples import UNHAPPY, analysis
from tests.alerts.stage import NOW, stage
from tests.alerts.stage import UNHAPPY as STAGE_RULE

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def fired(*seconds: float, folder: str = "/srv", first: int = 1) -> list[Fired]:
    return [
        Fired(START + timedelta(seconds=each), number, (None, folder))
        for number, each in enumerate(seconds, first)
    ]


def stored(number: int, **changes: Any) -> tuple[str, Conversation]:
    values: dict[str, Any] = {
        "recording_id": number,
        "name": f"{number}.wav",
        "path": f"/srv/{number}.wav",
        "folder": "/srv",
        "recorded_at": None,
        "modified_at": None,
        "tags": (),
        "metadata": {"agent": "Ann"},
        "analysis": analysis(),
    }
    return "2026-03-01T12:00:00.000Z", Conversation(**(values | changes))


@pytest.mark.parametrize(
    ("seconds", "cooldown", "burst", "held"),
    [
        ((0, 1, 2), 0.0, None, 0),
        ((0, 59, 60, 61), 60.0, None, 2),
        ((61, 0, 60, 59), 60.0, None, 2),
        # The cooldown counts from the last one that was not held back.
        ((0, 50, 100, 150), 60.0, None, 2),
        ((0, 1, 2, 3), 0.0, Burst(limit=2, window=10.0), 2),
        ((0, 1, 9, 10, 11, 12), 0.0, Burst(limit=2, window=10.0), 2),
        ((0, 1, 60, 61, 120, 121), 60.0, Burst(limit=2, window=600.0), 4),
        # Nor does one that the burst held back.
        ((0, 90, 101), 60.0, Burst(limit=1, window=100.0), 1),
        ((), 60.0, Burst(), 0),
        (tuple(range(500)), 0.0, Burst(limit=10, window=600.0), 490),
    ],
)
def test_what_cooldown_and_burst_would_have_held_back(
    seconds: Sequence[float], cooldown: float, burst: Burst | None, held: int
) -> None:
    rule = UNHAPPY.model_copy(update={"cooldown": cooldown})
    assert held_back(fired(*seconds), rule, Alerts(burst=burst)) == held


def test_a_rule_without_a_cooldown_has_that_of_all() -> None:
    alerts = Alerts(cooldown=60.0, burst=None)
    assert held_back(fired(0, 1), UNHAPPY, alerts) == 1
    assert held_back(fired(0, 1), UNHAPPY.model_copy(update={"cooldown": 0.0}), alerts) == 0


def test_a_cooldown_counts_each_group_by_itself() -> None:
    both = [*fired(0, 2), *fired(1, 3, folder="/other", first=3)]
    assert held_back(both, UNHAPPY, Alerts(cooldown=60.0, burst=None)) == 2


def test_the_busiest_day_is_one_of_the_time_zone() -> None:
    """23:30 and 00:30 in Berlin are two days there, and one in UTC."""
    late = [Fired(datetime(2026, 3, 1, hour, 30, tzinfo=UTC), hour, (None, None)) for hour in (22, 23)]
    assert peak_per_day(late, UTC) == 2
    assert peak_per_day(late, ZoneInfo("Europe/Berlin")) == 1
    assert peak_per_day([], UTC) == 0


def test_matches_and_what_could_not_be_known_are_counted() -> None:
    missing = analysis(not_analyzed={"sentiment": "language"})
    fine = analysis(average="neutral", score=0.0)
    conversations = [stored(1), stored(2, analysis=missing), stored(3, analysis=fine), stored(4)]
    count, (outcome,) = backtest([UNHAPPY], conversations)
    assert count == 4
    assert [each.recording_id for each in outcome.fired] == [1, 4]
    assert outcome.unknown == 1
    assert outcome.examples[0].reasons == ("average -0.52, negative at -0.33 and below",)
    assert [segment.text for segment in outcome.examples[0].segments] == ["I want to cancel."]


@pytest.mark.parametrize(
    ("cooldown_by", "group"),
    [("folder", (None, "/srv")), ("metadata.agent", ("agent", "Ann")), ("metadata.caller", ("caller", None))],
)
def test_the_group_is_what_the_cooldown_counts_by(
    cooldown_by: str, group: tuple[str | None, str | None]
) -> None:
    rule: Rule = UNHAPPY.model_copy(update={"cooldown_by": cooldown_by})
    _, (outcome,) = backtest([rule], [stored(1)])
    assert outcome.fired[0].group == group


def test_of_many_matches_only_the_last_keep_their_quotes() -> None:
    _, (outcome,) = backtest([UNHAPPY], (stored(number) for number in range(1, 101)))
    assert len(outcome.fired) == 100
    assert [each.recording_id for each in outcome.examples] == list(range(101 - EXAMPLES, 101))


@pytest.mark.parametrize("seed", range(8))
def test_what_a_test_of_the_rules_counts_is_what_the_service_does(tmp_path: Path, seed: int) -> None:
    """Any conversations, cooldown and burst: what is held back is the same, looked at by the clock or not."""
    chance = random.Random(seed)
    agents: tuple[dict[str, str], ...] = ({}, {"agent": ""}, {"agent": "Ann"}, {"agent": "Bob"})
    alerts = {
        "destinations": {"team": "json://127.0.0.1:9/"},
        "rules": [
            STAGE_RULE
            | {
                "cooldown": chance.choice((0, 5, 60, 300)),
                "cooldown_by": chance.choice(("folder", "metadata.agent")),
            }
        ],
        "burst": chance.choice((None, {"limit": 1, "window": 100}, {"limit": 4, "window": 45})),
    }
    now = NOW
    with stage(tmp_path, alerts) as here:
        for _ in range(60):
            now += timedelta(seconds=chance.choice((0, 1, 4, 5, 30, 44.999, 45, 60, 101)))
            here.record(now, folder=f"/srv/{chance.randrange(2)}", metadata=chance.choice(agents))
            if chance.random() < 0.3:
                here.tick(now + timedelta(seconds=chance.choice((0, 0.5))))
        (rule,) = here.config.alerts.rules
        _, (outcome,) = backtest([rule], stored_conversations(here.db, range(1, 61)))
        suppressed = sum(state == "suppressed" for state, _ in here.states())
        assert len(outcome.fired) == 60
        assert held_back(outcome.fired, rule, here.config.alerts) == suppressed


@pytest.mark.parametrize(
    ("when", "needed", "quoted"),
    [
        ({"duration_above": "1m"}, set(), set()),
        ({"average_sentiment": ("negative",)}, set(), set()),
        ({"any": ({"average_score_below": -0.5},), "speaker": ("agent",)}, {"sentiments"}, set()),
        ({"any": ({"intent": ("cancel*",)}, {"not": {"topic": ("billing",)}})}, {"intents", "topics"}, set()),
        ({"intent_confidence": 0.5, "topic_confidence": 0.5}, {"intents", "topics"}, set()),
        ({"phrase": ("lawyer",)}, set(), {"intents", "topics"}),
        ({"tag": ("x",), "not": {"any_score_below": -0.5}}, {"sentiments"}, set()),
    ],
)
def test_only_what_a_rule_looks_at_is_read(when: dict[str, Any], needed: set[str], quoted: set[str]) -> None:
    rule = Rule.model_validate({"name": "any", "when": when, "notify": ("team",)})
    assert needed_tables((rule,), quoted=False) == needed
    assert needed_tables((rule,), quoted=True) == needed | quoted | {"sentiments"}
