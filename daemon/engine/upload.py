"""Saves a request's body to disk, a chunk at a time: a recording may be 2 GB, memory stays small."""

import asyncio
import errno
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

MAX_BYTES = 2 * 10**9  # Deepgram's limit
STALL_SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 4096  # less than a telephone line; a recording is sent faster than it was spoken
LEAST_FREE_BYTES = 256 << 20  # the database may lie on the same disk
LOOK_BYTES = 32 << 20  # so often
IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")


class TooLarge(Exception):
    """The body is larger than MAX_BYTES."""


class SlowUpload(Exception):
    """Nothing came for a while, or too little in all."""


async def receive(
    chunks: AsyncIterator[bytes],
    into: BinaryIO,
    *,
    declared_bytes: int = 0,
    most_bytes: int = MAX_BYTES,
    stall_seconds: float = STALL_SECONDS,
    room: Callable[[], int] | None = None,
) -> str:
    """Write the body to `into`; return its SHA-256 in hex. Raises TooLarge or SlowUpload.

    `room` says how many bytes are free where `into` lies: when too few would be left, OSError is raised.
    """
    if declared_bytes > most_bytes:
        raise TooLarge
    _leave_room(room, declared_bytes)
    digest = hashlib.sha256()
    size, began = 0, time.monotonic()
    while True:
        left = began + stall_seconds + size / SLOWEST_BYTES_PER_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(min(stall_seconds, left)):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise SlowUpload from None
        if chunk is None:
            break
        if (size + len(chunk)) // LOOK_BYTES > size // LOOK_BYTES:
            _leave_room(room, LOOK_BYTES)
        size += len(chunk)
        if size > most_bytes:
            raise TooLarge
        digest.update(chunk)
        into.write(chunk)
    into.flush()
    return digest.hexdigest()


def free_bytes(folder: Path) -> int:
    """Return how many bytes are free on the disk of a folder."""
    return shutil.disk_usage(folder).free


def _leave_room(room: Callable[[], int] | None, more_bytes: int) -> None:
    if room is not None and room() < more_bytes + LEAST_FREE_BYTES:
        raise OSError(errno.ENOSPC, "too little room for uploads")


def open_upload(folder: Path) -> BinaryIO:
    """Return a new file for a recording; it has no name, so nothing is left however this process ends."""
    return tempfile.TemporaryFile(dir=folder, prefix="earshot-engine-", buffering=0)


def uploads_folder(env: Mapping[str, str] = os.environ, mounts: Path = Path("/proc/self/mounts")) -> Path:
    """Return a folder on disk for uploads: the service's cache, the user's, else /var/tmp or the temporary
    one.

    Not one in memory, as /tmp often is: a few recordings of 2 GB would fill it, and the memory.
    """
    cache = env.get("XDG_CACHE_HOME") or (f"{env['HOME']}/.cache" if env.get("HOME") else "")
    given = [env.get("CACHE_DIRECTORY", "").partition(":")[0], f"{cache}/earshot" if cache else ""]
    candidates = [Path(each, "uploads") for each in given if each]
    candidates += [Path("/var/tmp"), Path(tempfile.gettempdir())]  # noqa: S108
    usable = [folder for folder in candidates if _can_write(folder)]
    for folder in usable:
        if _file_system(folder, mounts) not in IN_MEMORY:
            return folder
    if not usable:
        raise OSError("there is no folder for uploads; set XDG_CACHE_HOME or TMPDIR to one on disk")
    logger.warning("recordings are kept in memory while they are worked on directory=%s", usable[0])
    return usable[0]


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_upload(folder).close()
    except OSError:
        return False
    return True


def _file_system(folder: Path, mounts: Path) -> str:
    """The type of the file system that a folder lies on; empty if that cannot be known."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    real, best, kind = os.path.realpath(folder), "", ""
    for line in lines:
        _, point, type_name, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if len(point) >= len(best) and (real == point or real.startswith(point.rstrip("/") + "/")):
            best, kind = point, type_name
    return kind
