"""`earshot rules test` and `earshot verdict`: the real command over what is stored."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.sites import SEEN_AT, Site

Run = Callable[..., subprocess.CompletedProcess[str]]

UNHAPPY = {"name": "unhappy caller", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
LAWYER = {"name": "lawyer", "when": {"phrase": "lawyer", "not": {"tag": "test"}}, "notify": ["team"]}


def configure(site: Site, *rules: dict[str, Any], **alerts: Any) -> None:
    site.configure(
        timezone="UTC", alerts={"destinations": {"team": "json://127.0.0.1:9/"}, "rules": rules, **alerts}
    )


def add(site: Site, number: int, **row: Any) -> None:
    """A recording that is done, of a conversation that went badly."""
    known = {
        "id": number,
        "state": "done",
        "transcript": "I will call my lawyer.",
        "average_sentiment": "negative",
        "average_sentiment_score": -0.5,
        "duration_seconds": 60.0,
    }
    site.add("recordings", **(known | row))
    site.add(
        "sentiments",
        recording_id=number,
        position=0,
        text="I will call my lawyer.",
        start_seconds=12.0,
        end_seconds=15.0,
        speaker="customer",
        sentiment="negative",
        sentiment_score=-0.61,
    )


def results(run: Run, *arguments: str) -> list[dict[str, Any]]:
    answer = run("rules", "test", "--json", *arguments)
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


def test_json_says_per_rule_what_would_have_fired(run: Run, site: Site) -> None:
    configure(site, UNHAPPY, LAWYER)
    add(site, 1, recorded_at="2026-02-01T10:00:00.000Z")
    add(site, 2, recorded_at="2026-02-02T10:00:00.000Z", tags=["test"])
    add(site, 3, recorded_at="2026-02-02T11:00:00.000Z", average_sentiment="neutral")
    add(site, 4, not_analyzed={"sentiment": "language"}, transcript="Goodbye.")
    site.add("recordings", id=5, state="failed", average_sentiment="negative", transcript="lawyer")
    assert results(run) == [
        {
            "name": "unhappy caller",
            "matches": 2,
            "peak_per_day": 1,
            "suppressed": 0,
            "unknown": 1,
            "precision": None,
            "recordings": [1, 2],
        },
        {
            "name": "lawyer",
            "matches": 2,
            "peak_per_day": 1,
            "suppressed": 0,
            "unknown": 0,
            "precision": None,
            "recordings": [1, 3],
        },
    ]


def test_suppressed_is_what_cooldown_and_burst_would_have_held_back(run: Run, site: Site) -> None:
    configure(site, UNHAPPY, {**LAWYER, "cooldown": "1h"}, burst={"limit": 3, "window": "1d"})
    for number in range(1, 8):
        add(site, number, recorded_at=f"2026-02-01T10:0{number}:00.000Z")
    unhappy, lawyer = results(run)
    assert (unhappy["matches"], unhappy["peak_per_day"], unhappy["suppressed"]) == (7, 7, 4)
    assert (lawyer["matches"], lawyer["suppressed"]) == (7, 6)


def test_the_filters_of_list_say_which_recordings_are_tested(run: Run, site: Site) -> None:
    configure(site, UNHAPPY)
    add(site, 1, recorded_at="2026-01-01T10:00:00.000Z", metadata={"agent": "ann"})
    add(site, 2, recorded_at="2026-02-01T10:00:00.000Z", first_seen_at="2026-02-01T10:00:00.000Z")
    assert [row["recordings"] for row in results(run, "--recorded-since", "2026-01-15")] == [[2]]
    assert [row["recordings"] for row in results(run, "--since", "2026-02-15")] == [[1]]
    assert [row["recordings"] for row in results(run, "--where", "agent=a*")] == [[1]]
    assert [row["matches"] for row in results(run, "--since", "1h")] == [0]
    answer = run("rules", "test", "--since", "soon")
    assert (answer.returncode, "neither like 24h" in answer.stderr) == (2, True)


def test_one_rule_by_its_name_has_reasons_and_quotes(run: Run, site: Site) -> None:
    configure(site, UNHAPPY, LAWYER)
    add(site, 1)
    (row,) = results(run, "--rule", "lawyer")
    assert row["examples"] == [
        {
            "recording_id": 1,
            "reasons": ['phrase "lawyer" said', 'no tag "test"'],
            "quotes": [
                {
                    "text": "I will call my lawyer.",
                    "start_seconds": 12.0,
                    "speaker": "customer",
                    "kind": "sentiment",
                    "label": "negative",
                    "score": -0.61,
                }
            ],
        }
    ]
    text = run("rules", "test", "--rule", "lawyer").stdout
    assert "unhappy" not in text
    assert "\n\nrecording 1  2026-03-01 10:00 UTC  call-1.wav\n" in text
    assert '[00:12] customer (sentiment -0.61): "I will call my lawyer."' in text


def test_a_person_sees_a_table(run: Run, site: Site) -> None:
    configure(site, UNHAPPY, LAWYER)
    add(site, 1)
    add(site, 2)
    site.add("alerts", id=1, recording_id=1, state="sent", rules=["lawyer"])
    assert run("verdict", "1", "useful").stdout == "alert 1: useful\n"
    lines = [line.split("\t") for line in run("rules", "test").stdout.splitlines()]
    assert lines == [
        ["2 recordings tested"],
        ["rule", "matches", "peak/day", "suppressed", "unknown", "precision"],
        ["unhappy caller", "2", "2", "0", "0", ""],
        ["lawyer", "2", "2", "0", "0", "100 % of 1"],
    ]


def test_on_a_narrow_terminal_the_name_gives_way(on_terminal: Callable[..., str], site: Site) -> None:
    configure(site, UNHAPPY | {"name": "a rule with a name that is far too long for any table of this kind"})
    add(site, 1)
    lines = on_terminal("rules", "test", columns=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" in lines[-1]


def test_quotes_from_outside_do_nothing_to_a_terminal(run: Run, site: Site) -> None:
    configure(site, UNHAPPY)
    add(site, 1, name="\x1b[2J.wav")
    site.sql("UPDATE sentiments SET text = ?, speaker = ?", "\x1b]0;evil\x07", "\x1b[31m")
    assert "\x1b" not in run("rules", "test", "--rule", "unhappy caller").stdout


def test_precision_is_the_share_of_useful_alerts(run: Run, site: Site) -> None:
    configure(site, UNHAPPY, LAWYER)
    site.add("recordings", id=1, state="skipped")
    for number, rules in enumerate((["lawyer"], ["lawyer", "unhappy caller"], ["lawyer"]), start=1):
        site.add("alerts", id=number, recording_id=1, target=number, state="sent", rules=rules)
    for number, verdict in ((1, "noise"), (2, "noise"), (2, "useful"), (3, "noise")):
        assert run("verdict", str(number), verdict).returncode == 0
    unhappy, lawyer = results(run)
    assert unhappy["precision"] == 1.0
    assert lawyer["precision"] == pytest.approx(1 / 3)


def test_an_unknown_rule_is_1_with_the_nearest_name(run: Run, site: Site) -> None:
    configure(site, UNHAPPY)
    answer = run("rules", "test", "--rule", "unhappy caler")
    assert (answer.returncode, answer.stderr) == (
        1,
        "earshot: there is no rule 'unhappy caler'; did you mean 'unhappy caller'?\n",
    )


def test_without_rules_there_is_nothing_to_test(run: Run, site: Site) -> None:
    site.sql("SELECT 1")
    assert json.loads(run("rules", "test", "--json").stdout) == []
    assert run("rules", "test").stdout == "0 recordings tested\nthe configuration has no rules\n"


def test_without_a_database_it_is_78(run: Run, site: Site) -> None:
    configure(site, UNHAPPY)
    for command in (("rules", "test"), ("verdict", "1", "noise")):
        answer = run(*command)
        assert (answer.returncode, len(answer.stderr.splitlines())) == (78, 1)
    assert not site.database.exists()


def test_nothing_is_written_or_sent(run: Run, site: Site) -> None:
    configure(site, UNHAPPY)
    add(site, 1, recorded_at=SEEN_AT)
    before = site.sql("SELECT * FROM recordings")
    assert results(run)[0]["matches"] == 1
    assert site.sql("SELECT * FROM recordings") == before
    assert site.sql("SELECT * FROM alerts") == []


def test_a_verdict_is_shown_with_its_alert(run: Run, site: Site) -> None:
    site.add("alerts", id=4, state="sent", rules=["lawyer"])
    assert json.loads(run("alerts", "show", "4", "--json").stdout)["verdict"] is None
    run("verdict", "4", "noise")
    assert json.loads(run("alerts", "show", "4", "--json").stdout)["verdict"] == "noise"
    assert "verdict     noise" in run("alerts", "show", "4").stdout


def test_a_verdict_on_an_unknown_alert_is_1_and_another_word_is_2(run: Run, site: Site) -> None:
    site.sql("SELECT 1")
    answer = run("verdict", "5", "useful")
    assert (answer.returncode, answer.stderr) == (
        1,
        "earshot: there is no alert 5; `earshot alerts` lists them\n",
    )
    assert run("verdict", "5", "great").returncode == 2
    assert run("verdict", "0", "useful").returncode == 2
