"""File systems that come and go: mounted by root, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs import need_fuse, need_mounts, program
from tests.servers import stand_still, wait_until
from tests.watching.places import run


def mount(kind: str, target: Path) -> None:
    need_mounts()
    run("mount", "-t", kind, kind, target)


def bind(source: Path, target: Path) -> None:
    need_mounts()
    run("mount", "--bind", source, target)


def unmount(target: Path) -> None:
    run("umount", "--lazy", target)


def unmount_at_once(target: Path) -> None:
    """Not lazily: that is refused while somebody reads there, which a service does for moments only."""
    wait_until(
        lambda: not subprocess.run(["umount", target], check=False).returncode, what="it to be unmounted"
    )


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


@dataclass(frozen=True)
class Share:
    """A mount at `path` that a process of its own answers for, from the files in `files`."""

    path: Path
    files: Path
    server: int

    def hang(self) -> None:
        """Return once no question is answered any more."""
        stand_still(self.server)

    def answer(self) -> None:
        os.kill(self.server, signal.SIGCONT)


@contextmanager
def shared(top: Path) -> Iterator[Share]:
    """A share mounted at `top`/share; nothing of it is left at the end, even if it hangs then."""
    path, files = top / "share", top / "files"
    path.mkdir()
    files.mkdir()
    with mounts_undone(top):
        server = mount_by_fuse(files, path)
        try:
            yield Share(path, files, server.pid)
        finally:
            server.kill()
            server.wait()
