"""Find out how a folder is mounted, and so whether the kernel reports all that happens in it.

On network and FUSE mounts inotify reports only what this host does, so such folders are polled. A probe file
would prove nothing: our own write is reported even there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from daemon.config.models import WatchFolder

Method = Literal["events", "poll"]

POLL_SECONDS = 10.0
"""How often a polled folder is listed when the configuration does not say."""

REMOTE_SETTLE_SECONDS = 5.0
"""Quiet time on network and FUSE mounts when the configuration does not say. There is no event for a close
there, the kernel does not know who writes, and a client that stalls leaves its file quiet for seconds."""

REMOTE_LOOK_SECONDS = 60.0
"""On network and FUSE mounts each look at a file may be a question to a server: more often than this only the
names are read."""

_TYPES = """
    9p acfs afpfs afs autofs beegfs ceph cifs coda davfs davfs2 drvfs fuse fuseblk ganesha gfs2 glusterfs gpfs
    lustre ncpfs nfs nfs4 ocfs2 orangefs panfs prl_fs pvfs2 sftpfs smb2 smb3 smbfs vboxsf virtiofs vmhgfs
"""
_REMOTE_TYPES = frozenset(_TYPES.split())

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: where, what type, and the numbers that change when it is mounted again."""

    point: str
    type: str
    id: str

    @property
    def is_remote(self) -> bool:
        """True where other hosts, or a user's process, can change files without an event here."""
        return self.type in _REMOTE_TYPES or self.type.startswith("fuse.")


@dataclass(frozen=True, slots=True)
class WatchMethod:
    """How a folder is watched and why; `root` is its path without links, `mounts` those that matter to it."""

    method: Method
    reason: str
    root: str
    mounts: tuple[Mount, ...]

    @property
    def has_remote(self) -> bool:
        """True when the folder, or a part of it, is on a remote mount."""
        return any(mount.is_remote for mount in self.mounts)

    def is_remote(self, relative: str) -> bool:
        """Return whether the file at `relative`, a path inside the folder, is on a remote mount."""
        if not self.has_remote:
            return False
        mount = _mount_of(f"{self.root}/{relative}", self.mounts)
        return mount is not None and mount.is_remote


def read_mounts(source: Path = Path("/proc/self/mountinfo")) -> tuple[Mount, ...]:
    """Return every mount that this process sees, oldest first; none where the kernel does not say."""
    try:
        return _mounts_in(source.read_bytes())
    except OSError:
        return ()


def watch_method(
    folder: WatchFolder, mounts: tuple[Mount, ...] | None = None, *, root: str | None = None
) -> WatchMethod:
    """Return whether to watch the folder by events or to poll it, by its configuration and its mounts.

    `root` is its path without links; it is asked of the file system where it is not given.
    """
    root = os.path.realpath(folder.path) if root is None else root
    relevant = _relevant(root, read_mounts() if mounts is None else mounts)
    if folder.method != "auto":
        return WatchMethod(folder.method, "configured", root, relevant)
    remote = [mount for mount in relevant if mount.is_remote]
    if not remote:
        return WatchMethod("events", "local file system", root, relevant)
    mount = remote[-1]
    if mount.point == root or not _is_below(mount.point, root):
        return WatchMethod("poll", f"{mount.type} mount", root, relevant)
    return WatchMethod("poll", f"{mount.type} mount at {mount.point}", root, relevant)


def rescan_seconds(folder: WatchFolder, method: Method) -> float:
    """Return how often the whole folder is listed: as configured, else more often when it is polled."""
    if method == "events" or "rescan" in folder.model_fields_set:
        return max(folder.rescan, 0.1)
    return POLL_SECONDS


def look_seconds(method: WatchMethod) -> float:
    """Return after how many seconds a listing looks at a known file again; 0: at every listing."""
    return REMOTE_LOOK_SECONDS if method.has_remote else 0.0


def settle_seconds(folder: WatchFolder, method: WatchMethod) -> float:
    """Return the quiet time that makes a file complete: as configured, else longer on remote mounts."""
    if "settle" not in folder.model_fields_set and method.has_remote:
        return max(folder.settle, REMOTE_SETTLE_SECONDS)
    return folder.settle


def _relevant(root: str, mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Return the mount that holds the folder, and those below it."""
    own = _mount_of(root, mounts)
    below = tuple(mount for mount in mounts if mount is not own and _is_below(mount.point, root))
    return ((own,) if own else ()) + tuple(mount for mount in below if mount.point != root)


def _mount_of(path: str, mounts: tuple[Mount, ...]) -> Mount | None:
    found: Mount | None = None
    for mount in mounts:
        # `>=`: of two mounts at one point, the later one hides the earlier.
        deeper = found is None or len(mount.point) >= len(found.point)
        if deeper and (path == mount.point or _is_below(path, mount.point)):
            found = mount
    return found


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


@lru_cache(maxsize=1)
def _mounts_in(content: bytes) -> tuple[Mount, ...]:
    # They are read at every look at a folder, and seldom change.
    return tuple(mount for line in os.fsdecode(content).split("\n") if (mount := _parse(line)))


def _parse(line: str) -> Mount | None:
    # 36 35 98:0 /root /mount/point options optional... - type source super-options (proc(5))
    head, separator, tail = line.partition(" - ")
    fields, kind = head.split(" "), tail.split(" ", 1)[0]
    if not separator or len(fields) < 6:
        return None
    return Mount(point=_unescaped(fields[4]), type=kind, id=f"{fields[0]} {fields[2]}")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
