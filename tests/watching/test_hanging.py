"""A share whose server does not answer: whoever looks at it waits, and only that may."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Conversation, ScriptedApi, Service, answer, refuse, wav
from tests.servers import wait_until
from tests.watching.mounts import Share, shared


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as server:
        yield server


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    with shared(tmp_path) as made:
        yield made


@pytest.fixture
def service(tmp_path: Path, api: ScriptedApi, share: Share) -> Iterator[Service]:
    """Not started: it watches the share and another folder, and analyzes two recordings at once."""
    watch = [
        {"path": str(share.path), "settle": "0.2s", "rescan": "0.5s"},
        {"path": str(tmp_path / "recordings"), "settle": "0.2s"},
    ]
    settings = {"watch": watch, "analyzer": {"base_url": api.url, "concurrency": 2}}
    with Service(tmp_path, settings) as made, contextlib.ExitStack() as atlast:
        # First of all: a process that waits for the share can hardly be ended.
        atlast.callback(share.answer)
        yield made


def test_a_share_that_hangs_holds_up_only_its_own_folder(service: Service, share: Share) -> None:
    """The other folder and the commands go on; what came meanwhile is found when it answers again."""
    service.start()
    (share.files / "before.wav").write_bytes(wav("before"))
    service.wait_states(done=1)
    share.hang()
    (share.files / "meanwhile.wav").write_bytes(wav("meanwhile"))
    service.drop("other.wav")
    service.wait_states(done=2)
    assert service.status()["daemon"]["ready"]
    assert service.earshot("list").returncode == 0
    service.drop("another.wav")
    service.wait_states(done=3)
    share.answer()
    service.wait_states(done=4)
    names = {row["name"] for row in service.rows("SELECT name FROM recordings")}
    assert names == {"before.wav", "meanwhile.wav", "other.wav", "another.wav"}


def test_the_service_starts_beside_a_share_that_hangs(service: Service, share: Share) -> None:
    """Ready for the other folder, and for signals; the share's turn comes when it answers."""
    (share.files / "there.wav").write_bytes(wav("there"))
    share.hang()
    service.start()
    service.drop("other.wav")
    service.wait_states(done=1)
    share.answer()
    service.wait_states(done=1, skipped=1)
    (share.files / "new.wav").write_bytes(wav("new"))
    service.wait_states(done=2, skipped=1)


def test_a_share_that_hangs_does_not_hold_up_the_end(service: Service, share: Share) -> None:
    """Nothing is in flight: there is nothing to wait for, and a service manager would lose patience."""
    service.start()
    share.hang()
    service.drop("other.wav")
    service.wait_states(done=1)
    assert service.stop(seconds=30) == 0


def test_a_reload_beside_a_share_that_hangs_is_taken_over(service: Service, share: Share) -> None:
    """The other folder goes on, with the new settings, and so does the share once it answers."""
    service.start()
    share.hang()
    service.write_config(analyzer={"model": "nova-2"})
    service.reload()
    service.drop("other.wav")
    service.wait_states(done=1)
    assert service.rows("SELECT model FROM recordings") == [{"model": "nova-2"}]
    share.answer()
    (share.files / "late.wav").write_bytes(wav("late"))
    service.wait_states(done=2)


def test_recordings_on_a_share_that_hangs_do_not_take_the_turns_of_others(
    service: Service, share: Share, api: ScriptedApi
) -> None:
    """More of them wait than are analyzed at once, and one of them is the probe of the paused queue."""
    api.script = refuse("e401_key")
    service.write_config(analyzer={"probe": "1s"})
    service.start()
    for number in range(4):
        (share.files / f"{number}.wav").write_bytes(wav(f"{number}"))
    service.wait_states(waiting=4)
    wait_until(lambda: service.status()["paused"], what="the queue to be paused")
    share.hang()
    api.script = answer()
    service.drop("other.wav")
    service.wait_row("SELECT * FROM recordings WHERE name = 'other.wav' AND state = 'done'")
    share.answer()
    service.wait_states(done=5)


def test_recordings_that_are_read_from_a_share_as_it_hangs_leave_a_place_to_others(
    service: Service, share: Share, api: ScriptedApi
) -> None:
    """Before anybody can know that it hangs: whoever reads from it then does not come back."""
    api.script = answer_slowly
    service.start()
    for number in range(6):
        (share.files / f"{number}.wav").write_bytes(wav(f"{number}"))
    service.wait_row("SELECT * FROM recordings WHERE state = 'done'")
    share.hang()
    service.drop("other.wav")
    service.wait_row("SELECT * FROM recordings WHERE name = 'other.wav' AND state = 'done'")
    share.answer()
    service.wait_states(done=7)


def answer_slowly(conversation: Conversation) -> None:
    conversation.reply(delay=0.5)


def test_a_file_moved_from_a_share_that_hangs_is_taken_in(service: Service, share: Share) -> None:
    """To learn whether it was renamed, nobody may wait for the place where it was."""
    service.start()
    (share.files / "a.wav").write_bytes(wav("a"))
    service.wait_states(done=1)
    share.hang()
    (share.files / "a.wav").rename(service.folder / "moved.wav")
    service.drop("other.wav")
    service.wait_row("SELECT * FROM recordings WHERE name = 'other.wav' AND state = 'done'")
    share.answer()


def test_check_says_which_share_does_not_answer(service: Service, share: Share) -> None:
    """It ends all the same: it is what a person calls who wants to know what is wrong."""
    share.hang()
    command = service.command("check", "--offline")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert str(share.path) in done.stdout + done.stderr
