"""`earshot retry`: failed and skipped recordings go back into the queue, others do not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.models import from_iso
from tests.cli.sites import SEEN_AT, Site
from tests.servers import HttpSink

Run = Callable[..., subprocess.CompletedProcess[str]]


def row(site: Site, recording_id: int) -> dict[str, Any]:
    return site.sql("SELECT * FROM recordings WHERE id = ?", recording_id)[0]


def add_failed(site: Site, recording_id: int, state: str = "failed") -> None:
    site.add(
        "recordings",
        id=recording_id,
        state=state,
        attempts=4,
        possibly_billed=2,
        error_code="crashed",
        error="three times",
        crashes=3,
        doubtful=2,
        failing_since=SEEN_AT,
    )


@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_a_recording_is_due_now_and_its_history_stays(run: Run, site: Site, state: str) -> None:
    add_failed(site, 1, state)
    before = datetime.now(UTC)
    answer = run("retry", "1")
    assert (answer.returncode, answer.stdout) == (0, "1 recording back in the queue\n")
    after = row(site, 1)
    assert abs((from_iso(after["not_before"]) - before).total_seconds()) < 60
    kept = (
        "state",
        "error_code",
        "error",
        "crashes",
        "doubtful",
        "failing_since",
        "attempts",
        "possibly_billed",
    )
    assert [after[column] for column in kept] == ["waiting", None, None, 0, 0, None, 4, 2]


def test_a_limit_that_holds_them_is_said(run: Run, site: Site) -> None:
    add_failed(site, 1)
    add_failed(site, 2)
    site.sql("UPDATE recordings SET folder = '/other' WHERE id = 2")
    reason = f"cost_per_day of {site.watched}: 5.00 of 5.00 USD used"
    times = {"since": SEEN_AT, "next_probe_at": SEEN_AT, "probe_seconds": 9}
    site.add("pauses", cause="limit", scope=str(site.watched), reason=reason, **times)
    assert run("retry", "1").stdout == f"1 recording back in the queue\nthey wait for now: {reason}\n"
    assert run("retry", "2").stdout == "1 recording back in the queue\n"


def test_one_that_waits_for_its_next_try_is_due_now_and_keeps_its_counts(run: Run, site: Site) -> None:
    site.add("recordings", id=1, state="waiting", not_before="2999-01-01T00:00:00.000Z", doubtful=2)
    answer = run("retry", "1")
    assert (answer.returncode, answer.stdout) == (0, "1 recording back in the queue\n")
    after = row(site, 1)
    assert from_iso(after["not_before"]) <= datetime.now(UTC)
    assert after["doubtful"] == 2


def test_what_cannot_be_retried_is_named_and_the_others_are_done(run: Run, site: Site) -> None:
    add_failed(site, 1)
    site.add("recordings", id=2, state="done")
    answer = run("retry", "2", "9", "1", "1")
    assert answer.returncode == 1
    assert answer.stdout == "1 recording back in the queue\n"
    assert answer.stderr.splitlines() == [
        "earshot: recording 2 is done; `earshot retry --anew 2` has it analyzed, and paid for, again",
        "earshot: there is no recording 9; `earshot list` shows them",
    ]
    assert row(site, 1)["state"] == "waiting"


def test_all_failed_ones_but_no_skipped_one(run: Run, site: Site) -> None:
    add_failed(site, 1)
    add_failed(site, 2)
    add_failed(site, 3, "skipped")
    assert run("retry", "--failed").stdout == "2 recordings back in the queue\n"
    assert [row(site, number)["state"] for number in (1, 2, 3)] == ["waiting", "waiting", "skipped"]


@pytest.mark.parametrize("arguments", [[], ["--failed"], ["1"], ["404"]])
def test_a_pause_is_probed_at_once(run: Run, site: Site, arguments: list[str]) -> None:
    add_failed(site, 1)
    never = "2999-01-01T00:00:00.000Z"
    site.add("pauses", cause="key", reason="r", since=SEEN_AT, next_probe_at=never, probe_seconds=300)
    run("retry", *arguments)
    (pause,) = site.sql("SELECT next_probe_at FROM pauses")
    assert from_iso(pause["next_probe_at"]) <= datetime.now(UTC)


@pytest.mark.parametrize("arguments", [["--anew"], ["--failed", "1"], ["0"], ["-1"], [str(2**63)]])
def test_wrong_usage_is_2(run: Run, site: Site, arguments: list[str]) -> None:
    site.sql("SELECT 1")
    assert run("retry", *arguments).returncode == 2


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with HttpSink() as server:
        yield server


def test_what_was_done_is_also_there_as_json(run: Run, site: Site, sink: HttpSink) -> None:
    rule = {"name": "r", "when": {"phrase": "x"}, "notify": ["team"]}
    site.configure(alerts={"destinations": {"team": f"json://{sink.address}/alert"}, "rules": [rule]})
    add_failed(site, 1)
    site.add("recordings", id=2, state="done")
    site.add("alerts", id=5, state="pending", not_before="2999-01-01T00:00:00.000Z")
    site.add("pauses", cause="key", reason="x", since=SEEN_AT, next_probe_at=SEEN_AT, probe_seconds=1)

    def done(*arguments: str, code: int = 0) -> Any:
        answer = run(*arguments, "--json")
        assert answer.returncode == code, answer.stderr
        return json.loads(answer.stdout)

    refused = done("retry", "1", "2", code=1)
    assert (refused["queued"], [each["id"] for each in refused["refused"]]) == (1, [2])
    assert done("retry") == {"queued": 0, "refused": [], "limits": [], "limits_lifted": 0, "pauses_tried": 1}
    assert done("alerts", "retry", "5") == {"due": [5], "refused": []}
    (alert,) = site.sql("SELECT * FROM alerts")
    assert from_iso(alert["not_before"]) <= datetime.now(UTC)
    assert done("alerts", "snooze", "r", "2h")["rule"] == "r"
    assert done("verdict", "5", "noise") == {"alert_id": 5, "verdict": "noise"}
    (target,) = done("test-alert", "team")["targets"]
    assert (target["target"], target["error"], len(sink.requests)) == (0, None, 1)
