"""Files are opened below their root only, whatever links are put in the way; and who is still writing one."""

import hashlib
import mmap
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.files import (
    LONGEST_PATH_BYTES,
    NotRegularError,
    OutsideError,
    content_hash,
    directory_below,
    file_version,
    fresh_stamp,
    has_writer,
    open_below,
    reading,
    stamp,
    stamp_below,
)
from daemon.storage.lock import beside_of
from tests.databases import new_database, tables


def content(root: Path, path: str) -> bytes:
    with reading(str(root), f"{root}/{path}") as descriptor:
        return os.read(descriptor, 100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "sub/deep").mkdir(parents=True)
    (made / "sub/deep/a.wav").write_bytes(b"ours")
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/deep/a.wav").write_bytes(b"foreign")
    return made


@pytest.fixture
def descriptors() -> Iterator[None]:
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_is_opened_below_its_root_which_may_be_a_link(root: Path, descriptors: None) -> None:
    link = root.with_name("link")
    link.symlink_to(root)
    for top, path in ((str(root), root), (f"{root}/", root), (str(link), link), ("/", root)):
        with reading(top, f"{path}/sub/deep/a.wav") as descriptor:
            assert os.read(descriptor, 10) == b"ours"


@pytest.mark.parametrize("replaced", ["sub", "sub/deep", "sub/deep/a.wav"])
def test_a_link_anywhere_below_the_root_is_not_followed(
    root: Path, tmp_path: Path, replaced: str, descriptors: None
) -> None:
    path = root / "sub/deep/a.wav"
    before = stamp(str(path))
    assert before
    place = root / replaced
    place.rename(tmp_path / "away")
    # Also one that leads to the same file.
    for target in (tmp_path / "outside" / "/".join(place.parts[len(root.parts) + 1 :]), tmp_path / "away"):
        place.symlink_to(target)
        with pytest.raises(OutsideError, match="symbolic link"):
            open_below(str(root), str(path))
        assert content_hash(str(root), before) is None
        assert fresh_stamp(str(root), str(path)) is None
        assert stamp_below(str(root), str(path)) is None
        assert has_writer(str(root), str(path)) is None
        place.unlink()


@pytest.mark.parametrize(
    "path",
    ["/root/../outside/a.wav", "/outside/deep/a.wav", "/rooted/a.wav", "/root/./a", "/root//sub/a.wav"],
)
def test_a_path_that_is_not_below_the_root_is_refused(
    root: Path, tmp_path: Path, path: str, descriptors: None
) -> None:
    with pytest.raises(OutsideError):
        open_below(str(root), f"{tmp_path}{path}")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.mknod(path, 0o140600)])
@pytest.mark.timeout(5)
def test_what_is_no_regular_file_is_refused_without_blocking(
    root: Path, make: Callable[[str], None], descriptors: None
) -> None:
    make(f"{root}/a.wav")
    with pytest.raises(NotRegularError):
        open_below(str(root), f"{root}/a.wav")


def test_a_file_in_the_way_and_nothing_there_are_told_apart_from_links(root: Path, descriptors: None) -> None:
    with pytest.raises(NotADirectoryError):
        open_below(str(root), f"{root}/sub/deep/a.wav/b.wav")
    with pytest.raises(FileNotFoundError):
        open_below(str(root), f"{root}/none/a.wav")


def test_a_path_that_is_too_long_is_an_error_at_once(root: Path, descriptors: None) -> None:
    path = f"{root}{'/d' * (LONGEST_PATH_BYTES // 2)}"
    with pytest.raises(OSError, match="too long"):
        open_below(str(root), path)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_is_mounted_below_the_root_is_entered(root: Path, tmp_path: Path, descriptors: None) -> None:
    subprocess.run(["mount", "--bind", tmp_path / "outside", root / "sub"], check=True)
    try:
        assert content(root, "sub/deep/a.wav") == b"foreign"
    finally:
        subprocess.run(["umount", root / "sub"], check=True)
    assert content(root, "sub/deep/a.wav") == b"ours"


def test_a_directory_swapped_for_a_link_again_and_again_never_lets_a_foreign_file_be_opened(
    root: Path, tmp_path: Path
) -> None:
    stop = threading.Event()

    def swap() -> None:
        (tmp_path / "link").symlink_to(tmp_path / "outside")
        while not stop.is_set():
            (root / "sub").rename(tmp_path / "away")
            (tmp_path / "link").rename(root / "sub")
            (root / "sub").rename(tmp_path / "link")
            (tmp_path / "away").rename(root / "sub")

    swapper = threading.Thread(target=swap)
    swapper.start()
    found = set()
    try:
        for _ in range(3000):
            try:
                found.add(content(root, "sub/deep/a.wav"))
            except OSError as error:
                found.add(type(error).__name__.encode())
    finally:
        stop.set()
        swapper.join()
    assert found <= {b"ours", b"OutsideError", b"FileNotFoundError", b"NotADirectoryError"}
    assert b"ours" in found


def test_a_directory_is_opened_for_what_is_done_in_it(root: Path, descriptors: None) -> None:
    directory = directory_below(str(root), str(root / "sub/deep"))
    os.unlink("a.wav", dir_fd=directory)
    os.close(directory)
    assert list((root / "sub/deep").iterdir()) == []
    os.close(directory_below(str(root), str(root)))


def test_a_hash_is_of_the_stamped_bytes_only(root: Path) -> None:
    path = root / "sub/deep/a.wav"
    before = stamp(str(path))
    assert before
    assert content_hash(str(root), before) == hashlib.sha256(b"ours").hexdigest()
    path.write_bytes(b"more of ours")
    assert content_hash(str(root), before) is None
    shutil.rmtree(root)
    assert content_hash(str(root), before) is None


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "a.wav"
    file.write_bytes(b"x" * 4096)
    return file


def test_an_open_writer_is_seen_and_its_close_too(recording: Path) -> None:
    with recording.open("ab"):
        assert has_writer(str(recording.parent), str(recording)) is True
    assert has_writer(str(recording.parent), str(recording)) is False


def test_a_reader_is_no_writer(recording: Path) -> None:
    with recording.open("rb"):
        assert has_writer(str(recording.parent), str(recording)) is False


def test_a_writable_mapping_is_a_writer_after_its_descriptor_is_closed(recording: Path) -> None:
    with recording.open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    assert has_writer(str(recording.parent), str(recording)) is True
    mapping.close()
    assert has_writer(str(recording.parent), str(recording)) is False


def test_a_writer_in_another_process_is_seen(recording: Path) -> None:
    script = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, recording], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        writer.stdout.readline()
        assert has_writer(str(recording.parent), str(recording)) is True
        writer.stdin.close()
        writer.wait()
    assert has_writer(str(recording.parent), str(recording)) is False


def test_what_is_no_readable_regular_file_gives_no_answer(tmp_path: Path, recording: Path) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to(recording)
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    for path in (link, fifo, tmp_path, tmp_path / "none.wav"):
        assert has_writer(str(path.parent), str(path)) is None


def test_writers_that_come_while_it_asks_do_not_end_the_process(recording: Path) -> None:
    """A broken lease sends a signal whose default action is death; a thousand collisions must be survived."""
    asker = """
import signal, sys, time
from daemon.files import has_writer
signal.signal(signal.SIGIO, signal.SIG_DFL)
end = time.monotonic() + 1.0
answers = set()
while time.monotonic() < end:
    answers.add(has_writer("/", sys.argv[1]))
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


def test_a_version_changes_with_what_is_written_and_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    assert file_version(file) is None
    file.write_text("one")
    found = [file_version(file)]
    file.with_name("link").hardlink_to(file)
    assert file_version(file) == found[0]
    file.write_text("one more")
    found.append(file_version(file))
    copy = tmp_path / "copy"
    copy.write_text("one more")
    os.utime(copy, ns=(0, file.stat().st_mtime_ns))
    copy.replace(file)
    found.append(file_version(file))
    assert None not in found and len(set(map(str, found))) == 3
    assert file_version(tmp_path) is None


def test_a_commit_of_another_process_shows_in_the_log_of_the_database(tmp_path: Path) -> None:
    """By that the service sees what `earshot retry` wrote."""
    path = tmp_path / "earshot.db"
    with closing(new_database(path)) as db, closing(sqlite3.connect(path)) as other:
        before = file_version(beside_of(path, "-wal"))
        other.execute("INSERT INTO snoozes (rule, until) VALUES ('a', 'b')")
        other.commit()
        assert before != file_version(beside_of(path, "-wal")) is not None
        assert tables(db)["snoozes"].count == 1
