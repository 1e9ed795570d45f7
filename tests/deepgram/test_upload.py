"""Which files are opened at all, and that what is sent is what was hashed."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.deepgram.upload import (
    BLOCK_BYTES,
    MAX_BYTES,
    Upload,
    content_hash,
    open_recording,
    still_same,
)
from daemon.errors import (
    EarshotError,
    FileChangedError,
    FileGoneError,
    FileReplacedError,
    FileUnreadableError,
    RecordingError,
)

CONTENT = os.urandom(4 * BLOCK_BYTES + 17)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(CONTENT)
    return path


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    target = path.with_suffix(".real")
    target.write_bytes(CONTENT)
    path.symlink_to(target)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_suffix(".none"))


def loop(path: Path) -> None:
    path.symlink_to(path)


def unix_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))


def too_large(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (fifo, FileReplacedError),
        (link, FileReplacedError),
        (dangling, FileReplacedError),
        (loop, FileReplacedError),
        (unix_socket, FileReplacedError),
        (Path.mkdir, FileReplacedError),
        (Path.touch, RecordingError),
        (too_large, RecordingError),
        (lambda path: None, FileGoneError),
    ],
)
@pytest.mark.timeout(5)
def test_what_is_no_recording_is_refused_without_blocking(
    tmp_path: Path, make: Callable[[Path], object], expected: type[EarshotError]
) -> None:
    path = tmp_path / "a.wav"
    make(path)

    with pytest.raises(expected) as caught, open_recording(str(path.parent), str(path)):
        pass

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_device_is_refused(path: str) -> None:
    with pytest.raises(FileReplacedError, match="not a regular file"), open_recording("/", path):
        pass


def test_what_is_reached_through_a_link_below_the_root_is_refused(tmp_path: Path, file: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/sub").symlink_to(tmp_path)
    with (
        pytest.raises(FileReplacedError, match="symbolic link"),
        open_recording(str(tmp_path / "root"), str(tmp_path / "root/sub/a.wav")),
    ):
        pass


def test_another_file_than_is_expected_is_refused_before_its_size_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    too_large(path)
    with (
        pytest.raises(FileChangedError, match="another file"),
        open_recording(str(tmp_path), str(path), is_expected=lambda status: status.st_size == 5),
    ):
        pass


def test_a_path_through_a_file_is_gone(file: Path) -> None:
    with pytest.raises(FileGoneError), open_recording(str(file.parent), str(file / "b.wav")):
        pass


def test_a_name_that_is_too_long_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError), open_recording(str(tmp_path), str(tmp_path / ("x" * 300))):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(file: Path) -> None:
    file.chmod(0)
    with (
        pytest.raises(FileUnreadableError, match="no permission"),
        open_recording(str(file.parent), str(file)),
    ):
        pass


def test_a_file_of_another_user_is_unreadable_and_says_what_to_do(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with (
        pytest.raises(FileUnreadableError, match="give earshot's user read access"),
        open_recording(str(file.parent), str(file)),
    ):
        pass


def test_a_disk_that_fails_while_it_is_read_is_the_file_s_trouble(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with open_recording(str(file.parent), str(file)) as opened:
        monkeypatch.setattr(os, "pread", fails)
        with pytest.raises(FileUnreadableError, match="Input/output error"):
            content_hash(opened)


def test_the_codes_say_why_a_file_is_not_sent(tmp_path: Path) -> None:
    codes: list[str] = []
    for make in (Path.touch, too_large):
        path = tmp_path / f"{len(codes)}.wav"
        make(path)
        with pytest.raises(RecordingError) as caught, open_recording(str(path.parent), str(path)):
            pass
        codes.append(caught.value.code)
    assert codes == ["empty", "too_large"]


def test_a_file_of_exactly_the_limit_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    os.truncate(path, MAX_BYTES)
    with open_recording(str(path.parent), str(path)) as opened:
        assert opened.size_bytes == MAX_BYTES


def test_a_name_that_is_no_utf8_is_opened_and_shown(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    Path(path).write_bytes(CONTENT)
    with open_recording("/", path) as opened:
        assert content_hash(opened) == SHA256
        Path(path).write_bytes(b"other")
        with pytest.raises(FileChangedError, match=r"caf\\xe9\.wav"):
            content_hash(opened)


def test_the_descriptor_is_closed_whatever_happens(file: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (file, file.parent, file.parent / "none"):
        with (
            pytest.raises(ZeroDivisionError if path == file else EarshotError),
            open_recording(str(path.parent), str(path)),
        ):
            raise ZeroDivisionError
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_same_bytes_are_hashed_and_sent_as_often_as_asked(file: Path) -> None:
    with open_recording(str(file.parent), str(file)) as opened:
        for _ in range(2):
            assert content_hash(opened) == SHA256
            blocks = list(Upload(opened, SHA256))
            assert b"".join(blocks) == CONTENT
            assert max(map(len, blocks)) <= BLOCK_BYTES


@pytest.mark.parametrize("size", [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
def test_files_around_the_size_of_a_block_are_sent_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(CONTENT[:1] * size)
    with open_recording(str(path.parent), str(path)) as opened:
        assert len(b"".join(Upload(opened, content_hash(opened)))) == size


def grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, len(CONTENT) - 1)


def rewrite(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(bytes([CONTENT[0] ^ 1]))
        stream.seek(len(CONTENT) - 1)
        stream.write(bytes([CONTENT[-1] ^ 1]))


CHANGES = [grow, shrink, rewrite]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", [0, 1])
@pytest.mark.parametrize("known", [SHA256, None], ids=["hashed before", "hashed on the way"])
def test_a_file_that_changes_while_it_is_sent_is_never_sent_whole(
    file: Path, change: Callable[[Path], None], when: int, known: str | None
) -> None:
    sent = b""
    threading.Event().wait(0.02)  # the kernel's clock for files is up to some milliseconds behind
    with open_recording(str(file.parent), str(file)) as opened, pytest.raises(FileChangedError):
        for index, block in enumerate(Upload(opened, known)):
            if index == when:
                change(file)
            sent += block
    assert len(sent) < len(CONTENT)


def test_a_file_is_read_once_for_its_hash_and_its_upload(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, real = [], os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        block = real(descriptor, size, offset)
        read.append(len(block))
        return block

    monkeypatch.setattr(os, "pread", counting)
    with open_recording(str(file.parent), str(file)) as opened:
        known: list[str] = []
        upload = Upload(opened, on_hash=known.append)
        blocks = iter(upload)
        sent = next(blocks)
        assert (upload.sha256, known) == (None, [])
        assert sent + b"".join(blocks) == CONTENT
        assert (upload.sha256, known) == (SHA256, [SHA256])
    assert sum(read) == len(CONTENT)


def test_a_file_that_is_only_touched_while_it_is_sent_is_sent_whole(file: Path) -> None:
    sent = b""
    with open_recording(str(file.parent), str(file)) as opened:
        for block in Upload(opened):
            os.utime(file, ns=(1, 1))
            sent += block
    assert sent == CONTENT


def test_a_file_that_grows_without_end_is_read_no_further_than_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"x")

    def growing() -> Iterator[bytes]:
        with open_recording(str(path.parent), str(path)) as opened:
            os.truncate(path, MAX_BYTES)
            yield from Upload(opened, "")

    with pytest.raises(FileChangedError):
        list(growing())


# Whether the path still holds what was sent


def touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def copied_over(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(CONTENT)
    other.rename(path)


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(b"y" * len(CONTENT))
    other.rename(path)


def now_a(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda path: None, True),
        (touched, True),
        (copied_over, True),
        (lambda path: path.unlink(), True),
        (lambda path: path.rename(path.with_suffix(".moved")), True),
        (lambda path: path.chmod(0o600), True),
        (grow, False),
        (shrink, False),
        (rewrite, False),
        (replaced, False),
        (now_a(Path.touch), False),
        (now_a(too_large), False),
        (now_a(Path.mkdir), True),
        (now_a(link), True),
        (now_a(fifo), True),
    ],
)
@pytest.mark.timeout(5)
def test_what_counts_as_the_same_file(file: Path, change: Callable[[Path], object], same: bool) -> None:
    os.utime(file, ns=(5_000_000_000, 5_000_000_000))
    with open_recording(str(file.parent), str(file)) as opened:
        change(file)
        assert still_same(opened, SHA256) is same
