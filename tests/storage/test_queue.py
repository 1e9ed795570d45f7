"""The queue: who gets a recording, when it is sent, and what becomes of it after a crash."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from daemon.models import Ending, NewRecording, Recording, RecordingState, iso
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.due import seconds_until_due
from daemon.storage.queue import (
    CRASHES_ALLOWED,
    DOUBTFUL_RESENDS,
    MAX_WAIT,
    claim,
    claim_this,
    clamp_waits,
    end,
    recover,
    return_to_queue,
)
from daemon.storage.queue import (
    add as add_new,
)
from daemon.storage.requests import (
    begin_request,
    count_billed,
    count_doubtful,
    end_request,
    has_twin,
    note_hash,
)
from daemon.storage.requeue import requeue, requeue_failed
from daemon.storage.results import compressed, store_response, stored_reply
from tests.databases import new_database
from tests.storage.plans import plans
from tests.storage.stores import NOW, add, committed, later, row, states


def claimed(db: Database, seconds: float = 0.0) -> Recording:
    recording = committed(claim, db, later(seconds))
    assert recording is not None
    return recording


def begin(
    db: Database, recording: Recording, sha256: str | None = "aa", key: str = "k", size: int = 1000
) -> tuple[str, int]:
    return committed(begin_request, db, recording, sha256=sha256, size_bytes=size, request_key=key, now=NOW)


def done(db: Database, recording: Recording) -> None:
    with transaction(db):
        db.execute("UPDATE recordings SET state = 'done' WHERE id = ?", (recording.id,))


def again(db: Database, recording: Recording, *, seconds: float = 0.0, failing: bool = False) -> None:
    with transaction(db):
        return_to_queue(db, recording, NOW, error="why", seconds=seconds, failing=failing)


# Claiming


def test_an_empty_queue_gives_nothing(db: Database) -> None:
    assert committed(claim, db, NOW) is None
    assert seconds_until_due(db, NOW) is None


def test_the_longest_due_comes_first(db: Database) -> None:
    first, second, third = add(db, 3)
    db.execute("UPDATE recordings SET not_before = ? WHERE id = ?", (iso(later(-5)), third))
    db.execute("UPDATE recordings SET not_before = ? WHERE id = ?", (iso(later(5)), first))

    assert [claimed(db).id for _ in range(2)] == [third, second]
    assert committed(claim, db, NOW) is None
    assert seconds_until_due(db, NOW) == 5.0
    assert claimed(db, 5.0).id == first


def test_a_claimed_recording_is_what_its_row_says(db: Database) -> None:
    (number,) = add(db)
    recording = claimed(db)

    assert (recording.id, recording.source, recording.name, recording.folder) == (
        number,
        "/r/0000.wav",
        "0000.wav",
        "/r",
    )
    assert not recording.is_url
    assert (row(db, number)["state"], row(db, number)["not_before"]) == ("analyzing", None)


@pytest.mark.parametrize("state", [state for state in RecordingState if state != RecordingState.WAITING])
def test_only_what_waits_is_claimed(db: Database, state: RecordingState) -> None:
    add(db, state=state)
    db.execute("UPDATE recordings SET not_before = ?", (iso(NOW),))
    assert committed(claim, db, NOW) is None


def test_no_recording_is_claimed_twice(path: Path) -> None:
    with closing(new_database(path)) as db:
        numbers = add(db, 200)
    found: list[int] = []
    failures: list[Exception] = []
    start = threading.Barrier(6)

    def work() -> None:
        try:
            with closing(open_database(path)) as db:
                start.wait(60)
                while recording := committed(claim, db, NOW):
                    found.append(recording.id)
        except Exception as error:  # noqa: BLE001 - told below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Counter(found) == Counter(numbers)


def test_a_wait_that_a_clock_set_back_made_absurd_ends(db: Database) -> None:
    near, far = add(db, 2)
    db.execute("UPDATE recordings SET not_before = ? WHERE id = ?", (iso(NOW + MAX_WAIT), near))
    db.execute("UPDATE recordings SET not_before = '2030-01-01T00:00:00.000Z' WHERE id = ?", (far,))

    assert committed(clamp_waits, db, NOW) == 1
    assert claimed(db).id == far
    assert committed(claim, db, NOW) is None


# Just before the first byte


def test_a_new_recording_is_sent_and_its_request_noted(db: Database) -> None:
    add(db)
    recording = claimed(db)
    decision, entry = begin(db, recording)

    assert decision == "send"
    found = row(db, recording.id)
    assert (found["state"], found["attempts"], found["sha256"], found["request_key"]) == (
        "analyzing",
        1,
        "aa",
        "k",
    )
    assert rows(db, "SELECT recording_id, outcome, ended_at FROM requests WHERE id = ?", (entry,)) == [
        {"recording_id": recording.id, "outcome": "sending", "ended_at": None}
    ]
    with transaction(db):
        end_request(db, entry, outcome="received", status=200, request_id="r", now=later(1))
    ended = "id, recording_id, started_at, ended_at, outcome, http_status, request_id"
    assert rows(db, f"SELECT {ended} FROM requests")[0] == {  # noqa: S608
        "id": entry,
        "recording_id": recording.id,
        "started_at": iso(NOW),
        "ended_at": iso(later(1)),
        "outcome": "received",
        "http_status": 200,
        "request_id": "r",
    }


def test_a_copy_of_what_is_done_is_never_sent(db: Database) -> None:
    add(db, 2)
    original, copy = claimed(db), claimed(db)
    begin(db, original)
    done(db, original)

    assert begin(db, copy) == ("duplicate", original.id)
    found = row(db, copy.id)
    assert (found["state"], found["duplicate_of"], found["attempts"]) == ("duplicate", original.id, 0)
    assert len(rows(db, "SELECT * FROM requests")) == 1


def test_a_copy_of_what_is_under_way_waits_for_its_outcome(db: Database) -> None:
    add(db, 2)
    original, copy = claimed(db), claimed(db)
    begin(db, original)

    assert begin(db, copy) == ("later", original.id)
    assert (row(db, copy.id)["state"], row(db, copy.id)["attempts"]) == ("waiting", 0)
    assert committed(claim, db, later(1.9)) is None
    with transaction(db):
        end(db, original.id, Ending(RecordingState.FAILED, "x", "y"), NOW)
    assert begin(db, claimed(db, 2.0))[0] == "send"


def test_two_copies_that_failed_before_do_not_wait_for_one_another(db: Database) -> None:
    add(db, 2)
    first, second = claimed(db), claimed(db)
    begin(db, first)
    again(db, first)
    begin(db, second)
    again(db, second)
    first, second = claimed(db), claimed(db)

    assert sorted([begin(db, first)[0], begin(db, second)[0]]) == ["later", "send"]


@pytest.mark.parametrize(
    ("sha256", "key"), [("bb", "k"), ("aa", "another request")], ids=["bytes", "request"]
)
def test_what_differs_is_sent(db: Database, sha256: str, key: str) -> None:
    add(db, 2)
    original, other = claimed(db), claimed(db)
    begin(db, original)
    done(db, original)

    assert begin(db, other, sha256, key)[0] == "send"


@pytest.mark.parametrize("state", [RecordingState.FAILED, RecordingState.SKIPPED, RecordingState.WAITING])
def test_a_copy_of_what_has_no_result_is_sent(db: Database, state: RecordingState) -> None:
    add(db, 2)
    original, copy = claimed(db), claimed(db)
    begin(db, original)
    db.execute("UPDATE recordings SET state = ? WHERE id = ?", (state, original.id))

    assert begin(db, copy)[0] == "send"


def test_the_oldest_result_is_the_original(db: Database) -> None:
    add(db, 3)
    one, two, three = claimed(db), claimed(db), claimed(db)
    for recording in (two, one):
        db.execute("UPDATE recordings SET sha256 = 'aa', request_key = 'k' WHERE id = ?", (recording.id,))
    done(db, one)

    assert begin(db, three) == ("duplicate", one.id)


def test_a_result_counts_before_a_copy_that_is_still_under_way(db: Database) -> None:
    add(db, 3)
    under_way, finished, copy = claimed(db), claimed(db), claimed(db)
    for recording in (under_way, finished):
        db.execute("UPDATE recordings SET sha256 = 'aa', request_key = 'k' WHERE id = ?", (recording.id,))
    done(db, finished)

    assert begin(db, copy) == ("duplicate", finished.id)


# Back to the queue


def test_failures_in_a_row_are_counted_from_the_first(db: Database) -> None:
    add(db)
    again(db, claimed(db), failing=True)
    recording = claimed(db)
    assert (recording.failures, recording.failing_since) == (1, iso(NOW))
    with transaction(db):
        return_to_queue(db, recording, later(5), error="x", seconds=4.0, failing=True)
    found = row(db, recording.id)
    assert (found["failures"], found["failing_since"], found["not_before"]) == (2, iso(NOW), iso(later(9)))


def test_what_is_not_the_recording_s_fault_starts_no_clock(db: Database) -> None:
    add(db)
    again(db, claimed(db))
    recording = claimed(db)
    assert (recording.failures, recording.failing_since) == (0, None)


def test_billed_and_doubtful_requests_are_counted(db: Database) -> None:
    (number,) = add(db)
    _, request = begin(db, claimed(db))
    with transaction(db):
        count_billed(db, number)
        count_doubtful(db, number, request, NOW)
    assert (row(db, number)["possibly_billed"], row(db, number)["doubtful"]) == (2, 1)


# After a crash


def crash(db: Database, *, sending: bool) -> None:
    """A process claims what is due, begins to send it or not, and dies."""
    recording = claimed(db)
    if sending:
        begin(db, recording)
    committed(recover, db, NOW)


def test_what_was_only_claimed_comes_back_unbilled(db: Database) -> None:
    (number,) = add(db)
    claimed(db)

    assert committed(recover, db, later(3)) == 1
    found = row(db, number)
    assert (found["state"], found["not_before"], found["possibly_billed"]) == ("waiting", iso(later(3)), 0)
    assert found["doubtful"] == 0


def test_what_was_being_sent_comes_back_as_possibly_billed(db: Database) -> None:
    (number,) = add(db)
    crash(db, sending=True)

    found = row(db, number)
    assert (found["state"], found["possibly_billed"], found["doubtful"], found["crashes"]) == (
        "waiting",
        1,
        1,
        1,
    )
    assert rows(db, "SELECT outcome, ended_at FROM requests") == [
        {"outcome": "unknown", "ended_at": iso(NOW)}
    ]


def test_what_was_answered_comes_back_with_its_reply_and_no_doubt(db: Database) -> None:
    (number,) = add(db)
    recording = claimed(db)
    _, entry = begin(db, recording)
    with transaction(db):
        store_response(db, number, compressed(b"{}"), kind="listen", now=NOW)
        end_request(db, entry, outcome="received", now=NOW)
        count_billed(db, number)
    committed(recover, db, NOW)

    found = row(db, number)
    assert (found["state"], found["possibly_billed"], found["doubtful"]) == ("waiting", 1, 0)
    assert stored_reply(db, number) == b"{}"


@pytest.mark.parametrize("state", [state for state in RecordingState if state != RecordingState.ANALYZING])
def test_other_states_are_left_as_they_are(db: Database, state: RecordingState) -> None:
    (number,) = add(db, state=state)
    before = row(db, number)

    assert committed(recover, db, NOW) == 0
    assert row(db, number) == before


def test_a_second_look_finds_nothing_more(db: Database) -> None:
    (number,) = add(db)
    crash(db, sending=True)
    before = row(db, number)

    assert committed(recover, db, later(9)) == 0
    assert row(db, number) == before


def test_a_recording_that_was_in_flight_in_every_crash_is_set_aside(db: Database) -> None:
    (number,) = add(db)
    for crashes in range(1, CRASHES_ALLOWED):
        crash(db, sending=True)
        assert (row(db, number)["state"], row(db, number)["crashes"]) == ("waiting", crashes)
    crash(db, sending=True)

    found = row(db, number)
    assert (found["state"], found["error_code"], found["not_before"]) == ("failed", "crashed", None)
    assert f"earshot retry {number}" in found["error"]
    assert found["possibly_billed"] == CRASHES_ALLOWED


def test_a_crash_after_lost_replies_does_not_send_it_once_too_often(db: Database) -> None:
    (number,) = add(db)
    db.execute(
        "UPDATE recordings SET doubtful = ?, possibly_billed = ?", (DOUBTFUL_RESENDS, DOUBTFUL_RESENDS)
    )
    crash(db, sending=True)

    found = row(db, number)
    assert (found["state"], found["error_code"]) == ("failed", "ambiguous_reply")
    assert found["possibly_billed"] == DOUBTFUL_RESENDS + 1


# Asked for by a person


def test_retry_forgets_what_led_to_giving_up_and_keeps_history(db: Database) -> None:
    (number,) = add(db)
    for _ in range(CRASHES_ALLOWED):
        crash(db, sending=True)

    assert committed(requeue, db, [number], later(1)) == {}
    found = row(db, number)
    assert (found["state"], found["not_before"], found["error_code"], found["error"]) == (
        "waiting",
        iso(later(1)),
        None,
        None,
    )
    assert (found["crashes"], found["doubtful"], found["failing_since"]) == (0, 0, None)
    assert (found["attempts"], found["possibly_billed"]) == (CRASHES_ALLOWED, CRASHES_ALLOWED)


def test_retry_refuses_what_needs_none_and_does_the_rest(db: Database) -> None:
    finished, failed = [*add(db, state=RecordingState.DONE), *add(db, state=RecordingState.FAILED)]
    refused = committed(requeue, db, [finished, 999, failed, failed], NOW)

    assert refused.keys() == {finished, 999}
    assert states(db) == {"done": 1, "waiting": 1}


def test_retry_of_all_failed_ones_leaves_the_skipped(db: Database) -> None:
    add(db, 2, state=RecordingState.FAILED)
    add(db, state=RecordingState.SKIPPED)

    assert committed(requeue_failed, db, NOW) == 2
    assert states(db) == {"waiting": 2, "skipped": 1}


def test_a_new_recording_is_what_is_known_of_it(db: Database) -> None:
    known = NewRecording(
        source="/r/\udcff.wav",
        is_url=False,
        folder="/r",
        size_bytes=5,
        modified_at=iso(later(-9)),
        quiet=True,
        tags=("é",),
        recorded_at=iso(later(-10)),
        metadata={"agent": "Jörg"},
    )
    number = committed(add_new, db, known, NOW)
    hosted = committed(add_new, db, NewRecording("https://x/y/b.mp3?z=1", True, None), NOW)

    recording = committed(claim_this, db, number, NOW)
    assert recording is not None
    assert (recording.source, recording.is_url, recording.folder, recording.quiet) == (
        "/r/\udcff.wav",
        False,
        "/r",
        True,
    )
    assert (recording.tags, recording.metadata) == (("é",), {"agent": "Jörg"})
    assert (recording.modified_at, recording.recorded_at) == (iso(later(-9)), iso(later(-10)))
    assert (row(db, number)["path"], row(db, number)["name"]) == ("/r/\\xff.wav", "\\xff.wav")
    assert row(db, number)["size_bytes"] == 5
    assert (row(db, hosted)["name"], row(db, hosted)["is_url"]) == ("b.mp3", 1)
    assert committed(claim_this, db, number, NOW) is None, "claimed before"


# Files without their hash


def test_a_file_without_another_of_its_size_needs_no_hash(db: Database) -> None:
    add(db, 2)
    alone = claimed(db)
    assert not has_twin(db, alone.id, 1000)
    assert begin(db, alone, sha256=None)[0] == "send"
    assert row(db, alone.id)["sha256"] is None
    with transaction(db):
        note_hash(db, alone.id, "aa")
    assert row(db, alone.id)["sha256"] == "aa"


@pytest.mark.parametrize("state", ["waiting", "analyzing", "done"])
def test_a_file_with_another_of_its_size_needs_one(db: Database, state: str) -> None:
    add(db, 2)
    recording = claimed(db)
    with transaction(db):
        db.execute("UPDATE recordings SET size_bytes = 1000, state = ? WHERE id != ?", (state, recording.id))
    assert has_twin(db, recording.id, 1000)
    assert begin(db, recording, sha256=None) == ("hash", 0)
    assert row(db, recording.id)["attempts"] == 0
    assert begin(db, recording, sha256="bb")[0] == "send"


def test_what_may_be_a_copy_of_one_sent_without_its_hash_waits_until_that_is_known(db: Database) -> None:
    add(db, 2)
    first, second = claimed(db), claimed(db)
    begin(db, first, sha256=None)
    assert begin(db, second, sha256="aa") == ("later", first.id)
    assert begin(db, claimed(db, 3.0), sha256="aa", size=1001)[0] == "send", "another size"


def test_one_that_was_claimed_and_not_sent_yet_holds_up_none_of_its_size(db: Database) -> None:
    add(db, 2)
    _, second = claimed(db), claimed(db)
    assert begin(db, second, sha256="aa")[0] == "send"


def test_what_a_person_wants_anew_is_no_duplicate_and_needs_no_hash(db: Database) -> None:
    add(db, 2)
    original, copy = claimed(db), claimed(db)
    begin(db, original)
    done(db, original)
    begin(db, copy)
    assert committed(requeue, db, [copy.id], NOW) == {
        copy.id: f"recording {copy.id} is a duplicate of {original.id};"
        f" `earshot retry --anew {copy.id}` has it analyzed, and paid for, all the same"
    }
    assert committed(requeue, db, [copy.id], NOW, anew=True) == {}
    again = claimed(db)
    assert again.anew
    assert begin(db, again, sha256=None)[0] == "send"
    assert row(db, copy.id)["duplicate_of"] is None
    assert committed(requeue, db, [original.id], NOW, anew=True) == {}
    again = claimed(db)
    assert (again.id, again.anew, row(db, original.id)["again"]) == (original.id, True, "quiet")
    assert begin(db, again)[0] == "send"


def test_a_claim_does_not_read_all_that_waits(db: Database) -> None:
    (number,) = add(db)
    steps = plans(db, lambda: claim_this(db, number, NOW))
    assert [step for step in steps if "recordings" in step] == [
        "SEARCH recordings USING INTEGER PRIMARY KEY (rowid=?)"
    ]
