"""`any`, `all` and `not` of random depth, held against the database's own three-valued logic."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from daemon.config.models import Rule
from daemon.rules.match import evaluated
from tests.alerts.examples import analysis, conversation

LEAVES: list[tuple[str, dict[str, Any]]] = [
    ("1", {"tag": ("support",)}),
    ("0", {"tag": ("vip",)}),
    ("NULL", {"average_score_below": 0.0}),
    ("1", {"metadata": {"agent": ("ann",)}}),
    ("0", {"duration_above": 9999.0}),
    ("NULL", {"intent": ("*",)}),
    ("1", {"not_analyzed": ("sentiment",)}),
]
UNKNOWN = analysis(not_analyzed={"sentiment": "language", "intents": "language"})
TREES = 150


def tree(dice: random.Random, depth: int) -> tuple[str, dict[str, Any]]:
    """The same conditions twice: as SQL, and as a mapping of the configuration."""
    kind = dice.choice(["leaf", "any", "all", "not", "several"]) if depth else "leaf"
    if kind == "leaf":
        return dice.choice(LEAVES)
    if kind == "not":
        sql, when = tree(dice, depth - 1)
        return f"(NOT {sql})", {"not": when}
    parts = [tree(dice, depth - 1) for _ in range(dice.randint(1, 4))]
    if kind == "several":
        # Keys of one mapping: the second of the same name would replace the first.
        parts = list({next(iter(when)): (sql, when) for sql, when in parts}.values())
        merged = {key: value for _, when in parts for key, value in when.items()}
        if sum(len(when) for _, when in parts) == len(merged):
            return f"({' AND '.join(sql for sql, _ in parts)})", merged
        kind = "all"
    joint = " OR " if kind == "any" else " AND "
    return f"({joint.join(sql for sql, _ in parts)})", {kind: [when for _, when in parts]}


@pytest.mark.parametrize("seed", range(8))
def test_conditions_are_as_in_sql(seed: int) -> None:
    dice = random.Random(seed)
    seen = set()
    with closing(sqlite3.connect(":memory:")) as db:
        for _ in range(TREES):
            sql, when = tree(dice, 5)
            (expected,) = db.execute(f"SELECT {sql}").fetchone()
            rule = Rule.model_validate({"name": "r", "when": when, "notify": ("team",)})
            outcome = evaluated(rule, conversation(UNKNOWN))
            assert outcome.truth == (None if expected is None else bool(expected)), (sql, when)
            assert bool(outcome.reasons) is (outcome.truth is not None)
            seen.add(outcome.truth)
    assert seen == {True, False, None}


def test_nothing_to_hold_is_unknown_also_under_not() -> None:
    empty: list[dict[str, Any]] = [{}, {"not": {}}, {"all": ()}, {"any": ()}]
    for when in empty:
        rule = Rule.model_validate({"name": "r", "when": when, "notify": ("team",)})
        assert evaluated(rule, conversation()).truth is None
