"""What commands cost: starting, and asking a database with many recordings of 1,500 words."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.web import fill
from daemon.config.load import load_config
from daemon.files import file_version
from daemon.storage.database import daemon_lock, open_existing, transaction
from tests.databases import tables
from tests.web.places import Place

RUNS = 5
FEW = 10

LIST = ("list", "--limit", "50")
COMMANDS = (
    (*LIST, "--where", "agent=agent1*"),
    ("search", "rare77"),
    LIST,
    (*LIST, "--state", "failed"),
    (*LIST, "--intent", "cancel*"),
    (*LIST, "--where", "agent=agent7"),
    (*LIST, "--sentiment", "positive"),
    (*LIST, "--since", "2100-01-01"),
    (*LIST, "--text", "contract"),
    (*LIST, "--sort", "cost"),
    ("show", "7"),
    ("show", "7.wav"),
    ("search", "contract"),
    ("search", "once more"),
    ("status",),
)
"""A short run measures the first, once."""

WORDS = " and so the caller said once more what there was to say" * 120
RULES = """
alerts:
  destinations: {team: "json://127.0.0.1:9/"}
  rules:
    - {name: unhappy, when: {average_sentiment: negative}, notify: [team]}
"""


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the processor time of commands: of a start beside Python's, of many recordings beside few."""
    runs, most = (1, 100) if small else (RUNS, 100_000)
    with tempfile.TemporaryDirectory() as home:
        few, many = (_recordings(Path(home, str(count)), count) for count in (FEW, most))
        starts = [["--version"], ["--help"], [*few, "status"], [*few, *LIST]]
        for arguments in starts[: 1 if small else None]:
            took, bare = _milliseconds(runs, ["-m", "daemon", *arguments], ["-c", "pass"])
            yield Figure(f"start-up: {_shown(arguments)}", took, "ms CPU", "python -c pass", bare)
        for command in COMMANDS[: 1 if small else None]:
            took, beside = _milliseconds(
                runs, ["-m", "daemon", *many, *command], ["-m", "daemon", *few, *command]
            )
            yield Figure(
                f"{most:,} recordings: {_shown(command)}", took, "ms CPU", f"{FEW} recordings", beside
            )
        for _, config in (few, many):
            with Path(config).open("a", encoding="utf-8") as content:
                content.write(RULES)
        (took,) = _milliseconds(1, ["-m", "daemon", *many, "rules", "test"])
        work = f"rules test with one rule over {most:,} recordings, for each"
        yield Figure(work, took / most, "ms CPU a recording")
        yield from _status_of_a_service(few, runs)


def _status_of_a_service(options: list[str], runs: int) -> Iterator[Figure]:
    """Measure `status` with alerts configured, beside a service by this very file and after it has ended."""
    config = Path(options[1])
    database = load_config(config, env={}, asks_apprise=False).database
    with closing(open_existing(database)) as db, transaction(db):
        tables(db)["folders"].insert(
            {"path": str(config.parent / "calls"), "method": "events", "reason": "local", "available": 1}
            | {"settle_seconds": 2.0, "configured_at": "2026-03-01T10:00:00.000Z"},
            replace=True,
        )
    with daemon_lock(database) as lock:
        lock.taken = file_version(config)
        lock.answer(0, [])
        took, bare = _milliseconds(runs, ["-m", "daemon", *options, "status"], ["-c", "pass"])
    name = "start-up: status beside a service, alerts configured"
    yield Figure(name, took, "ms CPU", "python -c pass", bare)
    took, bare = _milliseconds(runs, ["-m", "daemon", *options, "status"], ["-c", "pass"])
    yield Figure("start-up: status after it has ended", took, "ms CPU", "python -c pass", bare)


def _shown(arguments: Sequence[str]) -> str:
    return " ".join(arguments[2:] if arguments[0] == "-c" else arguments)


def _recordings(home: Path, count: int) -> list[str]:
    """Make a database with so many recordings of 1,500 words; returns the options that name it."""
    home.mkdir()
    place = Place(home)
    fill(place, count)
    with closing(open_existing(place.database)) as db, transaction(db):
        db.execute("UPDATE recordings SET transcript = transcript || ?", (WORDS,))
        db.execute(
            "INSERT INTO intents (recording_id, position, intent)"
            " SELECT id, 99, iif(id % 9, 'Ask ' || (id % 50), 'Cancel contract') FROM recordings"
        )
    config, calls = home / "config.yaml", home / "calls"
    calls.mkdir(exist_ok=True)
    config.write_text(f"database: {place.database}\nwatch: [{{path: {calls}}}]\n", encoding="utf-8")
    return ["-c", str(config)]


def _milliseconds(runs: int, *commands: Sequence[str]) -> list[float]:
    """Return the least processor time of so many runs of each, in turn."""
    # As installed: compiled once, not by each process.
    environment = {name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    took: list[list[float]] = [[] for _ in commands]
    for _ in range(runs):
        for each, arguments in zip(took, commands, strict=True):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            each.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [1000 * min(each) for each in took]
