"""`earshot stats`: the figures as JSON and as tables with sparklines."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from tests.cli.sites import Site

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def talked(site: Site) -> Site:
    site.configure(timezone="Europe/Berlin")
    for number, (agent, at, score) in enumerate(
        (
            ("ann", "2026-03-28T22:30:00.000Z", -0.9),
            ("ann", "2026-03-28T23:30:00.000Z", 0.5),
            ("bob\x1b[31m", "2026-04-20T10:00:00.000Z", None),
        ),
        start=1,
    ):
        label = None if score is None else "negative" if score < 0 else "positive"
        site.add(
            "recordings",
            id=number,
            state="done",
            recorded_at=at,
            metadata={"agent": agent},
            duration_seconds=1800.0,
            average_sentiment=label,
            average_sentiment_score=score,
        )
    site.add("intents", recording_id=1, position=0, intent="cancel subscription")
    site.add("alerts", id=7, recording_id=1, state="sent")
    site.add("verdicts", alert_id=7, verdict="useful", given_at="2026-04-01T00:00:00.000Z")
    return site


def test_the_document_has_a_row_for_each_group(run: Run, talked: Site) -> None:
    answer = run("stats", "--by", "day", "--recorded-until", "2026-04-01", "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["by"] == "day"
    assert [(row["day"], row["recordings"], row["average"]) for row in found["rows"]] == [
        ("2026-03-28", 1, -0.9),
        ("2026-03-29", 1, 0.5),
    ]
    whole = json.loads(run("stats", "--where", "agent=ann", "--json").stdout)
    assert whole["by"] is None
    assert [(row["recordings"], row["precision"]) for row in whole["rows"]] == [(2, 1.0)]


def test_people_see_tables_and_sparklines(talked: Site, on_terminal: Callable[..., str]) -> None:
    shown = on_terminal("stats", "--by", "metadata.agent")
    lines = [line.split() for line in shown.splitlines()]
    assert ["ann", "2", "1.0", "-0.20", "50", "%", "1", "100", "%", "█·······"] in lines
    assert ["ann", "▄·······", "1", "cancel", "subscription"] in lines
    assert "3 recordings, 1:30:00 of audio in all" in shown
    assert "\x1b[31m" not in shown
    weekly = on_terminal("stats", "--by", "week")
    assert [line.split()[:2] for line in weekly.splitlines()[1:3]] == [["2026-W13", "2"], ["2026-W17", "1"]]
    whole = on_terminal("stats")
    assert "average     sentiment -0.20, 50 % negative, of 2 with a score" in whole
    assert "alerts      1, 1 of 1 judged were useful" in whole
    assert "2026-03-28 to 2026-04-20" in whole


def test_an_empty_answer_and_a_wrong_group_are_said(run: Run, talked: Site) -> None:
    nothing = run("stats", "--by", "folder", "--where", "agent=carl")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr.endswith("\nthere are no such recordings\n")
    wrong = run("stats", "--by", "month")
    assert wrong.returncode == 2
    assert "metadata.KEY" in wrong.stderr
