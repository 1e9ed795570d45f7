"""`earshot doctor`: all that `check` does, and how the service and its database are now."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.models import iso
from daemon.storage.database import daemon_lock
from daemon.storage.lock import DaemonLock
from tests.cli.sites import KEY, SEEN_AT, Site
from tests.harness import ScriptedApi, running
from tests.servers import Answer, HttpSink
from tests.watching.mounts import shared

Run = Callable[..., subprocess.CompletedProcess[str]]

LATER = "2999-01-01T00:00:00.000Z"


@pytest.fixture
def api() -> Iterator[HttpSink]:
    with HttpSink() as server:
        yield server


@pytest.fixture
def serving(site: Site, api: HttpSink) -> Iterator[DaemonLock]:
    """A service that runs and is ready, on a configuration that leaves nothing to wish for."""
    site.configure(
        analyzer={"api_key": KEY, "base_url": api.url},
        alerts={"destinations": {"ops": "json://127.0.0.1:1/"}, "operations": ["ops"]},
        heartbeat={"url": "http://127.0.0.1:1/ping"},
    )
    now = iso(datetime.now(UTC))
    site.add(
        "folders",
        path=str(site.watched),
        method="events",
        available=1,
        reason="local file system",
        configured_at=SEEN_AT,
        last_scan_at=now,
        last_event_at=now,
        directories=3,
        watches=3,
    )
    site.add("backups", at=now, path=str(site.config), size_bytes=2_500_000, recordings=1)
    with daemon_lock(site.database) as lock:
        lock.say(ready=True)
        yield lock


def told(run: Run, level: str, *options: str) -> list[str]:
    """The problems of a level, with their keys if they are about the configuration."""
    problems = json.loads(run("doctor", "--json", *options).stdout)["problems"]
    assert all((each["key"] is None) == (each["file"] is None) == (each["line"] is None) for each in problems)
    return [
        f"{each['key']}: {each['problem']}" if each["key"] else each["problem"]
        for each in problems
        if each["level"] == level
    ]


def test_all_well_is_0_and_one_screen(run: Run, site: Site, serving: DaemonLock) -> None:
    site.add("recordings", id=1, state="done", first_seen_at=iso(datetime.now(UTC) - timedelta(days=10)))
    answer = run("doctor")
    assert (answer.returncode, answer.stderr) == (0, "")
    for expected in (
        "SQLite 3",
        "is valid: 1 folder",
        "answers and accepts the key",
        "the clock is right, by that of the API",
        f"the service is running (process {os.getpid()})",
        "no recording has waited for longer than an hour",
        f"{site.watched}: last event ",
        "3 inotify watches used, 3 needed; a user may have ",
        "0 alerts pending, none stuck",
        "more each month at the pace of the last 30 days",
        "the write-ahead log takes ",
        f" s ago: {site.config}, 2.5 MB",
        "tables: recordings ",
        "the database is whole (integrity_check)",
    ):
        assert expected in answer.stdout
    assert {line.partition("  ")[0] for line in answer.stdout.splitlines()} == {"ok"}
    assert len(answer.stdout.splitlines()) <= 24


def test_before_the_first_run_nothing_is_created_and_nothing_is_wrong(run: Run, site: Site) -> None:
    answer = run("doctor", "--offline")
    assert answer.returncode == 0, answer.stderr
    assert "warning" in answer.stdout
    assert "the service is not running; start it with `earshot run`" in answer.stdout
    assert sorted(each.name for each in site.home.iterdir()) == ["calls", "config.yaml"]


def test_a_broken_configuration_is_78(run: Run, site: Site) -> None:
    site.configure(watchh=[])
    assert run("doctor").returncode == 78
    answer = run("doctor", "--json")
    assert answer.returncode == 78
    assert json.loads(answer.stdout)["problems"][0]["key"] == "watchh"


PAUSE = {"cause": "key", "reason": "401", "since": SEEN_AT, "next_probe_at": SEEN_AT, "probe_seconds": 9}
MESSAGE = {"recording_id": 1, "event": "done", "message_id": "msg_1", "created_at": SEEN_AT, "body": "{}"}


@pytest.mark.parametrize(
    ("table", "row", "level", "expected"),
    [
        ("pauses", PAUSE, "error", "paused since 2026-03-01 10:00 UTC: 401"),
        ("alerts", {"state": "pending"}, "error", "1 alert for team waiting since 2026"),
        (
            "webhooks",
            MESSAGE | {"destination": "crm", "error": "503"},
            "error",
            "messages for webhook crm do not",
        ),
        ("webhooks", MESSAGE | {"destination": "old"}, "warning", "1 message pending for old"),
        ("recordings", {"id": 2, "state": "waiting"}, "warning", "a recording waiting since"),
        ("alerts", {"state": "sent", "created_at": LATER}, "warning", "the database has rows of 2999"),
    ],
)
def test_what_is_not_well_is_said(
    run: Run, site: Site, serving: DaemonLock, table: str, row: dict[str, Any], level: str, expected: str
) -> None:
    site.add("recordings", id=1, state="done")
    site.add("webhook_targets", name="crm", events=["done"], transcript=0)
    site.add(table, **row)
    found = told(run, level, "--quick")
    assert len(found) == 1, found
    assert found[0].startswith(expected)
    assert run("doctor", "--quick").returncode == (1 if level == "error" else 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("available = 0, reason = 'held by another'", "{} not available (held by another)"),
        ("directories = 1000000000", "1000000000 directories need a watch each, and a user may have"),
        ("last_scan_at = '2026-03-01T10:00:00.000Z'", "{}: last event"),
    ],
)
def test_a_folder_that_is_not_watched_as_it_should_be_is_said(
    run: Run, site: Site, serving: DaemonLock, change: str, expected: str
) -> None:
    site.sql(f"UPDATE folders SET {change}")  # noqa: S608 - from above
    level = "error" if "available" in change else "warning"
    (found,) = told(run, level, "--quick")
    assert found.startswith(expected.format(site.watched))


@pytest.mark.parametrize(("ahead", "word"), [(-400, "ahead of"), (400, "behind")])
def test_a_clock_that_is_wrong_is_told_by_that_of_the_api(
    run: Run, serving: DaemonLock, api: HttpSink, ahead: int, word: str
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    api.then(default=Answer(headers={"Date": date}))
    (found,) = told(run, "warning", "--quick")
    assert f" s {word} that of {api.url}" in found
    assert found.startswith("analyzer.base_url: the clock of this machine is ")


def test_copies_of_upgrades_are_named_and_old_ones_warned_of(
    run: Run, site: Site, serving: DaemonLock
) -> None:
    old, new = (site.database.with_name(f"earshot.db.before-{number}") for number in (7, 9))
    for copy, days in ((old, 40), (new, 3)):
        copy.write_bytes(bytes(2_000_000))
        os.utime(copy, (time.time() - days * 86400,) * 2)
    (found,) = told(run, "warning", "--quick")
    assert found.startswith(f"{old}: 2.0 MB, from before an upgrade 40 d ago; delete it")
    assert f"ok       {new}: 2.0 MB, from before an upgrade 3 d ago" in run("doctor", "--quick").stdout


def test_a_backup_that_is_missing_old_or_gone_is_warned_of(run: Run, site: Site, serving: DaemonLock) -> None:
    site.sql("UPDATE backups SET at = ?", SEEN_AT)
    assert "that is long ago" in told(run, "warning", "--quick")[0]
    site.sql("UPDATE backups SET path = ?", str(site.home / "gone.db"))
    assert "it is not there any more" in told(run, "warning", "--quick")[0]
    site.sql("DELETE FROM backups")
    assert "no backup is known; `earshot backup" in told(run, "warning", "--quick")[0]


def test_damage_is_found_unless_it_is_to_be_quick(run: Run, site: Site) -> None:
    site.add("recordings", id=1, state="done", sha256="0" * 64)
    (index,) = site.sql(
        "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'recordings_content'"
    )
    site.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    with site.database.open("r+b") as file:
        file.seek((index["rootpage"] - 1) * index["page_size"])
        file.write(b"\xff" * index["page_size"])
    answer = run("doctor", "--offline")
    assert answer.returncode == 1
    assert "the database is damaged (" in answer.stderr
    assert run("doctor", "--offline", "--quick").returncode == 0


def test_beside_a_real_service_it_knows_watches_and_the_last_event(tmp_path: Path) -> None:
    with ScriptedApi() as api, running(tmp_path, api) as service:
        (service.folder / "below").mkdir()
        service.wait_row("SELECT 1 FROM folders WHERE last_event_at IS NOT NULL AND watches = 2")
        answer = service.earshot("doctor", "--json")
        assert answer.returncode == 0, answer.stderr
        facts = json.loads(answer.stdout)["facts"]
        assert facts["daemon"]["ready"]
        assert (facts["inotify"]["watches_used"], facts["inotify"]["watches_needed"]) == (2, 2)
        assert facts["integrity_faults"] == []
        assert abs(facts["clock_ahead_seconds"]) < 5


def test_a_share_that_hangs_holds_up_no_doctor(run: Run, site: Site, serving: DaemonLock) -> None:
    with shared(site.home) as share:
        site.configure(watch=[str(share.path)])
        site.sql("UPDATE backups SET path = ?", str(share.path / "copy.db"))
        share.hang()
        try:
            answer = run("doctor", "--offline", "--quick")
        finally:
            share.answer()
        assert answer.returncode == 1
        assert f"{share.path} does not answer" in answer.stderr
        assert "it is not there any more, or its disk does not answer" in answer.stdout


def test_a_clock_that_leapt_ahead_is_told_with_what_waits_for_it(
    run: Run, site: Site, serving: DaemonLock
) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    before = since - timedelta(days=90)
    site.add("clock", id=1, trusted_at=iso(before), doubted_since=iso(since), doubted_at=iso(since))
    (warning,) = told(run, "warning", "--quick")
    assert warning.startswith("the clock went from ")
    assert "so retention deletes nothing for now" in warning
