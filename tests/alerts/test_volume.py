"""What is held back, with the reason, and what goes out to real servers all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.alerts.deliver import release
from daemon.alerts.draft import wanted_alerts
from daemon.alerts.volume import store_alerts
from daemon.rules.match import matches
from daemon.storage.database import transaction
from daemon.storage.outbox import retry_alert
from daemon.storage.volume import snooze, snoozed_rules
from tests.alerts.examples import conversation, passage
from tests.alerts.stage import CHURN, NOW, UNHAPPY, stage
from tests.servers import HttpSink, SmtpSink

CANCEL = (passage("I want to cancel.", "cancel subscription", 0.9),)
SENT, PENDING = ("sent", None), ("pending", None)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


@pytest.fixture
def http() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def smtp() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


def both(http: HttpSink, smtp: SmtpSink, **alerts: Any) -> dict[str, Any]:
    return {"destinations": {"team": [f"json://{http.address}", smtp.mailto()]}} | alerts


def titles(http: HttpSink) -> list[str]:
    return [request.json()["title"] for request in http.requests]


def test_an_old_recording_is_analyzed_and_nobody_is_told(
    tmp_path: Path, http: HttpSink, smtp: SmtpSink
) -> None:
    with stage(tmp_path, both(http, smtp)) as here:
        here.record(recorded_at=NOW - timedelta(hours=25))
        here.record(recorded_at=NOW - timedelta(hours=23))
        here.deliver()
        assert here.states() == [("suppressed", "age")] * 2 + [SENT] * 2
    assert (len(http.requests), len(smtp.messages)) == (1, 1)


def test_several_rules_make_one_message_for_each_address(
    tmp_path: Path, http: HttpSink, smtp: SmtpSink
) -> None:
    with stage(tmp_path, both(http, smtp, rules=[UNHAPPY, CHURN])) as here:
        here.record(intents=CANCEL)
        here.deliver()
    (message,), (mail,) = http.requests, smtp.messages
    assert "unhappy caller, churn risk" in message.json()["title"]
    assert "churn risk: intent" in message.json()["message"]
    assert "churn risk: intent" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_a_rule_in_cooldown_is_held_back_for_its_folder_alone(
    tmp_path: Path, http: HttpSink, smtp: SmtpSink
) -> None:
    with stage(tmp_path, both(http, smtp, cooldown="15m")) as here:
        here.record(NOW)
        here.record(NOW + minutes(14))
        here.record(NOW + minutes(14), folder="/srv/other")
        # The one that was held back does not make the cooldown longer.
        here.record(NOW + minutes(15))
        here.deliver(NOW + minutes(16))
        held = ("suppressed", "cooldown")
        assert here.states() == [SENT, SENT, held, held, SENT, SENT, SENT, SENT]
    assert (len(http.requests), len(smtp.messages)) == (3, 3)


def test_a_cooldown_may_count_by_a_field_of_the_metadata(tmp_path: Path, http: HttpSink) -> None:
    rule = UNHAPPY | {"cooldown": "1h", "cooldown_by": "metadata.the agent"}
    with stage(tmp_path, {"destinations": {"team": f"json://{http.address}"}, "rules": [rule]}) as here:
        for agent in ("Ann", "Bob", "Ann"):
            here.record(metadata={"the agent": agent})
        here.record()
        here.record()
        here.deliver()
        held = ("suppressed", "cooldown")
        assert here.states() == [SENT, SENT, held, SENT, held]


def test_a_rule_of_its_own_cooldown_is_left_out_of_the_message(tmp_path: Path, http: HttpSink) -> None:
    rules = [UNHAPPY | {"severity": "critical", "cooldown": "1h"}, CHURN | {"cooldown": "0s"}]
    alerts = {"destinations": {"team": f"json://{http.address}"}, "rules": rules, "cooldown": "5m"}
    with stage(tmp_path, alerts) as here:
        here.record()
        here.record(NOW + minutes(1), intents=CANCEL)
        here.deliver(NOW + minutes(1))
        stored = here.alerts()[1]
        assert (stored["state"], stored["severity"], json.loads(stored["rules"])) == (
            "sent",
            "warning",
            ["churn risk"],
        )
        assert "unhappy caller" not in stored["title"] + stored["body"]


def test_the_cooldown_is_still_known_after_a_restart(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, {"destinations": {"team": f"json://{http.address}"}, "cooldown": "15m"}) as here:
        here.record()
        here.restart()
        here.record(NOW + minutes(1))
        assert here.states() == [PENDING, ("suppressed", "cooldown")]


def test_what_was_stored_before_the_clock_was_set_back_holds_nothing(tmp_path: Path, http: HttpSink) -> None:
    alerts = {
        "destinations": {"team": f"json://{http.address}"},
        "cooldown": "15m",
        "burst": {"limit": 1, "window": "1h"},
    }
    with stage(tmp_path, alerts) as here:
        here.record(NOW)
        here.record(NOW - timedelta(days=30))
        assert here.states() == [PENDING, PENDING]


def test_a_snoozed_rule_is_held_back_until_then_and_can_be_sent_after_all(
    tmp_path: Path, http: HttpSink, smtp: SmtpSink
) -> None:
    with stage(tmp_path, both(http, smtp, rules=[UNHAPPY, CHURN])) as here:
        snooze(here.db, "unhappy caller", NOW + timedelta(hours=2), NOW)
        assert list(snoozed_rules(here.db, NOW)) == ["unhappy caller"]
        here.record(NOW)
        here.record(NOW + minutes(1), intents=CANCEL)
        here.record(NOW + timedelta(hours=2))
        later = NOW + timedelta(hours=3)
        here.deliver(later)
        held = ("suppressed", "snooze")
        assert here.states() == [held, held, SENT, SENT, SENT, SENT]
        assert titles(http)[0].startswith("[warning] churn risk - ")
        for row in here.alerts(reason="snooze"):
            retry_alert(here.db, row["id"], later)
        here.deliver(later)
        assert {state for state, _ in here.states()} == {"sent"}
    assert (len(http.requests), len(smtp.messages)) == (3, 3)


def test_snoozing_again_replaces_the_end_and_no_time_ends_it(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, {"destinations": {"team": f"json://{http.address}"}}) as here:
        snooze(here.db, "r", NOW + timedelta(hours=2), NOW)
        snooze(here.db, "r", NOW + timedelta(hours=1), NOW)
        assert snoozed_rules(here.db, NOW) == {"r": "2026-03-04T13:00:00.000Z"}
        assert snoozed_rules(here.db, NOW + timedelta(hours=1)) == {}
        snooze(here.db, "r", NOW, NOW)
        assert snoozed_rules(here.db, NOW) == {}


def test_a_burst_gives_the_first_messages_then_one_summary_with_the_worst_five(
    tmp_path: Path, http: HttpSink, smtp: SmtpSink
) -> None:
    alerts = both(http, smtp, burst={"limit": 3, "window": "10m"}, link="http://h/{id}#t={seconds}")
    with stage(tmp_path, alerts) as here:
        for number in range(10):
            name, score = f"call-{number}.wav", -0.4 - number / 100
            here.record(NOW + minutes(number / 10), score=score, name=name, metadata={"agent": "ann"})
        here.tick(NOW + minutes(9.9))
        here.deliver(NOW + minutes(9.9))
        assert (len(http.requests), len(smtp.messages)) == (3, 3)
        assert here.tick(NOW + minutes(10))
        assert not here.tick(NOW + minutes(10))
        here.deliver(NOW + minutes(10))
        assert len(here.alerts(state="suppressed", reason="burst")) == 14
        assert len(here.alerts(state="sent")) == 8
        summary = here.alerts(recording_id=None)[0]
    assert (len(http.requests), len(smtp.messages)) == (4, 4)
    assert titles(http)[-1] == "[warning] 7 alerts held back - burst"
    lines = http.requests[-1].json()["message"].splitlines()
    worst = [line for line in lines if line.startswith("sentiment -0.")]
    assert (
        worst[0]
        == "sentiment -0.49 call-9.wav (agent ann): unhappy caller http://h/10#t=0 (alert 19, recording 10)"
    )
    assert [line.split()[2] for line in worst] == [f"call-{number}.wav" for number in (9, 8, 7, 6, 5)]
    assert lines[-1] == f"earshot alert {summary['id']}"
    assert json.loads(summary["rules"]) == ["unhappy caller"]


def test_after_a_burst_there_is_room_again(tmp_path: Path, http: HttpSink) -> None:
    alerts = {"destinations": {"team": f"json://{http.address}"}, "burst": {"limit": 1, "window": "10m"}}
    with stage(tmp_path, alerts) as here:
        here.record(NOW)
        here.record(NOW + minutes(1))
        # Nobody looked at the end of the window: the next message does.
        here.record(NOW + minutes(11))
        here.record(NOW + minutes(12))
        assert not here.tick(NOW + minutes(12))
        assert here.tick(NOW + minutes(21))
        held, note = ("suppressed", "burst"), PENDING
        assert here.states() == [PENDING, held, note, PENDING, held, note]
        assert [row["title"] for row in here.alerts(recording_id=None)] == [
            "[warning] 1 alert held back - burst"
        ] * 2


def test_a_summary_comes_once_over_restarts_and_not_without_anything_held(
    tmp_path: Path, http: HttpSink
) -> None:
    alerts = {"destinations": {"team": f"json://{http.address}"}, "burst": {"limit": 1, "window": "10m"}}
    with stage(tmp_path, alerts) as here:
        here.record(NOW)
        assert not here.tick(NOW + minutes(10))
        here.record(NOW + minutes(20))
        here.record(NOW + minutes(21))
        here.restart()
        assert here.tick(NOW + timedelta(days=2))
        here.restart()
        assert not here.tick(NOW + timedelta(days=2))
        assert len(here.alerts(recording_id=None)) == 1


def test_a_destination_that_is_gone_gets_no_summary(tmp_path: Path, http: HttpSink) -> None:
    url = f"json://{http.address}"
    alerts = {"destinations": {"team": url}, "burst": {"limit": 1, "window": "10m"}}
    with stage(tmp_path, alerts) as here:
        here.record(NOW)
        here.record(NOW)
        here.configure({"destinations": {"crew": url}, "rules": [UNHAPPY | {"notify": "crew"}]})
        assert not here.tick(NOW + minutes(10))
        assert here.alerts(recording_id=None) == []


def test_each_address_has_a_burst_of_its_own(tmp_path: Path, http: HttpSink) -> None:
    alerts = {
        "destinations": {"team": f"json://{http.address}/a", "ops": f"json://{http.address}/b"},
        "rules": [UNHAPPY, CHURN | {"notify": ["team", "ops"]}],
        "burst": {"limit": 2, "window": "10m"},
    }
    with stage(tmp_path, alerts) as here:
        here.record()
        here.record()
        here.record(intents=CANCEL)
        found = [(row["destination"], row["state"]) for row in here.alerts()]
        assert found == [("team", "pending")] * 2 + [("team", "suppressed"), ("ops", "pending")]


def test_no_burst_is_no_limit(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, {"destinations": {"team": f"json://{http.address}"}, "burst": None}) as here:
        for _ in range(20):
            here.record()
        assert here.states() == [PENDING] * 20


def test_an_analysis_that_is_repeated_counts_for_nothing(tmp_path: Path, http: HttpSink) -> None:
    alerts = {"destinations": {"team": f"json://{http.address}"}, "burst": {"limit": 2, "window": "10m"}}
    with stage(tmp_path, alerts) as here:
        first = here.record()
        same = conversation(recording_id=first, recorded_at=None, modified_at=None)
        fired = matches(here.config.alerts.rules, same)
        wanted = wanted_alerts(here.config.alerts, here.targets, same, fired, NOW)
        with transaction(here.db):
            assert store_alerts(here.db, here.config.alerts, wanted, first, NOW) == []
        here.record()
        assert here.states() == [PENDING, PENDING]


def test_in_quiet_hours_alerts_wait_and_critical_ones_do_not(
    tmp_path: Path, http: HttpSink, smtp: SmtpSink
) -> None:
    night = datetime(2026, 3, 4, 23, 0, tzinfo=UTC)
    morning = datetime(2026, 3, 5, 6, 0, tzinfo=UTC)
    alerts = {
        "destinations": {
            "team": {
                "urls": [f"json://{http.address}", smtp.mailto()],
                "quiet_hours": "22:00-07:00",
                "timezone": "Europe/Berlin",
            }
        },
        "rules": [UNHAPPY, CHURN | {"severity": "critical"}],
    }
    with stage(tmp_path, alerts) as here:
        here.record(night)
        here.record(night, intents=CANCEL)
        here.deliver(night)
        assert (len(http.requests), len(smtp.messages)) == (1, 1)
        assert [row["not_before"] for row in here.alerts(state="pending")] == ["2026-03-05T06:00:00.000Z"] * 2
        here.restart()
        here.deliver(morning - minutes(1))
        assert len(http.requests) == 1
        here.deliver(morning)
        assert {state for state, _ in here.states()} == {"sent"}
    assert (len(http.requests), len(smtp.messages)) == (2, 2)


def test_a_retry_that_falls_into_quiet_hours_waits_as_well(tmp_path: Path) -> None:
    evening = datetime(2026, 3, 4, 21, 59, tzinfo=UTC)
    with HttpSink(500) as http:
        team = {"urls": f"json://{http.address}", "quiet_hours": "22:00-07:00"}
        with stage(tmp_path, {"destinations": {"team": team}}) as here:
            here.record(evening)
            here.deliver(evening)
            here.deliver(evening + minutes(30))
            (stored,) = here.alerts()
            assert (stored["attempts"], stored["not_before"]) == (1, "2026-03-05T07:00:00.000Z")
            # What a person asks for goes out at once, and has a whole day of retries.
            with_retry = evening + minutes(40)
            retry_alert(here.db, stored["id"], with_retry)
            here.deliver(with_retry)
            assert here.states() == [SENT]


def test_what_waits_for_quiet_hours_that_are_no_more_goes_out_at_once(tmp_path: Path, http: HttpSink) -> None:
    night = datetime(2026, 3, 4, 23, 0, tzinfo=UTC)
    team = {"urls": f"json://{http.address}", "quiet_hours": "22:00-07:00"}
    with stage(tmp_path, {"destinations": {"team": team}}) as here:
        here.record(night)
        # As at every start: the same quiet hours hold what they held.
        release(here.db, here.targets[0], night)
        here.deliver(night)
        assert http.requests == []
        here.configure({"destinations": {"team": team | {"quiet_hours": "01:00-07:00"}}})
        release(here.db, here.targets[0], night)
        here.deliver(night)
        assert here.states() == [SENT]
        # Neither that nor a retry is later than it was.
        here.db.execute("UPDATE alerts SET state = 'pending', not_before = '2026-03-05T00:00:00.000Z'")
        release(here.db, here.targets[0], night)
        here.deliver(night)
        assert here.states() == [PENDING]


def test_the_day_of_retries_begins_when_the_quiet_hours_end(tmp_path: Path) -> None:
    evening, morning = datetime(2026, 3, 4, 8, tzinfo=UTC), datetime(2026, 3, 5, 7, tzinfo=UTC)
    with HttpSink(default=500) as http:
        team = {"urls": f"json://{http.address}", "quiet_hours": "08:00-07:00"}
        with stage(tmp_path, {"destinations": {"team": team}}) as here:
            here.record(evening)
            here.db.execute("UPDATE alerts SET attempts = 20")
            here.deliver(morning + timedelta(hours=0, minutes=30))
            assert here.states() == [PENDING]


def test_a_message_to_operations_waits_for_the_end_of_quiet_hours(tmp_path: Path, http: HttpSink) -> None:
    night = datetime(2026, 3, 4, 23, 0, tzinfo=UTC)
    ops = {"urls": f"json://{http.address}", "quiet_hours": "22:00-07:00"}
    with stage(tmp_path, {"destinations": {"ops": ops}, "operations": "ops", "rules": []}) as here:
        here.fail(now=night - minutes(1))
        here.tick(night)
        here.deliver(night)
        assert http.requests == []
        assert here.alerts()[0]["not_before"] == "2026-03-05T07:00:00.000Z"
        here.deliver(datetime(2026, 3, 5, 7, 0, tzinfo=UTC))
        assert titles(http) == ["[warning] 1 recording failed"]


def test_a_hundred_negative_recordings_give_no_more_messages_than_configured(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, {"destinations": {"team": f"json://{http.address}"}, "burst": {}}) as here:
        for number in range(100):
            here.record(NOW + timedelta(seconds=number * 0.6))
        here.deliver(NOW + minutes(1))
        here.tick(NOW + minutes(10))
        here.deliver(NOW + minutes(10))
        told = [row for row in here.alerts() if row["recording_id"] is not None]
        assert len({row["recording_id"] for row in told}) == len(told) == 100
        assert here.states().count(("suppressed", "burst")) == 90
        assert here.states().count(SENT) == 11
    assert len(http.requests) == 11
    assert titles(http)[-1] == "[warning] 90 alerts held back - burst"


def test_nothing_that_was_said_stands_in_the_title_of_a_summary(tmp_path: Path, http: HttpSink) -> None:
    alerts = {"destinations": {"team": f"json://{http.address}"}, "burst": {"limit": 1, "window": "10m"}}
    with stage(tmp_path, alerts) as here:
        for _ in range(3):
            here.record(name="@everyone <b>[a](http://evil.example) \u202egnp.wav")
        here.tick(NOW + minutes(10))
        (summary,) = here.alerts(recording_id=None)
    assert summary["title"] == "[warning] 2 alerts held back - burst"
    for forbidden in ("@everyone", "<b>", "](", "http://", "\u202e"):
        assert forbidden not in summary["body"]


def test_a_summary_fits_a_small_channel(tmp_path: Path) -> None:
    alerts: dict[str, Any] = {
        "destinations": {"team": "json://localhost/"},
        "burst": {"limit": 1, "window": "10m"},
    }
    with stage(tmp_path, alerts) as here:
        for number in range(9):
            here.record(name=f"{number}" * 50 + ".wav")
        here.targets = [replace(here.targets[0], limit=400)]
        here.tick(NOW + minutes(10))
        (summary,) = here.alerts(recording_id=None)
    assert len(summary["body"]) <= 400
    assert "8 alerts held back, after 1 sent within 10m" in summary["body"]
    assert summary["body"].endswith(f"earshot alert {summary['id']}")
