"""The package from its first installation to its end: install, upgrade, downgrade, remove, purge."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from tests.commands import shell_block
from tests.harness import Conversation, reply, together
from tests.servers import wait_until
from tests.system.machine import Machine
from tests.system.packages import renumbered
from tests.system.scene import scene

LATER = "99.0"


def apt(machine: Machine, package: Path, *options: str, check: bool = True) -> str:
    """Install a package by its file's name, with the umask of a careful administrator; what apt says."""
    (machine.root / "root/packages").mkdir(exist_ok=True)
    shutil.copy(package, machine.root / "root/packages")
    line = f"umask 077; cd /root/packages; apt install -y {' '.join(options)} ./{package.name} 2>&1"
    done = machine.run("sh", "-c", line, check=False)
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def installs(machine: Machine, package: Path) -> str:
    """The README's first line: nothing runs before there is a key, and its user may read it all."""
    lines = shell_block("systemctl enable --now earshot")
    assert len(lines) <= 5
    said = as_in_checkout(machine, lines[0], package)
    assert "is installed and not started" in said, said
    assert machine.run("systemctl", "is-enabled", "earshot", check=False).stdout.strip() == "disabled"
    assert machine.unit("ActiveState") == "inactive"
    modes = machine.shell("stat -c '%a %U:%G' /etc/earshot /etc/earshot/config.yaml /etc/earshot/credentials")
    assert modes.splitlines() == ["750 root:earshot", "640 root:earshot", "700 root:root"]
    machine.shell("setpriv --reuid=earshot --regid=earshot --init-groups /opt/earshot/bin/earshot --version")
    return machine.shell("earshot --version")


def as_in_checkout(machine: Machine, line: str, *packages: Path) -> str:
    """Run a line of the documents in a folder where `scripts/package` has made these; what it says."""
    checkout = machine.root / "root/checkout"
    machine.write("/root/checkout/scripts/package", "#!/bin/sh\n", 0o755)
    shutil.rmtree(checkout / "dist", ignore_errors=True)
    (checkout / "dist").mkdir()
    for each in packages:
        shutil.copy(each, checkout / "dist")
    # What one answers who sits there.
    machine.write("/etc/apt/apt.conf.d/yes", 'APT::Get::Assume-Yes "true";\n')
    return machine.shell(f"umask 077; cd /root/checkout; {line} 2>&1")


def upgrades(machine: Machine, before: Path, package: Path, place: Path) -> str:
    """An upgrade over a service at work: what was in flight, and what waited, is analyzed, each once."""
    later = renumbered(package, LATER, place)
    go_on = threading.Event()

    def held(conversation: Conversation) -> None:
        go_on.wait(60)
        conversation.reply(body=reply(average=-0.8))

    machine.run("apt", "remove", "-y", "earshot")
    apt(machine, before)
    old = machine.shell("earshot --version")
    with scene(machine, analyzer={"concurrency": 2}) as here:
        here.drop("first.wav")
        here.sink.wait_for(1)
        here.api.then(*together(2, held))
        here.drop("a.wav", "b.wav", "c.wav", "d.wav")
        here.api.wait_for_calls(3)
        wait_until(lambda: sum(machine.counts().values()) == 5, what="all to be taken in")
        # The replies come once the package has the service stopped.
        stopping = threading.Thread(target=_when_it_stops, args=(machine, go_on))
        stopping.start()
        apt(machine, later)
        stopping.join()
        assert machine.unit("ActiveState") == "active"
        here.wait_for(done=5)
        here.sink.wait_for(5)
        assert (len(here.api.listened()), len(set(here.alerted()))) == (5, 5)
        assert machine.rows("SELECT count(*) AS n FROM later") == [{"n": 0}]
        return f"over {old}; converted, {machine.shell('ls /var/lib/earshot | grep before')} kept"


def _when_it_stops(machine: Machine, go_on: threading.Event) -> None:
    wait_until(lambda: machine.unit("ActiveState") == "deactivating", what="the service to be stopped")
    go_on.set()


def downgrades(machine: Machine, package: Path) -> str:
    """An older version over a newer one is refused in words, and the newer one goes on undisturbed."""
    with scene(machine) as here:
        before = machine.unit("MainPID")
        said = apt(machine, package, "--allow-downgrades", check=False)
        words = [line for line in said.splitlines() if line.startswith("earshot: ")]
        assert "its database may be newer" in words[0], said
        assert (
            machine.shell("dpkg-query -W -f '${Version} ${Status}' earshot")
            == f"{LATER} install ok installed"
        )
        assert machine.unit("MainPID") == before
        here.drop("call.wav")
        here.wait_for(done=1)
        # Who removes the newer one first hears it from the program, before it touches anything.
        machine.run("apt", "remove", "-y", "earshot")
        apt(machine, package)
        assert machine.run("systemctl", "start", "earshot", check=False).returncode != 0
        assert machine.unit("ExecMainStatus") == "78"
        assert "newer earshot" in machine.log(10), machine.log(10)
        return words[0]


def ends(machine: Machine) -> str:
    """`apt remove` keeps the data and says so; `apt purge` says what it removes."""
    with scene(machine) as here:
        here.drop("call.wav")
        here.wait_for(done=1)
        kept = machine.run("apt", "remove", "-y", "earshot").stdout
        assert "earshot: kept: /etc/earshot, /var/lib/earshot" in kept, kept
        assert machine.counts() == {"done": 1}
        assert machine.run("systemctl", "is-active", "earshot", check=False).stdout.strip() == "inactive"
        gone = machine.run("apt", "purge", "-y", "earshot").stdout
        assert "removing /etc/earshot" in gone, gone
        machine.shell(
            "test ! -e /etc/earshot && test ! -e /var/lib/earshot && test -e /srv/recordings/call.wav"
        )
        machine.shell("test ! -e /opt/earshot")
        return next(line for line in gone.splitlines() if "removing /etc" in line)
