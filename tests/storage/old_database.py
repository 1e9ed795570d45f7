"""A database as an earlier version left it, killed in the middle of its work: made, and put in place.

    python -m tests.storage.old_database COMMIT tests/data/upgrade/COMMIT.db.xz

runs the service of that commit against a scripted API until there is something of everything in its database.
"""

from __future__ import annotations

import lzma
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.harness import Conversation, ScriptedApi, Service, answer, refuse, reply, wav
from tests.servers import HttpSink

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "upgrade"

STATES = {
    "done.wav": "done",
    "told.wav": "done",
    "same.wav": "duplicate",
    "broken.wav": "failed",
    "sending.wav": "analyzing",
    "waiting.wav": "waiting",
}
"""The recordings, and in which state each was when the service was killed."""


def content(name: str) -> bytes:
    """What is in the file of this recording."""
    return wav("done.wav" if name == "same.wav" else name)


def settings(team: str, done: Path) -> dict[str, Any]:
    """Configuration for the service: alerts go to `team`, originals to the folder `done`."""
    return {
        "alerts": {
            "destinations": {"team": team},
            "rules": [{"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]}],
            "max_age": "36500d",
        },
        "watch": [
            {
                "path": str(done.parent / "recordings"),
                "settle": "0.2s",
                "after_success": {"move_to": str(done)},
            }
        ],
        "analyzer": {"concurrency": 1},
    }


def put_in_place(service: Service, file: Path) -> None:
    """Make of the stored database the one of this service: with its folder and its files, not yet moved."""
    service.database.parent.mkdir(mode=0o700)
    service.database.write_bytes(lzma.decompress(file.read_bytes()))
    for name in STATES:
        service.drop(name, content(name))
    new = str(service.folder)
    with closing(sqlite3.connect(service.database)) as db:
        db.create_function("moved", 1, lambda path: _moved(path, old, new))
        (old,) = db.execute("SELECT path FROM folders").fetchone()
        for table, columns in _paths(db):
            assignments = ", ".join(f"{column} = moved({column})" for column in columns)
            db.execute(f"UPDATE {table} SET {assignments}")  # noqa: S608 - names of the schema
        for name, number in db.execute("SELECT name, recording_id FROM files").fetchall():
            status = (service.folder / os.fsdecode(name)).stat()
            db.execute(
                "UPDATE files SET device = ?, inode = ?, mtime_ns = ? WHERE recording_id = ?",
                (status.st_dev, status.st_ino, status.st_mtime_ns, number),
            )
        db.commit()


def _paths(db: sqlite3.Connection) -> list[tuple[str, list[str]]]:
    """Tables with columns in which a path may be."""
    tables = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%fts%'"
    ).fetchall()
    names = {"path", "folder", "source", "directory", "subject", "target", "scope", "body"}
    found = []
    for (table,) in tables:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] in names]
        if columns and table not in ("responses", "sqlite_sequence", "alerts", "webhooks", "bursts"):
            found.append((table, columns))
    return found


def _moved(path: Any, old: str, new: str) -> Any:
    if isinstance(path, bytes):
        return path.replace(os.fsencode(old), os.fsencode(new))
    return path.replace(old, new) if isinstance(path, str) else path


def make(commit: str, target: Path) -> None:
    """Run the service of a commit, kill it, and store its database."""
    with tempfile.TemporaryDirectory() as place, ScriptedApi() as api, HttpSink(200, default=503) as team:
        code = Path(place, "code")
        code.mkdir()
        archive = subprocess.run(
            ["git", "archive", commit, "daemon"], cwd=ROOT, capture_output=True, check=True
        )
        subprocess.run(["tar", "-x"], cwd=code, input=archive.stdout, check=True)
        environment = {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
        service = Service(Path(place), settings(f"json://{team.address}/", Path(place, "done")), environment)
        service.write_config(analyzer={"base_url": api.url})
        with service:
            _work(service, api, team)
        with closing(sqlite3.connect(service.database)) as db:
            copy = Path(place, "copy.db")
            db.execute("VACUUM INTO ?", (str(copy),))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(lzma.compress(copy.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


def _work(service: Service, api: ScriptedApi, team: HttpSink) -> None:
    negative = reply(average=-0.8)
    api.then(answer(200, negative), answer(200, negative), refuse("e400_audio"), Conversation.hang)
    service.start(prefix=("env", "-C", "/"))
    for count, name in enumerate(("told.wav", "done.wav", "broken.wav"), start=1):
        service.drop(name, content(name))
        api.wait_for_calls(count)
        service.wait_row("SELECT 1 FROM recordings WHERE name = ? AND state IN ('done', 'failed')", name)
        team.wait_for(min(count, 2))
    service.drop("same.wav", content("same.wav"))
    service.wait_row("SELECT 1 FROM recordings WHERE state = 'duplicate'")
    service.drop("sending.wav", content("sending.wav"))
    api.wait_for_calls(4)
    service.drop("waiting.wav", content("waiting.wav"))
    service.wait_row("SELECT 1 FROM recordings WHERE name = 'waiting.wav'")
    service.kill()


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
