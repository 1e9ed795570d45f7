"""How often a recording waits for the disk: what belongs together shares a commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from daemon.analysis.analyze import SHARED_BYTES, analyze
from daemon.analysis.context import Context
from daemon.analysis.throttle import Throttle
from daemon.config.models import Config
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import requests_by_folder
from daemon.models import NewRecording
from daemon.runtime.results import store
from daemon.storage import queue
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction
from tests.databases import new_database, writing_connection
from tests.harness import ScriptedApi, reply
from tests.storage.stores import NOW


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with closing(new_database(tmp_path / "earshot.db")) as db:
        yield db


WRITES = {
    "claim": "UPDATE recordings SET state = 'analyzing'",
    "request": "INSERT INTO requests ",
    "reply": "INSERT INTO responses ",
    "result": "INSERT INTO sentiments ",
}


def commits(
    db: Database, body: bytes, storing: Callable[..., int] = store, *, changed: str | None = None
) -> list[set[str]]:
    """Analyze a recording with this answer; returns for each commit which of WRITES were in it.

    With `changed`, a statement that changes it once it was picked, it is left.
    """
    config = Config.model_validate({"database": "/unused.db", "watch": [{"path": "/r"}]})
    with transaction(db):
        number = queue.add(db, NewRecording(f"https://host.example/{len(body)}.wav", True, None), NOW)
    recording = queue.recording_of(db, number)
    assert recording
    if changed:
        db.execute(changed)
    found: list[set[str]] = [set()]

    def note(sql: str) -> None:
        found[-1] |= {name for name, beginning in WRITES.items() if beginning in sql}
        if sql == "COMMIT":
            found.append(set())

    with (
        ScriptedApi(lambda conversation: conversation.reply(body=body)) as api,
        ApiClient(api.url, key=None, timeout=60.0) as client,
    ):
        context = Context(
            config=config,
            client=client,
            requests=requests_by_folder(config),
            store=partial(storing, alerts=config.alerts, targets=()),
            throttle=Throttle(1),
        )
        writing_connection(db).set_trace_callback(note)
        try:
            assert analyze(db, recording, context, is_claimed=False) == (changed is None)
        finally:
            writing_connection(db).set_trace_callback(None)
    return [writes for writes in found if writes]


def test_a_claim_is_committed_with_its_request_and_a_short_reply_with_its_result(db: Database) -> None:
    short = json.dumps(reply()).encode()
    assert commits(db, short) == [{"claim", "request"}, {"reply", "result"}]
    long = short + b" " * SHARED_BYTES
    assert commits(db, long) == [{"claim", "request"}, {"reply"}, {"result"}]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM recordings",
        "UPDATE recordings SET modified_at = '2026-01-01T00:00:00.000Z'",
        "UPDATE recordings SET state = 'skipped'",
        "UPDATE recordings SET not_before = '2999-01-01T00:00:00.000Z'",
    ],
)
def test_what_changed_while_it_was_got_ready_is_left_as_it_is_and_not_sent(db: Database, change: str) -> None:
    commits(db, b"{}", changed=change)
    assert rows(db, "SELECT 1 FROM recordings WHERE state = 'analyzing' OR attempts > 0") == []
    assert rows(db, "SELECT 1 FROM requests") == []


def test_a_reply_whose_result_cannot_be_stored_is_kept_by_itself(db: Database) -> None:
    def fault(
        own: Database, _recording: object, _analysis: object, first: Callable[..., None], **_: object
    ) -> int:
        with transaction(own):
            first(NOW)
            raise ValueError("a fault of earshot's own")

    with pytest.raises(ValueError, match="own"):
        commits(db, json.dumps(reply()).encode(), fault)
    assert rows(db, "SELECT kind FROM responses") == [{"kind": "listen"}]
    assert rows(db, "SELECT outcome FROM requests") == [{"outcome": "received"}]
    assert rows(db, "SELECT possibly_billed FROM recordings") == [{"possibly_billed": 1}]
