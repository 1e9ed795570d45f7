"""A client of SMB shares that takes one step at a time, as file managers do, by Samba's own library.

A program of its own, because that library is for one thread. Each line on stdin is a JSON list, a method of
Client and its arguments; each is answered by a line.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

LIBRARY = "libsmbclient.so.0"


class Client:
    """Files of SMB shares, opened by their address: smb://HOST:PORT/SHARE/PATH."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY, use_errno=True)
        self._files: dict[str, int] = {}
        # Nobody is asked for a password: an empty one is that of the guest.
        self._ask = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_void_p, ctypes.c_int] * 3)(
            lambda *_: None
        )
        self._call("smbc_init", self._ask, 0)

    def open(self, address: str) -> None:
        """Open for reading and writing; made when it is not there."""
        self._files[address] = self._call("smbc_open", address.encode(), os.O_RDWR | os.O_CREAT, 0o644)

    def set_size(self, address: str, size: int) -> None:
        self._call("smbc_ftruncate", self._files[address], ctypes.c_long(size))

    def write(self, address: str, source: str, start: int, end: int) -> None:
        """Write what the local file `source` has from byte `start` to `end` to the same place."""
        content = Path(source).read_bytes()[start:end]
        self._call("smbc_lseek", self._files[address], ctypes.c_long(start), os.SEEK_SET)
        written = self._call("smbc_write", self._files[address], content, ctypes.c_size_t(len(content)))
        if written != len(content):
            raise OSError(f"{written} of {len(content)} bytes written")

    def set_time(self, address: str, seconds: int) -> None:
        """Set the time of the last change, as a copy does that keeps it."""
        times = (ctypes.c_long * 4)(seconds, 0, seconds, 0)
        self._call("smbc_utimes", address.encode(), times)

    def close(self, address: str) -> None:
        self._call("smbc_close", self._files.pop(address))

    def rename(self, address: str, target: str) -> None:
        self._call("smbc_rename", address.encode(), target.encode())

    def _call(self, name: str, *arguments: Any) -> int:
        function = getattr(self._library, name)
        function.restype = ctypes.c_long if name in ("smbc_write", "smbc_lseek") else ctypes.c_int
        result = int(function(*arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return result


def main() -> None:
    client = Client()
    for line in sys.stdin:
        step, *arguments = json.loads(line)
        getattr(client, step)(*arguments)
        print("done", flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
