"""Hide a process's memory, with the key and what was said, from other processes of the same user."""

from __future__ import annotations

PR_SET_DUMPABLE = 4
"""prctl(2), Linux."""


def hide_memory() -> None:
    """Forbid core dumps, and let only root attach to this process or read its memory.

    It ends with exec(2): each program that this one starts has to do it itself. The files under
    /proc/PID then belong to root; the process may still read /proc/self.
    """
    try:
        import ctypes
    except (ImportError, MemoryError):
        # Where memory may not be made executable (MemoryDenyWriteExecute=), ctypes needs a libffi that can do
        # without; not every architecture has one.
        return
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
