"""File systems that come and go: mounted by root, and none left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import need_fuse, need_mounts, program
from tests.servers import wait_until
from tests.watching.places import run


def mount(kind: str, target: Path) -> None:
    need_mounts()
    run("mount", "-t", kind, kind, target)


def bind(source: Path, target: Path) -> None:
    need_mounts()
    run("mount", "--bind", source, target)


def unmount(target: Path) -> None:
    run("umount", "--lazy", target)


def mount_by_fuse(source: Path, target: Path) -> subprocess.Popen[bytes]:
    """Show `source` at `target` too, by a process whose end or silence is that of a share's server."""
    need_fuse()
    # Names looked up anew each time, as on a share that others change.
    options = "attr_timeout=0,entry_timeout=0,negative_timeout=0"
    process = subprocess.Popen([program("bindfs"), "-f", "-o", options, source, target])
    try:
        wait_until(lambda: process.poll() is not None or target.is_mount(), what="the mount")
        assert process.poll() is None, "bindfs ended"
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


@contextmanager
def mounts_undone(top: Path) -> Iterator[None]:
    """Nothing stays mounted below `top`."""
    try:
        yield
    finally:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split(" ")[4] for line in lines]
        for point in reversed([point for point in points if point.startswith(f"{top}/")]):
            unmount(Path(point))
