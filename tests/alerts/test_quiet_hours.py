"""Quiet hours by the clocks on the wall, also on the two days on which these are set."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from daemon.alerts.quiet_hours import quiet_period, quiet_until
from daemon.models import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(22), time(7), BERLIN)
NOON = QuietHours(time(12), time(13, 30), BERLIN)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        (NIGHT, "2026-01-10 20:59:59", None),
        (NIGHT, "2026-01-10 21:00:00", "2026-01-11 06:00:00"),
        (NIGHT, "2026-01-11 05:59:59", "2026-01-11 06:00:00"),
        (NIGHT, "2026-01-11 06:00:00", None),
        (NOON, "2026-01-10 11:00:00", "2026-01-10 12:30:00"),
        (NOON, "2026-01-10 12:30:00", None),
        # Summer time: 29 March 2026, 01:00 UTC. The night is an hour shorter.
        (NIGHT, "2026-03-28 21:30:00", "2026-03-29 05:00:00"),
        (NIGHT, "2026-03-29 04:59:59", "2026-03-29 05:00:00"),
        (NIGHT, "2026-03-29 05:00:00", None),
        (NIGHT, "2026-03-29 20:00:00", "2026-03-30 05:00:00"),
        # Winter time: 25 October 2026, 01:00 UTC. The night is an hour longer.
        (NIGHT, "2026-10-24 20:00:00", "2026-10-25 06:00:00"),
        (NIGHT, "2026-10-25 05:30:00", "2026-10-25 06:00:00"),
        (NIGHT, "2026-10-25 06:00:00", None),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(hours: QuietHours, now: str, until: str | None) -> None:
    assert quiet_until(hours, "warning", at(now)) == (None if until is None else at(until))


def test_an_end_that_is_skipped_is_as_much_later_as_the_clocks_are_set_forward() -> None:
    hours = QuietHours(time(22), time(2, 30), BERLIN)
    assert quiet_until(hours, "info", at("2026-03-29 00:30:00")) == at("2026-03-29 01:30:00")


def test_an_hour_that_comes_twice_is_quiet_until_its_second_end() -> None:
    hours = QuietHours(time(22), time(2, 30), BERLIN)
    for now in ("2026-10-25 00:29:00", "2026-10-25 00:45:00", "2026-10-25 01:29:59"):
        assert quiet_until(hours, "info", at(now)) == at("2026-10-25 01:30:00")
    assert quiet_until(hours, "info", at("2026-10-25 01:30:00")) is None


def test_a_start_that_comes_twice_counts_from_the_first() -> None:
    hours = QuietHours(time(2, 30), time(5), BERLIN)
    assert quiet_period(hours, at("2026-10-25 00:30:00")) == (
        at("2026-10-25 00:30:00"),
        at("2026-10-25 04:00:00"),
    )


def test_critical_breaks_through_and_no_quiet_hours_hold_nothing() -> None:
    assert quiet_until(NIGHT, "critical", at("2026-01-10 23:00:00")) is None
    assert quiet_until(None, "info", at("2026-01-10 23:00:00")) is None
