"""`earshot status`: its JSON is a contract, its text says what a person must know."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from daemon.storage.database import daemon_lock
from tests.cli.sites import SEEN_AT, Site

Run = Callable[..., subprocess.CompletedProcess[str]]

NO_RECORDINGS = {"waiting": 0, "analyzing": 0, "done": 0, "failed": 0, "duplicate": 0, "skipped": 0}
NO_ALERTS = {"pending": 0, "sent": 0, "failed": 0, "suppressed": 0}
STOPPED = {"running": False, "ready": False, "pid": None}


def unseen(site: Site) -> dict[str, object]:
    return {
        "path": str(site.watched),
        "method": "events",
        "reason": None,
        "settle_seconds": None,
        "available": False,
        "first_seen_at": None,
        "last_scan_at": None,
        "missed_by_events": 0,
        "left_alone": 0,
        "not_taken": {"lists": 0},
    }


def test_before_the_first_run_everything_is_zero_and_nothing_is_created(run: Run, site: Site) -> None:
    answer = run("status", "--json")
    assert answer.returncode == 0
    assert json.loads(answer.stdout) == {
        "recordings": NO_RECORDINGS,
        "alerts": NO_ALERTS,
        "oldest_waiting_at": None,
        "paused": None,
        "pauses": [],
        "cost_month_usd": 0.0,
        "daemon": STOPPED,
        "originals": {"waiting": 0, "error": None},
        "snoozed": {},
        "folders": [unseen(site)],
    }
    assert not site.database.parent.exists()


@pytest.mark.parametrize("method", ["events", "poll"])
def test_a_folder_that_was_never_watched_has_the_method_it_will_be_watched_by(
    run: Run, site: Site, method: str
) -> None:
    site.configure(watch=[{"path": str(site.home / "not-there"), "method": method}])
    (folder,) = json.loads(run("status", "--json").stdout)["folders"]
    assert (folder["method"], folder["available"]) == (method, False)


def fill(site: Site) -> None:
    site.add("recordings", id=1, state="waiting", first_seen_at="2026-03-01T11:00:00.000Z")
    site.add("recordings", id=2, state="waiting")
    site.add("recordings", id=3, state="failed", error_code="corrupt_audio", error="no audio in it")
    site.add("recordings", id=4, state="skipped", error_code="existing")
    site.add("recordings", id=5, state="skipped", error_code="existing", folder="/elsewhere")
    site.add("recordings", id=6, state="skipped", error_code="empty")
    site.add("alerts", recording_id=1, state="pending")
    site.add("alerts", recording_id=2, state="failed")
    site.add(
        "folders",
        path=str(site.watched),
        method="poll",
        reason="nfs4 mount",
        settle_seconds=5.0,
        missed_by_events=2,
        available=1,
        configured_at=SEEN_AT,
        first_seen_at=SEEN_AT,
        last_scan_at="2026-03-01T12:00:00.000Z",
    )
    site.add("folders", path="/no-longer-configured", configured_at=SEEN_AT)
    for cause, since in (("service", "2026-03-01T12:00:00.000Z"), ("key", SEEN_AT)):
        site.add(
            "pauses",
            cause=cause,
            reason=f"{cause} trouble",
            since=since,
            next_probe_at=since,
            probe_seconds=60,
        )


def test_json_has_the_counts_the_pause_and_the_folders(run: Run, site: Site) -> None:
    fill(site)
    assert json.loads(run("status", "--json").stdout) == {
        "recordings": NO_RECORDINGS | {"waiting": 2, "failed": 1, "skipped": 3},
        "alerts": NO_ALERTS | {"pending": 1, "failed": 1},
        "oldest_waiting_at": SEEN_AT,
        "paused": {"reason": "key trouble; service trouble", "since": SEEN_AT},
        "pauses": [
            {"cause": "key", "folder": None, "reason": "key trouble", "since": SEEN_AT},
            {
                "cause": "service",
                "folder": None,
                "reason": "service trouble",
                "since": "2026-03-01T12:00:00.000Z",
            },
        ],
        "cost_month_usd": 0.0,
        "daemon": STOPPED,
        "originals": {"waiting": 0, "error": None},
        "snoozed": {},
        "folders": [
            {
                "path": str(site.watched),
                "method": "poll",
                "reason": "nfs4 mount",
                "settle_seconds": 5.0,
                "available": True,
                "first_seen_at": SEEN_AT,
                "last_scan_at": "2026-03-01T12:00:00.000Z",
                "missed_by_events": 2,
                "left_alone": 1,
                "not_taken": {"lists": 0},
            }
        ],
    }


def test_text_says_what_is_paused_waiting_and_left_alone(run: Run, site: Site) -> None:
    fill(site)
    text = run("status").stdout
    assert "paused      since 2026-03-01 10:00:00: key trouble; service trouble" in text
    assert "2 waiting, 1 failed, 3 skipped" in text
    assert "by polling (nfs4 mount), settle 5 s, last scan" in text
    assert "2 recordings found by listing only" in text
    assert "1 recording left alone" in text
    assert "earshot scan --existing" in text
    assert "1 pending, 1 failed" in text


def test_a_running_daemon_is_seen(run: Run, site: Site) -> None:
    with daemon_lock(site.database) as lock:
        starting = json.loads(run("status", "--json").stdout)["daemon"]
        lock.say(ready=True)
        ready = json.loads(run("status", "--json").stdout)["daemon"]
    assert starting == {"running": True, "ready": False, "pid": os.getpid()}
    assert ready == {"running": True, "ready": True, "pid": os.getpid()}


def test_a_folder_that_is_gone_is_said_to_be(run: Run, site: Site) -> None:
    site.add("folders", path=str(site.watched), reason="No such file or directory", configured_at=SEEN_AT)
    assert f"{site.watched}: not available (No such file or directory)" in run("status").stdout


def test_snoozes_in_force_are_shown(run: Run, site: Site) -> None:
    site.add("snoozes", rule="unhappy caller", until="2999-01-01T00:00:00.000Z")
    site.add("snoozes", rule="over", until="2001-01-01T00:00:00.000Z")
    assert json.loads(run("status", "--json").stdout)["snoozed"] == {
        "unhappy caller": "2999-01-01T00:00:00.000Z"
    }
    text = run("status").stdout
    assert "rule unhappy caller is snoozed until 2999-01-01" in text
    assert "rule over" not in text
