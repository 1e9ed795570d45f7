"""Originals after their analysis: kept, deleted or moved, with real files and file systems."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import WatchFolder
from daemon.files import stamp
from daemon.intake.arrivals import Arrival, Place
from daemon.intake.intake import take_in
from daemon.models import Ending, RecordingState
from daemon.originals.move import free_names
from daemon.originals.originals import outcomes_of, tidy
from daemon.storage.database import rows, transaction
from daemon.storage.originals import (
    configure_originals,
    original_of_recording,
    originals_left,
    plan_move,
)
from daemon.storage.queue import claim_this, duplicate, end, finish
from daemon.storage.requeue import requeue
from tests.databases import new_database
from tests.storage.stores import committed

NOW = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


class Site:
    """A folder whose files are taken in and ended by hand, and a place to move them to."""

    def __init__(self, place: Path) -> None:
        self.root, self.done, self.failed = place / "calls", place / "done", place / "failed"
        for folder in (self.root, self.done, self.failed):
            folder.mkdir()
        self.db = new_database(place / "state/earshot.db")
        self.configure(after_success={"move_to": str(self.done)}, after_failure={"move_to": str(self.failed)})

    def configure(self, **settings: Any) -> None:
        self.folder = WatchFolder.model_validate({"path": self.root, **settings})
        committed(configure_originals, self.db, outcomes_of(self.folder), NOW)

    def take(self, name: str, content: bytes | None = None) -> int:
        path = self.root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(name.encode() if content is None else content)
        found = stamp(str(path))
        assert found
        take_in(self.db, Place(self.folder, NOW), [Arrival(found)])
        number: int = rows(self.db, "SELECT max(id) AS id FROM recordings")[0]["id"]
        return number

    def end(self, number: int, state: str, code: str | None = None) -> int:
        """As the analysis stage leaves a recording."""
        source = Path(
            os.fsdecode(rows(self.db, "SELECT source FROM recordings WHERE id = ?", (number,))[0]["source"])
        )
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        with transaction(self.db):
            claim_this(self.db, number, NOW)
            self.db.execute("UPDATE recordings SET sha256 = ? WHERE id = ?", (sha256, number))
            if state == "done":
                finish(self.db, number, NOW)
            elif state == "duplicate":
                duplicate(self.db, number, number, NOW, sha256=sha256, request_key="")
            else:
                end(self.db, number, Ending(RecordingState(state), code or "", "why"), NOW)
        return number

    def tidy(self, now: datetime = NOW) -> None:
        tidy(self.db, self.folder, now)

    def tidy_again_and_again(self) -> None:
        """Until nothing that may still come is waited for."""
        for hours in range(1, 8):
            self.tidy(NOW + timedelta(hours=hours))

    def path(self, number: int) -> str:
        path: str = rows(self.db, "SELECT path FROM recordings WHERE id = ?", (number,))[0]["path"]
        return path

    def left(self) -> dict[str, Any]:
        return originals_left(self.db)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.db.close()


@pytest.fixture(params=["link", "copy", "copy without links"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way in which a file can be moved; links are refused as between two file systems."""
    refusals = {"link": 0, "copy": 1, "copy without links": 2}[request.param]
    link = os.link

    def sometimes(source: str, target: str, **more: Any) -> None:
        # The descriptor of the original, or of its copy.
        is_publishing = Path(source).readlink().name.startswith(".earshot-")
        if refusals == 2 or (refusals == 1 and not is_publishing):
            raise OSError(18, "Invalid cross-device link")
        link(source, target, **more)

    monkeypatch.setattr(os, "link", sometimes)
    return str(request.param)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


@pytest.mark.parametrize("state", ["done", "duplicate"])
def test_a_success_is_moved_with_its_subfolders_and_its_row_follows(site: Site, way: str, state: str) -> None:
    number = site.end(site.take("2026/anna/a.wav"), state)
    os.utime(site.root / "2026/anna/a.wav", (1_700_000_000, 1_700_000_000))
    site.tidy()
    assert content_of(site.root) == {}
    assert content_of(site.done) == {"2026/anna/a.wav": b"2026/anna/a.wav"}
    moved = site.done / "2026/anna/a.wav"
    assert site.path(number) == str(moved)
    assert moved.stat().st_mtime == 1_700_000_000
    assert rows(site.db, "SELECT * FROM files") == []
    assert site.left() == {"waiting": 0, "error": None}


def test_a_failure_goes_to_its_own_place_and_after_a_retry_to_that_of_successes(site: Site) -> None:
    number = site.end(site.take("sub/a.wav"), "failed", "corrupt_audio")
    site.tidy()
    assert content_of(site.failed) == {"sub/a.wav": b"sub/a.wav"}
    assert committed(requeue, site.db, [number], NOW) == {}
    site.end(number, "done")
    site.tidy()
    assert content_of(site.failed) == {}
    assert content_of(site.done) == {"sub/a.wav": b"sub/a.wav"}


def test_nothing_is_ever_overwritten(site: Site, way: str) -> None:
    (site.done / "a.wav").write_bytes(b"another's")
    (site.done / "a (2).wav").write_bytes(b"another's too")
    number = site.end(site.take("a.wav"), "done")
    site.tidy()
    assert content_of(site.done) == {
        "a.wav": b"another's",
        "a (2).wav": b"another's too",
        "a (3).wav": b"a.wav",
    }
    assert site.path(number) == str(site.done / "a (3).wav")


def test_with_delete_only_the_success_is_deleted(site: Site) -> None:
    site.configure(after_success="delete")
    site.end(site.take("good.wav"), "done")
    site.end(site.take("bad.wav"), "failed", "corrupt_audio")
    site.tidy()
    assert list(content_of(site.root)) == ["bad.wav"]


def test_a_deleted_file_that_is_dropped_again_is_a_recording_again(site: Site) -> None:
    site.configure(after_success="delete")
    first = site.end(site.take("a.wav"), "done")
    site.tidy()
    assert site.take("a.wav") != first


@pytest.mark.parametrize("state", ["waiting", "skipped"])
def test_what_was_not_analyzed_stays(site: Site, state: str) -> None:
    site.end(site.take("a.wav"), state)
    site.tidy()
    assert list(content_of(site.root)) == ["a.wav"]


def test_an_incomplete_file_stays_where_its_copy_may_go_on(site: Site) -> None:
    site.end(site.take("a.wav"), "failed", "incomplete")
    site.tidy()
    assert list(content_of(site.root)) == ["a.wav"]


def test_without_a_word_in_the_configuration_nothing_is_touched(site: Site) -> None:
    site.configure()
    site.end(site.take("a.wav"), "done")
    site.tidy()
    assert list(content_of(site.root)) == ["a.wav"]
    assert site.left()["waiting"] == 0


def test_a_configuration_that_keeps_again_forgets_what_was_not_done_yet(site: Site) -> None:
    site.end(site.take("a.wav"), "done")
    site.configure()
    site.tidy()
    assert list(content_of(site.root)) == ["a.wav"]
    assert site.left()["waiting"] == 0


def test_what_ended_before_the_configuration_said_so_stays(site: Site) -> None:
    site.configure()
    site.end(site.take("a.wav"), "done")
    site.configure(after_success="delete")
    site.tidy()
    assert list(content_of(site.root)) == ["a.wav"]


def test_a_touched_file_with_the_same_bytes_is_moved(site: Site, way: str) -> None:
    site.end(site.take("a.wav"), "done")
    os.utime(site.root / "a.wav", (5, 5))
    site.tidy()
    assert list(content_of(site.done)) == ["a.wav"]


@pytest.mark.parametrize("action", ["delete", "move"])
def test_a_file_that_is_another_one_by_now_stays(site: Site, action: str) -> None:
    if action == "delete":
        site.configure(after_success="delete")
    site.end(site.take("a.wav"), "done")
    (site.root / "a.wav").write_bytes(b"new bytes")
    site.tidy()
    assert content_of(site.root) == {"a.wav": b"new bytes"}
    assert site.left()["waiting"] == 0


def test_a_link_in_its_place_is_not_followed(site: Site, tmp_path: Path) -> None:
    site.configure(after_success="delete")
    site.end(site.take("a.wav"), "done")
    (tmp_path / "precious").write_bytes(b"a.wav")
    (site.root / "a.wav").unlink()
    (site.root / "a.wav").symlink_to(tmp_path / "precious")
    site.tidy()
    assert (tmp_path / "precious").exists()
    assert (site.root / "a.wav").is_symlink()


def test_a_file_that_somebody_writes_to_is_waited_for(site: Site) -> None:
    number = site.end(site.take("a.wav"), "done")
    with (site.root / "a.wav").open("ab"):
        site.tidy()
        assert list(content_of(site.root)) == ["a.wav"]
    found = original_of_recording(site.db, number)
    assert found
    assert "open for writing" in found["error"]
    site.tidy(LATER)
    assert list(content_of(site.done)) == ["a.wav"]


def test_a_target_that_is_missing_is_waited_for_and_never_made(site: Site) -> None:
    """It may be a share that is not mounted."""
    site.done.rmdir()
    number = site.end(site.take("a.wav"), "done")
    site.tidy()
    assert not site.done.exists()
    assert "create or mount it" in site.left()["error"]
    assert site.path(number) == str(site.root / "a.wav")
    site.done.mkdir()
    site.tidy()
    assert list(content_of(site.done)) == [], "not before its time"
    site.tidy(LATER)
    assert list(content_of(site.done)) == ["a.wav"]


def test_a_full_target_leaves_nothing_half(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, block: Any) -> int:
        raise OSError(28, "No space left on device")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    site.end(site.take("a.wav"), "done")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        patch.setattr(os, "write", full)
        site.tidy()
    assert "No space left" in site.left()["error"]
    assert content_of(site.done) == {}
    assert list(content_of(site.root)) == ["a.wav"]


def test_a_target_that_leads_into_the_folder_by_a_link_is_refused(site: Site) -> None:
    (site.root / "inside").mkdir()
    site.done.rmdir()
    site.done.symlink_to(site.root / "inside")
    site.end(site.take("a.wav"), "done")
    site.tidy()
    assert list(content_of(site.root)) == ["a.wav"]
    assert "leads into the watched folder" in site.left()["error"]


def test_a_target_that_leads_into_another_watched_folder_is_refused(site: Site, tmp_path: Path) -> None:
    """From there it would be moved on, and if that leads back here, for ever."""
    other = tmp_path / "other"
    other.mkdir()
    site.done.rmdir()
    site.done.symlink_to(other)
    site.end(site.take("a.wav"), "done")
    tidy(site.db, site.folder, NOW, roots=lambda: [(str(other), True)])
    assert (list(content_of(site.root)), content_of(other)) == (["a.wav"], {})
    assert "leads into the watched folder" in site.left()["error"]


def test_a_failure_that_fails_again_after_a_retry_stays_where_it_was_moved(site: Site) -> None:
    number = site.end(site.take("sub/a.wav"), "failed", "corrupt_audio")
    site.tidy()
    for _ in range(2):
        assert committed(requeue, site.db, [number], NOW) == {}
        site.end(number, "failed", "corrupt_audio")
        site.tidy()
    assert content_of(site.failed) == {"sub/a.wav": b"sub/a.wav"}
    assert site.path(number) == str(site.failed / "sub/a.wav")
    assert site.left() == {"waiting": 0, "error": None}


@pytest.mark.parametrize("crash", ["after the plan", "after the copy", "after all but the row"])
def test_killed_at_any_point_it_ends_in_one_file(site: Site, crash: str) -> None:
    number = site.end(site.take("a.wav"), "done")
    plan_move(site.db, number, str(site.done / "a.wav"))
    if crash != "after the plan":
        (site.done / "a.wav").write_bytes(b"a.wav")
    if crash == "after all but the row":
        (site.root / "a.wav").unlink()
    site.tidy()
    assert content_of(site.root) == {}
    assert content_of(site.done) == {"a.wav": b"a.wav"}
    assert site.path(number) == str(site.done / "a.wav")


def test_an_original_that_somebody_took_away_is_no_trouble(site: Site) -> None:
    number = site.end(site.take("a.wav"), "done")
    (site.root / "a.wav").unlink()
    site.tidy()
    assert site.left() == {"waiting": 1, "error": None}
    site.tidy_again_and_again()
    assert site.left() == {"waiting": 0, "error": None}
    assert site.path(number) == str(site.root / "a.wav")


def test_a_file_renamed_while_it_was_analyzed_is_moved_once_a_listing_found_it(site: Site) -> None:
    number = site.end(site.take("a.wav"), "done")
    (site.root / "a.wav").rename(site.root / "b.wav")
    site.tidy()
    found = stamp(str(site.root / "b.wav"))
    assert found
    take_in(site.db, Place(site.folder, NOW), [Arrival(found)])
    site.tidy_again_and_again()
    assert content_of(site.done) == {"b.wav": b"a.wav"}
    assert site.path(number) == str(site.done / "b.wav")


def test_a_folder_that_is_gone_is_waited_for(site: Site) -> None:
    site.end(site.take("a.wav"), "done")
    site.root.rename(site.root.with_name("away"))
    site.tidy()
    assert site.left()["waiting"] == 1
    site.root.with_name("away").rename(site.root)
    site.tidy(LATER)
    assert list(content_of(site.done)) == ["a.wav"]


def test_the_marker_of_a_file_goes_with_it(site: Site) -> None:
    """Left behind, it would call the next file of that name complete at once."""
    site.configure(after_success="delete", done_marker="{name}.done")
    number = site.take("a.wav")
    (site.root / "a.wav.done").touch()
    site.end(number, "done")
    site.tidy()
    assert content_of(site.root) == {}


def test_permissions_are_kept_by_a_copy(site: Site, way: str) -> None:
    number = site.take("sub/a.wav")
    (site.root / "sub/a.wav").chmod(0o640)
    site.end(number, "done")
    site.tidy()
    assert stat.S_IMODE((site.done / "sub/a.wav").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o2770])
def test_a_new_folder_has_the_permissions_of_the_target_whatever_those_of_the_drop_are(
    site: Site, mode: int
) -> None:
    site.done.chmod(mode)
    number = site.take("2026/anna/a.wav")
    (site.root / "2026").chmod(0o777)
    (site.root / "2026/anna").chmod(0o777)
    site.end(number, "done")
    site.tidy()
    for made in (site.done / "2026", site.done / "2026/anna"):
        assert stat.S_IMODE(made.stat().st_mode) == mode


@pytest.mark.parametrize("action", ["delete", "move_to"])
def test_a_directory_that_is_swapped_for_a_link_leads_nowhere_and_that_is_told(
    site: Site, tmp_path: Path, action: str
) -> None:
    if action == "delete":
        site.configure(after_success="delete")
    outside = tmp_path / "outside"
    outside.mkdir()
    number = site.end(site.take("sub/a.wav", b"same"), "done")
    # The very same bytes and time: only the way there differs.
    shutil.copy2(site.root / "sub/a.wav", outside / "a.wav")
    (site.root / "sub").rename(tmp_path / "away")
    (site.root / "sub").symlink_to(outside)
    site.tidy()
    assert content_of(outside) == {"a.wav": b"same"}
    assert content_of(site.done) == {}
    assert "symbolic link" in site.left()["error"]
    (site.root / "sub").unlink()
    (tmp_path / "away").rename(site.root / "sub")
    site.tidy(LATER)
    assert content_of(site.root) == {}
    assert content_of(outside) == {"a.wav": b"same"}
    assert site.path(number) == str((site.root if action == "delete" else site.done) / "sub/a.wav")


def test_a_link_below_the_target_is_not_followed_and_that_is_told(
    site: Site, tmp_path: Path, way: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (site.done / "sub").symlink_to(elsewhere)
    site.end(site.take("sub/a.wav"), "done")
    site.tidy()
    assert content_of(elsewhere) == {}
    assert list(content_of(site.root)) == ["sub/a.wav"]
    error = site.left()["error"]
    assert f"{site.done}/sub: a symbolic link" in error
    assert "put a folder there" in error
    (site.done / "sub").unlink()
    site.tidy(LATER)
    assert list(content_of(site.done)) == ["sub/a.wav"]


def test_a_target_that_is_itself_a_link_is_used(site: Site, tmp_path: Path) -> None:
    site.done.rename(tmp_path / "real")
    site.done.symlink_to(tmp_path / "real")
    number = site.end(site.take("sub/a.wav"), "done")
    site.tidy()
    assert list(content_of(tmp_path / "real")) == ["sub/a.wav"]
    assert site.path(number) == str(site.done / "sub/a.wav")


@pytest.mark.timeout(20)
def test_whatever_lies_where_a_copy_could_begin_stops_no_move(site: Site, way: str) -> None:
    number = site.end(site.take("a.wav"), "done")
    status = (site.root / "a.wav").stat()
    for name in (f"{status.st_dev:x}-{status.st_ino:x}", f"{number}-", f"{number}-{0:016x}"):
        os.mkfifo(site.done / f".earshot-{name}.tmp")
    os.mkfifo(site.done / "a.wav")
    site.tidy()
    assert content_of(site.done) == {"a (2).wav": b"a.wav"}
    assert content_of(site.root) == {}


def test_what_a_killed_copy_left_behind_is_removed_and_nothing_else(site: Site, way: str) -> None:
    number = site.end(site.take("a.wav"), "done")
    plan_move(site.db, number, str(site.done / "a.wav"))
    left, others = site.done / f".earshot-{number}-0123.tmp", site.done / f".earshot-{number}9-0123.tmp"
    left.write_bytes(b"a.w")
    others.write_bytes(b"another's")
    site.tidy()
    assert content_of(site.done) == {"a.wav": b"a.wav", others.name: b"another's"}


@pytest.mark.parametrize("other", [b"another's", None])
def test_what_is_not_the_moved_file_is_not_taken_for_it(site: Site, tmp_path: Path, other: bytes) -> None:
    number = site.end(site.take("a.wav"), "done")
    plan_move(site.db, number, str(site.done / "a.wav"))
    if other is None:
        (site.root / "a.wav").rename(tmp_path / "kept.wav")
        (site.done / "a.wav").symlink_to(tmp_path / "kept.wav")
    else:
        (site.root / "a.wav").unlink()
        (site.done / "a.wav").write_bytes(other)
    site.tidy_again_and_again()
    assert site.path(number) == str(site.root / "a.wav")
    assert site.left() == {"waiting": 0, "error": None}


def test_names_that_are_not_text_and_names_of_255_bytes_are_moved(site: Site, way: str) -> None:
    names = [os.fsdecode(b"caf\xe9.wav"), "ü" * 125 + "x.wav"]
    for name in names:
        (site.done / name).write_bytes(b"another's")
        site.end(site.take(name, b"ours"), "done")
    site.tidy()
    assert sorted(content_of(site.done).values()) == [b"another's", b"another's", b"ours", b"ours"]


def test_free_names_count_on_and_stay_within_the_limit() -> None:
    names = free_names("a.b.wav")
    assert [next(names) for _ in range(3)] == ["a.b.wav", "a.b (2).wav", "a.b (3).wav"]
    names = free_names("ü" * 127)
    next(names)
    assert len(os.fsencode(next(names))) <= 255


def test_a_large_batch_is_worked_off(site: Site) -> None:
    for number in range(7):
        site.end(site.take(f"{number}.wav"), "done")
    assert [tidy(site.db, site.folder, NOW, batch=3) for _ in range(2)] == [0.0, 0.0]
    assert tidy(site.db, site.folder, NOW, batch=3) > 0.0
    assert len(content_of(site.done)) == 7
