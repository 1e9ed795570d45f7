"""Recordings that wait while their folder goes: out of sight is not gone. The real process, real mounts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ScriptedApi, Service, answer, merged, refuse, wav
from tests.servers import wait_until
from tests.watching.mounts import unmount_at_once

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own (tmpfs); what is below `files` is shown elsewhere by `show`."""
    top = tmp_path / "share"
    top.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top], check=True)
    (top / "files").mkdir()
    yield top / "files"
    subprocess.run(["umount", "-l", top], check=True)


@pytest.fixture
def place(tmp_path: Path, share: Path) -> Iterator[Path]:
    """A mount point at which `share` is mounted now."""
    point = tmp_path / "mounted"
    point.mkdir()
    subprocess.run(["mount", "--bind", share, point], check=True)
    yield point
    subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)


def service_on(tmp_path: Path, place: Path, api: ScriptedApi, **settings: object) -> Service:
    other = tmp_path / "other"
    other.mkdir()
    watch = [{"path": str(folder), "settle": "0.2s"} for folder in (place, other)]
    base = {"watch": watch, "analyzer": {"base_url": api.url, "probe": "0.3s"}}
    return Service(tmp_path / "service", merged(base, settings))


def folder_is(service: Service, place: Path, available: bool) -> bool:
    sql = "SELECT available FROM folders WHERE path = ?"
    return service.rows(sql, str(place)) == [{"available": int(available)}]


def test_recordings_wait_while_their_file_system_is_not_mounted_and_others_do_not(
    tmp_path: Path, share: Path, place: Path
) -> None:
    with ScriptedApi(refuse("e503")) as api, service_on(tmp_path, place, api) as service:
        service.start()
        (place / "waits.wav").write_bytes(wav("waits"))
        service.wait_row("SELECT 1 FROM recordings WHERE error IS NOT NULL")
        unmount_at_once(place)
        wait_until(lambda: folder_is(service, place, False), what="unavailable")
        assert "nothing is mounted at" in service.earshot("status").stdout

        api.script = answer()
        (tmp_path / "other/goes-on.wav").write_bytes(wav("goes on"))
        service.wait_row("SELECT 1 FROM recordings WHERE name = 'goes-on.wav' AND state = 'done'")
        assert service.states() == {"waiting": 1, "done": 1}

        subprocess.run(["mount", "--bind", share, place], check=True)
        service.wait_states(done=2)
        assert folder_is(service, place, True)


def test_one_that_is_looked_for_before_anybody_noticed_is_not_called_gone(
    tmp_path: Path, share: Path, place: Path
) -> None:
    """After a restart nobody knows that something was mounted, but the rows know where each file was."""
    with ScriptedApi(refuse("e503")) as api, service_on(tmp_path, place, api) as service:
        service.start()
        (place / "waits.wav").write_bytes(wav("waits"))
        service.wait_row("SELECT 1 FROM recordings WHERE error IS NOT NULL")
        service.stop()
        unmount_at_once(place)
        api.script = answer()
        service.start()
        waiting = service.wait_row("SELECT * FROM recordings WHERE error LIKE '%mount that again%'")
        assert waiting["state"] == "waiting"

        subprocess.run(["mount", "--bind", share, place], check=True)
        service.wait_states(done=1)


def test_a_file_that_is_gone_from_a_mounted_folder_is_gone(tmp_path: Path, place: Path) -> None:
    with ScriptedApi(refuse("e503")) as api, service_on(tmp_path, place, api) as service:
        service.start()
        (place / "deleted.wav").write_bytes(wav("deleted"))
        service.wait_row("SELECT 1 FROM recordings WHERE error IS NOT NULL")
        (place / "deleted.wav").unlink()
        service.wait_states(skipped=1)
        assert service.rows("SELECT error_code FROM recordings") == [{"error_code": "gone"}]


def test_an_empty_share_that_is_mounted_over_the_folder_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with ScriptedApi() as api, service_on(tmp_path, folder, api) as service:
        service.start()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        try:
            sql = "SELECT last_scan_at AS at FROM folders WHERE path = ?"
            first = service.rows(sql, str(folder))[0]["at"]
            wait_until(lambda: service.rows(sql, str(folder))[0]["at"] > first, what="another listing")
            assert folder_is(service, folder, True)
            (folder / "new.wav").write_bytes(wav("new"))
            service.wait_states(done=1)
        finally:
            service.stop()
            subprocess.run(["umount", "-l", folder], check=True)
