"""What operations hear of: once when it begins, once when it is over, and nothing twice after a restart."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from daemon.models import Ending, RecordingState, from_iso, iso
from daemon.originals.originals import outcomes_of, tidy
from daemon.storage.database import rows, transaction
from daemon.storage.folders import configure_folder, folder_available, folder_unavailable
from daemon.storage.operations import begin_anew
from daemon.storage.originals import configure_originals, original_of_recording
from daemon.storage.outbox import ORPHANED
from daemon.storage.pauses import begin_pause, end_pause, pauses
from daemon.storage.queue import end
from daemon.storage.requeue import requeue
from tests.alerts.stage import NOW, UNHAPPY, Stage, stage
from tests.servers import HttpSink, SmtpSink
from tests.storage.stores import committed

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def http() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


def operations(http: HttpSink) -> dict[str, Any]:
    urls = {"team": f"json://{http.address}/team", "ops": f"json://{http.address}/ops"}
    return {"destinations": urls, "operations": ["ops"]}


def titles(here: Stage) -> list[str]:
    return [row["title"] for row in here.alerts(recording_id=None)]


def appear(here: Stage) -> None:
    configure_folder(here.db, here.folder, NOW)
    folder_available(here.db, here.folder, "poll", "configured", 2.0, NOW)


def test_failed_recordings_are_told_in_one_message_with_the_first_five(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, operations(http)) as here:
        for number in range(7):
            here.fail(f"broken-{number}.wav")
        assert not here.tick(NOW + timedelta(seconds=59))
        assert here.tick(NOW + MINUTE)
        assert not here.tick(NOW + MINUTE)
        here.deliver()
    (request,) = http.requests
    message = request.json()
    assert (request.path, message["title"]) == ("/ops", "[warning] 7 recordings failed")
    assert f"On {platform.node()}; no recording is waiting." in message["message"]
    assert "recording 1, broken-0.wav: it is broken" in message["message"]
    assert "broken-4.wav" in message["message"]
    assert "broken-5.wav" not in message["message"]
    assert "and 2 more" in message["message"]


def test_failed_recordings_are_told_at_most_every_ten_minutes(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        here.fail()
        here.tick(NOW + MINUTE)
        here.fail()
        here.fail()
        here.restart()
        assert not here.tick(NOW + 10 * MINUTE)
        assert here.tick(NOW + 11 * MINUTE)
        here.deliver(NOW + 11 * MINUTE)
        assert not here.tick(NOW + HOUR)
        assert titles(here) == ["[warning] 1 recording failed", "[warning] 2 recordings failed"]


def test_a_recording_that_was_put_back_is_no_news_until_it_fails_again(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, operations(http)) as here:
        failed = here.fail()
        committed(requeue, here.db, [failed], NOW)
        assert not here.tick(NOW + MINUTE)
        committed(end, here.db, failed, Ending(RecordingState.FAILED, "code", "why"), NOW)
        assert here.tick(NOW + MINUTE)
        assert titles(here) == ["[warning] 1 recording failed"]


def test_a_folder_that_stays_gone_is_told_once_and_when_it_is_back(tmp_path: Path, http: HttpSink) -> None:
    with SmtpSink() as smtp, stage(tmp_path, operations(http)) as here:
        here.configure({"destinations": {"ops": smtp.mailto()}, "operations": "ops", "rules": []})
        appear(here)
        here.tick(NOW)
        folder_unavailable(here.db, here.folder, "not there")
        assert not here.tick(NOW)
        assert not here.tick(NOW + timedelta(seconds=14))
        assert here.tick(NOW + timedelta(seconds=15))
        here.restart()
        assert not here.tick(NOW + 10 * MINUTE)
        folder_available(here.db, here.folder, "poll", "configured", 2.0, NOW)
        assert here.tick(NOW + 11 * MINUTE)
        assert not here.tick(NOW + 12 * MINUTE)
        here.deliver()
        name = here.folder
        subjects = [str(mail["subject"]) for mail in smtp.messages]
    assert [subject[:34] for subject in subjects] == [
        "[warning] a watched folder is gone",
        "[info] a watched folder is back - ",
    ]
    assert f"{name} was gone for 11 min." in smtp.messages[1].get_content()


def test_a_share_that_is_mounted_again_at_once_is_no_news(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        appear(here)
        folder_unavailable(here.db, here.folder, "not there")
        here.tick(NOW)
        folder_available(here.db, here.folder, "poll", "configured", 2.0, NOW)
        assert not here.tick(NOW + timedelta(seconds=10))
        folder_unavailable(here.db, here.folder, "not there")
        assert not here.tick(NOW + timedelta(seconds=20))
        assert titles(here) == []


def test_after_a_start_a_folder_has_its_time_again(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        configure_folder(here.db, here.folder, NOW)
        here.tick(NOW)
        here.restart()
        begin_anew(here.db, NOW + HOUR)
        assert not here.tick(NOW + HOUR)
        assert here.tick(NOW + HOUR + MINUTE)


def test_a_folder_that_is_watched_no_longer_is_not_mentioned(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        configure_folder(here.db, here.folder, NOW)
        here.tick(NOW)
        here.tick(NOW + MINUTE)
        here.configure(operations(http), watch=[str(tmp_path / "other")])
        assert not here.tick(NOW + HOUR)
        assert len(titles(here)) == 1


def test_a_folder_that_falls_silent_is_told_and_when_it_speaks_again(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        here.configure(operations(http), watch=[{"path": here.folder, "silent_after": "8h"}])
        appear(here)
        here.record(NOW, score=0.0)
        assert not here.tick(NOW + 7 * HOUR)
        # What came while nobody looked has a minute to be noticed.
        assert not here.tick(NOW + 8 * HOUR)
        assert here.tick(NOW + 8 * HOUR + 2 * MINUTE)
        here.deliver(NOW + 8 * HOUR + 2 * MINUTE)
        here.restart()
        assert not here.tick(NOW + 20 * HOUR)
        # Gone for a moment: that it is silent is told already, and is not over.
        folder_unavailable(here.db, here.folder, "not there")
        here.tick(NOW + 21 * HOUR)
        folder_available(here.db, here.folder, "poll", "configured", 2.0, NOW)
        assert not here.tick(NOW + 21 * HOUR)
        here.record(NOW + 22 * HOUR, score=0.0)
        assert here.tick(NOW + 22 * HOUR)
        here.deliver(NOW + 22 * HOUR)
        assert not here.tick(NOW + 23 * HOUR)
        found = titles(here)
        (body, _over) = [row["body"] for row in here.alerts(recording_id=None)]
    assert [title.partition(" - ")[0] for title in found] == [
        "[warning] a watched folder is silent",
        "[info] a watched folder is silent no longer",
    ]
    assert "since 2026-03-04 12:00 UTC" in body


def test_a_folder_in_which_nothing_ever_came_counts_from_its_appearance(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, operations(http)) as here:
        here.configure(operations(http), watch=[{"path": here.folder, "silent_after": "1h"}])
        appear(here)
        assert not here.tick(NOW + HOUR)
        assert here.tick(NOW + HOUR + 2 * MINUTE)


def test_alerts_that_wait_for_an_hour_are_told_elsewhere_and_when_it_is_over(tmp_path: Path) -> None:
    with HttpSink(503, 503, 503) as broken, HttpSink() as http:
        urls = {"team": f"json://{broken.address}", "ops": f"json://{http.address}"}
        with stage(tmp_path, {"destinations": urls, "operations": ["ops", "team"]}) as here:
            here.record(NOW)
            here.deliver(NOW)
            assert not here.tick(NOW + 59 * MINUTE)
            assert here.tick(NOW + HOUR)
            here.deliver(NOW + HOUR)
            here.restart()
            assert not here.tick(NOW + 2 * HOUR)
            (notice,) = here.alerts(recording_id=None)
            assert (notice["destination"], notice["title"]) == ("ops", "[warning] alerts wait for team")
            assert "the service answered 503" in notice["body"]
            for minute in range(4):
                here.deliver(NOW + 2 * HOUR + minute * 5 * MINUTE)
            assert here.tick(NOW + 3 * HOUR)
            assert not here.tick(NOW + 3 * HOUR)
            here.deliver(NOW + 3 * HOUR)
        subjects = [request.json()["title"] for request in http.requests]
    assert subjects == ["[warning] alerts wait for team", "[info] alerts reach team again"]


def test_alerts_that_were_given_up_are_not_said_to_have_arrived(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        here.record(NOW)
        here.tick(NOW + HOUR)
        here.db.execute("UPDATE alerts SET state = 'failed' WHERE destination = 'team'")
        here.tick(NOW + 2 * HOUR)
        assert titles(here)[1] == "[info] no alerts wait for team any longer"


def give_up(here: Stage, destination: str, now: datetime) -> None:
    """The last try of every alert that is pending there, at a server that refuses it."""
    here.db.execute(
        "UPDATE alerts SET attempts = 50, not_before = NULL, created_at = ?"
        " WHERE state = 'pending' AND destination = ?",
        (iso(now - 30 * HOUR), destination),
    )
    here.deliver(now)


def test_alerts_that_are_given_up_are_told_elsewhere_once_and_when_one_arrives(
    tmp_path: Path, http: HttpSink
) -> None:
    refusal = (500,) * 3
    with HttpSink(*refusal) as broken:
        urls = {"team": f"json://{broken.address}", "ops": f"json://{http.address}"}
        with stage(tmp_path, {"destinations": urls, "operations": ["ops", "team"]}) as here:
            for _ in refusal:
                here.record(NOW)
            give_up(here, "team", NOW)
            assert here.tick(NOW)
            here.deliver(NOW)
            here.restart()
            assert not here.tick(NOW + HOUR)
            here.record(NOW + HOUR)
            here.deliver(NOW + HOUR)
            assert here.tick(NOW + HOUR)
            assert not here.tick(NOW + HOUR)
            begun, over = here.alerts(recording_id=None)
    assert {begun["destination"], over["destination"]} == {"ops"}
    assert begun["title"] == "[warning] alerts do not reach team"
    assert "Alert 3 was given up after 51 attempts: the service answered 500" in begun["body"]
    assert over["title"] == "[info] alerts reach team again after some were given up"


def test_two_destinations_that_are_both_down_do_not_tell_of_each_other_without_end(tmp_path: Path) -> None:
    with HttpSink(default=500) as broken:
        urls = {name: f"json://{broken.address}/{name}" for name in ("ops", "more")}
        alerts = {"destinations": urls, "operations": ["ops", "more"], "rules": []}
        with stage(tmp_path, alerts) as here:
            here.fail()
            for hour in range(6):
                here.tick(NOW + hour * HOUR)
                for name in urls:
                    give_up(here, name, NOW + hour * HOUR)
            told = [title for title in titles(here) if "do not reach" in title]
    assert sorted(told) == ["[warning] alerts do not reach more", "[warning] alerts do not reach ops"]


def test_alerts_that_wait_for_the_end_of_quiet_hours_are_not_stuck(tmp_path: Path, http: HttpSink) -> None:
    team = {"urls": f"json://{http.address}", "quiet_hours": "11:00-20:00"}
    alerts = {"destinations": {"team": team, "ops": f"json://{http.address}"}, "operations": "ops"}
    with stage(tmp_path, alerts) as here:
        here.record(NOW)
        assert not here.tick(NOW + 7 * HOUR)
        # From their end on they should be delivered.
        assert here.tick(NOW + 9 * HOUR)


def test_alerts_for_a_destination_that_was_renamed_are_told_and_when_it_is_back(
    tmp_path: Path, http: HttpSink
) -> None:
    """They are pending, but no thread sends them: without this nobody would ever know."""
    urls = {name: f"json://{http.address}/{name}" for name in ("team", "ops")}
    before = {"destinations": urls, "operations": ["ops"]}
    with stage(tmp_path, before) as here:
        here.record(NOW)
        after = {"crew": urls["team"], "ops": urls["ops"]}
        here.configure(before | {"destinations": after, "rules": [UNHAPPY | {"notify": "crew"}]})
        assert not here.tick(NOW + HOUR - MINUTE)
        assert here.tick(NOW + HOUR)
        assert not here.tick(NOW + 2 * HOUR)
        here.configure(before)
        here.deliver(NOW + 2 * HOUR)
        assert here.tick(NOW + 2 * HOUR)
        assert titles(here) == [
            "[warning] alerts wait for team, which is not configured",
            "[info] no alerts wait for team any longer",
        ]
        assert here.alerts()[0]["state"] == "sent"
        assert "1 in all" in here.alerts()[1]["body"]


def test_alerts_and_messages_for_what_is_no_more_are_given_up_after_a_week(
    tmp_path: Path, http: HttpSink
) -> None:
    """Else they would keep their recordings from retention, and monitors from quiet."""
    with stage(tmp_path, operations(http)) as here:
        recording_id = here.record(NOW)
        here.db.execute(
            "INSERT INTO webhooks (recording_id, destination, event, message_id, created_at, body)"
            " VALUES (?, 'old', 'done', 'msg_1', ?, '{}')",
            (recording_id, iso(NOW)),
        )
        here.configure({"destinations": {"ops": f"json://{http.address}/ops"}, "rules": []})
        here.tick(NOW + timedelta(days=6, hours=23))
        assert here.alerts()[0]["state"] == "pending"
        here.tick(NOW + timedelta(days=7, hours=1))
        for table in ("alerts", "webhooks"):
            sql = f"SELECT state, error FROM {table} WHERE destination IN ('team', 'old')"  # noqa: S608
            assert rows(here.db, sql) == [{"state": "failed", "error": ORPHANED}]


def test_originals_that_cannot_be_moved_for_an_hour_are_told_and_when_it_is_over(
    tmp_path: Path, http: HttpSink
) -> None:
    (tmp_path / "calls").mkdir()
    watch = {"path": str(tmp_path / "calls"), "after_failure": {"move_to": str(tmp_path / "failed")}}
    with stage(tmp_path, operations(http), watch=[watch]) as here:
        folder = here.config.watch[0]
        with transaction(here.db):
            configure_originals(here.db, outcomes_of(folder), NOW)
        (tmp_path / "calls/a.wav").write_bytes(b"x")
        recording_id = here.fail("a.wav")
        known = os.fsencode(tmp_path / "calls/a.wav"), sha256(b"x").hexdigest()
        with transaction(here.db):
            here.db.execute("UPDATE recordings SET source = ?, sha256 = ?", known)
        now = NOW
        while now < NOW + HOUR:
            assert "[warning] originals" not in str(titles(here))
            tidy(here.db, folder, now)
            here.tick(now)
            found = original_of_recording(here.db, recording_id)
            assert found
            now = from_iso(found["not_before"])
        tidy(here.db, folder, now)
        assert here.tick(now)
        (told,) = (row for row in here.alerts() if row["title"].startswith("[warning] originals"))
        assert "create or mount it" in told["body"]
        (tmp_path / "failed").mkdir()
        tidy(here.db, folder, now + HOUR)
        assert here.tick(now + HOUR)
        assert "[info] no originals are left over any longer" in str(titles(here))


def test_sidecars_that_cannot_be_written_for_an_hour_are_told_and_when_it_is_over(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, operations(http)) as here:
        row = (here.fail("a.wav"), "json", here.folder, 99, "no such folder")
        sql = "INSERT INTO sidecars (recording_id, format, folder, tries, error) VALUES (?, ?, ?, ?, ?)"
        with transaction(here.db):
            here.db.execute(sql, row)
        assert here.tick(NOW)
        with transaction(here.db):
            here.db.execute("UPDATE sidecars SET not_before = NULL")
        assert here.tick(NOW + HOUR)
        told = [title for title in titles(here) if "sidecars" in title]
        assert [title.partition(" - ")[0] for title in told] == [
            "[warning] sidecars are not written",
            "[info] no sidecars are left over any longer",
        ]


@pytest.mark.parametrize("name", ["ann@example.com.wav", f"{'long ' * 48}.wav"])
def test_what_operations_were_told_of_files_that_stay_goes_with_their_recordings(
    tmp_path: Path, http: HttpSink, name: str
) -> None:
    """In a message a name is harmless and short, so that the name itself is not found there."""
    told = "alerts.title LIKE '%originals%' OR alerts.title LIKE '%sidecars%'"
    with stage(tmp_path, operations(http)) as here:
        recording_id = here.fail(name)
        with transaction(here.db):
            for table, more in (("originals", ("outcome", "failure")), ("sidecars", ("format", "json"))):
                here.db.execute(
                    f"INSERT INTO {table} (recording_id, folder, tries, error, {more[0]})"  # noqa: S608
                    " VALUES (?, ?, 99, ?, ?)",
                    (recording_id, here.folder, f"{name}: its folder may not be written to", more[1]),
                )
        assert here.tick(NOW)
        with transaction(here.db):
            here.db.execute("DELETE FROM recordings WHERE id = ?", (recording_id,))
        bodies = [row["body"] for row in rows(here.db, f"SELECT body FROM alerts WHERE {told}")]  # noqa: S608
        assert [body.startswith("(erased") for body in bodies] == [True, True]


def hold(here: Stage, now: datetime, cause: str = "service", scope: str = "", reason: str = "it is") -> None:
    with transaction(here.db):
        begin_pause(here.db, cause, reason, probe_seconds=2.0, shared=True, now=now, scope=scope)


def let_go(here: Stage, now: datetime) -> None:
    with transaction(here.db):
        for pause in pauses(here.db):
            end_pause(here.db, pause, now)


PAUSED = "[critical] earshot paused - the service is down"
GOES_ON = "[info] earshot goes on - the service answers again"


def test_a_pause_is_told_once_when_it_begins_and_once_when_it_is_over(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        hold(here, NOW)
        assert here.tick(NOW)
        for minute in range(1, 10):
            hold(here, NOW + minute * MINUTE, reason="it is still")
            here.restart()
            begin_anew(here.db, NOW + minute * MINUTE)
            assert not here.tick(NOW + minute * MINUTE)
        let_go(here, NOW + 10 * MINUTE)
        here.restart()
        assert here.tick(NOW + 11 * MINUTE)
        assert not here.tick(NOW + 12 * MINUTE)
        assert titles(here) == [PAUSED, GOES_ON]
        assert "The queue was paused for 10 min: it is still." in here.alerts()[1]["body"]


def test_a_pause_that_is_over_before_anyone_looked_is_told_too(tmp_path: Path, http: HttpSink) -> None:
    """As when the database was locked, or the process was killed right after the pause ended."""
    with stage(tmp_path, operations(http)) as here:
        hold(here, NOW)
        let_go(here, NOW + MINUTE)
        here.restart()
        begin_anew(here.db, NOW + HOUR)
        assert here.tick(NOW + HOUR)
        assert not here.tick(NOW + HOUR)
        assert titles(here) == [PAUSED, GOES_ON]
        assert "The queue was paused for 60 s" in here.alerts()[1]["body"]


def test_requests_of_two_folders_that_are_refused_are_told_each_with_its_reason(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, operations(http)) as here:
        hold(here, NOW, "request", scope="first", reason="no such model")
        hold(here, NOW, "request", scope="second", reason="no such language")
        here.tick(NOW)
        assert [body.splitlines()[0] for body in (row["body"] for row in here.alerts())] == [
            "Recordings wait, none is lost: no such model.",
            "Recordings wait, none is lost: no such language.",
        ]
        let_go(here, NOW + MINUTE)
        here.tick(NOW + MINUTE)
        assert titles(here)[2:] == ["[info] earshot goes on - the request is no longer refused"] * 2


def test_what_comes_and_goes_is_told_five_times_in_half_an_hour_then_only_when_it_lasts(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, operations(http)) as here:
        for minute in range(10):
            hold(here, NOW + minute * MINUTE)
            here.tick(NOW + minute * MINUTE)
            let_go(here, NOW + (minute + 0.5) * MINUTE)
            here.tick(NOW + (minute + 0.5) * MINUTE)
        assert titles(here) == [PAUSED, GOES_ON] * 5
        said = ["when it lasts for 5 min" in row["body"] for row in here.alerts(severity="critical")]
        assert said == [False] * 4 + [True]
        hold(here, NOW + 10 * MINUTE)
        assert not here.tick(NOW + 14 * MINUTE)
        assert here.tick(NOW + 15 * MINUTE)
        let_go(here, NOW + 16 * MINUTE)
        assert here.tick(NOW + 16 * MINUTE)
        # After a calm it is told at once again.
        hold(here, NOW + HOUR)
        assert here.tick(NOW + HOUR)
        assert titles(here) == [PAUSED, GOES_ON] * 6 + [PAUSED]


def test_a_clock_that_is_set_back_hides_no_trouble(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        configure_folder(here.db, here.folder, NOW)
        here.tick(NOW)
        hold(here, NOW)
        assert here.tick(NOW - 40 * 24 * HOUR)
        assert len(titles(here)) == 2


def test_without_anyone_to_tell_nothing_is_stored_and_nothing_is_told_later(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, {"destinations": {"ops": f"json://{http.address}"}, "rules": []}) as here:
        here.fail()
        here.tick(NOW + MINUTE)
        here.configure({"destinations": {"ops": f"json://{http.address}"}, "operations": "ops", "rules": []})
        here.tick(NOW + HOUR)
        assert titles(here) == []


def test_an_error_text_can_do_nothing_in_a_channel(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, operations(http)) as here:
        here.fail("@here <b>[x](http://evil.example)\x1b.wav")
        here.tick(NOW + MINUTE)
        (row,) = here.alerts(recording_id=None)
    for forbidden in ("@here", "<b>", "](", "http://", "\x1b"):
        assert forbidden not in row["body"]


def test_a_name_begins_no_line_where_a_channel_would_take_it_for_markup(
    tmp_path: Path, http: HttpSink
) -> None:
    with stage(tmp_path, operations(http)) as here:
        for name in ("# Call 555-1234 at once", "- item", "-# small", "1. one"):
            here.fail(name)
        here.tick(NOW + MINUTE)
        (row,) = here.alerts(recording_id=None)
    assert len(row["body"].splitlines()) > 4
    assert not [line for line in row["body"].splitlines() if line.startswith(("#", "-", "1"))]
