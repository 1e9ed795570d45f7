"""A service that lives through a year in simulated time: its real loops, called one after the other.

The clock is ours; the files, the database, the requests and the messages are real.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.analysis.throttle import Throttle
from daemon.config.load import load_config
from daemon.errors import StoreBusyError
from daemon.runtime.generation import Generation, Part
from daemon.runtime.service import prepared
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.lock import DaemonLock
from daemon.watching.guard import Guard
from tests.harness import wav
from tests.soak.far_end import Remote, label
from tests.soak.plan import Drop

ORDER = ("watch", "workers", "originals", "sidecars", "schedule", "alerts", "webhook", "retention")
"""In this order the loops are called, so that most goes all its way at once."""
CONCURRENCY = 4
STORE_RETRY_SECONDS = 2.0
LOOK_SECONDS = 6.0
"""Between two looks: every loop looks at least this often, and a file has settled by then."""
MOVED_FAILED = "failed"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Clock:
    """The simulated time. `wrong` is by how much the clock on the wall is; `monotonic` never is."""

    now: datetime
    wrong: timedelta = timedelta(0)
    seconds: float = 1000.0

    def utc(self) -> datetime:
        """What the clock says."""
        return self.now + self.wrong

    def monotonic(self) -> float:
        """Seconds that went by."""
        return self.seconds

    def go(self, to: datetime) -> None:
        """Let time go by."""
        self.seconds += (to - self.now).total_seconds()
        self.now = to


@dataclass
class Waits:
    """How long a writer that always wants to write had to wait while `measured` lasted, in seconds."""

    path: Path
    longest: float = 0.0
    longest_at: datetime | None = None
    count: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the writer's thread and its database until the end of the block."""
        with ThreadPoolExecutor(1) as self._thread:
            self._db = self._thread.submit(open_database, self.path).result()
            try:
                yield
            finally:
                self._thread.submit(self._db.close).result()

    @contextmanager
    def measured(self, now: datetime) -> Iterator[None]:
        """Write again and again meanwhile, as the queue does."""
        ended = threading.Event()
        writing = self._thread.submit(self._write, ended, now)
        try:
            yield
        finally:
            ended.set()
            writing.result()

    def _write(self, ended: threading.Event, now: datetime) -> None:
        while not ended.wait(0.02):
            began = time.monotonic()
            with transaction(self._db):
                pass
            waited = time.monotonic() - began
            self.count += 1
            if waited > self.longest:
                self.longest, self.longest_at = waited, now


@dataclass
class Year:
    """The service and all around it. `settings` are merged into its configuration."""

    place: Path
    store: Path
    remote: Remote
    clock: Clock
    settings: dict[str, Any]
    key: str = "key-1"
    waits: Waits = field(init=False)
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds of our processor time by kind of loop."""

    def __post_init__(self) -> None:
        for name in ("calls", "support", "voicemail", MOVED_FAILED, "sidecars"):
            (self.place / name).mkdir()
        (self.place / "crm.secret").write_text(SECRET)
        self.waits = Waits(self.database)
        self._due: dict[str, float] = {}
        self._generation: Generation | None = None
        self._ended = threading.Event()

    @property
    def database(self) -> Path:
        """The file of the database."""
        return self.store / "earshot.db"

    @property
    def folders(self) -> dict[str, Path]:
        """The watched folders by name."""
        return {name: self.place / name for name in ("calls", "support", "voicemail")}

    def _config_file(self) -> Path:
        url = self.remote.url
        json_url = url.replace("http:", "json:")
        folders = self.folders
        base: dict[str, Any] = {
            "database": str(self.database),
            "timezone": "Europe/Berlin",
            "watch": [
                {"path": str(folders["calls"]), "retention": {"originals": "3d"}},
                {
                    "path": str(folders["support"]),
                    "after_success": "delete",
                    "after_failure": {"move_to": str(self.place / MOVED_FAILED)},
                },
                {
                    "path": str(folders["voicemail"]),
                    "sidecars": {"formats": ["json"], "into": str(self.place / "sidecars")},
                },
            ],
            "analyzer": {"base_url": url, "api_key": self.key, "concurrency": CONCURRENCY},
            "retention": {"responses": "14d", "transcripts": "30d", "recordings": "60d", "alerts": "90d"},
            "webhooks": [
                {
                    "url": f"{url}/crm",
                    "secret_file": str(self.place / "crm.secret"),
                    "on": ["failed", "alert"],
                }
            ],
            "alerts": {
                "destinations": {
                    "team": {"urls": [f"{json_url}/team"], "quiet_hours": "22:00-08:00"},
                    "ops": {"urls": [f"{json_url}/ops"]},
                },
                "operations": ["ops"],
                "rules": [
                    {"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]},
                    {
                        "name": "churn",
                        "when": {"intent": "cancel*"},
                        "severity": "critical",
                        "notify": ["team"],
                    },
                ],
                "max_age": "48h",
                "burst": {"limit": 10, "window": "10m"},
                "digest": {"at": "08:00", "every": "day", "notify": ["team"]},
            },
        }
        for watch in base["watch"]:
            watch |= {
                "method": "poll",
                "filename_pattern": "{recorded_at:%Y%m%d-%H%M%S}_{number}",
            } | self.settings.get(Path(watch["path"]).name, {})
        base |= {name: value for name, value in self.settings.items() if name not in folders}
        file = self.place / "config.yaml"
        file.write_text(json.dumps(base))
        return file

    # The life of the service

    @contextmanager
    def running(self) -> Iterator[None]:
        """The service from its start to its end."""
        config = load_config(self._config_file(), env={"HOME": str(self.place)})
        with prepared(config, clock=self.clock.utc) as lock, closing(open_database(self.database)) as self.db:
            self._lock: DaemonLock = lock
            self._throttle = Throttle(CONCURRENCY, monotonic=self.clock.monotonic)
            self._guard = Guard()
            self.start()
            try:
                with self.waits.running():
                    yield
            finally:
                self.stop()
                self._guard.close()

    def start(self) -> None:
        """Build all parts by the present configuration."""
        self._ended.clear()
        config = load_config(self._config_file(), env={"HOME": str(self.place)})
        self._generation = Generation(
            config,
            env={},
            throttle=self._throttle,
            ended=self._ended.is_set,
            guard=self._guard,
            clock=self.clock.utc,
            monotonic=self.clock.monotonic,
        )
        parts = self._generation.parts()
        self.parts = sorted(parts, key=lambda part: ORDER.index(part.name.partition("-")[0]))
        self._due = {}

    def stop(self) -> None:
        """End what runs, in order."""
        assert self._generation is not None
        self._generation.retire(30.0)
        self._generation.end(0.0)
        self._ended.set()

    def restart(self) -> None:
        """End and begin anew, as with another configuration or key."""
        from daemon.storage.pauses import probe_now
        from daemon.storage.queue import recover

        self.stop()
        with transaction(self.db):
            recover(self.db, self.clock.utc(), crashed=False)
            probe_now(self.db, self.clock.utc())
        self.start()

    # Time goes by

    def look(self, *, is_calm: bool = False) -> None:
        """Let every loop do all that is due now and, unless nothing has come, once more a little later."""
        self._turn()
        if is_calm:
            return
        self.clock.go(self.clock.now + timedelta(seconds=LOOK_SECONDS))
        self._turn()

    def _turn(self) -> None:
        while True:
            worked = False
            for part in self.parts:
                if self._due.get(part.name, 0.0) <= self.clock.monotonic():
                    worked |= self._call(part)
            if worked:
                # Those who are told of it look again.
                for each in self.parts:
                    if not each.name.startswith(("watch", "retention")):
                        self._due[each.name] = 0.0
            elif min(self._due.values()) > self.clock.monotonic():
                return

    def _call(self, part: Part) -> bool:
        """Call a loop until it has nothing to do at once; True when recordings were analyzed meanwhile."""
        kind = part.name.partition("-")[0]
        began, worked = time.process_time(), False
        try:
            if kind == "workers":
                worked, seconds = self._work(part)
            elif kind == "retention":
                with self.waits.measured(self.clock.now):
                    seconds = self._stepped(part, until=1.0)
            else:
                seconds = self._stepped(part, until=0.01)
        except StoreBusyError:
            seconds = STORE_RETRY_SECONDS
        self._due[part.name] = self.clock.monotonic() + seconds
        self.spent[kind] = self.spent.get(kind, 0.0) + time.process_time() - began
        return worked

    def _stepped(self, part: Part, *, until: float) -> float:
        while (seconds := part.step(self.db)) < until:
            # Else what is due in milliseconds never is.
            self.clock.go(self.clock.now + timedelta(seconds=seconds))
        return seconds

    def _work(self, part: Part) -> tuple[bool, float]:
        """Have recordings analyzed until none is in work and none can be claimed."""
        assert self._generation is not None
        workers = self._generation.workers
        worked = False
        while True:
            was_busy = workers.in_flight > 0
            seconds = part.step(self.db)
            if was_busy and seconds:
                part.wake.wait(0.2)
            if not was_busy and seconds:
                return worked, seconds
            worked = True

    # The people around it

    def put(self, drop: Drop, folder: Path) -> None:
        """Put a recording into a folder, in one go."""
        content = bytearray()
        if drop.kind != "empty":
            number = drop.number if drop.copy_of is None else drop.copy_of
            kind = "calm" if drop.copy_of is not None else drop.kind
            content += wav()
            text = label(number, kind, drop.seconds)
            content[44 : 44 + len(text)] = text
        incoming = self.place / "incoming"
        incoming.write_bytes(content)
        seconds = drop.at.timestamp() + drop.number % 997 / 1000
        os.utime(incoming, (seconds, seconds))
        incoming.rename(folder / drop.name)

    def clean_up(self, folder: Path, days: float) -> None:
        """Delete what has lain in a folder for so long, as people do now and then."""
        before = self.clock.now.timestamp() - days * 86400
        for entry in os.scandir(folder):
            if entry.stat().st_mtime < before:
                Path(entry.path).unlink()

    # What it needs

    def sizes(self) -> dict[str, int]:
        """Bytes of the database, in use and in all, and of its log."""
        (pages, free, size) = (
            rows(self.db, f"PRAGMA {name}")[0][name] for name in ("page_count", "freelist_count", "page_size")
        )
        log = self.database.with_name("earshot.db-wal")
        return {"file": pages * size, "used": (pages - free) * size, "log": log.stat().st_size}

    def counts(self) -> dict[str, int]:
        """The number of rows of every table."""
        names = rows(
            self.db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%_fts%'"
        )
        return {
            row["name"]: rows(self.db, f"SELECT count(*) AS n FROM {row['name']}")[0]["n"]  # noqa: S608
            for row in names
        }


def resident_bytes() -> int:
    """How much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def own_disk(place: Path, size: str) -> Iterator[Callable[[str], None] | None]:
    """A file system at `place`, where this may be made; yields what changes its size, else None."""
    place.mkdir()
    options = f"size={size},mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        is_mounted = (
            os.geteuid() == 0 and not subprocess.run(mount, capture_output=True, check=False).returncode
        )
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        yield None
        return

    def resize(to: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={to}", str(place)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def table(db: Database, sql: str, *values: Any) -> list[dict[str, Any]]:
    """The rows of a query."""
    return rows(db, sql, values)
