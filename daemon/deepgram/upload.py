"""Read a recording's file: open it once, without following links, hash and upload it from that descriptor."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from daemon.errors import (
    FileChangedError,
    FileGoneError,
    FileReplacedError,
    FileTrouble,
    FileUnreadableError,
    RecordingError,
)
from daemon.files import NotRegularError, OutsideError, reading
from daemon.models import shown_path

BLOCK_BYTES = 512 * 1024
"""Half as large takes a twentieth more processor time, and twice as large only more memory: two an upload."""
READ_ONCE_BYTES = 8 * 1024 * 1024
"""Files of this size or more are read once for hash and upload, if no other file has the same size. Smaller
ones are in the system's memory for the second read."""
HELD_BYTES = BLOCK_BYTES
"""Files up to this size are read once, and are in memory until they are sent."""
MAX_BYTES = 2 * 1000**3
"""Deepgram's documented limit for a file (https://developers.deepgram.com/docs/pre-recorded-audio)."""

_HASHING = threading.Lock()
"""One block at a time is hashed: 1.3 GB/s. Ten uploads that hash at once leave no processor to the rest of
the service, which then takes several times as long to see and send another file."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file below `root`, opened for reading, with what fstat said when it was opened."""

    root: str
    path: str
    descriptor: int
    before: os.stat_result

    @property
    def size_bytes(self) -> int:
        return self.before.st_size


@contextmanager
def open_recording(
    root: str, path: str, *, is_expected: Callable[[os.stat_result], bool] = lambda _: True
) -> Iterator[OpenFile]:
    """Open the file at `path`, below `root`, if it is the expected one and worth sending.

    Follows no link below `root` and never waits for a pipe. Raises FileTrouble, FileChangedError where
    `is_expected` is false, and RecordingError for what Deepgram would refuse anyway (`too_large`, `empty`).
    """
    with ExitStack() as closing:
        try:
            descriptor = closing.enter_context(reading(root, path))
            status = os.fstat(descriptor)
        except OSError as error:
            raise _trouble(path, error) from error
        if not is_expected(status):
            raise FileChangedError(f"{shown_path(path)}: another file is there by now than was taken in")
        _check_size(status.st_size)
        yield OpenFile(root, path, descriptor, status)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_BYTES:
        raise RecordingError(
            "too_large",
            f"the file has {size_bytes} bytes and Deepgram takes at most {MAX_BYTES}; split it",
        )
    if size_bytes == 0:
        raise RecordingError("empty", "the file is empty; put the recording there again")


def whole_of(file: OpenFile) -> tuple[bytes, str]:
    """Return the bytes of a short file, and their SHA-256 in hex; raises as `content_hash` does."""
    content = b"".join(_blocks(file, HELD_BYTES))
    return content, hashlib.sha256(content).hexdigest()


def content_hash(file: OpenFile) -> str:
    """Return the SHA-256 of the file's bytes, hex; FileChangedError if its length has changed."""
    digest = hashlib.sha256()
    for block in _blocks(file):
        with _HASHING:
            digest.update(block)
    return digest.hexdigest()


class Upload:
    """The bytes of a file for the body of a request: iterated once, with at most two blocks in memory.

    `sha256` is the hash (hex) of all the bytes; None until they are read, unless it was given. `content` are
    all of them, where they were read already. `on_hash` is called with a new hash.
    """

    def __init__(
        self,
        file: OpenFile,
        sha256: str | None = None,
        *,
        content: bytes | None = None,
        on_hash: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.file = file
        self.sha256 = sha256
        self._content = content
        self._on_hash = on_hash

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks; raise FileChangedError before the last if the file changed meanwhile: the
        server then sees an unfinished request and bills nothing."""
        if self._content is not None:
            if not (self._is_untouched() or content_hash(self.file) == self.sha256):
                raise self._changed()
            yield self._content
            return
        digest, left = hashlib.sha256(), self.file.size_bytes
        for block in _blocks(self.file):
            with _HASHING:
                digest.update(block)
            left -= len(block)
            if not left:
                self._check(digest.hexdigest())
            yield block

    def _check(self, sent: str) -> None:
        if not self._is_one(sent):
            raise self._changed()
        if self.sha256 is None:
            self.sha256 = sent
            self._on_hash(sent)

    def _is_one(self, sent: str) -> bool:
        if self.sha256 is not None:
            return sent == self.sha256
        # Written to, or only touched, renamed or linked? Compare bytes.
        return self._is_untouched() or content_hash(self.file) == sent

    def _is_untouched(self) -> bool:
        now, before = os.fstat(self.file.descriptor), self.file.before
        return (_stamp(now), now.st_ctime_ns) == (_stamp(before), before.st_ctime_ns)

    def _changed(self) -> FileChangedError:
        return FileChangedError(f"{shown_path(self.file.path)}: the file changed while it was sent")


def still_same(file: OpenFile, sha256: str) -> bool:
    """Return whether the path still holds the bytes that were sent; reads them only if its stamp changed.

    A file that was deleted, moved or replaced by something that is no file counts as the same: there is
    nothing newer to analyze.
    """
    try:
        now = os.lstat(file.path)
    except OSError:
        return True
    if _stamp(now) == _stamp(file.before):
        return True
    try:
        with open_recording(file.root, file.path) as again:
            return content_hash(again) == sha256
    except FileGoneError:
        return True
    except (FileTrouble, RecordingError):
        return False


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _blocks(file: OpenFile, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    offset = 0
    try:
        while (left := file.size_bytes - offset) > 0:
            # Of the last block a byte more: a file that has grown is another one.
            block = os.pread(file.descriptor, block_bytes if left > block_bytes else left + 1, offset)
            offset += len(block)
            if not block or len(block) > left:
                break
            yield block
    except OSError as error:
        raise _trouble(file.path, error) from error
    if offset != file.size_bytes:
        raise FileChangedError(f"{shown_path(file.path)}: the file changed while it was read")


def _trouble(path: str, error: OSError) -> FileTrouble:
    shown = shown_path(path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return FileGoneError(f"{shown}: the file is no longer there")
    if isinstance(error, OutsideError | NotRegularError):
        return FileReplacedError(f"{shown}: {error.strerror}, so it is not sent")
    if error.errno in (errno.EACCES, errno.EPERM):
        return FileUnreadableError(f"{shown}: no permission to read it; give earshot's user read access")
    return FileUnreadableError(f"{shown}: it cannot be read ({error.strerror})")
