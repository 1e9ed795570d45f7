"""A file that is gone, on a share that stops answering just as that is to be stored."""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from pathlib import Path

from daemon.analysis.analyze import analyze
from daemon.analysis.context import Context
from daemon.analysis.throttle import Throttle
from daemon.config.models import Config
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import requests_by_folder
from daemon.runtime.results import store
from daemon.storage.database import transaction
from daemon.storage.queue import claim
from tests.databases import new_database, writing_connection
from tests.servers import wait_until
from tests.storage.stores import NOW, add, states
from tests.watching.mounts import Share, shared


def test_a_share_that_hangs_as_a_failure_is_stored_locks_nobody_out(tmp_path: Path) -> None:
    database = tmp_path / "state/earshot.db"
    with shared(tmp_path) as share, closing(new_database(database)) as db:
        add(db, folder=str(share.path))
        has_hung = threading.Event()
        thread = threading.Thread(target=fail, args=(database, share, has_hung), daemon=True)
        thread.start()
        try:
            wait_until(has_hung.is_set, what="the transaction")
            with transaction(db):
                pass
            wait_until(lambda: states(db) == {"skipped": 1}, what="the failure to be stored")
        finally:
            share.answer()
            thread.join()


def fail(database: Path, share: Share, has_hung: threading.Event) -> None:
    """Analyze the recording, whose file is not there; the share hangs when the first transaction begins."""

    def trace(statement: str) -> None:
        if statement.startswith("BEGIN") and not has_hung.is_set():
            share.hang()
            has_hung.set()

    config = Config.model_validate({"database": database, "watch": [{"path": str(share.path)}]})
    with (
        closing(new_database(database)) as db,
        ApiClient("http://127.0.0.1:1", key=None, timeout=1.0) as client,
    ):
        context = Context(
            config=config,
            client=client,
            requests=requests_by_folder(config),
            throttle=Throttle(1),
            store=partial(store, alerts=config.alerts, targets=()),
        )
        recording = claim(db, NOW)
        assert recording
        writing_connection(db).set_trace_callback(trace)
        analyze(db, recording, context)
