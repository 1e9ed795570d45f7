"""What commands cost: starting, and asking a database with many recordings of 1,500 words."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.web import fill
from daemon.storage.database import open_existing, transaction
from tests.web.places import Place

RUNS = 7

COMMANDS = (
    ("search", "rare77"),
    ("rules", "test"),
    ("list", "--intent", "cancel*", "--limit", "50"),
    ("list", "--limit", "50"),
    ("search", "contract"),
    ("show", "7"),
    ("rules", "test", "--since", "2100-01-01"),
    ("status",),
)
"""A short run measures the first three, once each."""

WORDS = " and so the caller said once more what there was to say" * 120
RULES = """
alerts:
  destinations: {team: "json://127.0.0.1:9/"}
  rules:
    - {name: unhappy, when: {average_sentiment: negative}, notify: [team]}
"""


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the processor time of commands, each beside that of Python alone."""
    runs = 1 if small else RUNS
    bare = _milliseconds(runs, "-c", "pass")
    yield from (_figure(runs, "start-up", bare, option) for option in ("--version", "--help"))
    count = 100 if small else 100_000
    with tempfile.TemporaryDirectory() as home:
        place = Place(Path(home))
        fill(place, count)
        with closing(open_existing(place.database)) as db, transaction(db):
            db.execute("UPDATE recordings SET transcript = transcript || ?", (WORDS,))
            db.execute(
                "INSERT INTO intents (recording_id, position, intent)"
                " SELECT id, 99, iif(id % 9, 'Ask ' || (id % 50), 'Cancel contract') FROM recordings"
            )
        config = Path(home) / "config.yaml"
        calls = Path(home) / "calls"
        calls.mkdir(exist_ok=True)
        config.write_text(
            f"database: {place.database}\nwatch: [{{path: {calls}}}]\n{RULES}", encoding="utf-8"
        )
        for command in COMMANDS[: 3 if small else None]:
            yield _figure(runs, f"{count} recordings", bare, "-c", str(config), *command)


def _figure(runs: int, what: str, bare: float, *arguments: str) -> Figure:
    shown = " ".join(arguments[2:] if arguments[0] == "-c" else arguments)
    return Figure(
        f"{what}: {shown}", _milliseconds(runs, "-m", "daemon", *arguments), "ms CPU", "python -c pass", bare
    )


def _milliseconds(runs: int, *arguments: str) -> float:
    """Return the least processor time of so many runs."""
    # As installed: compiled once, not by each process.
    environment = {name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    took = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return 1000 * min(took)
