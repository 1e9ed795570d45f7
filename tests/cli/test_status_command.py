"""`earshot status`: its JSON is a contract, its text says what a person must know."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from daemon.config.find import glance_at
from daemon.files import file_version
from daemon.sightings import PassedFile, PassedFiles
from daemon.storage.database import daemon_lock, transaction
from daemon.storage.lock import DaemonLock, beside_of, taken_file
from daemon.storage.not_taken import REASONS, note_not_taken
from daemon.version import full_version
from tests.cli.sites import SEEN_AT, Site
from tests.databases import new_database

Run = Callable[..., subprocess.CompletedProcess[str]]

NO_RECORDINGS = {"waiting": 0, "analyzing": 0, "done": 0, "failed": 0, "duplicate": 0, "skipped": 0}
NO_ALERTS = {"pending": 0, "sent": 0, "failed": 0, "suppressed": 0}
ME = pwd.getpwuid(os.geteuid()).pw_name
NOTHING_PASSED = dict.fromkeys(REASONS, 0)
STOPPED = {"running": False, "ready": False, "stopping": False, "pid": None}


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
        "not_taken": NOTHING_PASSED,
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
        "sidecars": {"waiting": 0, "error": None},
        "snoozed": {},
        "webhooks_orphaned": {},
        "pages_not_served": None,
        "reload_refused": None,
        "folders": [unseen(site)],
        "database": str(site.database),
        "database_owner": None,
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
        "sidecars": {"waiting": 0, "error": None},
        "snoozed": {},
        "webhooks_orphaned": {},
        "pages_not_served": None,
        "reload_refused": None,
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
                "not_taken": NOTHING_PASSED,
            }
        ],
        "database": str(site.database),
        "database_owner": ME,
    }


def test_text_says_what_is_paused_waiting_and_left_alone(run: Run, site: Site) -> None:
    fill(site)
    text = run("status").stdout
    assert "paused      since 2026-03-01 10:00 UTC: key trouble; service trouble" in text
    assert "2 waiting, 1 failed, 3 skipped" in text
    assert "by polling (nfs4 mount), settle 5 s, last scan" in text
    assert "2 recordings found by listing only" in text
    assert "1 recording left alone" in text
    assert "earshot scan --existing" in text
    assert "1 pending, 1 failed" in text
    assert f"database    {site.database} (of {ME})" in text


def test_what_is_not_taken_is_counted_and_listed(run: Run, site: Site) -> None:
    fill(site)
    found = {
        "incomplete": PassedFiles(1, (PassedFile(f"{site.watched}/a.wav", "it still grows", SEEN_AT),)),
        "ending": PassedFiles(3, (PassedFile(f"{site.watched}/b.sln16", "not taken"),)),
    }
    with closing(new_database(site.database)) as db, transaction(db):
        note_not_taken(db, str(site.watched), found)
    error = "1 of 1 addresses not taken: http://localhost/"
    site.add("recordings", id=9, name="c.url", state="failed", error_code="bad_address", error=error)
    counted = "5 not taken: not complete yet 1, unknown ending 3, refused address 1"
    text = run("status").stdout
    longest = "            a.wav: not complete yet since 2026-03-01 10:00 UTC; it still grows"
    said = f"{counted}, when the service last looked; `earshot status --files` lists them"
    assert f"{said}\n{longest}\n" in text
    assert "unknown ending; not taken" not in text
    lines = [line.strip() for line in run("status", "--files").stdout.splitlines()]
    assert lines[lines.index(f"{counted}, when the service last looked") + 1 :][:4] == [
        "a.wav: not complete yet since 2026-03-01 10:00 UTC; it still grows",
        "b.sln16: unknown ending; not taken",
        f"c.url: refused address since 2026-03-01 10:00 UTC; {error}",
        "and 2 more: unknown ending",
    ]
    (folder,) = json.loads(run("status", "--files", "--json").stdout)["folders"]
    assert folder["not_taken"] == NOTHING_PASSED | {"incomplete": 1, "ending": 3, "addresses": 1}
    assert folder["files"][0] == {
        "path": f"{site.watched}/a.wav",
        "reason": "incomplete",
        "why": "it still grows",
        "since": SEEN_AT,
    }


def test_a_running_daemon_is_seen(run: Run, site: Site) -> None:
    with daemon_lock(site.database) as lock:
        starting = json.loads(run("status", "--json").stdout)["daemon"]
        lock.say(ready=True)
        ready = json.loads(run("status", "--json").stdout)["daemon"]
        lock.say(ready=False, stopping=True)
        assert f"service     stopping (process {os.getpid()})" in run("status").stdout
    assert starting == STOPPED | {"running": True, "pid": os.getpid()}
    assert ready == starting | {"ready": True}


def test_a_refused_reload_is_said_until_one_is_taken_over(run: Run, site: Site) -> None:
    refused = (
        "the new configuration was refused, the old one goes on: c.yaml:1: watch: is no list (and 1 more)"
    )
    with daemon_lock(site.database) as lock:
        lock.answer(0, ["c.yaml:1: watch: is no list", "c.yaml:2: rules: is no list"])
        assert refused in run("status").stdout
        lock.answer(1, [])
        assert json.loads(run("status", "--json").stdout)["reload_refused"] is None
        lock.answer(1, ["again"])
    assert json.loads(run("status", "--json").stdout)["reload_refused"] is None


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


def test_messages_for_a_webhook_that_is_no_longer_configured_are_said(run: Run, site: Site) -> None:
    site.add("recordings", id=1, state="done")
    site.add("webhook_targets", name="crm", events=["done"], transcript=0)
    message = {"recording_id": 1, "event": "done", "created_at": SEEN_AT, "body": "{}"}
    for number, name in enumerate(("crm", "old", "old")):
        site.add("webhooks", destination=name, message_id=f"msg_{number}", **message)
    site.sql("UPDATE webhooks SET state = 'sent' WHERE message_id = 'msg_1'")
    assert json.loads(run("status", "--json").stdout)["webhooks_orphaned"] == {"old": 1}
    assert "webhooks    1 message pending for old, but no webhook has this name" in run("status").stdout


def test_a_broken_configuration_shows_its_faults_and_the_last_state(run: Run, site: Site) -> None:
    fill(site)
    site.configure(watchh=[])
    answer = run("status")
    assert answer.returncode == 78
    assert "watchh" in answer.stderr
    assert "2 waiting, 1 failed, 3 skipped" in answer.stdout
    assert "by polling (nfs4 mount)" in answer.stdout
    document = json.loads(run("status", "--json").stdout)
    assert document["recordings"]["waiting"] == 2
    assert [(each["level"], each["key"]) for each in document["problems"]] == [("error", "watchh")]
    site.config.write_text(f"database: {site.database}\nwatch: [\n")
    answer = run("status")
    assert answer.returncode == 78
    assert "2 waiting" in answer.stdout


def test_a_file_is_judged_again_only_if_it_is_not_as_the_running_service_took_it_over(
    run: Run, site: Site, serving: DaemonLock
) -> None:
    site.add("folders", path="/earlier", available=1, reason="local", configured_at=SEEN_AT)
    site.sql("UPDATE folders SET method = 'poll', settle_seconds = 2")
    site.configure(watchh=[])
    serving.taken = file_version(site.config)
    serving.answer(0, [])
    answer = run("status", "--json")
    assert [each["path"] for each in json.loads(answer.stdout)["folders"]] == [str(site.watched)]
    assert answer.returncode == 0
    os.utime(site.config, ns=(0, 0))
    assert check(run)[0] == 78


def test_a_file_stays_judged_when_the_service_that_took_it_over_ends(run: Run, site: Site) -> None:
    site.add("folders", path=str(site.watched), method="poll", settle_seconds=2, configured_at=SEEN_AT)
    site.configure(watchh=[])
    with daemon_lock(site.database) as lock:
        lock.taken = file_version(site.config)
        lock.answer(0, [])
    assert run("status").returncode == 0
    assert taken_file(site.database) is None
    assert taken_file(site.database, even_if_ended=True) == lock.taken
    file = beside_of(site.database, ".lock")
    file.write_bytes(file.read_bytes().replace(full_version().encode(), b"another"))
    assert taken_file(site.database, even_if_ended=True) is None


@pytest.mark.parametrize(
    ("text", "has_variables"), [("UTC", False), ("$${A}", True), ("${HOME}", True), ("${UNKNOWN}", True)]
)
def test_a_file_in_which_the_environment_has_a_say_is_known(
    site: Site, text: str, has_variables: bool
) -> None:
    site.configure(timezone=text)
    assert glance_at(site.config, {"HOME": "UTC"}).has_variables is has_variables


def test_a_stopped_service_beside_another_that_watches_its_folder_says_so(run: Run, site: Site) -> None:
    descriptor = os.open(site.watched, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    text = run("status").stdout
    os.close(descriptor)
    assert f"{site.watched} is watched by process {os.getpid()} of {ME}" in text


# --check


def check(run: Run, *options: str) -> tuple[int, str]:
    answer = run("status", "--check", *options)
    (line,) = answer.stdout.splitlines()
    assert not answer.stderr
    return answer.returncode, line


@pytest.fixture
def serving(site: Site) -> Iterator[DaemonLock]:
    """A service that runs and is ready, and has just begun."""
    site.add("folders", path=str(site.watched), available=1, reason="local", configured_at=SEEN_AT)
    with daemon_lock(site.database) as lock:
        lock.say(ready=True)
        yield lock


def test_all_well_is_one_line_and_0(run: Run, serving: DaemonLock) -> None:
    assert check(run) == (0, "earshot OK: running and watching")
    assert json.loads(run("status", "--check", "--json").stdout) == {"ok": True, "problems": []}
    serving.say(ready=False)
    assert check(run) == check(run, "--ready") == (1, "earshot WARNING: starting")


PAUSE = {"cause": "key", "reason": "401 | no", "since": SEEN_AT, "next_probe_at": SEEN_AT, "probe_seconds": 9}
GONE = {"path": "/gone", "reason": "not there", "configured_at": SEEN_AT}
MESSAGE = {
    "recording_id": 9, "destination": "crm", "event": "done", "message_id": "msg_1", "error": "503",
    "created_at": SEEN_AT, "body": "{}",
}  # fmt: skip
TROUBLE = {"cause": "given_up", "subject": "mail", "since": SEEN_AT}


@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("pauses", PAUSE, "401 / no"),
        ("folders", GONE, "/gone not available (not there)"),
        ("alerts", {"state": "pending"}, "1 alert for team waiting since 2026"),
        ("troubles", TROUBLE, "alerts given up for mail"),
        ("webhooks", MESSAGE, "messages for webhook crm do not arrive (503)"),
        ("recordings", {"id": 1, "state": "waiting"}, "a recording waiting since 2026-03-01"),
    ],
)
def test_what_is_not_well_is_one_line_and_1(
    run: Run, site: Site, serving: DaemonLock, table: str, row: dict[str, object], said: str
) -> None:
    site.configure(watch=[str(site.watched), "/gone"])
    site.add("recordings", id=9, state="done")
    site.add("webhook_targets", name="crm", events=["done"], transcript=0)
    site.add(table, **row)
    code, line = check(run)
    assert code == 1
    assert line.startswith("earshot WARNING: ")
    assert said in line
    assert "|" not in line
    assert check(run, "--ready")[0] == 0


def test_how_long_a_recording_may_wait_is_an_option(run: Run, site: Site, serving: DaemonLock) -> None:
    site.add("recordings", id=1, state="waiting")
    assert check(run, "--oldest", "30000d")[0] == 0
    assert run("status", "--check", "--oldest", "soon").returncode == 2


def test_an_old_recording_that_is_tried_again_begins_to_wait_anew(
    run: Run, site: Site, serving: DaemonLock
) -> None:
    site.add("recordings", id=1, state="failed")
    assert run("retry", "1").returncode == 0
    assert check(run)[0] == 0


def test_a_check_of_what_does_not_run_or_cannot_be_used(run: Run, site: Site) -> None:
    assert check(run) == (1, "earshot WARNING: not running; start it with `earshot run`")
    site.configure(watchh=[])
    code, line = check(run)
    assert code == 78
    assert "watchh" in line
    assert check(run, "--ready")[0] == 1
    assert run("status", "--ready").returncode == 2
