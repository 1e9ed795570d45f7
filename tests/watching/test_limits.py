"""When the kernel gives the service less than it needs: watches, inotify instances, open files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness import ScriptedApi, Service
from tests.programs import program

FOLDERS = 6
RECORDINGS = 60
"""At once, each with three descriptors: more than there are."""


def with_limit(name: str, value: int) -> tuple[str, ...]:
    """The prefix of a command for which this limit of the kernel's is another one, and for nobody else."""
    script = f'echo {value} > /proc/sys/user/{name} && exec "$@"'
    prefix = (program("unshare"), "--user", "--map-root-user", "sh", "-c", script, "sh")
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no user namespace with a limit of its own: {tried.stderr.strip()}")
    return prefix


def drop_into_each(service: Service, name: str) -> None:
    for number in range(FOLDERS):
        service.drop(f"{number}/{name}.wav")


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("max_inotify_watches", FOLDERS // 2, "raise the sysctl fs.inotify.max_user_watches"),
        ("max_inotify_watches", 0, "raise the sysctl fs.inotify.max_user_watches"),
        ("max_inotify_instances", 0, "raise the sysctl fs.inotify.max_user_instances"),
    ],
)
def test_without_enough_of_inotify_the_folder_is_polled_and_the_log_says_what_to_raise(
    tmp_path: Path, limit: str, value: int, said: str
) -> None:
    """A few watches of the many that are needed are reported by nobody: it must be noticed."""
    prefix = with_limit(limit, value)
    with ScriptedApi() as api, Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        service.write_config(watch=[{"path": str(service.folder), "settle": "0.1s", "rescan": "0.5s"}])
        for number in range(FOLDERS):
            (service.folder / str(number)).mkdir()
        service.start(prefix=prefix)
        drop_into_each(service, "first")
        service.wait_states(done=FOLDERS)
        service.wait_row("SELECT * FROM folders WHERE method = 'poll'")
        drop_into_each(service, "second")
        service.wait_states(done=2 * FOLDERS)
        assert said in service.log()
    assert len(api.calls) == 2 * FOLDERS


def test_with_few_open_files_many_recordings_are_analyzed_once_all_the_same(tmp_path: Path) -> None:
    """Each that found no descriptor waits for its next turn, and nothing else goes wrong."""
    prefix = ("sh", "-c", 'ulimit -n 64 && exec "$@"', "sh")
    with ScriptedApi() as api, Service(tmp_path) as service:
        api.script = lambda conversation: conversation.reply(delay=0.3)
        service.write_config(analyzer={"base_url": api.url, "concurrency": 50})
        service.start(prefix=prefix)
        for number in range(RECORDINGS):
            service.drop(f"{number}.wav")
        service.wait_states(done=RECORDINGS, seconds=120)
        assert service.stop() == 0
    assert len(api.calls) == RECORDINGS
