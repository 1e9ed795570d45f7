"""Moving a file out of a watched folder: never over another file, never half, never gone before it is there.

By a hard link where the file system has them, not by renaming: a file renamed out of a watched tree holds
back what the kernel says of all others for half a second. Else by a copy under a temporary name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path

from daemon.storage.recordings import split_path

BLOCK_BYTES = 1 << 20
LONGEST_NAME_BYTES = 255

_NO_LINKS = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)


class ChangedError(Exception):
    """The file is no longer the one that was meant."""


def free_names(directory: str, name: str) -> Iterator[str]:
    """Paths to try in turn: the name itself, then with ` (2)`, ` (3)`, …, cut where it would be too long."""
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if dot and stem else (name, "")
    yield f"{directory}/{name}"
    for number in count(2):
        room = LONGEST_NAME_BYTES - len(os.fsencode(f" ({number}){ending}"))
        yield f"{directory}/{os.fsdecode(_cut(os.fsencode(stem), room))} ({number}){ending}"


def open_regular(path: str) -> int:
    """A descriptor of the regular file at `path`; ChangedError when it is something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ChangedError from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ChangedError
    return descriptor


def hash_of(descriptor: int) -> str:
    """SHA-256 of all bytes of an open file, in hex."""
    digest, offset = sha256(), 0
    while block := os.pread(descriptor, BLOCK_BYTES, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()


def is_same_content(descriptor: int, path: str) -> bool:
    """True when the file at `path` is the open file itself, or a copy of it."""
    try:
        other = open_regular(path)
    except (OSError, ChangedError):
        return False
    try:
        ours, theirs = os.fstat(descriptor), os.fstat(other)
        if os.path.samestat(ours, theirs):
            return True
        return ours.st_size == theirs.st_size and hash_of(descriptor) == hash_of(other)
    finally:
        os.close(other)


def put_in_place(descriptor: int, path: str, target: str) -> None:
    """Have the open file, which is at `path`, under the name `target` as well, on disk before this returns.

    Raises FileExistsError when there is something at `target` already, and ChangedError when the file changed
    while it was copied.
    """
    directory = split_path(target)[0]
    try:
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(descriptor, target)
    else:
        if not os.path.samestat(os.lstat(target), os.fstat(descriptor)):
            # Replaced between the two calls: what was linked is another file, and still at its place as well.
            Path(target).unlink()
            raise ChangedError
    _sync_directory(directory)


def make_directories(top: str, relative: str, like: str) -> str:
    """The folder `relative` below `top`, made where it is missing, with permissions as below `like`."""
    for part in filter(None, relative.split("/")):
        top, like = f"{top}/{part}", f"{like}/{part}"
        try:
            Path(top).mkdir()
        except FileExistsError:
            continue
        with suppress(OSError):
            Path(top).chmod(stat.S_IMODE(os.lstat(like).st_mode) & 0o777)
    return top


def _copy(descriptor: int, target: str) -> None:
    before = os.fstat(descriptor)
    temporary = f"{split_path(target)[0]}/.earshot-{before.st_dev:x}-{before.st_ino:x}.tmp"
    copy = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            offset = 0
            while block := os.pread(descriptor, BLOCK_BYTES, offset):
                _write_all(copy, block)
                offset += len(block)
            after = os.fstat(descriptor)
            is_same = (after.st_size, after.st_mtime_ns) == (offset, before.st_mtime_ns)
            if not is_same:
                raise ChangedError
            with suppress(OSError):
                os.fchmod(copy, stat.S_IMODE(before.st_mode) & 0o777)
            os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.fsync(copy)
        finally:
            os.close(copy)
        _publish(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


def _publish(temporary: str, target: str) -> None:
    """Give a finished copy its name, unless something else has it."""
    try:
        os.link(temporary, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No links here (FAT, some shares): reserve the name, then replace what we just made ourselves.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        Path(temporary).replace(target)


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def _cut(name: bytes, room: int) -> bytes:
    # Not in the middle of a character.
    return name if len(name) <= room else name[:room].decode("utf-8", "ignore").encode() or name[:room]
