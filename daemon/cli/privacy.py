"""Keeps the memory of a process, with the key and what was said, from the other processes of its user."""

from __future__ import annotations

PR_SET_DUMPABLE = 4
"""prctl(2), Linux."""


def hide_memory() -> None:
    """Let no core be dumped, and nobody but root attach to this process or read its memory.

    It ends with exec(2): each program that this one starts has to do it itself. The files in /proc that
    are named after its number then belong to root; those in /proc/self it may still read.
    """
    try:
        import ctypes
    except (ImportError, MemoryError):
        # Where memory may not be made executable (MemoryDenyWriteExecute=), ctypes needs a libffi that can do
        # without; not every architecture has one.
        return
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
