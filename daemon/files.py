"""Open files below a root without following links there; their stamp and hash, and who writes to them.

The root itself may be a link, and what is mounted below it is entered. Every error is an OSError.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pwd
import secrets
import signal
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.models import FileStamp

BLOCK_BYTES = 1 << 20
LONGEST_PATH_BYTES = 4096
"""Longer ones the system takes no more (PATH_MAX), so no path has more than half as many parts."""

KEY_BYTES = 32

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_F_SETSIG = 10  # not in the fcntl module; the value of Linux on every architecture that CPython supports
_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY, errno.ETXTBSY})


class OutsideError(OSError):
    """The path leads out of its root: it is not below it, or a link is in its way."""


class NotRegularError(OSError):
    """There is something at the path, but no regular file: a pipe, a device, a directory."""


def open_below(root: str, path: str) -> int:
    """Open the regular file at `path`, below `root`, for reading, without ever waiting for a pipe.

    Raises OutsideError for a link anywhere below `root`, also at the end, and NotRegularError.
    """
    directory, _, name = path.rpartition("/")
    above = directory_below(root, directory or "/")
    try:
        return open_in(above, name)
    finally:
        os.close(above)


def open_in(directory: int, name: str) -> int:
    """Like `open_below`, for a name in an open directory."""
    try:
        descriptor = os.open(_checked(name), _FILE, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(name) from error
        if error.errno == errno.ENXIO:
            raise _irregular(name) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _irregular(name)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def directory_below(root: str, path: str) -> int:
    """Open the directory at `path`, which is `root` or below it: for `dir_fd`, not for reading.

    Raises OutsideError for a link anywhere below `root`.
    """
    parts = _parts(root, path)
    descriptor = os.open(root, _DIRECTORY)
    for part in parts:
        above = descriptor
        try:
            descriptor = directory_in(above, part)
        finally:
            os.close(above)
    return descriptor


def directory_in(above: int, name: str) -> int:
    """Like `directory_below`, for a name in an open directory."""
    try:
        return os.open(_checked(name), _DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    except NotADirectoryError as error:
        # What the kernel says of a link, too.
        if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            raise _link(name) from error
        raise


@contextmanager
def reading(root: str, path: str) -> Iterator[int]:
    """Open as `open_below` does, and close the descriptor at the end."""
    descriptor = open_below(root, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def stamp(path: str) -> FileStamp | None:
    """Return what lstat says of the regular file at `path`; None when there is none (any more)."""
    try:
        return stamp_of_status(path, os.lstat(path))
    except OSError:
        return None


def stamp_below(root: str, path: str) -> FileStamp | None:
    """Like `stamp`, but None also when a link is in the way below `root`."""
    above, _, name = path.rpartition("/")
    try:
        directory = directory_below(root, above or "/")
        try:
            return stamp_of_status(path, os.stat(name, dir_fd=directory, follow_symlinks=False))
        finally:
            os.close(directory)
    except OSError:
        return None


def fresh_stamp(root: str, path: str) -> FileStamp | None:
    """Like `stamp_below`, but through an open file: NFS and CIFS then ask the server, not their cache.

    While the server refuses because somebody has the file open for himself alone, it is what lstat says.
    """
    try:
        with reading(root, path) as descriptor:
            return stamp_of_status(path, os.fstat(descriptor))
    except PermissionError:
        return stamp_below(root, path)
    except OSError:
        return None


def stamp_of_status(path: str, status: os.stat_result) -> FileStamp | None:
    """Return the stamp of the file at `path` with this status; None when it is no regular file."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileStamp(
        path=path,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        device=status.st_dev,
        blocks=status.st_blocks,
    )


def file_version(path: Path) -> list[int] | None:
    """Return numbers that change whenever the file is written or replaced; None if it is no regular file."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    # Without the time of the last change: a backup that makes a hard link would change it.
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


def same_file(status: os.stat_result, stamp: FileStamp) -> bool:
    """Return True when size, modification time and inode are those of `stamp`."""
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (
        stamp.size_bytes,
        stamp.mtime_ns,
        stamp.inode,
    )


def content_hash(root: str, stamp: FileStamp) -> str | None:
    """Return the SHA-256 of a file in hex; None when it cannot be read, or is no longer as `stamp` says."""
    try:
        with reading(root, stamp.path) as descriptor:
            digest = hash_of(descriptor)
            return digest if same_file(os.fstat(descriptor), stamp) else None
    except OSError:
        return None


def hash_of(descriptor: int) -> str:
    """Return the SHA-256 of all bytes of an open file, in hex."""
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(descriptor, BLOCK_BYTES, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()


def has_writer(root: str, path: str) -> bool | None:
    """Return True when a process of this host has the file at `path` open, or mapped, for writing.

    None when the kernel does not say: on network and FUSE mounts, and where the file is another user's and
    this process has no CAP_LEASE.
    """
    try:
        with reading(root, path) as descriptor:
            return is_being_written(descriptor)
    except OSError as error:
        return True if error.errno in _HELD else None


def is_being_written(descriptor: int) -> bool | None:
    """`has_writer` for a file that this process has open for reading.

    The question is a read lease (fcntl(2), F_SETLEASE): it is granted only when nobody can write, and is
    given back at once. A process that opens the file for writing in the few microseconds between waits.
    """
    try:
        # A writer that comes meanwhile has the kernel send us a signal. By default that is SIGIO, which ends
        # the process; SIGURG is ignored unless somebody asks for it.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno in _HELD else None
    return False


def device_above(path: str) -> int | None:
    """Return the device number of the nearest directory above `path` that is there; None when none is."""
    directory = path
    while directory := directory.rpartition("/")[0]:
        with suppress(OSError):
            return Path(directory).stat().st_dev
    return None


def is_unmounted(root: Path, places: Iterable[tuple[str, int]]) -> bool:
    """Return whether a file that is not there may only be out of sight, and be back with the next mount.

    True when `root`, its watched folder, is not there, or when another file system is now where the file's
    was. `places` are the paths at which the file was taken in, each with the device number of that time.
    """
    if not root.is_dir():
        return True
    return any(device_above(path) not in (None, device) for path, device in places)


def private_key(path: Path, owner: int) -> bytes:
    """Return the key in the file at `path`, KEY_BYTES that nobody can foresee; make one where there is none.

    Only its owner, the user `owner`, may read it. Raises OSError, among others for a link or for a file of
    somebody else.
    """
    try:
        return _read_key(path, owner)
    except FileNotFoundError:
        _make_key(path, owner)
        return _read_key(path, owner)


def _read_key(path: Path, owner: int) -> bytes:
    descriptor = os.open(path, _FILE)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid(), owner):
            raise _irregular(str(path))
        if status.st_mode & 0o077:
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o600)
        key = os.pread(descriptor, KEY_BYTES + 1, 0)
    finally:
        os.close(descriptor)
    if len(key) != KEY_BYTES:
        raise OSError(errno.EINVAL, f"it does not have {KEY_BYTES} bytes", str(path))
    return key


def _make_key(path: Path, owner: int) -> None:
    """Under another name first: nobody must ever read half of it. Where two make one, the first stays."""
    new = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(descriptor, owner, -1)
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        os.close(descriptor)
        new.unlink(missing_ok=True)


def _parts(root: str, path: str) -> list[str]:
    top = root.rstrip("/")
    if path.rstrip("/") == top:
        return []
    if not path.startswith(top + "/"):
        raise OutsideError(errno.EXDEV, f"it is not below {root}", path)
    if len(os.fsencode(path)) >= LONGEST_PATH_BYTES:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    return [_checked(part) for part in path[len(top) + 1 :].split("/")]


def _checked(name: str) -> str:
    if name in ("", ".", ".."):
        raise OutsideError(errno.EXDEV, f"{name!r} is not the name of a file", name)
    return name


def _link(name: str) -> OutsideError:
    return OutsideError(errno.ELOOP, "a symbolic link is in its way, which is not followed", name)


def _irregular(name: str) -> NotRegularError:
    return NotRegularError(errno.EINVAL, "this is not a regular file", name)


def user_name(uid: int) -> str:
    """The name of a user, or the number where nobody has it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def owner_of(path: Path) -> str | None:
    """The name of the user to whom a file belongs; None when it is not there."""
    try:
        return user_name(path.stat().st_uid)
    except OSError:
        return None
