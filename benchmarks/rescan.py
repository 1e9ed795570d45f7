"""What a listing costs: the first of very many new files, which takes each in, and those of known ones.

Beside a bare walk (scandir, and one lstat a file) of the same run.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure
from daemon.config.models import WatchFolder
from daemon.runtime.folder_loop import FolderLoop
from daemon.storage.connection import Database
from daemon.storage.database import open_database
from tests.databases import tables

FILES_PER_DIRECTORY = 100
RUNS = 5


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the processor time of a first listing and of the next, each beside that of a bare walk."""
    files, runs = (200, 1) if small else (100_000, RUNS)
    logging.disable(logging.INFO)
    try:
        with tempfile.TemporaryDirectory() as place:
            root = Path(place) / "calls"
            make(root, files)
            with closing(open_database(Path(place) / "earshot.db")) as db:
                loop = FolderLoop(WatchFolder(path=root, rescan=3600.0))
                with closing(loop.watch):
                    yield from _figures(loop, db, root, files, runs)
    finally:
        logging.disable(logging.NOTSET)


def _figures(loop: FolderLoop, db: Database, root: Path, files: int, runs: int) -> Iterator[Figure]:
    first = processor_seconds(lambda: listing(loop, db))
    assert tables(db)["recordings"].count == files, "not all files became rows"
    bare = min(processor_seconds(lambda: bare_walk(root)) for _ in range(runs))
    known = min(processor_seconds(lambda: listing(loop, db)) for _ in range(runs))
    assert tables(db)["recordings"].count == files, "a listing of known files added rows"
    yield Figure(f"first listing of {files} new files", first, "s CPU", "bare walk", bare)
    yield Figure(f"listing of {files} known files", known, "s CPU", "bare walk", bare)


def make(root: Path, files: int) -> None:
    for number in range(files):
        directory = root / f"{number // FILES_PER_DIRECTORY}"
        if number % FILES_PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"call-{number}.wav").write_bytes(b"x")


def listing(loop: FolderLoop, db: Database) -> None:
    """List the whole folder once, as the service does."""
    # Long ago: a listing that is asked for is due a second later.
    loop.watch.list_again(time.monotonic() - 60.0)
    loop.watch.wait(0.0)
    while True:
        loop.step(db, time.monotonic(), datetime.now(UTC))
        if loop.is_idle():
            return


def bare_walk(root: Path) -> None:
    for directory, _, names in os.walk(root):
        for name in names:
            os.lstat(f"{directory}/{name}")


def processor_seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
