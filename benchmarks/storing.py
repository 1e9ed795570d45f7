"""What storing costs beside SQLite alone, and a reply of a call of hours."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from daemon.config.models import Config
from daemon.deepgram.reply import parse_body, read_reply
from daemon.deepgram.request import requests_by_folder
from daemon.models import NewRecording
from daemon.storage import queue
from daemon.storage.database import open_database, transaction
from daemon.storage.results import compressed, store_response, store_result
from tests.harness import reply

THREADS = 20
INSERT = "INSERT INTO snoozes (rule, until) VALUES (?, '')"
LONG_BYTES = 25_000_000


def commit(*, small: bool) -> Iterator[Figure]:
    """Yield how many changes a second are committed, by one thread and by many, beside a bare loop."""
    count = 20 if small else 1000
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "earshot.db"
        with closing(open_database(path)):
            bare = count / _seconds(lambda: _bare(path, count))
            alone = count / _seconds(lambda: _ours(path, "alone", count))
            together = THREADS * count / _seconds(lambda: _together(path, count))
    yield Figure("commits by one thread", alone, "/s", "SQLite alone", bare)
    yield Figure(f"commits by {THREADS} threads", together, "/s", "SQLite alone, one thread", bare)


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _bare(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        for number in range(count):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(INSERT, (f"bare {number}",))
            connection.execute("COMMIT")


def _ours(path: Path, name: str, count: int) -> None:
    with closing(open_database(path)) as db:
        for number in range(count):
            with transaction(db):
                db.execute(INSERT, (f"{name} {number}",))


def _together(path: Path, count: int) -> None:
    threads = [threading.Thread(target=_ours, args=(path, str(number), count)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def long_reply(*, small: bool) -> Iterator[Figure]:
    """Yield what the reply of a call of hours takes to interpret and store, beside one half as long."""
    size = 200_000 if small else LONG_BYTES
    # The shortest of some, because what else the machine does only adds to it.
    half, whole = (min(_seconds_of(each) for _ in range(1 if small else 3)) for each in (size // 2, size))
    work = f"reply of {size / 1e6:g} MB interpreted and stored"
    yield Figure(f"{work}: processor time", whole, "s", "half of it", half)
    half, whole = (_peak_bytes(each) / 1e6 for each in (size // 2, size))
    yield Figure(f"{work}: memory", whole, "MB", "half of it", half)


def _seconds_of(size: int) -> float:
    with _storing(size) as store:
        started = time.process_time()
        store()
        return time.process_time() - started


def _peak_bytes(size: int) -> int:
    """Return the most memory that Python's objects take, beyond the reply as it came."""
    with _storing(size) as store:
        tracemalloc.start()
        store()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak


@contextmanager
def _storing(size: int) -> Iterator[Callable[[], None]]:
    """Yield what interprets and stores a reply of so many bytes."""
    body, now = _body(size), datetime.now(UTC)
    config = Config.model_validate({"database": "/unused.db", "watch": [{"path": "/unused"}]})
    request = requests_by_folder(config)[None]
    with tempfile.TemporaryDirectory() as place, closing(open_database(Path(place) / "earshot.db")) as db:
        with transaction(db):
            number = queue.add(db, NewRecording("https://host.example/a", True, None, None, None), now)

        def store() -> None:
            analysis = read_reply(parse_body(body), request)
            with transaction(db):
                store_response(db, number, compressed(body), kind="listen", now=now)
                store_result(db, number, analysis, now=now)

        yield store


def _body(size: int) -> bytes:
    """A reply with so many words that it is about so long."""
    content: dict[str, Any] = reply(name="full_diarized")
    (best, *_) = content["results"]["channels"][0]["alternatives"]
    words = best["words"]
    times = max(1, size // len(json.dumps(words)))
    best["words"] = words * times
    best["transcript"] = " ".join(str(word.get("punctuated_word") or word["word"]) for word in best["words"])
    return json.dumps(content).encode()
