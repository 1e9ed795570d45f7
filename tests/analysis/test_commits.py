"""How often a recording waits for the disk: a short reply shares the commit of its result."""

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


def commits(db: Database, body: bytes, storing: Callable[..., int] = store) -> list[set[str]]:
    """Analyze a recording with this answer; returns for each commit after the request what it wrote to."""
    config = Config.model_validate({"database": "/unused.db", "watch": [{"path": "/r"}]})
    with transaction(db):
        queue.add(db, NewRecording(f"https://host.example/{len(body)}.wav", True, None, None, None), NOW)
        recording = queue.claim(db, NOW)
    assert recording
    found: list[set[str]] = [set()]

    def note(sql: str) -> None:
        found[-1] |= {table for table in ("responses", "sentiments") if f"INSERT INTO {table} " in sql}
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
            analyze(db, recording, context)
        finally:
            writing_connection(db).set_trace_callback(None)
    return [tables for tables in found if tables]


def test_a_short_reply_is_committed_with_its_result_and_a_long_one_before(db: Database) -> None:
    short = json.dumps(reply()).encode()
    assert commits(db, short) == [{"responses", "sentiments"}]
    long = short + b" " * SHARED_BYTES
    assert commits(db, long) == [{"responses"}, {"sentiments"}]


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
