"""Hold the watched folders of this process, so that a second service notices that it is the second.

Two services over one folder, each with a database of its own, would have every recording analyzed twice.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.files import user_name

logger = logging.getLogger(__name__)

Identity = tuple[int, int]

STATE_FOLDER = Path("/var/lib/earshot")
"""Of the installed service; root alone makes it, so whom it belongs to is trusted as much as root."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """The process that holds a folder."""

    pid: int
    uids: frozenset[int]
    """All that it has: a stranger's process may have run a program of root's since it took the lock."""

    def __str__(self) -> str:
        return f"process {self.pid} of {' and '.join(sorted(map(user_name, self.uids)))}"


class Guard:
    """The locks (flock(2)) on the folders that this process watches, over all its configurations.

    A lock is on the folder itself: nothing has to be written for it, and it ends with the process. Whoever
    may read a folder may lock it, so only the lock of somebody who is trusted keeps this process away: root,
    its own user, and that of the installed service. Any thread may call.
    """

    def __init__(self, trusted: Collection[int] | None = None) -> None:
        self._trusted = _trusted() if trusted is None else frozenset(trusted)
        self._held: dict[str, tuple[int, Identity]] = {}
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def hold(self, path: str) -> Watcher | None:
        """Hold the folder from now on; returns who keeps this process away from it, None when nobody does.

        Call it again now and then: another folder may be at the path by now, and a lock may have become free.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        status = os.fstat(descriptor)
        identity = status.st_dev, status.st_ino
        if self._holds(path, identity):
            os.close(descriptor)
            return None
        self.release(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            # Some file systems have no such locks.
            return self._against(path, identity) if isinstance(error, BlockingIOError) else None
        with self._lock:
            self._held[path] = descriptor, identity
            self._warned.discard(path)
        return None

    def release(self, path: str) -> None:
        """Do not hold what is, or was, at the path any more."""
        with self._lock:
            descriptor, _ = self._held.pop(path, (-1, None))
        if descriptor >= 0:
            os.close(descriptor)

    def keep_only(self, paths: Collection[str]) -> None:
        """Release all folders but these."""
        with self._lock:
            others = self._held.keys() - set(paths)
        for path in others:
            self.release(path)

    def close(self) -> None:
        """Release all."""
        self.keep_only(())

    def _holds(self, path: str, identity: Identity) -> bool:
        with self._lock:
            return self._held.get(path, (-1, None))[1] == identity

    def _against(self, path: str, identity: Identity) -> Watcher | None:
        with self._lock:
            if any(held == identity for _, held in self._held.values()):
                # By this process, under another name.
                return None
        watcher = watcher_of(identity)
        if watcher is not None and watcher.uids <= self._trusted:
            return watcher
        if path not in self._warned:
            self._warned.add(path)
            logger.warning(
                "folder held by another program, and if that is an earshot, "
                "each recording is analyzed and paid for twice folder=%s by=%s",
                path,
                str(watcher or "a process that cannot be seen from here"),
            )
        return None


def watcher_of(identity: Identity) -> Watcher | None:
    """The process that has locked the folder with this device and inode; None when that cannot be told."""
    device, inode = identity
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            # 1: FLOCK  ADVISORY  WRITE 28841 00:27:1 0 EOF (proc(5)); one that waits has -> after its number.
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted:
                return _watcher(int(fields[4]))
    return None


def _watcher(pid: int) -> Watcher | None:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
        uids = next(line for line in lines if line.startswith("Uid:")).split()[1:]
        return Watcher(pid, frozenset(map(int, uids)))
    return None


def _trusted() -> frozenset[int]:
    trusted = {0, os.geteuid()}
    with suppress(OSError):
        trusted.add(STATE_FOLDER.lstat().st_uid)
    return frozenset(trusted)
