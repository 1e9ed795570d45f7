"""A clean Debian with systemd as process 1: a root file system, made once, copied and booted by nspawn.

It shares the network with this process: the service in it reaches servers that a scenario starts here.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.servers import wait_until

INCLUDED = "systemd,systemd-sysv,dbus,python3,ca-certificates,man-db,bash-completion"
"""With what a small server has; what the package needs beyond it, apt says."""
MIRROR = "http://deb.debian.org/debian"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
COMMAND_SECONDS = 300.0


def release() -> str:
    """The Debian release of this machine, on which the package is built."""
    words = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text("utf-8").splitlines())
    return words["VERSION_CODENAME"].strip('"')


def made_root(place: Path) -> Path:
    """The root file system below this folder, made by mmdebstrap where it is not there yet."""
    root = place / release()
    if not root.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        unfinished = place / f"{root.name}.{os.getpid()}"
        make = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDED}"]
        subprocess.run([*make, root.name, unfinished, MIRROR], check=True)
        unfinished.rename(root)
    return root


@contextmanager
def machine(base: Path, place: Path, *, unified: bool = True) -> Iterator[Machine]:
    """A machine of its own, booted from a copy of `base`, which is deleted at the end."""
    root = place / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
    (root / "etc/machine-id").write_text("")
    (root / "etc/dpkg/dpkg.cfg.d/quick").write_text("force-unsafe-io\n")
    made = Machine(root)
    try:
        made.boot(unified=unified)
        yield made
    finally:
        made.kill()
        shutil.rmtree(root)


class Machine:
    """`root` is its file system, seen from here. Commands in it run as root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def boot(self, *, unified: bool = True) -> None:
        """Start it, with one cgroup tree or with the older several ones; returns when systemd is through."""
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--register=no"]
        command += [
            "--keep-unit",
            "--private-users=no",
            "--machine=earshot-system-test",
            "--console=read-only",
        ]
        environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": str(int(unified))}
        with (self.root.parent / "console").open("ab") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment
            )
        wait_until(self._is_up, seconds=120, what="the machine to boot")

    def _is_up(self) -> bool:
        process = self._process
        assert process is not None
        assert process.poll() is None, (self.root.parent / "console").read_text("utf-8", "replace")[-2000:]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
        if not children:
            return False
        self._leader = int(children[0])
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def halt(self) -> None:
        """Shut it down as an administrator does, and wait for that."""
        self.run("systemctl", "--no-block", "poweroff")
        assert self._process is not None
        self._process.wait(COMMAND_SECONDS)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def run(self, *command: str, check: bool = True, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end; AssertionError with what it said when it fails."""
        done = subprocess.run(
            self.inside(*command, user=user),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done

    def inside(self, *command: str, user: str = "") -> list[str]:
        """The command line by which a command is run in it, as root or as another user."""
        enter = ["nsenter", "--target", str(self._leader), "--all", "env", "-i", f"PATH={PATH}", "HOME=/root"]
        return [
            *enter,
            *(["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []),
            *command,
        ]

    def shell(self, text: str, *, check: bool = True) -> str:
        """What a line of shell prints."""
        return self.run("sh", "-c", text, check=check).stdout.strip()

    def unit(self, key: str, unit: str = "earshot") -> str:
        """A property of a unit, as `systemctl show` has it."""
        return self.run("systemctl", "show", "--property", key, "--value", unit).stdout.strip()

    def put(self, path: str, content: bytes, user: str = "dropper") -> None:
        """Drop a file as a program of another user does: written beside its place, then renamed."""
        write = 'cat >"$0.part" && mv "$0.part" "$0"'
        subprocess.run(self.inside("sh", "-c", write, path, user=user), input=content, check=True)

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Put a file of root's into it."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, "utf-8")
        target.chmod(mode)

    def drop_in(self, lines: str) -> None:
        """Change the service's unit as `systemctl edit earshot` does."""
        self.write("/etc/systemd/system/earshot.service.d/test.conf", f"[Service]\n{lines}\n")
        self.run("systemctl", "daemon-reload")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Read the service's database; nothing where there is none yet."""
        file = self.root / "var/lib/earshot/earshot.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql)]

    def counts(self, table: str = "recordings") -> dict[str, int]:
        """How many rows are in each state."""
        found = self.rows(f"SELECT state, count(*) AS n FROM {table} GROUP BY state")  # noqa: S608 - our own
        return {row["state"]: row["n"] for row in found}

    def log(self, lines: int = 30) -> str:
        """The last lines that the service has logged, and systemd of it."""
        return self.run("journalctl", "--unit=earshot", "--no-pager", f"--lines={lines}", check=False).stdout
