"""What only stands there: a long queue, and a folder of files that are known."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, peak_bytes, pid_of, processor_seconds, wake_ups
from daemon.models import NewRecording
from daemon.storage import queue
from daemon.storage.database import open_database, transaction
from tests.harness import ScriptedApi, Service

CLAIMS = 50


def backlog(*, small: bool) -> Iterator[Figure]:
    """Yield the cost of a claim, the time to the first request and the memory with many waiting."""
    waiting = 1000 if small else 100_000
    with tempfile.TemporaryDirectory() as place, ScriptedApi() as api:
        service = Service(Path(place), {"analyzer": {"base_url": api.url}})
        few = _claim_seconds(Path(place) / "few.db", 10)
        many = _claim_seconds(service.database, waiting)
        with service:
            started = time.monotonic()
            service.start(ready=False)
            api.wait_for_calls(1, seconds=600)
            first = time.monotonic() - started
            peak = peak_bytes(pid_of(service))
    yield Figure(f"claim with {waiting} waiting", many * 1000, "ms", "10 waiting", few * 1000)
    yield Figure(f"start to first request with {waiting} waiting", first, "s")
    yield Figure(f"memory with {waiting} waiting", peak / 1e6, "MB")


def _claim_seconds(path: Path, waiting: int) -> float:
    """Fill a database with hosted recordings that wait; the shortest time of a claim before its commit."""
    now = datetime.now(UTC)
    seconds = []
    with closing(open_database(path)) as db:
        with transaction(db):
            for number in range(waiting):
                queue.add(db, NewRecording(f"https://host.example/{number}", True, None, None, None), now)
        for _ in range(min(CLAIMS, waiting)):
            # Undone: the service is to find them waiting.
            with suppress(LookupError), transaction(db):
                started = time.perf_counter()
                assert queue.claim(db, now)
                seconds.append(time.perf_counter() - started)
                raise LookupError
    return min(seconds)


def idle(*, small: bool) -> Iterator[Figure]:
    """Yield the share of a processor and the wake-ups of a service whose files are all known."""
    files, seconds = (20, 1.0) if small else (10_000, 60.0)
    with tempfile.TemporaryDirectory() as place:
        service = Service(Path(place))
        for number in range(files):
            (service.folder / f"{number}.wav").write_bytes(b"known")
        with service:
            service.write_config(watch=[{"path": str(service.folder)}])
            service.start()
            # The first listing is over by then.
            time.sleep(seconds / 10)
            pid = pid_of(service)
            processor, woken = processor_seconds(pid), wake_ups(pid)
            time.sleep(seconds)
            processor, woken = processor_seconds(pid) - processor, wake_ups(pid) - woken
    yield Figure(f"idle with {files} known files: share of a processor", processor / seconds * 100, "%")
    yield Figure(f"idle with {files} known files: wake-ups", woken / seconds, "/s")
