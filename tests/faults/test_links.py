"""Files and folders are swapped while a recording waits: nothing outside is read, moved or deleted."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Conversation, ScriptedApi, Service, running, wav
from tests.servers import wait_until
from tests.watching.mounts import unmount_at_once

FOREIGN = wav("foreign", seconds=0.2)
OURS = wav("sub/call.wav")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder next door with a file of the recording's name."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "call.wav").write_bytes(FOREIGN)
    return folder


class Site:
    """A service of which one request is under way, and `sub/call.wav` waits for its turn until `release`."""

    def __init__(self, service: Service, api: ScriptedApi, release: threading.Event) -> None:
        self.service, self.api, self._release = service, api, release
        self.sub = service.folder / "sub"
        self.call = self.sub / "call.wav"

    def release(self) -> None:
        """Let the request under way end, and then another one: what waited had its turn before."""
        self._release.set()
        dropped(self.service, "last.wav")
        self.service.wait_row("SELECT 1 FROM recordings WHERE name = 'last.wav' AND state = 'done'")

    def sent(self) -> set[str]:
        return {call.sha256 for call in self.api.calls if call.method == "POST"}

    def row(self) -> dict[str, Any]:
        return self.service.rows("SELECT * FROM recordings WHERE name = 'call.wav'")[0]


@contextmanager
def waiting(tmp_path: Path, **watch: Any) -> Iterator[Site]:
    release = threading.Event()

    def slow(conversation: Conversation) -> None:
        release.wait(60)
        conversation.reply()

    folder = {"path": str(tmp_path / "recordings"), "settle": "0.1s", "rescan": "1s", **watch}
    settings: dict[str, Any] = {"watch": [folder], "analyzer": {"concurrency": 1}}
    with ScriptedApi() as api, running(tmp_path, api, **settings) as service:
        api.then(slow)
        dropped(service, "first.wav")
        api.wait_for_calls(1)
        dropped(service, "sub/call.wav")
        service.wait_states(analyzing=1, waiting=1)
        yield Site(service, api, release)


def dropped(service: Service, name: str) -> None:
    path = service.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(wav(name))
    path.with_name(f"{path.name}.done").touch()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def link_to_directory(site: Site, outside: Path) -> None:
    site.sub.rename(site.sub.with_name("away"))
    site.sub.symlink_to(outside)


def link_to_file(site: Site, outside: Path) -> None:
    site.call.rename(outside.parent / "kept.wav")
    site.call.symlink_to(outside / "call.wav")


def pipe(site: Site, outside: Path) -> None:
    site.call.rename(outside.parent / "kept.wav")
    os.mkfifo(site.call)


def restore(site: Site, tmp_path: Path) -> None:
    if site.sub.is_symlink():
        site.sub.unlink()
        site.sub.with_name("away").rename(site.sub)
    else:
        site.call.unlink()
        (tmp_path / "kept.wav").rename(site.call)


@pytest.mark.parametrize(
    ("swap", "after"),
    [(link_to_directory, "delete"), (link_to_directory, "move_to"), (link_to_file, "delete"), (pipe, "keep")],
)
def test_what_is_swapped_for_a_link_or_a_pipe_while_it_waits_is_not_sent_until_it_is_back(
    tmp_path: Path, outside: Path, swap: Callable[[Site, Path], None], after: str
) -> None:
    (tmp_path / "done").mkdir()
    after_success = {"move_to": str(tmp_path / "done")} if after == "move_to" else after
    # Never taken in under the name that it is kept at meanwhile.
    watch = {"after_success": after_success, "done_marker": "{name}.done", "exclude": ["away/"]}
    with waiting(tmp_path, **watch) as site:
        swap(site, outside)
        site.release()
        assert digest(FOREIGN) not in site.sent()
        assert (outside / "call.wav").read_bytes() == FOREIGN
        row = site.row()
        assert (row["state"], row["attempts"], row["error_code"]) == ("skipped", 0, "gone")
        restore(site, tmp_path)
        site.service.wait_row("SELECT 1 FROM recordings WHERE name = 'call.wav' AND state = 'done'")
        assert digest(OURS) in site.sent()
        assert digest(FOREIGN) not in site.sent()
        if after != "keep":
            wait_until(lambda: not site.call.exists(), what="the original to be gone")
        assert (outside / "call.wav").read_bytes() == FOREIGN


def another(site: Site, outside: Path) -> None:
    site.call.unlink()
    shutil.copy(outside / "call.wav", site.call)


def hard_link(site: Site, outside: Path) -> None:
    site.call.unlink()
    site.call.hardlink_to(outside / "call.wav")


def another_directory(site: Site, outside: Path) -> None:
    site.sub.rename(site.sub.with_name("away"))
    shutil.copytree(outside, site.sub)


@pytest.mark.parametrize("swap", [another, hard_link, another_directory])
def test_another_file_in_its_place_is_sent_once_it_was_taken_in_and_not_before(
    tmp_path: Path, outside: Path, swap: Callable[[Site, Path], None]
) -> None:
    with waiting(tmp_path, done_marker="{name}.done", exclude=["away/"]) as site:
        # Without its marker it is not complete.
        (site.sub / "call.wav.done").unlink()
        swap(site, outside)
        site.release()
        row = site.row()
        assert (row["state"], row["attempts"]) == ("waiting", 0)
        assert "another file" in row["error"]
        assert digest(FOREIGN) not in site.sent()
        (site.sub / "call.wav.done").touch()
        site.service.wait_row("SELECT 1 FROM recordings WHERE name = 'call.wav' AND state = 'done'")
        assert digest(FOREIGN) in site.sent()
        assert site.row()["id"] == row["id"]


def test_a_file_that_was_only_touched_is_sent_all_the_same(tmp_path: Path, outside: Path) -> None:
    with waiting(tmp_path, done_marker="{name}.done") as site:
        os.utime(site.call, (1, 1))
        site.release()
        site.service.wait_states(done=3)
        assert digest(OURS) in site.sent()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_is_mounted_anew_with_another_device_number_is_sent(tmp_path: Path) -> None:
    """The number of a device says nothing: it is another one after each mount."""
    place, again = tmp_path / "recordings/sub", tmp_path / "again"
    for point in (place, again):
        point.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], check=True)
    try:
        with waiting(tmp_path, done_marker="{name}.done") as site:
            before = site.call.stat()
            # As the first file there, it has the same inode.
            shutil.copy2(site.call, again)
            (again / "call.wav.done").touch()
            unmount_at_once(place)
            subprocess.run(["mount", "--bind", again, place], check=True)
            after = site.call.stat()
            assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
            assert after.st_dev != before.st_dev
            site.release()
            site.service.wait_states(done=3)
            assert digest(OURS) in site.sent()
    finally:
        subprocess.run(["umount", "-l", place, again], check=False)


def test_a_folder_that_becomes_a_link_after_the_analysis_has_nothing_deleted_through_it(
    tmp_path: Path, outside: Path
) -> None:
    with waiting(tmp_path, done_marker="{name}.done", after_success="delete", exclude=["away/"]) as site:
        # The very bytes and times of the recording: only the way to it differs.
        shutil.copy2(site.call, outside / "call.wav")
        with site.call.open("ab"):
            site.release()
            site.service.wait_row("SELECT 1 FROM originals WHERE error LIKE '%open for writing%'")
            link_to_directory(site, outside)
        site.service.wait_row("SELECT 1 FROM originals WHERE error LIKE '%symbolic link%'")
        assert "symbolic link" in site.service.status()["originals"]["error"]
        assert (outside / "call.wav").exists()
        restore(site, tmp_path)
        wait_until(lambda: not site.call.exists(), what="the original to be deleted")
        assert (outside / "call.wav").exists()
