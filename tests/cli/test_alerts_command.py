"""`earshot alerts` and `earshot test-alert`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.sites import SEEN_AT, Site
from tests.servers import HttpSink

Run = Callable[..., subprocess.CompletedProcess[str]]

TOKEN = "very-secret-token-0815"


def add_alerts(site: Site) -> None:
    site.add("recordings", id=1, state="done")
    site.add("alerts", id=1, recording_id=1, state="sent", rules=["unhappy caller"], sent_at=SEEN_AT)
    site.add("alerts", id=2, recording_id=1, target=1, state="suppressed", rules=["churn"], reason="age")
    site.add("alerts", id=3, state="failed", error="the service answered 404", severity="critical")


def test_json_has_the_alerts_newest_first_without_bodies(run: Run, site: Site) -> None:
    add_alerts(site)
    found = json.loads(run("alerts", "--json").stdout)
    assert [row["id"] for row in found] == [3, 2, 1]
    assert found[1] == {
        "id": 2,
        "recording_id": 1,
        "destination": "team",
        "target": 1,
        "rules": ["churn"],
        "severity": "warning",
        "state": "suppressed",
        "reason": "age",
        "attempts": 0,
        "not_before": None,
        "created_at": SEEN_AT,
        "sent_at": None,
        "error": None,
        "title": "T",
        "moment_seconds": None,
    }


def test_the_table_says_why_an_alert_was_not_sent(run: Run, site: Site) -> None:
    add_alerts(site)
    header, *lines = run("alerts").stdout.splitlines()
    assert header.split("\t") == [
        "id", "state", "severity", "to", "rec", "created", "rules", "reason"
    ]  # fmt: skip
    assert lines[0].split("\t")[-1] == "the service answered 404"
    assert lines[1].split("\t")[-2:] == ["churn", "age"]


def test_on_a_narrow_terminal_rules_and_reasons_give_way(on_terminal: Callable[..., str], site: Site) -> None:
    rules = ["an unhappy caller with a long story", "churn"]
    site.add("alerts", id=1, state="suppressed", rules=rules, reason="cooldown of another rule")
    header, line = on_terminal("alerts", columns=80).splitlines()
    assert len(line) <= 80
    assert "1  suppressed  team" in line
    assert SEEN_AT[:10] in line
    assert line.count("…") == 2
    assert "reason" in header


def test_alerts_can_be_asked_for_by_state(run: Run, site: Site) -> None:
    add_alerts(site)
    found = json.loads(run("alerts", "--state", "failed", "--state", "sent", "--json").stdout)
    assert [row["id"] for row in found] == [3, 1]


def test_show_has_the_body(run: Run, site: Site) -> None:
    site.add("alerts", id=4, state="sent", title="[warning] unhappy", body="why\n\nearshot alert 4")
    assert json.loads(run("alerts", "show", "4", "--json").stdout)["body"] == "why\n\nearshot alert 4"
    assert run("alerts", "show", "4").stdout.endswith("\n[warning] unhappy\n\nwhy\n\nearshot alert 4\n")


def test_json_may_stand_before_show(run: Run, site: Site) -> None:
    add_alerts(site)
    assert json.loads(run("alerts", "--json", "show", "1").stdout)["body"] == "B"


def test_an_unknown_alert_is_1(run: Run, site: Site) -> None:
    site.sql("SELECT 1")
    for command in ("show", "retry"):
        answer = run("alerts", command, "5")
        assert (answer.returncode, len(answer.stderr.splitlines())) == (1, 1)
        assert "there is no alert 5" in answer.stderr


def test_retry_takes_all_but_sent_alerts(run: Run, site: Site) -> None:
    add_alerts(site)
    site.add("alerts", id=4, state="pending", not_before="2999-01-01T00:00:00.000Z", attempts=7)
    answer = run("alerts", "retry", "1", "2", "3", "4")
    assert answer.returncode == 1
    assert answer.stdout == "".join(f"alert {number} is pending, due now\n" for number in (2, 3, 4))
    assert answer.stderr.startswith("earshot: alert 1 is sent")
    states = [row["state"] for row in site.sql("SELECT state FROM alerts ORDER BY id")]
    assert states == ["sent", "pending", "pending", "pending"]
    (last,) = site.sql("SELECT not_before, attempts FROM alerts WHERE id = 4")
    assert last["not_before"] < "2999"
    assert last["attempts"] == 0


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with HttpSink() as server:
        yield server


def destinations(**urls: Any) -> dict[str, Any]:
    rule = {"name": "r", "when": {"average_sentiment": "negative"}, "notify": list(urls)}
    return {"destinations": urls, "rules": [rule]}


def url(sink: HttpSink) -> str:
    return f"json://{sink.address}/{TOKEN}"


def test_a_sample_reaches_every_url_of_the_destination(run: Run, site: Site, sink: HttpSink) -> None:
    site.configure(alerts=destinations(team=[url(sink), url(sink)]))
    answer = run("test-alert", "team")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["team, URL 1 of 2 (JSON): ok", "team, URL 2 of 2 (JSON): ok"]
    assert len(sink.requests) == 2
    assert "test" in sink.requests[0].json()["title"]


def test_what_fails_is_named_without_its_secrets(run: Run, site: Site, sink: HttpSink) -> None:
    sink.then(default=404)
    site.configure(alerts=destinations(team=url(sink)))
    answer = run("test-alert", "team", "--debug")
    assert answer.returncode == 1
    assert "team, URL 1 of 1 (JSON): the service answered 404" in answer.stderr
    assert TOKEN not in answer.stdout + answer.stderr


def test_an_unknown_destination_is_1_with_the_nearest_name(run: Run, site: Site, sink: HttpSink) -> None:
    site.configure(alerts=destinations(team=url(sink)))
    answer = run("test-alert", "taem")
    assert (answer.returncode, answer.stderr) == (
        1,
        "earshot: there is no destination taem; did you mean team?\n",
    )


def test_another_destination_that_is_broken_does_not_matter(run: Run, site: Site, sink: HttpSink) -> None:
    site.configure(alerts=destinations(team=url(sink), ops={"urls_file": str(site.home / "missing")}))
    assert run("test-alert", "team").returncode == 0


def test_a_rule_is_snoozed_and_woken(run: Run, site: Site, sink: HttpSink) -> None:
    site.configure(alerts=destinations(team=url(sink)))
    site.sql("SELECT 1")
    answer = run("alerts", "snooze", "r", "2h")
    assert (answer.returncode, answer.stdout[:24]) == (0, "rule r is held back unti"), answer.stderr
    assert [row["rule"] for row in site.sql("SELECT rule FROM snoozes")] == ["r"]
    answer = run("alerts", "snooze", "r", "0s")
    assert answer.stdout == "rule r is not held back any longer\n"
    assert site.sql("SELECT rule FROM snoozes") == []


def test_snoozing_an_unknown_rule_is_1_with_the_nearest_name(run: Run, site: Site) -> None:
    rule = {"name": "unhappy caller", "when": {"average_sentiment": "negative"}, "notify": ["t"]}
    site.configure(alerts={"destinations": {"t": "json://localhost/"}, "rules": [rule]})
    site.sql("SELECT 1")
    answer = run("alerts", "snooze", "unhapy caller", "2h")
    assert (answer.returncode, answer.stderr) == (
        1,
        "earshot: there is no rule unhapy caller; did you mean unhappy caller?\n",
    )
    for duration in ("soon", "2 weeks", "-1h", "9999999d"):
        answer = run("alerts", "snooze", "unhappy caller", "--", duration)
        assert answer.returncode == 2, answer.stdout
        assert "Traceback" not in answer.stderr
