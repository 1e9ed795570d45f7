"""A folder's loop with markers, cut files and lists, by a clock that the test holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import WatchFolder
from daemon.intake.complete import INCOMPLETE_GRACE_SECONDS
from daemon.intake.settle import MAX_PENDING
from daemon.runtime.folder_loop import FolderLoop
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.not_taken import REASONS, files_not_taken
from daemon.storage.views import folder_rows
from tests.databases import new_database
from tests.harness import wav

WHOLE = wav("a", seconds=1)
CUT = WHOLE[:10_000]


class Loop:
    """A polled folder whose loop runs only when the test says what time it is."""

    def __init__(self, db: Database, folder: WatchFolder) -> None:
        self.db = db
        self.folder = FolderLoop(folder, timezone=UTC)
        self._now = 0.0

    def run(self, seconds: float) -> None:
        """Let the loop do all that is due within this time."""
        end = self._now + seconds
        while True:
            pause = self.folder.step(self.db, self._now, datetime.now(UTC) + timedelta(seconds=1 + self._now))
            if self._now + max(pause, 0.01) > end:
                break
            self._now += max(pause, 0.01)
        self._now = end

    def recordings(self) -> list[dict[str, Any]]:
        return rows(self.db, "SELECT * FROM recordings ORDER BY id")

    def states(self) -> list[tuple[str, str | None]]:
        return [(row["state"], row["error_code"]) for row in self.recordings()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def start(tmp_path: Path, root: Path) -> Iterator[Callable[..., Loop]]:
    db = new_database(tmp_path / "state/earshot.db")
    loops: list[Loop] = []

    def run(**settings: Any) -> Loop:
        values = {"path": root, "method": "poll", "rescan": 1, "existing": "analyze", **settings}
        loops.append(Loop(db, WatchFolder.model_validate(values)))
        loops[-1].run(1)
        return loops[-1]

    yield run
    for loop in loops:
        loop.folder.watch.close()
    db.close()


def test_a_cut_file_fails_with_the_reason_and_is_taken_up_when_it_changes(
    root: Path, start: Callable[..., Loop]
) -> None:
    loop = start()
    (root / "a.wav").write_bytes(CUT)
    loop.run(INCOMPLETE_GRACE_SECONDS)
    assert loop.states() == []
    assert not loop.folder.is_idle(), "a single pass waits for the decision"
    loop.run(10)
    [row] = loop.recordings()
    assert (row["state"], row["error_code"], row["attempts"]) == ("failed", "incomplete", 0)
    assert "announces 32044 bytes and there are 10000; copy it again" in row["error"]
    loop.run(100)
    assert loop.states() == [("failed", "incomplete")], "said once"
    (root / "a.wav").write_bytes(WHOLE)
    loop.run(10)
    [row] = loop.recordings()
    assert (row["state"], row["error_code"], row["error"], row["size_bytes"]) == (
        "waiting",
        None,
        None,
        len(WHOLE),
    )


def test_markers_are_no_recordings_and_files_wait_for_theirs(root: Path, start: Callable[..., Loop]) -> None:
    loop = start(done_marker="{stem}.mp3")
    (root / "a.wav").write_bytes(WHOLE)
    (root / "other.mp3").touch()
    loop.run(100)
    assert loop.states() == []
    assert loop.folder.is_idle(), "a single pass does not wait for markers"
    (root / "a.mp3").write_bytes(b"ready")
    loop.run(3)
    assert [row["name"] for row in loop.recordings()] == ["a.wav"]


def test_a_file_whose_marker_never_comes_and_that_is_removed_leaves_nothing(
    root: Path, start: Callable[..., Loop]
) -> None:
    loop = start(done_marker="{name}.done")
    (root / "a.wav").write_bytes(WHOLE)
    loop.run(10)
    (root / "a.wav").unlink()
    loop.run(10)
    assert loop.folder.intake.room == MAX_PENDING
    assert loop.states() == []


@pytest.mark.parametrize(
    ("existing", "expected"), [("skip", ("skipped", "existing")), ("quiet", ("waiting", None))]
)
def test_lists_that_were_there_before_are_treated_as_files_are(
    root: Path, start: Callable[..., Loop], existing: str, expected: tuple[str, str | None]
) -> None:
    (root / "a.urls").write_text("https://example.com/1\nhttps://example.com/2\n")
    loop = start(existing=existing, lists=True)
    loop.run(10)
    assert loop.states() == [expected] * 2
    assert [row["quiet"] for row in loop.recordings()] == [int(existing == "quiet")] * 2
    loop.run(10)
    assert len(loop.states()) == 2


def test_a_list_settles_as_other_files_do_and_is_read_once(root: Path, start: Callable[..., Loop]) -> None:
    loop = start(settle=5, lists=True)
    (root / "a.urls").write_text("https://example.com/1\n")
    loop.run(4)
    (root / "a.urls").write_text("https://example.com/1\nhttps://example.com/2\n")
    loop.run(4)
    assert loop.states() == []
    loop.run(4)
    assert len(loop.states()) == 2
    (root / "a.urls").touch()
    loop.run(20)
    assert len(loop.states()) == 2


def test_include_says_whether_lists_are_taken(root: Path, start: Callable[..., Loop]) -> None:
    loop = start(include=["*.wav"], lists=True)
    (root / "a.urls").write_text("https://example.com/1\n")
    loop.run(20)
    assert loop.states() == []


def test_names_are_read_by_the_pattern_and_read_again_after_a_rename(
    root: Path, start: Callable[..., Loop]
) -> None:
    loop = start(filename_pattern="{team}/{recorded_at:%Y%m%d}_{agent}")
    (root / "a.wav").write_bytes(WHOLE)
    loop.run(10)
    [row] = loop.recordings()
    assert (row["recorded_at"], row["metadata"]) == (None, "{}")
    (root / "sales").mkdir()
    (root / "a.wav").rename(root / "sales/20260701_anna.wav")
    loop.run(10)
    [row] = loop.recordings()
    assert row["recorded_at"] == "2026-07-01T00:00:00.000Z"
    assert row["metadata"] == '{"team": "sales", "agent": "anna"}'


def test_a_recording_without_a_sample_is_not_queued(root: Path, start: Callable[..., Loop]) -> None:
    """A header and nothing else: a recorder that was stopped at once. It is not worth a request."""
    loop = start(empty_after=60)
    (root / "a.wav").write_bytes(wav("a", seconds=0))
    loop.run(200)
    assert ("waiting", None) not in loop.states()
    (root / "a.wav").write_bytes(WHOLE)
    loop.run(10)
    assert loop.states() == [("waiting", None)]


def test_what_is_not_taken_is_noted_with_its_reason_and_since_when(
    root: Path, start: Callable[..., Loop]
) -> None:
    for name in ("a.wav", "b.wav", "c.sln16"):
        (root / name).write_bytes({"a.wav": CUT, "b.wav": b"", "c.sln16": b"x"}[name])
    loop = start(settle=2)

    def noted() -> dict[str, tuple[str, str | None]]:
        found = files_not_taken(loop.db, str(root))
        return {Path(file["path"]).name: (file["why"], file["since"]) for file in found}

    assert noted() == {"c.sln16": ("files that end in .sln16 are not taken", None)}
    loop.run(15)
    first = noted()
    assert first["a.wav"][0] == "it looks cut off: its header announces 32044 bytes and there are 10000"
    assert first["b.wav"][0] == "there is nothing in it"
    counts = folder_rows(loop.db)[str(root)]["not_taken"]
    assert counts == dict.fromkeys(REASONS, 0) | {"incomplete": 1, "empty": 1, "ending": 1}
    loop.run(15)
    assert noted() == first, "since when stays as it was"
    for name in ("a.wav", "b.wav"):
        (root / name).write_bytes(WHOLE)
    (root / "c.sln16").unlink()
    loop.run(15)
    assert noted() == {}
    assert folder_rows(loop.db)[str(root)]["not_taken"] == dict.fromkeys(REASONS, 0)
