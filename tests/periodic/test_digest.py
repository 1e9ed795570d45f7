"""The digest: what it says, exactly one for each period, also for one that was missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import Digest
from daemon.config.times import zone_of
from daemon.periodic.digest import last_boundary
from daemon.storage.verdicts import Verdict, give_verdict
from tests.alerts.examples import passage
from tests.alerts.stage import NOW, UNHAPPY, Stage, stage
from tests.servers import HttpSink, SmtpSink

START = datetime(2026, 3, 4, 7, 0, tzinfo=UTC)
EIGHT = datetime(2026, 3, 4, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def http() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


def daily(http: HttpSink, **changes: Any) -> dict[str, Any]:
    digest = {"at": "08:00", "every": "day", "notify": "team"} | changes
    return {"destinations": {"team": f"json://{http.address}"}, "digest": digest}


def digests(here: Stage) -> list[dict[str, Any]]:
    return [row for row in here.alerts(recording_id=None) if "digest" in row["title"]]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "now", "expected"),
    [
        ("day", "2026-03-04 06:59", "2026-03-03 07:00"),
        ("day", "2026-03-04 07:00", "2026-03-04 07:00"),
        ("week", "2026-03-04 12:00", "2026-03-02 07:00"),
        ("monday", "2026-03-02 06:59", "2026-02-23 07:00"),
        ("wednesday", "2026-03-04 07:00", "2026-03-04 07:00"),
        ("sunday", "2026-03-04 12:00", "2026-03-01 07:00"),
        # From 29 March on the clocks are an hour ahead.
        ("day", "2026-03-29 05:59", "2026-03-28 07:00"),
        ("day", "2026-03-29 06:00", "2026-03-29 06:00"),
        ("day", "2026-10-25 06:30", "2026-10-24 06:00"),
        ("day", "2026-10-25 07:00", "2026-10-25 07:00"),
    ],
)
def test_a_digest_is_due_by_the_clock_on_the_wall(every: Any, now: str, expected: str) -> None:
    digest = Digest.model_validate({"at": "08:00", "every": every, "notify": ("team",)})
    assert last_boundary(digest, zone_of("Europe/Berlin"), at(now)) == at(expected)


def test_a_digest_tells_everything_of_its_period(tmp_path: Path, http: HttpSink) -> None:
    topics = (passage("about the bill", "billing", 0.9),)
    intents = (passage("cancel", "cancel subscription", 0.9),)
    with SmtpSink() as smtp, stage(tmp_path, daily(http)) as here:
        both = {"destinations": {"team": [f"json://{http.address}", smtp.mailto()]}}
        here.configure(daily(http) | both | {"link": "http://h/{id}"})
        assert not here.tick(EIGHT)
        here.record(EIGHT - timedelta(hours=5), score=0.2)
        here.record(EIGHT - timedelta(hours=6), score=0.2, folder="/srv/quiet")
        for number in range(7):
            here.record(
                EIGHT + timedelta(hours=number),
                score=-0.3 - number / 10,
                name=f"call-{number}.wav",
                intents=intents,
                topics=topics,
                metadata={"agent": "ann", "caller": f"4915{number}"},
            )
        here.record(
            EIGHT + timedelta(hours=1), score=0.1, not_analyzed={"topics": "language"}, folder="/srv/b"
        )
        here.record(EIGHT + DAY)
        for at in (EIGHT - 5 * DAY, EIGHT - DAY, EIGHT):
            here.spend(2.5, at)
        here.fail(now=EIGHT + timedelta(hours=2))
        give_verdict(here.db, here.alerts()[0]["id"], Verdict.USEFUL, EIGHT)
        give_verdict(here.db, here.alerts()[1]["id"], Verdict.NOISE, EIGHT)
        assert here.tick(EIGHT + DAY)
        here.deliver(EIGHT + DAY)
        (mail,) = [each for each in smtp.messages if "digest" in each["subject"]]
    (message,) = [each.json() for each in http.requests if "digest" in each.json()["title"]]
    assert message["title"] == "[info] digest 2026-03-04 08:00 UTC - 2026-03-05 08:00 UTC"
    text = message["message"]
    shown = here.folder if len(here.folder) <= 60 else f"…{here.folder[-59:]}"
    for line in (
        "8 recordings analyzed, 1:40:32 of audio, average sentiment -0.51",
        "failed: 1 corrupt_audio; `earshot list --state failed` says why",
        "estimated cost 2.50 USD",
        "estimated cost of the month so far 5.00 USD",
        "The worst by average sentiment:",
        "sentiment -0.90 call-6.wav (agent ann, caller 49156) http://h/9 (recording 9)",
        "sentiment -0.50 call-2.wav (agent ann, caller 49152) http://h/5 (recording 5)",
        f"{shown}: 7, average sentiment -0.60 (before 1, average sentiment 0.20)",
        "/srv/b: 1, average sentiment 0.10 (none before)",
        "/srv/quiet: none (before 1, average sentiment 0.20)",
        "7 cancel subscription",
        "1 topics: language",
        "unhappy caller: 1 of 2",
    ):
        assert line in text.splitlines(), line
    assert "call-1.wav" not in text
    assert mail.get_content().replace("\r\n", "\n").strip().splitlines()[0] == text.splitlines()[0]


def test_there_is_one_digest_for_each_period_over_restarts(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, daily(http)) as here:
        here.tick(START)
        for hours in (1, 2, 24, 25, 26, 49):
            here.restart()
            here.tick(START + timedelta(hours=hours))
        titles = [row["title"] for row in digests(here)]
        assert [title[14:] for title in titles] == [
            "2026-03-03 08:00 UTC - 2026-03-04 08:00 UTC",
            "2026-03-04 08:00 UTC - 2026-03-05 08:00 UTC",
            "2026-03-05 08:00 UTC - 2026-03-06 08:00 UTC",
        ]


def test_a_digest_that_was_missed_is_sent_once_with_everything_since(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, daily(http)) as here:
        here.tick(EIGHT)
        here.record(EIGHT + timedelta(hours=1))
        here.restart()
        assert here.tick(EIGHT + 4 * DAY + timedelta(hours=3))
        assert not here.tick(EIGHT + 4 * DAY + timedelta(hours=4))
        (row,) = digests(here)
        assert row["title"].endswith("2026-03-04 08:00 UTC - 2026-03-08 08:00 UTC")
        assert row["body"].startswith("1 recording analyzed")


def test_digests_begin_with_their_configuration_and_end_with_it(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, daily(http)) as here:
        here.record(EIGHT - DAY)
        assert not here.tick(EIGHT)
        here.configure({"destinations": {"team": f"json://{http.address}"}})
        assert not here.tick(EIGHT + DAY)
        here.configure(daily(http))
        assert not here.tick(EIGHT + 30 * DAY)
        assert here.tick(EIGHT + 31 * DAY)


def test_a_clock_that_is_set_back_by_seconds_repeats_no_digest(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, daily(http)) as here:
        here.tick(START)
        assert here.tick(EIGHT)
        assert not here.tick(EIGHT - timedelta(seconds=2))
        assert not here.tick(EIGHT)
        # After a clock that was years ahead, digests go on at once.
        here.db.execute("UPDATE digests SET until = '2030-01-01T08:00:00.000Z'")
        assert not here.tick(EIGHT + timedelta(hours=1))
        assert here.tick(EIGHT + DAY)


def test_a_digest_waits_for_the_end_of_quiet_hours(tmp_path: Path, http: HttpSink) -> None:
    team = {"urls": f"json://{http.address}", "quiet_hours": "22:00-09:00"}
    with stage(tmp_path, daily(http) | {"destinations": {"team": team}}) as here:
        here.tick(START)
        here.tick(EIGHT)
        here.deliver(EIGHT)
        assert http.requests == []
        here.deliver(EIGHT + timedelta(hours=1))
        assert len(http.requests) == 1


def test_a_digest_of_nothing_says_so(tmp_path: Path, http: HttpSink) -> None:
    with stage(tmp_path, daily(http)) as here:
        here.tick(START)
        here.tick(EIGHT)
        (row,) = digests(here)
    assert row["body"] == f"0 recordings analyzed, 00:00 of audio\nnone failed\n\nearshot alert {row['id']}"


def test_a_digest_fits_its_channel_and_can_do_nothing_there(tmp_path: Path, http: HttpSink) -> None:
    evil = "@everyone <script>[x](http://evil.example) \u202e\x1b[31m"
    with stage(tmp_path, daily(http) | {"rules": [UNHAPPY]}) as here:
        here.tick(START)
        for number in range(8):
            here.record(
                NOW,
                name=f"{evil}{number}.wav",
                folder=f"/srv/{evil}{number}" + "x" * 300,
                intents=(passage("x", evil * 9, 0.5),),
            )
        here.targets = [replace(here.targets[0], limit=700)]
        here.tick(EIGHT + DAY)
        (row,) = digests(here)
    assert len(row["body"]) <= 700
    assert row["body"].startswith("8 recordings analyzed")
    assert row["body"].endswith(f"earshot alert {row['id']}")
    for forbidden in ("@everyone", "<script", "](", "http://", "\u202e", "\x1b"):
        assert forbidden not in row["body"]
