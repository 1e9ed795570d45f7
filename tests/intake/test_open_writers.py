"""The kernel's answer to: is somebody still writing this file?"""

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.intake.open_writers import has_writer


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "a.wav"
    file.write_bytes(b"x" * 4096)
    return file


def test_an_open_writer_is_seen_and_its_close_too(recording: Path) -> None:
    with recording.open("ab"):
        assert has_writer(str(recording)) is True
    assert has_writer(str(recording)) is False


def test_a_reader_is_no_writer(recording: Path) -> None:
    with recording.open("rb"):
        assert has_writer(str(recording)) is False


def test_a_writable_mapping_is_a_writer_after_its_descriptor_is_closed(recording: Path) -> None:
    with recording.open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    assert has_writer(str(recording)) is True
    mapping.close()
    assert has_writer(str(recording)) is False


def test_a_writer_in_another_process_is_seen(recording: Path) -> None:
    script = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, recording], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        writer.stdout.readline()
        assert has_writer(str(recording)) is True
        writer.stdin.close()
        writer.wait()
    assert has_writer(str(recording)) is False


def test_what_is_no_readable_regular_file_gives_no_answer(tmp_path: Path, recording: Path) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to(recording)
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    for path in (link, fifo, tmp_path, tmp_path / "none.wav"):
        assert has_writer(str(path)) is None


def test_writers_that_come_while_it_asks_do_not_end_the_process(recording: Path) -> None:
    """A broken lease sends a signal whose default action is death; a thousand collisions must be survived."""
    asker = """
import signal, sys, time
from daemon.intake.open_writers import has_writer
signal.signal(signal.SIGIO, signal.SIG_DFL)
end = time.monotonic() + 1.0
answers = set()
while time.monotonic() < end:
    answers.add(has_writer(sys.argv[1]))
print(answers == {True, False})
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", asker, recording], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        while process.poll() is None:
            os.close(os.open(recording, os.O_WRONLY))
        assert process.stdout is not None
        output = process.stdout.read()
    assert process.returncode == 0, signal.Signals(-process.returncode)
    assert output.strip() == "True"
