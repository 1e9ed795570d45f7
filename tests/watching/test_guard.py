"""Two services over one folder, each with a database of its own: the second one notices in time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemon.watching.guard import Guard
from tests.harness import ScriptedApi, Service, running
from tests.servers import wait_until

HOLD = """
import fcntl, os, sys
os.setuid(int(sys.argv[2]))
fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX)
print(flush=True)
input()
"""
NOBODY = 65534


@contextmanager
def held_by(folder: Path, user: int) -> Iterator[int]:
    """The folder, locked by a process of this user."""
    descriptor = os.open(folder, os.O_RDONLY)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(descriptor), str(user)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[descriptor],
    ) as process:
        os.close(descriptor)
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process.pid
        process.communicate(b"\n")


def second(first: Service, api: ScriptedApi, **settings: object) -> Service:
    place = first.place / "second"
    return Service(place, {"watch": [str(first.folder)], "analyzer": {"base_url": api.url}, **settings})


def test_a_second_service_over_a_watched_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with ScriptedApi() as api, running(tmp_path, api) as first, second(first, api) as other:
        assert first.process is not None
        other.start(ready=False)
        assert other.wait_end() == 1
        assert f"{first.folder}: process {first.process.pid} of " in other.log()
        scan = other.earshot("scan")
        assert scan.returncode == 1
        assert f"process {first.process.pid} of " in scan.stderr
        first.reload()
        first.wait_ready()
        assert other.earshot("scan").returncode == 1
        first.drop("a.wav")
        first.wait_states(done=1)
        assert first.stop() == 0
        assert len(api.listened()) == 1
        other.start()
        assert other.stop() == 0


def test_a_folder_that_another_service_took_meanwhile_waits_and_the_others_go_on(tmp_path: Path) -> None:
    with ScriptedApi() as api, running(tmp_path, api) as first:
        free = tmp_path / "free"
        free.mkdir()
        with second(first, api, watch=[str(free)]) as other:
            other.start()
            other.write_config(watch=[str(free), str(first.folder)])
            assert other.earshot("reload").returncode == 0
            other.wait_row("SELECT 1 FROM folders WHERE path = ? AND available = 0", str(first.folder))
            assert " holds it, as another earshot does" in other.earshot("status").stdout
            first.stop()
            other.wait_row("SELECT 1 FROM folders WHERE path = ? AND available = 1", str(first.folder))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
def test_a_stranger_who_locks_the_folder_does_not_stop_the_service(tmp_path: Path) -> None:
    with (
        ScriptedApi() as api,
        Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service,
        held_by(service.folder, NOBODY) as pid,
    ):
        service.start()
        assert f"process {pid} of nobody" in service.log()
        service.drop("a.wav")
        service.wait_states(done=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
@pytest.mark.parametrize(("trusted", "is_kept_away"), [({0}, False), ({0, NOBODY}, True)])
def test_who_is_trusted_keeps_others_away(tmp_path: Path, trusted: set[int], is_kept_away: bool) -> None:
    with closing(Guard(trusted)) as guard:
        with held_by(tmp_path, NOBODY):
            assert bool(guard.hold(str(tmp_path))) == is_kept_away
        assert guard.hold(str(tmp_path)) is None
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_what_is_another_folder_now_is_held_anew(tmp_path: Path) -> None:
    path, away = tmp_path / "watched", tmp_path / "away"
    path.mkdir()
    with closing(Guard()) as guard:
        guard.hold(str(path))
        path.rename(away)
        path.mkdir()
        assert (is_locked(away), is_locked(path)) == (True, False)
        guard.hold(str(path))
        assert (is_locked(away), is_locked(path)) == (False, True)
        guard.keep_only([])
        assert not is_locked(path)


def is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_a_missing_folder_is_held_once_it_is_there(tmp_path: Path) -> None:
    with ScriptedApi() as api, Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        service.folder.rmdir()
        service.start()
        service.folder.mkdir()
        wait_until(lambda: is_locked(service.folder), what="the folder to be held")
