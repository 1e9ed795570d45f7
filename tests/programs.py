"""What tests need of the machine that they run on. Where it is missing they are skipped, with the reason."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_LIST = Path(__file__).with_name("system-packages.txt")
_SERVERS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/openssh"
"""Where servers are, which the path of a user leaves out."""


def program(name: str) -> str:
    """The path of a program that tests/system-packages.txt lists; skips without it."""
    packages = dict(line.split() for line in _LIST.read_text().splitlines() if not line.startswith("#"))
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SERVERS}") or (
        name if Path(name).exists() else None
    )
    if found is None:
        pytest.skip(f"needs {name} (Debian, Ubuntu: as root, apt-get install {packages[name]})")
    return found


def need_mounts() -> None:
    """Skip where file systems cannot be mounted."""
    program("mount")
    if os.geteuid():
        pytest.skip("only root may mount file systems")


def need_fuse() -> None:
    """Skip where no user-space file system can be mounted."""
    need_mounts()
    program("fusermount3")
    if not Path("/dev/fuse").exists():
        pytest.skip("this machine has no /dev/fuse")


def restricted() -> tuple[str, ...]:
    """The prefix of a command that makes file permissions count for it although the tests run as root."""
    if os.geteuid():
        return ()
    return (program("setpriv"), "--bounding-set=-dac_override,-dac_read_search", "--")
