"""Delivery to real servers: what arrives, what is tried again, what is given up, and what no log may show."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apprise import Apprise
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack

from daemon.alerts.deliver import delivery, step
from daemon.alerts.sample import sample_message
from daemon.alerts.sender import AppriseSender
from daemon.alerts.targets import open_targets
from daemon.config.models import Config
from daemon.errors import ConfigError, EarshotError, StoreBusyError
from daemon.models import AlertDraft, AlertState, Target
from daemon.runtime.loops import Alarm, Loops
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.operations import troubles
from daemon.storage.outbox import add_alerts, hold_alert
from tests.alerts.examples import add_recording
from tests.databases import new_database, wait_at_most
from tests.servers import Answer, HttpSink, SmtpSink, wait_until

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HIDDEN = "CANARYsecret1234"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "earshot.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    db = new_database(path)
    yield db
    db.close()


def target(url: str, destination: str = "team") -> Target:
    return Target(destination, 0, url, 3500, False)


def add(db: Database, *, destination: str = "team", now: datetime = NOW, body: str = "why it fired") -> int:
    draft = AlertDraft(
        destination=destination,
        target=0,
        rules=("unhappy caller",),
        severity="warning",
        state=AlertState.PENDING,
        reason=None,
        title="[warning] unhappy caller - call.wav",
        body=body,
    )
    with transaction(db):
        (alert_id,) = add_alerts(db, add_recording(db), [draft], now)
    return alert_id


def row(db: Database, alert_id: int) -> dict[str, Any]:
    (found,) = rows(db, "SELECT * FROM alerts WHERE id = ?", (alert_id,))
    return found


def send(url: str, **changes: Any) -> str | None:
    return AppriseSender(url, **changes).send("a title", "a body")


def test_an_alert_arrives_with_title_text_and_ids(db: Database) -> None:
    alert = add(db)
    with HttpSink() as sink:
        sender, to = AppriseSender(f"json://{sink.address}/hook"), target("")
        assert step(db, to, sender, NOW)
        assert not step(db, to, sender, NOW)
        (request,) = sink.wait_for(1)
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.json()["title"] == "[warning] unhappy caller - call.wav"
    assert request.json()["message"] == f"why it fired\n\nearshot alert {alert}, recording 1"
    assert request.json()["type"] == "warning"
    assert (row(db, alert)["state"], row(db, alert)["attempts"]) == ("sent", 1)
    assert row(db, alert)["sent_at"] >= "2026-03-01T12:00:00.000Z"


def test_a_refused_alert_is_tried_again_with_the_same_id(db: Database) -> None:
    alert = add(db)
    with HttpSink(500) as sink:
        sender, to = AppriseSender(f"json://{sink.address}"), target("")
        assert step(db, to, sender, NOW)
        stored = row(db, alert)
        assert (stored["state"], stored["attempts"]) == ("pending", 1)
        assert stored["error"] == "the service answered 500 (Internal Server Error)"
        assert "2026-03-01T12:00:01.800Z" <= stored["not_before"] <= "2026-03-01T12:00:04.000Z"
        assert not step(db, to, sender, NOW + timedelta(seconds=1))
        assert step(db, to, sender, NOW + timedelta(seconds=4))
        first, second = sink.wait_for(2)
    assert first.body == second.body
    assert (row(db, alert)["state"], row(db, alert)["attempts"]) == ("sent", 2)


def test_waits_grow_to_an_hour_and_end_after_a_day_with_a_trouble_for_operations(db: Database) -> None:
    alert, now, waits = add(db), NOW, []
    sender = Refusing()
    while row(db, alert)["state"] == "pending":
        assert step(db, target(""), sender, now)
        due = row(db, alert)["not_before"]
        if due:
            waits.append((datetime.fromisoformat(due) - now).total_seconds())
            now = datetime.fromisoformat(due)
    # The waits as planned, at most a tenth shorter; the last one ends with the day.
    for planned, waited in zip(
        [2, 6, 18, 54, 162, 486, 1458, *[3600] * len(waits)], waits[:-1], strict=False
    ):
        assert planned * 0.9 - 0.01 <= waited <= planned + 1
    assert now - NOW == pytest.approx(timedelta(hours=24), abs=timedelta(seconds=5))
    assert row(db, alert)["error"] == "refused"
    (trouble,) = troubles(db)
    assert trouble.key == ("given_up", "team")
    assert trouble.detail == f"Alert {alert} was given up after {sender.calls} attempts: refused."


def test_many_alerts_given_up_at_once_are_one_trouble(db: Database) -> None:
    for _ in range(5):
        add(db, now=NOW - timedelta(hours=30))
    db.execute("UPDATE alerts SET attempts = 20")
    while step(db, target(""), Refusing(), NOW):
        pass
    assert rows(db, "SELECT count(*) AS n FROM alerts WHERE state = 'failed'")[0]["n"] == 5
    assert [trouble.key for trouble in troubles(db)] == [("given_up", "team")]


def test_an_old_alert_that_was_put_back_is_tried_more_than_once(db: Database) -> None:
    alert = add(db, now=NOW - timedelta(days=3))
    step(db, target(""), Refusing(), NOW)
    assert row(db, alert)["state"] == "pending"


def test_one_refused_for_its_content_does_not_hold_up_the_others(db: Database) -> None:
    refused, fine = add(db, body="poison"), add(db)
    sender = Refusing(only="poison")
    assert step(db, target(""), sender, NOW)
    assert step(db, target(""), sender, NOW)
    assert (row(db, refused)["state"], row(db, fine)["state"]) == ("pending", "sent")


def test_an_accepted_alert_is_not_sent_again_because_the_database_was_locked(
    db: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = add(db)
    wait_at_most(db, 0.05)
    with HttpSink() as sink:
        sender = AppriseSender(f"json://{sink.address}")
        other = open_database(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError):
            step(db, target(""), sender, NOW)
        other.execute("ROLLBACK")
        other.close()
        assert row(db, alert)["state"] == "pending"
        assert step(db, target(""), sender, NOW)
        assert len(sink.requests) == 1
    assert row(db, alert)["state"] == "sent"


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "the service answered 401 (Unauthorized)"),
        (404, "the service answered 404 (Not Found)"),
        (429, "the service answered 429 (Too Many Requests)"),
        (503, "the service answered 503 (Service Unavailable)"),
        (599, "the service answered 599"),
    ],
)
def test_a_refusal_names_the_status(status: int, says: str) -> None:
    with HttpSink(status) as sink:
        assert send(f"json://{sink.address}/{HIDDEN}") == says


@pytest.mark.parametrize("query", ["optional=yes", "retry=3&wait=0.1", "optional=yes&retry=1&wait=0"])
def test_what_a_url_says_of_retries_makes_no_failure_a_success(query: str) -> None:
    with HttpSink(default=500) as sink:
        assert send(f"json://{sink.address}?{query}") == "the service answered 500 (Internal Server Error)"
        assert len(sink.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_no_delivery_unless_the_url_asks_for_it(status: int) -> None:
    """A POST that is redirected to a page for logging in becomes a GET, and gets a 200."""
    with (
        HttpSink() as elsewhere,
        HttpSink(default=Answer(status, headers={"Location": elsewhere.url})) as sink,
    ):
        error = send(f"json://{sink.address}")
        assert error is not None
        assert f"the service answered {status} (" in error
        assert "redirect=yes" in error
        assert elsewhere.requests == []
        assert send(f"json://{sink.address}?redirect=yes") is None
        assert len(elsewhere.requests) == 1


def test_no_connection_no_answer_and_a_broken_one_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert send(f"json://127.0.0.1:{port}/{HIDDEN}") == "no connection, or the service broke it off"
    assert send(f"mailto://127.0.0.1:{port}?from=a@b.example&to=c@d.example&mode=insecure") == (
        "no connection, or the service broke it off"
    )
    with HttpSink(default=Answer(delay=30)) as sink:
        assert send(f"json://{sink.address}/?rto=0.2") == "no answer within 0 s"
        assert send(f"json://{sink.address}/", send_seconds=0.2) == "no answer within 0 s"


def test_while_an_attempt_hangs_no_other_is_started() -> None:
    go_on = threading.Event()
    with HttpSink(Answer(until=go_on)) as sink:
        # Apprise itself would give up in four seconds.
        sender = AppriseSender(f"json://{sink.address}/?rto=60", send_seconds=0.1)
        assert sender.send("a title", "a body") == "no answer within 0 s"
        assert sender.send("a title", "a body") == "the last attempt still hangs"
        assert len(sink.wait_for(1)) == 1
        go_on.set()
        wait_until(lambda: sender.send("a title", "a body") != "the last attempt still hangs")


def test_a_slow_service_is_waited_for_longer_than_apprise_does() -> None:
    with HttpSink(Answer(delay=4.5)) as sink:
        assert send(f"json://{sink.address}/") is None
        assert len(sink.requests) == 1


def test_an_exception_in_apprise_is_a_failure_of_that_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_apprise: Apprise, **_: object) -> None:
        raise ValueError(HIDDEN)

    monkeypatch.setattr(Apprise, "notify", explode)
    sender = AppriseSender("json://127.0.0.1/x")
    assert sender.send("a title", "a body") == "Apprise failed with ValueError"


def test_an_unusable_url_is_refused_without_showing_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for url in (f"nonsense://{HIDDEN}", f"slack://{HIDDEN}", HIDDEN):
        with pytest.raises(EarshotError) as caught:
            AppriseSender(url)
        assert HIDDEN not in str(caught.value)
    assert HIDDEN not in caplog.text


def test_mail_arrives_as_plain_text() -> None:
    sample = sample_message(limit=3500)
    with SmtpSink() as sink:
        sender = AppriseSender(sink.mailto())
        assert sender.send(sample.title, "5 < 6 & *so*\n\nlast line", "critical") is None
        (mail,) = sink.wait_for(1)
    assert mail["Subject"] == sample.title
    assert mail["To"] == "team@example.org"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().replace("\r\n", "\n").rstrip("\n") == "5 < 6 & *so*\n\nlast line"


def test_slack_and_discord_get_text_that_they_cannot_take_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpSink() as sink:
        monkeypatch.setattr(NotifySlack, "webhook_url", sink.url)
        monkeypatch.setattr(NotifyDiscord, "notify_url", sink.url)
        assert send("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/") is None
        assert send("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/") is None
        slack, discord = sink.wait_for(2)
    assert slack.json()["mrkdwn"] is False
    assert slack.json()["attachments"][0]["text"] == "a body"
    assert discord.json()["content"] == "a title\r\na body"


def test_one_broken_destination_does_not_delay_another(path: Path, db: Database) -> None:
    now = datetime.now(UTC)
    with HttpSink(default=Answer(delay=30)) as broken, HttpSink() as fine:
        stuck = add(db, destination="broken", now=now)
        urls = [("broken", f"json://{broken.address}/?rto=1"), ("team", f"json://{fine.address}")]
        with running(path, [target(url, name) for name, url in urls]) as wake:
            broken.wait_for(1)
            first = add(db, now=now)
            wake()
            fine.wait_for(1)
            wait_until(lambda: row(db, first)["state"] == "sent")
            wait_until(lambda: row(db, stuck)["error"] == "no answer within 1 s")
        assert row(db, stuck)["state"] == "pending"


def test_a_thread_sends_what_comes_in_tries_again_by_itself_and_ends_at_once(
    path: Path, db: Database
) -> None:
    with HttpSink(503) as sink, running(path, [target(f"json://{sink.address}")]) as wake:
        alert = add(db, now=datetime.now(UTC))
        wake()
        first, second = sink.wait_for(2)
        assert first.body == second.body
        assert second.at - first.at >= 1.7
        wait_until(lambda: row(db, alert)["state"] == "sent")


def test_what_was_pending_before_the_start_is_sent(path: Path, db: Database) -> None:
    alerts = [add(db, now=datetime.now(UTC)) for _ in range(2)]
    with transaction(db):
        # The quiet hours that it waited for were taken out of the configuration.
        hold_alert(db, alerts[1], datetime.now(UTC) + timedelta(hours=9))
    with HttpSink() as sink, running(path, [target(f"json://{sink.address}")]):
        wait_until(lambda: [row(db, alert)["state"] for alert in alerts] == ["sent", "sent"])


def test_a_thread_survives_whatever_goes_wrong(
    path: Path, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    alert = add(db, now=datetime.now(UTC))
    db.execute("UPDATE alerts SET created_at = 'nonsense'")
    with HttpSink(500) as sink, running(path, [target(f"json://{sink.address}")]):
        wait_until(lambda: "loop interrupted" in caplog.text)
        assert f"while delivering alert {alert}" in caplog.text
        db.execute("UPDATE alerts SET created_at = ?", ("2026-03-01T12:00:00.000Z",))
        wait_until(lambda: row(db, alert)["state"] == "sent")


def test_no_secret_of_a_url_reaches_a_row_or_a_log(
    path: Path, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("", "apprise", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger=name or None)
    secrets = [f"{HIDDEN}{part}" for part in ("user", "pass", "path", "query", "header")]
    user, password, folder, query, header = secrets
    with HttpSink(500, 302, Answer(200, delay=2)) as sink, SmtpSink() as mail:
        where = f"{user}:{password}@{sink.address}/{folder}"
        rest = f"?rto=1&-token={query}&%2BX-Token={header}"
        urls = [
            f"json://{where}{rest}",
            f"form://{where}{rest}",
            f"xml://{where}{rest}",
            f"json://{user}:{password}@127.0.0.1:1/{folder}{rest}",
            f"mailto://{user}:{password}@127.0.0.1:{mail.port}?from=a@b.example&to=c@d.example&mode=insecure",
            f"mailto://{user}:{password}@127.0.0.1:1?from=a@b.example&to=c@d.example&mode=insecure",
        ]
        for number, url in enumerate(urls):
            alert = add(db, destination=str(number))
            to = target(url, str(number))
            assert step(db, to, AppriseSender(url), NOW)
            assert row(db, alert)["state"] == "pending"
            db.execute("UPDATE alerts SET attempts = 20, not_before = NULL WHERE id = ?", (alert,))
            late = NOW + timedelta(days=2)
            assert step(db, to, AppriseSender(url), late)
            assert HIDDEN not in repr(to)
            sink.then(500, 302, Answer(200, delay=2))
    assert "alert given up" in caplog.text
    assert HIDDEN not in caplog.text
    assert HIDDEN not in json.dumps(rows(db, "SELECT * FROM alerts"))
    assert HIDDEN.encode() not in path.read_bytes() + path.with_name("earshot.db-wal").read_bytes()


def configuration(destinations: dict[str, Any], **alerts: Any) -> Config:
    return Config.model_validate(
        {"database": "/x", "watch": (), "alerts": {"destinations": destinations, **alerts}}
    )


def test_targets_are_opened_with_their_limits() -> None:
    team = {"urls": ("json://127.0.0.1/a", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/")}
    ops = {"urls": ("voipms://pw:user@example.com/15551234567/15557654321",)}
    config = configuration({"team": team, "ops": ops})
    targets = open_targets(config, {})
    assert [(each.destination, each.index, each.limit, each.title_in_body) for each in targets] == [
        ("team", 0, 3500, False),
        ("team", 1, 2000, True),
        ("ops", 0, 160, True),
    ]


def test_all_unusable_urls_are_named_at_once_without_showing_them() -> None:
    urls = ("json://127.0.0.1/a", f"slack://{HIDDEN}", f"nonsense://{HIDDEN}")
    with pytest.raises(ConfigError) as caught:
        open_targets(configuration({"team": {"urls": urls}, "ops": {"urls": (HIDDEN,)}}), {})
    assert [problem.key for problem in caught.value.problems] == [
        "alerts.destinations.team",
        "alerts.destinations.team",
        "alerts.destinations.ops",
    ]
    assert "URL 2 Apprise cannot use this slack:// URL" in str(caught.value)
    assert HIDDEN not in str(caught.value)


class Refusing:
    """A sender for tests of the schedule, which a real one would take a day for."""

    def __init__(self, only: str = "") -> None:
        self.only = only
        self.calls = 0
        self.delivered_id: int | None = None

    def send(self, title: str, body: str, severity: str) -> str | None:
        self.calls += 1
        return "refused" if self.only in body else None


@contextmanager
def running(path: Path, targets: Sequence[Target]) -> Iterator[Callable[[], None]]:
    """Loops for the targets; yields what wakes them, and checks at the end that they stop without delay."""
    loops = Loops(retry_seconds=0.05)
    for each in targets:
        loops.start(f"{each.destination}-{each.index}", delivery(each), database=path, wake=Alarm())
    try:
        yield loops.wake
    finally:
        started = time.monotonic()
        loops.end(60)
        assert time.monotonic() - started < 60
