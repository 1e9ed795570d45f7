"""Large recordings are read once, and are told apart all the same."""

import os
import threading
from pathlib import Path

from daemon.deepgram.upload import READ_ONCE_BYTES
from tests.harness import Conversation, ScriptedApi, running


def large(first: bytes) -> bytes:
    """A file that is no audio, which the scripted API does not mind."""
    return first + os.urandom(1) * (READ_ONCE_BYTES + 100)


def test_large_copies_that_arrive_one_after_the_other_are_paid_for_once(tmp_path: Path) -> None:
    content = large(b"a")
    with ScriptedApi() as api, running(tmp_path, api) as service:
        service.drop("one.mp3", content)
        service.wait_states(done=1)
        service.drop("copy.mp3", content)
        service.wait_states(done=1, duplicate=1)
        service.drop("other.mp3", b"b" + content[1:])
        service.wait_states(done=2, duplicate=1)

        rows = service.rows("SELECT name, sha256, duplicate_of FROM recordings ORDER BY id")
    assert rows[0]["sha256"] == rows[1]["sha256"] == api.listened()[0].sha256
    assert (rows[1]["duplicate_of"], len(api.listened())) == (1, 2)


def test_a_copy_of_a_large_recording_in_flight_waits_for_it_and_others_of_its_size_do_not(
    tmp_path: Path,
) -> None:
    content = large(b"a")

    def hang_at_the_first(conversation: Conversation) -> None:
        if conversation.call.number == 0:
            while not released.is_set() and not conversation.closing.wait(0.01):
                pass
        conversation.reply()

    released = threading.Event()
    with ScriptedApi(hang_at_the_first) as api, running(tmp_path, api) as service:
        service.drop("one.mp3", content)
        service.wait_row("SELECT 1 FROM recordings WHERE name = 'one.mp3' AND sha256 IS NOT NULL")
        service.drop("copy.mp3", content)
        service.drop("other.mp3", b"b" + content[1:])
        service.wait_row("SELECT 1 FROM recordings WHERE name = 'other.mp3' AND state = 'done'")
        assert len(api.listened()) == 2
        released.set()
        service.wait_states(done=2, duplicate=1)
        assert len(api.listened()) == 2


def test_a_large_recording_that_was_refused_is_known_when_it_is_touched(tmp_path: Path) -> None:
    refusal = {
        "err_code": "Bad Request",
        "err_msg": "Bad Request: failed to process audio: corrupt or unsupported data",
    }

    with (
        ScriptedApi(lambda conversation: conversation.reply(400, refusal)) as api,
        running(tmp_path, api) as service,
    ):
        file = service.drop("one.mp3", large(b"a"))
        service.wait_states(failed=1)
        os.utime(file, ns=(10**18, 10**18))
        service.wait_row("SELECT 1 FROM recordings WHERE modified_at LIKE '2001-09-09%'")
        assert service.states() == {"failed": 1}
        assert len(api.calls) == 1
