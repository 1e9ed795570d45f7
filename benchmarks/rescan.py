"""What a listing costs in a folder full of known files: `.venv/bin/python -m benchmarks.rescan [FILES]`.

Prints processor seconds as ratios against a bare walk (scandir, and one lstat a file) in the same run,
because machines differ and are noisy: the first listing, which takes every file in, and those that follow.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from daemon.config.models import WatchFolder
from daemon.runtime.folder_loop import FolderLoop
from daemon.storage.database import open_database

FILES = 100_000
FILES_PER_DIRECTORY = 100
RUNS = 5


def main() -> None:
    """Measure and print, one line each."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "calls"
        make(root, files)
        with closing(open_database(Path(place) / "earshot.db")) as db:
            loop = FolderLoop(WatchFolder(path=root, rescan=3600.0))
            try:
                measure(loop, db, root, files)
            finally:
                loop.watch.close()


def measure(loop: FolderLoop, db: Database, root: Path, files: int) -> None:
    first = processor_seconds(lambda: listing(loop, db))
    known = db["recordings"].count
    assert known == files, f"{known} of {files} files became rows"
    bare, listed = [], []
    for _ in range(RUNS):
        bare.append(processor_seconds(lambda: bare_walk(root)))
        listed.append(processor_seconds(lambda: listing(loop, db)))
    assert db["recordings"].count == files, "a listing of known files added rows"
    base = statistics.median(bare)
    print(f"bare walk      {base:.2f} s of processor time for {files} files")
    print(f"first listing  {first:.2f} s; ratio {first / base:.0f}")
    print(f"known files    {statistics.median(listed):.2f} s; ratio {statistics.median(listed) / base:.1f}")


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


if __name__ == "__main__":
    main()
