"""Messages to other programs: signed, complete, the same at every attempt, through the real process."""

from __future__ import annotations

import base64
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from daemon.alerts.webhooks import Receiver, WebhookSender, step
from daemon.models import Ending, NewRecording, RecordingState, utc_now
from daemon.storage import queue
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction
from daemon.storage.webhooks import Subscription, configure_webhooks, note_event, stuck_webhooks
from tests.databases import new_database, tables
from tests.harness import ScriptedApi, Service
from tests.servers import Answer, HttpSink, Received, wait_until

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four bytes").decode()


def opened(request: Received) -> dict[str, Any]:
    """What a receiver gets that verifies as docs/alerts.md says."""
    message = Webhook(SECRET).verify(request.body, request.headers)
    assert isinstance(message, dict)
    return message


@pytest.fixture
def now() -> datetime:
    """The time of the test, not of the whole run: what is over five minutes old is not taken."""
    return utc_now()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with closing(new_database(tmp_path / "state" / "earshot.db")) as database:
        with transaction(database):
            configure_webhooks(database, [Subscription("crm", ("done", "failed"), transcript=False)])
        yield database


def failed(db: Database, now: datetime) -> int:
    ending = Ending(RecordingState.FAILED, "corrupt_audio", "no audio")
    with transaction(db):
        return queue.add(db, NewRecording("/srv/a.wav", is_url=False, folder="/srv"), now, ending=ending)


def row(db: Database) -> dict[str, Any]:
    (found,) = rows(db, "SELECT * FROM webhooks")
    return found


def test_a_failure_is_stored_with_its_message(db: Database, now: datetime) -> None:
    recording_id = failed(db, now)
    message = json.loads(row(db)["body"])
    assert (message["type"], message["data"]["id"]) == ("recording.failed", recording_id)
    assert message["data"]["error_code"] == "corrupt_audio"


def test_without_include_nothing_of_what_was_said_goes_out(db: Database, now: datetime) -> None:
    recording_id = failed(db, now)
    db.execute("DELETE FROM webhooks")
    db.execute("UPDATE recordings SET transcript = 'CANARY', summary = 'short' WHERE id = ?", [recording_id])
    for table in ("sentiments", "topics", "intents"):
        tables(db).table(table).insert({"recording_id": recording_id, "position": 0, "text": "CANARY"})
    alert = {"destination": "team", "target": 0, "created_at": "x", "title": "t", "body": "CANARY"}
    tables(db).table("alerts").insert(alert | {"recording_id": recording_id, "state": "sent"})
    with transaction(db):
        note_event(db, recording_id, "done", now)
    text = row(db)["body"]
    assert "CANARY" not in text and json.loads(text)["data"]["summary"] == "short"
    with transaction(db):
        db.execute("DELETE FROM webhooks")
        configure_webhooks(db, [Subscription("crm", ("done",), transcript=True)])
        note_event(db, recording_id, "done", now)
    assert row(db)["body"].count("CANARY") == 5


def test_every_attempt_has_the_same_id_and_a_signature_of_its_own(db: Database, now: datetime) -> None:
    failed(db, now)
    with HttpSink(500, Answer(302, headers={"Location": "/elsewhere"})) as sink:
        receiver = Receiver("crm", f"{sink.url}/hook?token=CANARY", SECRET)
        sender = WebhookSender(receiver)
        for minutes in (0, 10, 20):
            assert step(db, receiver, sender, now + timedelta(minutes=minutes))
            if minutes == 0:
                assert "500" in row(db)["error"] and "CANARY" not in row(db)["error"]
        # Redirects are not followed: a GET without the message would look like success.
        assert [request.path for request in sink.requests] == ["/hook?token=CANARY"] * 3
        assert {request.headers["webhook-id"] for request in sink.requests} == {row(db)["message_id"]}
        assert opened(sink.requests[0]) == json.loads(sink.requests[0].body)
        assert len({request.headers["webhook-signature"] for request in sink.requests}) == 3
    assert (row(db)["state"], row(db)["attempts"]) == ("sent", 3)


def test_a_receiver_that_says_that_it_is_gone_is_not_asked_again_and_operations_hear(
    db: Database, now: datetime
) -> None:
    failed(db, now)
    with HttpSink(410) as sink:
        receiver = Receiver("crm", sink.url, SECRET)
        sender = WebhookSender(receiver)
        assert step(db, receiver, sender, now)
        assert not step(db, receiver, sender, now + timedelta(days=1))
    assert row(db)["state"] == "failed"
    assert "410" in stuck_webhooks(db, now - timedelta(hours=1))["crm"]


def test_a_receiver_that_says_nothing_is_given_up_in_time(db: Database, now: datetime) -> None:
    failed(db, now)
    with HttpSink(Answer(delay=5.0)) as sink:
        receiver = Receiver("crm", sink.url, SECRET)
        assert step(db, receiver, WebhookSender(receiver, send_seconds=0.1), now)
    assert "no answer within" in row(db)["error"]


def test_the_receiver_of_the_documentation_takes_what_is_sent(
    db: Database,
    now: datetime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = Path(__file__).parents[2].joinpath("docs", "alerts.md").read_text("utf-8")
    code = page.partition("```python\n")[2].partition("```\n")[0]
    names: dict[str, Any] = {}
    (tmp_path / "crm.secret").write_text(f"{SECRET}\n")
    monkeypatch.chdir(tmp_path)
    exec(code.partition("HTTPServer((")[0], names)  # noqa: S102 - what people copy
    failed(db, now)
    with names["HTTPServer"](("127.0.0.1", 0), names["Receiver"]) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        receiver = Receiver("crm", f"http://127.0.0.1:{server.server_port}/", SECRET)
        assert step(db, receiver, WebhookSender(receiver), now)
        thread.join()
    assert row(db)["state"] == "sent", row(db)["error"]
    assert f"{row(db)['message_id']} recording.failed a.wav" in capsys.readouterr().out


def test_what_belongs_to_a_deleted_recording_goes_with_it(db: Database, now: datetime) -> None:
    recording_id = failed(db, now)
    db.execute("PRAGMA foreign_keys=OFF")
    db.execute("DELETE FROM recordings WHERE id = ?", [recording_id])
    assert list(rows(db, "SELECT * FROM webhooks")) == []
    with transaction(db):
        note_event(db, recording_id, "failed", utc_now())
    assert list(rows(db, "SELECT * FROM webhooks")) == []


def configured(place: Path, api: ScriptedApi, sink: HttpSink) -> Service:
    secret = place / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    hook = {"url": f"{sink.url}/hook", "secret_file": str(secret), "include": ["transcript"], "name": "crm"}
    return Service(
        place, {"analyzer": {"base_url": api.url}, "webhooks": [hook | {"on": ["done", "failed"]}]}
    )


def test_killed_between_the_result_and_its_delivery_the_same_message_comes(tmp_path: Path) -> None:
    with ScriptedApi() as api, HttpSink(default=503) as sink, configured(tmp_path, api, sink) as service:
        service.start()
        service.drop("call.wav")
        (first,) = sink.wait_for(1)[:1]
        service.kill()
        sink.then(default=200)
        service.start()
        wait_until(lambda: [each["state"] for each in service.rows("SELECT state FROM webhooks")] == ["sent"])
        last = sink.requests[-1]
        assert opened(last) == opened(first)
        assert last.headers["webhook-id"] == first.headers["webhook-id"]
        message = opened(last)
        assert message["type"] == "recording.done"
        assert message["data"]["transcript"] and message["data"]["sentiments"][0]["text"]
        count = len(sink.requests)
        (listed,) = json.loads(service.earshot("webhooks", "--json").stdout)
        assert (listed["event"], listed["state"], "body" in listed) == ("done", "sent", False)
        assert service.earshot("webhooks", "retry", str(listed["id"])).returncode == 0
        again = sink.wait_for(count + 1)[-1]
        assert again.headers["webhook-id"] == first.headers["webhook-id"]
        assert service.stop(signal.SIGTERM) == 0
        assert SECRET not in service.log()


def test_check_says_what_is_wrong_with_a_webhook(tmp_path: Path) -> None:
    with ScriptedApi() as api, HttpSink() as sink, configured(tmp_path, api, sink) as service:
        fine = service.earshot("check", "--offline")
        assert "webhook crm: on done, failed" in fine.stdout, fine.stderr
        (tmp_path / "secret").write_text("whsec_abc")
        refused = service.earshot("check", "--offline")
        assert refused.returncode == 1
        assert "openssl rand" in refused.stdout + refused.stderr
        hook = {"url": "ftp://x?token=CANARY", "secret_file": "s", "on": ["don"]}
        service.write_config(webhooks=[hook, hook])
        wrong = service.earshot("check", "--offline")
        assert wrong.returncode == 78
        said = wrong.stdout + wrong.stderr
        assert "webhooks[0].url: is not a web address" in said and "CANARY" not in said
        assert "webhooks[0].on[0]" in said
        hook = {"url": "https://x/?token=CANARY", "secret_file": "s"}
        service.write_config(webhooks=[hook, hook])
        wrong = service.earshot("check", "--offline")
        assert "webhooks[1]: webhooks[0] is called the same" in wrong.stdout + wrong.stderr
