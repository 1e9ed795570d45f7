"""What operations read: each message says what to do, in commands that exist, and on which machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from daemon.models import iso
from daemon.periodic.operations_text import PAUSES, begun_message, failed_message, over_message, place_line
from daemon.storage.limits import NEAR, OVER
from daemon.storage.operations import CLOCK, PAGES, Trouble
from tests.commands import quoted_commands, usage_error
from tests.storage.stores import NOW

WITH_NOTHING_TO_DO = {CLOCK}
CAUSES = [
    *PAUSES,
    *("folder", "silent", "originals", "sidecars", "webhook", "orphans", "given_up", "outbox"),
    *(CLOCK, NEAR, OVER, PAGES),
]


def trouble(cause: str) -> Trouble:
    since = iso(NOW - timedelta(hours=2))
    detail = since if cause == "silent" else "it is broken"
    return Trouble(
        id=1, cause=cause, subject="team", detail=detail, since=since, told_at=None, over_at=iso(NOW)
    )


@pytest.mark.parametrize("cause", CAUSES)
def test_each_message_says_what_to_do_in_commands_that_exist(cause: str) -> None:
    begun = begun_message(trouble(cause), probe_seconds=300.0, is_last=True)
    assert quoted_commands(begun.body) or cause in WITH_NOTHING_TO_DO
    over = [over_message(trouble(cause), NOW, was_delivered=each) for each in (True, False)]
    for command in quoted_commands("\n".join(each.body for each in (begun, *over))):
        assert usage_error(command) is None, command


def test_times_are_those_of_the_configured_zone() -> None:
    silent = begun_message(
        replace(trouble("silent"), detail="2026-07-01T22:30:00.000Z"),
        probe_seconds=300.0,
        is_last=False,
        zone=ZoneInfo("Europe/Berlin"),
    )
    assert "since 2026-07-02 00:30 CEST" in silent.body


def test_the_commands_about_failed_recordings_exist() -> None:
    message = failed_message([{"recording_id": 1, "name": "a.wav", "error": "broken", "error_code": "x"}])
    commands = quoted_commands(message.body)
    assert len(commands) == 3
    assert [usage_error(each) for each in commands] == [None] * 3


@pytest.mark.parametrize(
    ("waiting", "line"),
    [
        (0, "On calls-01; no recording is waiting."),
        (1, "On calls-01; 1 recording is waiting, the oldest for 2.0 h."),
        (23, "On calls-01; 23 recordings are waiting, the oldest for 2.0 h."),
    ],
)
def test_a_message_ends_with_its_machine_and_how_many_wait_there(waiting: int, line: str) -> None:
    since = iso(NOW - timedelta(hours=2)) if waiting else None
    assert place_line("calls-01", waiting, since, NOW) == line
