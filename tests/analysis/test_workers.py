"""The loop that claims, against a database that another process holds."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from daemon.alerts.targets import open_targets
from daemon.analysis import workers as dispatch
from daemon.analysis.context import Context
from daemon.analysis.throttle import Throttle
from daemon.analysis.workers import Workers
from daemon.config.models import Config
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import requests_by_folder
from daemon.storage import database as database_module
from daemon.storage.database import open_database, rows
from tests.servers import wait_until
from tests.storage.stores import add


def test_time_in_which_nothing_could_be_written_is_told_once_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3: a pause that began and one that ended; while the database is locked neither can be noted."""
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(dispatch, "STORE_WAIT_SECONDS", 0.05)
    path = tmp_path / "earshot.db"
    config = Config.model_validate(
        {
            "database": path,
            "watch": [{"path": "/r"}],
            "alerts": {"destinations": {"ops": {"urls": ["json://127.0.0.1:1"]}}, "operations": ["ops"]},
        }
    )
    stop = threading.Event()
    with (
        closing(open_database(path)) as db,
        ApiClient(lambda: "http://127.0.0.1:1", key=None, timeout=1.0) as client,
    ):
        context = Context(
            config=config,
            client=client,
            requests=requests_by_folder(config),
            targets=open_targets(config, {}),
            throttle=Throttle(1),
        )
        workers = Workers(path, context)
        looks: list[float] = []
        add(db)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            thread = threading.Thread(target=workers.run, args=(stop, lambda: looks.append(0.0)))
            thread.start()
            wait_until(lambda: len(looks) > 3, what="some looks at the locked database")
            assert rows(db, "SELECT * FROM alerts") == []
            other.execute("ROLLBACK")

        def told() -> list[str]:
            return [row["title"] for row in rows(db, "SELECT title FROM alerts ORDER BY id")]

        wait_until(lambda: len(told()) >= 2, what="both to be told")
        stop.set()
        workers.wake.set()
        thread.join()
        workers.drain(5.0)
        assert told() == [
            "[critical] earshot paused - the database cannot be written",
            "[info] earshot goes on - the database cannot be written no longer",
        ]
        assert rows(db, "SELECT * FROM pauses WHERE cause = 'store'") == []


def test_the_end_waits_for_a_recording_that_is_claimed_while_it_begins(tmp_path: Path) -> None:
    """Else its request would begin when everything it needs is closed already."""
    path = tmp_path / "earshot.db"
    config = Config.model_validate({"database": path, "watch": [{"path": str(tmp_path)}]})
    stop, claiming, go_on = threading.Event(), threading.Event(), threading.Event()

    def away() -> frozenset[str]:
        # Asked just before the claim.
        claiming.set()
        go_on.wait(20)
        return frozenset()

    with (
        closing(open_database(path)) as db,
        ApiClient(lambda: "http://127.0.0.1:1", key=None, timeout=1.0) as client,
    ):
        add(db, folder=str(tmp_path))
        requests = requests_by_folder(config)
        context = Context(
            config=config, client=client, requests=requests, targets=[], throttle=Throttle(1), away=away
        )
        workers = Workers(path, context)
        looking = threading.Thread(target=workers.run, args=(stop, lambda: None))
        looking.start()
        claiming.wait(20)
        stop.set()
        ended: list[bool] = []
        draining = threading.Thread(target=lambda: ended.append(workers.drain(20)))
        draining.start()
        draining.join(0.2)
        assert not ended
        go_on.set()
        draining.join(20)
        looking.join(20)
        assert ended == [True]
        assert rows(db, "SELECT state FROM recordings") == [{"state": "skipped"}], "gone before it was read"
