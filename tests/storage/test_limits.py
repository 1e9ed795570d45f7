"""Limits of cost and number: what begins a pause and a warning, and what alone ends them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.analysis.limits import periods_of
from daemon.models import Cost, iso
from daemon.storage.connection import Database
from daemon.storage.costs import add_cost
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.due import Wanted
from daemon.storage.limits import Limit, keep_limits, lift_limits
from daemon.storage.operations import troubles
from daemon.storage.pauses import EVERYTHING, begin_pause, pauses, probe_now
from daemon.storage.queue import claim, finish
from daemon.storage.requests import begin_request
from daemon.storage.requeue import requeue_failed
from tests.databases import writing_connection
from tests.storage.stores import NOW, add, committed, later

BERLIN = ZoneInfo("Europe/Berlin")
TOMORROW = datetime(2026, 8, 2, tzinfo=BERLIN)


def limit(
    name: str = "cost_per_day", most: float = 1.0, *, scope: str = EVERYTHING, holds: bool = True
) -> Limit:
    return Limit(name, scope, most, holds, {None: 0.3})


def keep(db: Database, *limits: Limit, now: datetime = NOW) -> frozenset[str]:
    return keep_limits(db, limits, periods_of(now, BERLIN), now)


def spend(db: Database, usd: float, *, folder: str = "/r", at: datetime = NOW) -> None:
    (number,) = add(db, folder=folder)
    committed(finish, db, number, at)
    committed(add_cost, db, number, Cost("nova-3", 60.0, 1, 0, 0, usd, None), at)


def held(db: Database) -> list[tuple[str, str]]:
    return [(pause.cause, pause.scope) for pause in pauses(db)]


def claimable(db: Database, now: datetime, held: Sequence[str] = ()) -> set[str | None]:
    """The folders of all that can be claimed."""
    found = set()
    while recording := committed(claim, db, now, Wanted({"/a": "ask", "/b": "ask", None: "ask"}, held=held)):
        found.add(recording.folder)
    return found


def causes(db: Database) -> list[str]:
    return [trouble.cause for trouble in troubles(db) if trouble.over_at is None]


def test_at_the_limit_everything_waits_until_the_next_day_of_its_time_zone(db: Database) -> None:
    add(db, folder="/a")
    spend(db, 0.6)
    spend(db, 0.6)
    keep(db, limit())
    assert held(db) == [("limit", EVERYTHING)]
    assert claimable(db, later(60)) == set()
    assert pauses(db)[0].next_probe_at == iso(TOMORROW) == "2026-08-01T22:00:00.000Z"
    assert "1.20 of 1.00 USD" in pauses(db)[0].reason
    assert "2026-08-02 00:00 CEST" in pauses(db)[0].reason

    keep(db, limit(), now=TOMORROW - timedelta(seconds=1))
    assert claimable(db, TOMORROW - timedelta(seconds=1)) == set()
    keep(db, limit(), now=TOMORROW)
    assert held(db) == []
    assert claimable(db, TOMORROW) == {"/a"}


def test_what_was_spent_while_the_clock_was_ahead_counts_in_no_later_period(db: Database) -> None:
    spend(db, 5.0, at=NOW + timedelta(days=365))
    add(db, folder="/a")
    keep(db, limit(), limit("recordings_per_day", 1))
    assert held(db) == []
    assert claimable(db, NOW) == {"/a"}


def test_what_only_others_end_does_not_end_it(tmp_path: Path, db: Database) -> None:
    spend(db, 2.0)
    keep(db, limit())
    (before,) = pauses(db)
    committed(probe_now, db, later(5))
    committed(requeue_failed, db, later(5))
    # Another limit, or none at all, in a configuration that was read again.
    for limits in ((limit(most=9.0),), (), (limit(),)):
        keep(db, *limits, now=later(6))
    with closing(open_database(tmp_path / "state/earshot.db")) as again:
        assert pauses(again) == [before]


def test_plain_retry_ends_it_until_the_period_does(db: Database) -> None:
    spend(db, 2.0)
    keep(db, limit())
    assert committed(lift_limits, db, later(1)) == 1
    spend(db, 2.0, at=later(2))
    assert keep(db, limit(), now=later(2)) == frozenset()
    assert held(db) == []

    spend(db, 2.0, at=TOMORROW)
    keep(db, limit(), now=TOMORROW)
    assert held(db) == [("limit", EVERYTHING)]


def test_a_limit_that_was_let_go_and_then_changed_counts_anew(db: Database) -> None:
    spend(db, 2.0)
    keep(db, limit())
    committed(lift_limits, db, later(1))
    keep(db, limit(most=2.0), now=later(2))
    assert held(db) == [("limit", EVERYTHING)]


def test_two_folders_do_not_hold_each_other(db: Database) -> None:
    limits = limit(scope="/a"), limit(most=5.0, scope="/b")
    add(db, folder="/a")
    add(db, folder="/b")
    add(db, folder="/c")
    spend(db, 1.5, folder="/a")
    spend(db, 1.5, folder="/b")
    keep(db, *limits)
    assert held(db) == [("limit", "/a")]
    assert claimable(db, NOW) == {"/b", "/c"}


def test_a_limit_s_pause_leaves_the_probes_of_others_alone(db: Database) -> None:
    add(db, 2, folder="/b")
    spend(db, 2.0, folder="/a")
    keep(db, limit(scope="/a"))
    committed(begin_pause, db, "service", "down", probe_seconds=60.0, shared=True, now=NOW)
    assert claimable(db, later(59)) == set()
    assert claimable(db, later(60)) == {"/b"}
    assert [pause.probes for pause in pauses(db)] == [0, 1]


def test_the_warning_comes_once_at_four_fifths_and_ends_with_the_period(db: Database) -> None:
    spend(db, 0.7)
    keep(db, limit())
    assert causes(db) == []
    spend(db, 0.1)
    keep(db, limit())
    spend(db, 0.1)
    keep(db, limit())
    assert causes(db) == ["limit_near"]
    assert rows(db, "SELECT count(*) AS n FROM troubles") == [{"n": 1}]
    assert "0.80 of 1.00 USD" in troubles(db)[0].detail

    spend(db, 0.1)
    keep(db, limit())
    assert causes(db) == ["limit"]
    keep(db, limit(), now=TOMORROW)
    assert causes(db) == []


def test_a_limit_that_only_warns_holds_nothing(db: Database) -> None:
    add(db, folder="/a")
    spend(db, 2.0)
    assert keep(db, limit(holds=False)) == frozenset()
    assert (held(db), causes(db)) == ([], ["limit_over"])
    assert claimable(db, NOW) == {"/a"}


def test_recordings_are_counted_by_the_hour_and_the_day(db: Database) -> None:
    limits = limit("recordings_per_hour", 2), limit("recordings_per_day", 3)
    for _ in range(2):
        spend(db, 0.0)
    keep(db, *limits)
    assert pauses(db)[0].next_probe_at == iso(later(3600))
    spend(db, 0.0, at=later(3600))
    keep(db, *limits, now=later(3600))
    assert pauses(db)[0].next_probe_at == iso(TOMORROW)


def test_of_two_limits_the_longer_one_says_until_when(db: Database) -> None:
    spend(db, 5.0)
    keep(db, limit(), limit("cost_per_month", 5.0))
    assert pauses(db)[0].next_probe_at == iso(datetime(2026, 9, 1, tzinfo=BERLIN))
    keep(db, limit(), limit("cost_per_month", 5.0), now=TOMORROW)
    assert held(db) == [("limit", EVERYTHING)]


def test_what_is_in_flight_counts_in_advance_and_pauses_nothing_yet(db: Database) -> None:
    """It may cost nothing in the end: then the rest must not wait for a day."""
    add(db, 4, folder="/a")
    money = limit(most=1.0, scope="/a")
    spend(db, 0.5, folder="/a")

    recording = committed(claim, db, NOW)
    assert recording is not None
    # As an hour, 0.3 USD, while its length is not known.
    assert keep(db, money) == frozenset()
    known = {"sha256": "aa", "size_bytes": 1, "request_key": ""}
    expected = Cost("nova-3", 600.0, 1, None, None, 0.5, None)
    committed(begin_request, db, recording, **known, expected=expected, now=NOW)
    assert keep(db, money) == {"/a"}
    assert keep(db, limit("recordings_per_day", 2, scope="/a")) == {"/a"}
    assert keep(db, limit(most=1.0, scope="/b")) == frozenset()
    assert held(db) == []

    committed(finish, db, recording.id, NOW)
    assert keep(db, money) == frozenset()


@pytest.mark.parametrize("moment", range(4))
def test_what_ends_in_the_moment_of_a_look_is_counted_all_the_same(
    path: Path, db: Database, moment: int
) -> None:
    """Else one more would be sent, and paid for, than the limit allows."""
    spend(db, 0.1, folder="/a")
    most = limit("recordings_per_day", 2, scope="/a")
    keep(db, most)
    add(db, folder="/a")
    recording = committed(claim, db, NOW)
    assert recording is not None
    looks = 0

    def ends(_: str) -> None:
        nonlocal looks
        looks += 1
        if looks == moment + 1:
            with transaction(other):
                finish(other, recording.id, NOW)
                add_cost(other, recording.id, Cost("nova-3", 60.0, 1, 0, 0, 0.1, None), NOW)

    with closing(open_database(path)) as other:
        db.conn.set_trace_callback(ends)
        full = keep(db, most)
        db.conn.set_trace_callback(None)
    assert looks > moment
    assert full == {"/a"}


def test_a_clock_that_was_set_back_ends_a_pause_of_the_future(db: Database) -> None:
    spend(db, 2.0, at=later(86400 * 400))
    keep(db, limit(), now=later(86400 * 400))
    assert held(db) == [("limit", EVERYTHING)]
    keep(db, limit(), now=NOW)
    assert held(db) == []


@pytest.mark.parametrize(
    ("every", "now", "hours"),
    [
        ("day", "2026-03-29T12:00:00+02:00", 23),
        ("day", "2026-10-25T12:00:00+01:00", 25),
        ("month", "2026-03-29T12:00:00+02:00", 31 * 24 - 1),
        ("month", "2026-02-10T12:00:00+01:00", 28 * 24),
        ("month", "2026-12-31T23:59:59+01:00", 31 * 24),
        # The second of the two hours that are called 2 o'clock.
        ("hour", "2026-10-25T01:30:00+00:00", 1),
    ],
)
def test_a_period_ends_by_the_clock_on_the_wall(every: str, now: str, hours: int) -> None:
    moment = datetime.fromisoformat(now)
    start, end = periods_of(moment, BERLIN)[every]
    assert start <= moment < end
    assert end.astimezone(ZoneInfo("UTC")) - start.astimezone(ZoneInfo("UTC")) == timedelta(hours=hours)


def test_looking_at_the_limits_adds_up_no_costs(db: Database) -> None:
    """Only at the beginning of a period: a claim must not become slower with each recording."""
    spend(db, 0.1)
    keep(db, limit(), limit("cost_per_month", 9.0))
    statements: list[str] = []
    writing_connection(db).set_trace_callback(statements.append)
    db.conn.set_trace_callback(statements.append)
    spend(db, 0.1)
    statements.clear()
    keep(db, limit(), limit("cost_per_month", 9.0))
    writing_connection(db).set_trace_callback(None)
    assert not [text for text in statements if "costs" in text]
    assert rows(db, "SELECT name, usd FROM periods ORDER BY name") == [
        {"name": "cost_per_day", "usd": pytest.approx(0.2)},
        {"name": "cost_per_month", "usd": pytest.approx(0.2)},
    ]
