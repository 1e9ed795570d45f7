"""What the step that claims recordings does when it cannot, and how its end waits."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from daemon.analysis.context import Context
from daemon.analysis.pauses import hold, resume
from daemon.analysis.throttle import Throttle
from daemon.analysis.workers import LOOK_SECONDS, NOTHING_WAITS_SECONDS, Workers
from daemon.config.models import Config
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import requests_by_folder
from daemon.errors import StoreBusyError
from daemon.runtime.results import store
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.operations import troubles
from tests.databases import new_database, wait_at_most, writing_connection
from tests.storage.stores import add


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "earshot.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    with closing(new_database(path)) as db:
        yield db


@pytest.fixture
def client() -> Iterator[ApiClient]:
    with ApiClient("http://127.0.0.1:1", key=None, timeout=1.0) as client:
        yield client


def context_of(config: Config, client: ApiClient) -> Context:
    """What a worker needs, for one request at a time."""
    return Context(
        config=config,
        client=client,
        requests=requests_by_folder(config),
        store=partial(store, alerts=config.alerts, targets=()),
        throttle=Throttle(1),
    )


def test_time_in_which_nothing_could_be_written_is_told_once_it_is_over(
    path: Path, db: Database, client: ApiClient
) -> None:
    """D3: a pause that began and one that ended; while the database is locked neither can be noted."""
    config = Config.model_validate(
        {
            "database": path,
            "watch": [{"path": "/r"}],
            "alerts": {"destinations": {"ops": {"urls": ["json://127.0.0.1:1"]}}, "operations": ["ops"]},
        }
    )
    context = context_of(config, client)
    workers = Workers(path, context)
    add(db)
    wait_at_most(db, 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            with pytest.raises(StoreBusyError):
                workers.step(db)
        assert troubles(db) == []
        other.execute("ROLLBACK")
    workers.step(db)
    assert workers.drain(5.0)

    (trouble,) = troubles(db)
    assert (trouble.key, trouble.over_at is None) == (("store", ""), False)
    assert rows(db, "SELECT * FROM pauses WHERE cause = 'store'") == []


def test_looks_are_seldom_only_while_nothing_waits_and_nothing_is_paused(
    path: Path, db: Database, client: ApiClient
) -> None:
    config = Config.model_validate({"database": path, "watch": [{"path": "/r"}]})
    context = context_of(config, client)
    workers = Workers(path, context)
    assert workers.step(db) == NOTHING_WAITS_SECONDS
    with transaction(db):
        hold(db, "key", "401", context, context.clock(), shared=True)
    assert workers.step(db) <= LOOK_SECONDS
    with transaction(db):
        resume(db, context.clock(), causes={"key"})
    add(db)
    db.execute("UPDATE recordings SET not_before = '2999-01-01T00:00:00.000Z'")
    assert workers.step(db) <= LOOK_SECONDS


def test_the_end_waits_for_a_recording_that_is_got_ready_while_it_begins(
    tmp_path: Path, path: Path, db: Database, client: ApiClient
) -> None:
    """Else it would need what is closed already."""
    config = Config.model_validate({"database": path, "watch": [{"path": str(tmp_path)}]})
    retired, claiming, go_on = threading.Event(), threading.Event(), threading.Event()

    def away() -> frozenset[str]:
        # Asked just before the claim.
        claiming.set()
        go_on.wait(60)
        return frozenset()

    add(db, folder=str(tmp_path))
    context = Context(
        config=config,
        client=client,
        requests=requests_by_folder(config),
        store=partial(store, alerts=config.alerts, targets=()),
        throttle=Throttle(1),
        retired=retired.is_set,
        away=away,
    )
    workers = Workers(path, context)

    def claim() -> None:
        with closing(open_database(path)) as own:
            workers.step(own)

    claim_thread = threading.Thread(target=claim)
    claim_thread.start()
    claiming.wait(60)
    retired.set()
    ended: list[bool] = []
    draining = threading.Thread(target=lambda: ended.append(workers.drain(20)))
    draining.start()
    draining.join(0.2)
    assert not ended
    go_on.set()
    draining.join(60)
    claim_thread.join(60)
    assert ended == [True]
    assert rows(db, "SELECT state FROM recordings") == [{"state": "waiting"}]
    assert workers.in_flight == 0


def test_nothing_is_claimed_once_the_end_began(
    tmp_path: Path, path: Path, db: Database, client: ApiClient
) -> None:
    config = Config.model_validate({"database": path, "watch": [{"path": str(tmp_path)}]})
    context = Context(
        config=config,
        client=client,
        requests=requests_by_folder(config),
        store=partial(store, alerts=config.alerts, targets=()),
        throttle=Throttle(1),
        retired=lambda: True,
    )
    add(db, folder=str(tmp_path))
    Workers(path, context).step(db)

    assert rows(db, "SELECT state FROM recordings") == [{"state": "waiting"}]


def test_a_claim_whose_commit_fails_takes_no_place(
    tmp_path: Path, path: Path, db: Database, client: ApiClient
) -> None:
    config = Config.model_validate({"database": path, "watch": [{"path": str(tmp_path)}]})
    context = Context(
        config=config,
        client=client,
        requests=requests_by_folder(config),
        store=partial(store, alerts=config.alerts, targets=()),
        throttle=Throttle(3),
    )
    add(db, 2, folder=str(tmp_path))
    # What was asked for before is claimed before anything else.
    db.execute("UPDATE recordings SET attempts = 1")
    connection = writing_connection(db)

    def refuse_commits(action: int, first: str | None, *_: object) -> int:
        is_commit = (action, first) == (sqlite3.SQLITE_TRANSACTION, "COMMIT")
        return sqlite3.SQLITE_DENY if is_commit else sqlite3.SQLITE_OK

    def on_statement(sql: str) -> None:
        if "state = 'analyzing'" in sql and sql.lstrip().startswith("UPDATE"):
            connection.set_authorizer(refuse_commits)

    connection.set_trace_callback(on_statement)
    workers = Workers(path, context)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        workers.step(db)
    connection.set_trace_callback(None)
    connection.set_authorizer(None)
    assert context.throttle.in_flight == 0
    assert rows(db, "SELECT DISTINCT state FROM recordings") == [{"state": "waiting"}]
    assert workers.drain(60)
