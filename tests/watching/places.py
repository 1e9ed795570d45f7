"""Folders that a running service watches, and what has to become of everything that is put into them.

Waiting is most of what such tests do: they run side by side, against one service.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from daemon.models import iso
from tests.harness import ScriptedApi, Service, wav

METHODS = ("events", "poll")
DEADLINE_SECONDS = 60.0
_LOOK_SECONDS = 0.1


class Book:
    """What the database of a running service says, read by one thread for all that wait."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._recordings: list[dict[str, Any]] = []
        self._folders: dict[str, dict[str, Any]] = {}
        self._read = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self.service.reading() as read:
            while not self._stop.wait(_LOOK_SECONDS):
                recordings = read("SELECT path, state, error_code, sha256 FROM recordings ORDER BY id")
                folders = {row["path"]: row for row in read("SELECT * FROM folders")}
                if (recordings, folders) != (self._recordings, self._folders):
                    with self._read:
                        self._recordings, self._folders = recordings, folders
                        self._read.notify_all()

    def wait(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        """Return once the condition holds of what was read."""
        end = time.monotonic() + DEADLINE_SECONDS
        with self._read:
            while not condition():
                assert time.monotonic() < end, f"not within {DEADLINE_SECONDS} s: {what()}"
                self._read.wait(1.0)

    def found(self, folder: Path) -> dict[str, list[str]]:
        """What became of each file below a folder, oldest first: the hash of what was analyzed or a state."""
        names: dict[str, list[str]] = defaultdict(list)
        for row in self._recordings:
            if row["path"].startswith(f"{folder}/"):
                ended = row["state"] in ("done", "duplicate")
                state = f"{row['state']} {row['error_code'] or ''}".strip()
                names[row["path"].removeprefix(f"{folder}/")].append(row["sha256"] if ended else state)
        return dict(names)

    def wait_listing(self, folder: Path, since: str) -> None:
        """Return once a watched folder was listed after that moment."""
        self.wait(
            lambda: (self.folder(folder).get("last_scan_at") or "") > since,
            lambda: f"a listing of {folder} after {since}: {self.folder(folder)}",
        )

    def folder(self, path: Path) -> dict[str, Any]:
        """The row of a watched folder, empty while there is none."""
        return self._folders.get(str(path), {})


@dataclass
class Place:
    """A watched folder, or one in it, and the contents that each file in it is analyzed with, in their order.

    `outside` is on the same file system and not watched.
    """

    book: Book
    path: Path
    outside: Path
    expected: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def content(self, *, seconds: float = 0.1) -> bytes:
        """A recording that is like no other."""
        return wav(f"{self.path} {next(self._numbers)}", seconds=seconds)

    def expect(self, name: str, content: bytes) -> bytes:
        """From now on a file of this name must be analyzed with this content; returns the content."""
        self.expected[name].append(hashlib.sha256(content).hexdigest())
        return content

    def wait_listing(self) -> None:
        """Return once the folder was listed, from now on."""
        since = iso(datetime.now(UTC))
        self.book.wait_listing(self.path, since)

    def source(
        self, name: str, *, under: Path | None = None, arrives_as: str = "", seconds: float = 0.1
    ) -> Path:
        """A new recording outside, which is expected to arrive under the same name.

        What ends in `.raw` has no header, which would say how long it is to be.
        """
        path = (under or self.outside) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = self.content(seconds=seconds)[44 if name.endswith(".raw") else 0 :]
        path.write_bytes(self.expect(arrives_as or name, content))
        return path

    def drop(self, name: str) -> Path:
        """Put a new recording there in one go, and return once it is analyzed."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        self.put(name)
        self.wait()
        return self.path / name

    def put(self, name: str) -> None:
        """Put a new recording there in one go; by a copy and a rename where that is another file system."""
        target = self.path / name
        shutil.move(self.source(name), target.with_name(f".{target.name}"))
        target.with_name(f".{target.name}").rename(target)

    def outlast_settling(self) -> None:
        """Return when each file that does not change from now on would be analyzed if it looked complete.

        Others show it. Two, because what changed before a look has to stay the same from that look on.
        """
        for _ in range(2):
            marker = f"marker{next(self._numbers)}.wav"
            self.put(marker)
            self.book.wait(
                lambda marker=marker: self.found().get(marker) == self.expected[marker],  # type: ignore[misc]
                lambda marker=marker: f"{self.path}/{marker}",  # type: ignore[misc]
            )

    def found(self) -> dict[str, list[str]]:
        return self.book.found(self.path)

    def wait(self) -> None:
        """Return once everything that is expected was analyzed, and nothing else is there."""
        self.book.wait(
            lambda: self.found() == self.expected,
            lambda: f"{self.path}: expected {dict(self.expected)}, found {self.found()}",
        )

    def wait_available(self, available: bool) -> None:
        """Return once the service says that the folder is there, or is not."""
        self.book.wait(
            lambda: self.book.folder(self.path).get("available") == int(available),
            lambda: f"available={available} of {self.path}: {self.book.folder(self.path)}",
        )


Act = Callable[[Place], None]
Key = TypeVar("Key", bound=Hashable)


def run(*command: str | Path, **settings: Any) -> None:
    """Run a program that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **settings)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def side_by_side(acts: dict[Key, tuple[Act, Place]]) -> dict[Key, Future[None]]:
    """What became of each act on its place, after all have ended."""
    with ThreadPoolExecutor(len(acts)) as threads:
        return {name: threads.submit(act, place) for name, (act, place) in acts.items()}


def look_again(book: Book, folders: list[Path], last: list[Place]) -> None:
    """List these folders anew and return once a file that came after that, in each of `last`, is analyzed."""
    since = iso(datetime.now(UTC))
    book.service.reload()
    for folder in folders:
        book.wait_listing(folder, since)
    # What the listing saw settles before what comes after it.
    for place in last:
        place.put("last.wav")
    for place in last:
        place.wait()


@contextmanager
def watching(
    place: Path, watch: list[dict[str, Any]], *, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[Book, ScriptedApi]]:
    """A service that watches these folders, and an API that answers it."""
    with (
        ScriptedApi() as api,
        Service(place, {"watch": watch, "analyzer": {"base_url": api.url}}) as service,
    ):
        book = Book(service.start(prefix=prefix))
        try:
            yield book, api
        finally:
            book.close()


@dataclass(frozen=True)
class Outcome:
    """What became of one act: of its own run, and what there is after everything was listed once more."""

    act: Future[None]
    expected: dict[str, list[str]]
    found: dict[str, list[str]]
    asked: Counter[str]

    def is_one_recording_each(self) -> bool:
        """True when all that was expected is there once, nothing else, and each content was paid for once."""
        self.act.result()
        assert self.found == self.expected
        ends = [end for found in self.found.values() for end in found]
        hashes = {end for end in ends if not end.startswith("skipped")}
        assert {sha256: self.asked[sha256] for sha256 in hashes} == dict.fromkeys(hashes, 1)
        return True


def watched_writing(
    top: Path, acts: dict[str, Act], *, settle_seconds: float, unreported: Iterable[str] = ()
) -> dict[tuple[str, str], Outcome]:
    """What becomes of each act in a folder watched by events, not listed while it runs, and in a polled one.

    Each gets a directory of its own, in `top`/watched. Of those that are `unreported` no event tells.
    """
    roots = {method: top / "watched" / method for method in METHODS}
    places = [(method, name) for method in METHODS for name in (*acts, "last")]
    for method, name in places:
        (roots[method] / name).mkdir(parents=True)
        (top / "outside" / method / name).mkdir(parents=True)
    watch = [
        {"path": str(roots[method]), "method": method, "settle": settle_seconds, "rescan": rescan}
        for method, rescan in (("events", "1h"), ("poll", "0.5s"))
    ]
    with watching(top, watch) as (book, api):
        rooms = {
            (method, name): Place(book, roots[method] / name, top / "outside" / method / name)
            for method, name in places
        }
        last = [rooms.pop((method, "last")) for method in METHODS]

        def to_the_end(method: str, name: str) -> Act:
            is_seen = method == "poll" or name not in unreported

            def act(place: Place) -> None:
                acts[name](place)
                if is_seen:
                    place.wait()

            return act

        ended = side_by_side({key: (to_the_end(*key), place) for key, place in rooms.items()})
        look_again(book, list(roots.values()), last)
        asked = Counter(call.sha256 for call in api.calls)
        return {
            key: Outcome(ended[key], dict(place.expected), place.found(), asked)
            for key, place in rooms.items()
        }
