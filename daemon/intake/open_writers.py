"""Asking the kernel whether any process of this host holds a file open for writing.

The question is a read lease (fcntl(2), F_SETLEASE): it is granted only when nobody can write, and is given
back at once. Needs to own the file, or CAP_LEASE; on network and FUSE mounts the answer means nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal

_F_SETSIG = 10  # not in the fcntl module; the value of Linux on every architecture that CPython supports

_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY, errno.ETXTBSY})


def has_writer(path: str) -> bool | None:
    """True when some process has the file open, or mapped, for writing; None when the kernel does not say.

    Another process that opens the file for writing in the few microseconds that the lease lasts waits until
    it is given back.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return True if error.errno in _HELD else None
    try:
        # A writer that comes meanwhile has the kernel send us a signal. By default that is SIGIO, which ends
        # the process; SIGURG is ignored unless somebody asks for it.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno in _HELD else None
    finally:
        os.close(descriptor)
    return False
