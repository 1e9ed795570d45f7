"""What holds the queue, from its one beginning to its one end, and what a pause lets through."""

from __future__ import annotations

from datetime import datetime

import pytest

from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.due import Wanted
from daemon.storage.pauses import EVERYTHING, begin_pause, end_pause, pauses, probe_now, seconds_until_probe
from daemon.storage.queue import claim
from daemon.storage.requeue import requeue_failed
from tests.storage.stores import NOW, add, committed, later, row


def pause(
    db: Database,
    cause: str = "key",
    *,
    at: datetime = NOW,
    seconds: float = 60.0,
    shared: bool = True,
    scope: str = EVERYTHING,
    reason: str = "why",
) -> bool:
    with transaction(db):
        return begin_pause(db, cause, reason, probe_seconds=seconds, shared=shared, scope=scope, now=at)


def end(db: Database, cause: str) -> None:
    with transaction(db):
        for held in pauses(db):
            if held.cause == cause:
                end_pause(db, held, NOW)


def claims(db: Database, at: datetime, **scopes: str) -> int:
    """How many recordings can be claimed at a moment."""
    by_folder: dict[str | None, str] = {f"/{name}": scope for name, scope in scopes.items()}
    by_folder[None] = "none"
    count = 0
    while committed(claim, db, at, Wanted(by_folder)):
        count += 1
    return count


def test_a_pause_begins_once_however_often_its_probe_fails(db: Database) -> None:
    assert pause(db, reason="first")
    assert not pause(db, at=later(60), reason="second")
    assert not pause(db, at=later(120), reason="third", shared=False)

    (held,) = pauses(db)
    assert (held.since, held.reason, held.next_probe_at) == (iso(NOW), "third", iso(later(180)))
    assert held.shared


def test_each_cause_and_scope_has_a_pause_of_its_own(db: Database) -> None:
    begun = [
        pause(db, "key"),
        pause(db, "credit"),
        pause(db, "request", scope="a"),
        pause(db, "request", scope="b"),
    ]

    assert begun == [True] * 4
    assert len(pauses(db)) == 4


def test_a_pause_that_ended_may_begin_again(db: Database) -> None:
    pause(db)
    end(db, "key")
    assert pauses(db) == []
    assert pause(db, at=later(9))
    assert pauses(db)[0].since == iso(later(9))


def test_the_oldest_pause_is_the_first(db: Database) -> None:
    pause(db, "service", at=later(5))
    pause(db, "key", at=later(1))
    assert [held.cause for held in pauses(db)] == ["key", "service"]


def test_a_held_queue_lets_one_recording_through_at_each_probe(db: Database) -> None:
    add(db, 10)
    pause(db)

    assert [claims(db, later(seconds)) for seconds in (0, 59.9, 60, 60.1, 119.9, 120, 121, 500)] == [
        0, 0, 1, 0, 0, 1, 0, 1,
    ]  # fmt: skip
    assert pauses(db)[0].probes == 3


def test_without_a_recording_that_is_due_no_probe_is_used_up(db: Database) -> None:
    pause(db)
    assert claims(db, later(70)) == 0
    add(db)
    assert claims(db, later(71)) == 1


def test_several_pauses_must_all_allow_it(db: Database) -> None:
    add(db, 5)
    pause(db, "key", seconds=10.0)
    pause(db, "service", seconds=30.0)

    assert [claims(db, later(seconds)) for seconds in (10, 29, 30, 45, 60)] == [0, 0, 1, 0, 1]


def test_a_refused_request_holds_only_the_recordings_that_would_ask_the_same(db: Database) -> None:
    add(db, 3, folder="/a")
    add(db, 3, folder="/b")
    pause(db, "request", scope="asks a")
    scopes = {"a": "asks a", "b": "asks b"}

    assert claims(db, NOW, **scopes) == 3
    assert claims(db, later(60), **scopes) == 1
    assert claims(db, later(61), **scopes) == 0


def test_a_recording_that_is_tried_uses_up_no_probe_of_another_scope(db: Database) -> None:
    add(db, 1, folder="/b")
    pause(db, "request", scope="asks a")

    assert claims(db, NOW, a="asks a", b="asks b") == 1
    assert (pauses(db)[0].probes, pauses(db)[0].next_probe_at) == (0, iso(later(60)))


def test_what_belongs_to_no_folder_is_held_by_its_own_scope(db: Database) -> None:
    add(db, 2)
    db.execute("UPDATE recordings SET folder = NULL")
    pause(db, "request", scope="none")
    assert claims(db, NOW) == 0
    end(db, "request")
    assert claims(db, NOW) == 2


def test_a_person_s_wish_makes_it_try_at_once(db: Database) -> None:
    add(db, 3)
    pause(db, seconds=3600.0)
    assert claims(db, NOW) == 0
    committed(probe_now, db, NOW)
    assert claims(db, NOW) == 1
    committed(requeue_failed, db, later(1))
    assert claims(db, later(1)) == 1


@pytest.mark.parametrize(("seconds", "expected"), [(0, 60.0), (45, 15.0), (60, 0.0), (100, 0.0)])
def test_the_time_until_the_next_probe(db: Database, seconds: float, expected: float) -> None:
    pause(db)
    assert seconds_until_probe(db, later(seconds), is_due=True) == expected


def test_nothing_is_waited_for_without_a_pause(db: Database) -> None:
    assert seconds_until_probe(db, NOW, is_due=True) == 0.0


@pytest.mark.parametrize(("shared", "since"), [(True, None), (False, iso(NOW))])
def test_trouble_that_all_shared_does_not_count_against_a_recording(
    db: Database, shared: bool, since: str | None
) -> None:
    (number,) = add(db)
    db.execute("UPDATE recordings SET failing_since = ?", (iso(NOW),))
    pause(db, "service", shared=shared)
    end(db, "service")
    assert row(db, number)["failing_since"] == since


def test_a_pause_that_one_recording_began_is_shared_once_another_met_it(db: Database) -> None:
    pause(db, "service", shared=False)
    pause(db, "service", shared=True)
    assert pauses(db)[0].shared


def test_a_probe_put_far_away_by_a_clock_that_was_set_back_is_due(db: Database) -> None:
    """T1: while the process lives, too."""
    add(db, 2)
    pause(db, at=later(2 * 86400), seconds=300)

    assert seconds_until_probe(db, NOW, is_due=True) == 0
    assert claims(db, NOW) == 1
    assert claims(db, later(1)) == 0
    assert claims(db, later(300)) == 1


def test_a_person_who_acted_need_not_wait_for_what_failed_before(db: Database) -> None:
    """Else the only recording of a held queue would be tried minutes later, by its own backoff."""
    add(db, 2)
    with transaction(db):
        db.execute("UPDATE recordings SET not_before = ?", (iso(later(290)),))
    committed(probe_now, db, later(1))
    assert claims(db, later(2)) == 0

    pause(db, "service")
    committed(probe_now, db, later(3))
    assert claims(db, later(4)) == 1


def test_a_folder_that_is_watched_no_more_is_held_with_what_has_none(db: Database) -> None:
    """Else its recordings were asked for again and again, without a pause, while the request is refused."""
    add(db, 2, folder="/former")
    add(db, 1, folder="/r")
    pause(db, scope="none")

    assert claims(db, NOW, r="other") == 1
    assert claims(db, later(60), r="other") == 1


def test_a_scope_of_which_a_probe_is_under_way_is_held_as_well(db: Database) -> None:
    add(db, 1, folder="/a")
    add(db, 1, folder="/b")
    scopes: dict[str | None, str] = {"/a": "one", "/b": "two", None: "none"}

    claimed = committed(claim, db, NOW, Wanted(scopes, held={"one"}))
    assert claimed is not None
    assert claimed.folder == "/b"
    assert committed(claim, db, NOW, Wanted(scopes, held={"one"})) is None
    assert committed(claim, db, NOW, Wanted(scopes)) is not None
