"""Move an open file into another folder: never over another file, never half, never gone before it is there.

By a hard link where the file system has them, not by renaming: a file renamed out of a watched tree holds
back what the kernel says of all others for half a second. Else by a copy under a temporary name. All is done
by descriptors of the directories, so that no link which somebody puts in the way is followed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Self

from daemon.files import BLOCK_BYTES, directory_in, hash_of, reading

LONGEST_NAME_BYTES = 255

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TO_SYNC = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS, errno.ENOENT})
"""What the kernel says where there are no files without a name: network mounts, FUSE, old file systems."""
_NO_LINKS = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)


class ChangedError(Exception):
    """The file is no longer the one that was meant."""


def free_names(name: str) -> Iterator[str]:
    """Names to try in turn: the name itself, then with ` (2)`, ` (3)`, …, cut where it would be too long."""
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if dot and stem else (name, "")
    yield name
    for number in count(2):
        room = LONGEST_NAME_BYTES - len(os.fsencode(f" ({number}){ending}"))
        yield f"{os.fsdecode(_cut(os.fsencode(stem), room))} ({number}){ending}"


def is_same_content(descriptor: int, root: str, path: str) -> bool:
    """True when the file at `path`, below `root`, is the open file itself, or a copy of it."""
    try:
        with reading(root, path) as other:
            ours, theirs = os.fstat(descriptor), os.fstat(other)
            if os.path.samestat(ours, theirs):
                return True
            return ours.st_size == theirs.st_size and hash_of(descriptor) == hash_of(other)
    except OSError:
        return False


def open_target(top: str, relative: str) -> int:
    """Open the directory `relative` below `top` for `dir_fd`, after making what is missing of it.

    New directories get the permissions of `top`. Raises OutsideError for a link below `top`.
    """
    descriptor = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    for part in filter(None, relative.split("/")):
        above = descriptor
        try:
            _make_directory(above, part, mode)
            descriptor = directory_in(above, part)
        finally:
            os.close(above)
    return descriptor


def put_in_place(descriptor: int, directory: int, name: str, label: str) -> None:
    """Give the open file a name in the open directory as well; on disk before this returns.

    `label` is for the name of a copy that is not complete. Raises FileExistsError when the name is taken,
    and ChangedError when the file changed while it was copied.
    """
    try:
        _link(descriptor, directory, name)
    except OSError as error:
        if error.errno == errno.ENOENT and not os.fstat(descriptor).st_nlink:
            raise ChangedError from error
        if error.errno not in _NO_LINKS:
            raise
        _copy(descriptor, directory, name, label)
    _sync(directory)


def remove_leftovers(directory: int, label: str) -> None:
    """Delete the copies with this label that a killed process did not complete."""
    listed = os.open(".", _TO_SYNC, dir_fd=directory)
    try:
        with os.scandir(listed) as entries:
            for entry in entries:
                if not entry.name.startswith(_temporary_start(label)):
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                    os.unlink(entry.name, dir_fd=listed)
    finally:
        os.close(listed)


class NewFile:
    """A file with this content that has no name in its directory yet; a context manager.

    It has none at all where the file system can do so: a killed process leaves nothing behind. Else it has
    one of the names that `remove_leftovers` knows by `label`. `mode` are its permissions.
    """

    def __init__(self, directory: int, label: str, content: bytes, mode: int) -> None:
        self._directory = directory
        self._temporary = f"{_temporary_start(label)}{secrets.token_hex(8)}.tmp"
        try:
            self._descriptor = os.open(
                ".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory
            )
            self._has_name = False
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            remove_leftovers(directory, label)
            self._descriptor = os.open(self._temporary, _NEW_FILE, 0o600, dir_fd=directory)
            self._has_name = True
        try:
            _write_all(self._descriptor, content)
            with suppress(OSError):
                os.fchmod(self._descriptor, mode)
            os.fsync(self._descriptor)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if self._has_name:
            with suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=self._directory)

    @property
    def inode(self) -> int:
        """By what it is known, whatever its name is."""
        return os.fstat(self._descriptor).st_ino

    def publish(self, name: str) -> None:
        """Give it this name, on disk before this returns; FileExistsError when something has it."""
        if self._has_name:
            _publish(self._descriptor, self._directory, self._temporary, name)
        else:
            _link(self._descriptor, self._directory, name)
        _sync(self._directory)

    def replace(self, name: str) -> None:
        """Put it in place of what has this name."""
        if not self._has_name:
            _link(self._descriptor, self._directory, self._temporary)
            self._has_name = True
        os.replace(self._temporary, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        _sync(self._directory)


def _link(descriptor: int, directory: int, name: str) -> None:
    # By the descriptor: at the path there may be another file by now.
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory)


def _make_directory(above: int, name: str, mode: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:
        return
    made = os.open(name, _TO_SYNC, dir_fd=above)
    try:
        # Some shares know no permissions.
        with suppress(OSError):
            os.fchmod(made, mode)
    finally:
        os.close(made)
    _sync(above)


def _copy(descriptor: int, directory: int, name: str, label: str) -> None:
    # Not to be foreseen: whatever was put at a known name would stop every move.
    temporary = f"{_temporary_start(label)}{secrets.token_hex(8)}.tmp"
    copy = os.open(temporary, _NEW_FILE, 0o600, dir_fd=directory)
    try:
        _copy_content(descriptor, copy)
        _publish(copy, directory, temporary, name)
    finally:
        os.close(copy)
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)


def _copy_content(descriptor: int, copy: int) -> None:
    """Copy bytes, permissions and times; ChangedError when the file changes meanwhile."""
    before, offset = os.fstat(descriptor), 0
    while block := os.pread(descriptor, BLOCK_BYTES, offset):
        _write_all(copy, block)
        offset += len(block)
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (offset, before.st_mtime_ns):
        raise ChangedError
    with suppress(OSError):
        os.fchmod(copy, stat.S_IMODE(before.st_mode) & 0o777)
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.fsync(copy)


def _publish(copy: int, directory: int, temporary: str, name: str) -> None:
    """Give a finished copy its name, unless something else has it."""
    try:
        _link(copy, directory, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No links here (FAT, some shares): reserve the name, then replace what we just made ourselves.
        os.close(os.open(name, _NEW_FILE, 0o600, dir_fd=directory))
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


def _temporary_start(label: str) -> str:
    return f".earshot-{label}-"


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync(directory: int) -> None:
    descriptor = os.open(".", _TO_SYNC, dir_fd=directory)
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
