"""The hash of a file's bytes, to tell a touched file from a new one under the same name."""

from __future__ import annotations

import hashlib
import os
import stat

from daemon.models import FileStamp

_BLOCK_BYTES = 1 << 20


def content_hash(stamp: FileStamp) -> str | None:
    """SHA-256 of the file's bytes in hex; None when it cannot be read, or is no longer as `stamp` says."""
    try:
        descriptor = os.open(stamp.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        digest = hashlib.sha256()
        while block := os.read(descriptor, _BLOCK_BYTES):
            digest.update(block)
        after = os.fstat(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    as_stamped = (after.st_size, after.st_mtime_ns, after.st_ino) == (
        stamp.size_bytes,
        stamp.mtime_ns,
        stamp.inode,
    )
    return digest.hexdigest() if as_stamped else None
