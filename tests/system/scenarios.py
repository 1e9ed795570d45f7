"""What an installed earshot has to stand: each scenario returns a word on what it measured."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from tests.commands import shell_block
from tests.harness import Conversation, answer, refuse, reply, together, wav
from tests.servers import wait_until
from tests.system.machine import Machine
from tests.system.scene import FOLDER, KEY, OFTEN, RULE, documented, scene

MOST_EXPOSED = 1.0
"""Of 10, by systemd-analyze: the network of the host is what it works with."""
KILLS = 10


def first_alert(machine: Machine) -> str:
    """The README's other lines: one key and one edited line (and here the API's address) end in an alert."""
    with scene(machine, started=False) as here:
        machine.run("cp", "/usr/share/earshot/config.yaml", "/etc/earshot/config.yaml")
        here.give_key("")
        edits = (
            f"case $1 in *_key) echo '{KEY}' >$1 ;;"
            f" *) sed -i s,json://localhost:9/,json://{here.sink.address}/, $1;"
            f" echo 'analyzer: {{base_url: \"{here.api.url}\"}}' >>$1 ;; esac"
        )
        machine.write("/usr/bin/editor", f"#!/bin/sh\n{edits}\n", 0o755)
        lines = shell_block("systemctl enable --now earshot")
        began = time.monotonic()
        machine.shell("set -e\n" + "\n".join(lines[1:]))
        started = time.monotonic()
        machine.run("systemctl", "disable", "earshot")
        here.drop("call.wav")
        here.sink.wait_for(1)
        told = time.monotonic()
        assert here.api.calls[-1].headers["authorization"] == f"Token {KEY}"
        return f"start {started - began:.1f} s, from drop to alert {told - started:.1f} s"


def status_for_everybody(machine: Machine) -> str:
    """Root sees what the service sees, and another user is told the command that works."""
    with scene(machine) as here:
        here.drop("call.wav")
        here.wait_for(done=1)
        found = here.status()
        assert found["daemon"]["pid"] == int(machine.unit("MainPID"))
        assert found["recordings"]["done"] == 1
        done = machine.run("earshot", "status", check=False, user="dropper")
        assert (done.returncode, done.stderr.count("\n")) == (78, 1), done
        assert "sudo earshot status" in done.stderr
        machine.run("earshot", "check", "--offline")
        return done.stderr.strip()


def groups(machine: Machine) -> str:
    """A folder that only a group may read: said while it is so, by root's `check` as well; then read."""
    with scene(machine, started=False) as here:
        machine.shell(f"chgrp recordings {FOLDER}; chmod 2770 {FOLDER}")
        here.start()
        wait_until(lambda: "Permission denied" in machine.unit("StatusText"), what="a word on the folder")
        assert machine.run("earshot", "check", "--offline", check=False).returncode == 1
        machine.drop_in("SupplementaryGroups=recordings")
        machine.run("systemctl", "restart", "earshot")
        here.drop("call.wav")
        here.wait_for(done=1)
        machine.run("earshot", "check", "--offline")
        # It comes back without permission after it was away: the reason is the latest.
        machine.shell(f"mv {FOLDER} /srv/away")
        wait_until(lambda: "No such file" in machine.unit("StatusText"), what="it to be missed")
        machine.shell(f"chmod 700 /srv/away; chown root:root /srv/away; mv /srv/away {FOLDER}")
        wait_until(lambda: "Permission denied" in machine.unit("StatusText"), what="the latest reason")
        return machine.unit("StatusText")


def reloads(machine: Machine) -> str:
    """A configuration that is refused fails the reload and is said until one is taken over."""
    with scene(machine) as here:
        machine.write("/etc/earshot/config.yaml", "watch: 7\n")
        done = machine.run("systemctl", "reload", "earshot", check=False)
        assert done.returncode != 0
        said = machine.unit("StatusText")
        assert "the new configuration was refused, the old one goes on" in said
        broken = machine.run("earshot", "status", check=False)
        assert (broken.returncode, "the old one goes on" in broken.stdout) == (78, True), broken
        here.drop("a.wav")
        here.wait_for(done=1)
        here.configure(alerts={"rules": [RULE | {"name": "another name"}]})
        machine.run("systemctl", "reload", "earshot")
        wait_until(lambda: machine.unit("StatusText") == "watching 1 folder", what="all to be well")
        here.drop("b.wav")
        here.wait_for(done=2)
        wait_until(lambda: len(here.sink.requests) == 2, what="both alerts")
        assert "another name" in here.sink.requests[-1].json()["title"]
        assert machine.unit("NRestarts") == "0"
        return said


def keys(machine: Machine) -> str:
    """Without a key it ends with 78 and names the file; with a wrong one it waits; a new one is used."""
    with scene(machine, started=False) as here:
        here.configure(analyzer={"base_url": "https://api.deepgram.com"})
        here.give_key("")
        assert machine.run("systemctl", "start", "earshot", check=False).returncode != 0
        assert machine.unit("ExecMainStatus") == "78"
        missing = machine.log()
        assert "write it into /etc/earshot/credentials/deepgram_api_key" in missing, missing
        here.configure()
        here.give_key("wrong")
        here.api.script = refuse("e401_key")
        here.start()
        here.drop("call.wav")
        wait_until(lambda: here.status()["paused"] is not None, what="the queue to pause")
        reason = str(here.status()["paused"]["reason"])
        here.api.script = answer(200, reply(average=-0.8))
        here.give_key("right")
        machine.run("systemctl", "restart", "earshot")
        here.wait_for(done=1)
        assert here.api.calls[-1].headers["authorization"] == "Token right"
        return reason


def unusable(machine: Machine) -> str:
    """78 is not restarted, and the service may be started as often as it takes."""
    with scene(machine, started=False, drop_in=OFTEN) as here:
        machine.write("/etc/earshot/config.yaml", "watch: 7\n")
        for _ in range(8):
            assert machine.run("systemctl", "start", "earshot", check=False).returncode != 0
        assert machine.unit("ExecMainStatus") == "78"
        # Longer than it would take to be started again.
        time.sleep(2)
        assert (machine.unit("ActiveState"), machine.unit("NRestarts")) == ("failed", "0")
        here.configure()
        here.start()
        return "eight starts, none by systemd, and the ninth works"


def kills(machine: Machine) -> str:
    """kill -9 ten times while recordings arrive: all are done, and what was in flight alone is paid twice."""
    with scene(machine, drop_in=OFTEN, analyzer={"concurrency": 2}) as here:
        for number in range(KILLS):
            here.drop(f"{number}a.wav", f"{number}b.wav")
            here.api.wait_for_calls(number)
            machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "earshot")
            here.wait_restarted(number + 1)
        here.wait_for(done=2 * KILLS)
        wait_until(lambda: machine.counts("alerts") == {"sent": 2 * KILLS}, what="every alert to be sent")
        calls = len(here.api.listened())
        assert calls <= 2 * KILLS + 2 * KILLS, calls
        ids = here.alerted()
        assert len(set(ids)) == 2 * KILLS
        return f"{2 * KILLS} recordings, {calls} requests, {len(ids)} messages"


def stands_still(machine: Machine) -> str:
    """A process that does not move is ended by the watchdog and started again."""
    with scene(machine, drop_in=f"{OFTEN}\nWatchdogSec=3s") as here:
        before = machine.unit("MainPID")
        began = time.monotonic()
        machine.run("systemctl", "kill", "--signal=STOP", "--kill-who=main", "earshot")
        here.wait_restarted(1)
        assert machine.unit("MainPID") != before
        took = time.monotonic() - began
        here.drop("call.wav")
        here.wait_for(done=1)
        return f"running again {took:.0f} s after it (WatchdogSec=3s here, 120s in the unit)"


def stops(machine: Machine) -> str:
    """A stop with requests in flight waits for them, and for their alerts; the rest waits for the start."""
    go_on = threading.Event()

    def held(conversation: Conversation) -> None:
        go_on.wait(60)
        conversation.reply(body=reply(average=-0.8))

    with scene(machine, analyzer={"concurrency": 2}) as here:
        here.api.then(*together(2, held))
        here.drop("a.wav", "b.wav", "c.wav")
        here.api.wait_for_calls(2)
        wait_until(lambda: sum(machine.counts().values()) == 3, what="all to be taken in")
        machine.run("systemctl", "stop", "--no-block", "earshot")
        wait_until(lambda: here.status()["daemon"]["stopping"], what="it to stop")
        go_on.set()
        wait_until(lambda: machine.unit("ActiveState") == "inactive", seconds=120, what="its end")
        assert (machine.unit("Result"), machine.counts()) == ("success", {"done": 2, "waiting": 1})
        assert machine.counts("alerts") == {"sent": 2}
        assert len(here.sink.requests) == 2
        here.start()
        here.wait_for(done=3)
        here.sink.wait_for(3)
        assert (len(here.api.listened()), len(set(here.alerted()))) == (3, 3)
        return "two results and their two alerts before the end, the third after the start"


def too_large_a_reply(machine: Machine) -> str:
    """Replies that would take gigabytes: they fail alone, and the service keeps within what the unit says."""
    with scene(machine) as here:
        pid = machine.unit("MainPID")
        zeros = gzip.compress(b" " * 1_000_000_000, 1)
        packed = answer(200, zeros, Content_Encoding="gzip")
        nested = answer(200, b"[" * 30_000_000)
        here.api.then(packed, nested)
        here.drop("packed.wav", "nested.wav")
        here.api.wait_for_calls(2)
        here.drop("good.wav")
        wait_until(lambda: here.machine.counts().get("done", 0) >= 1, what="one that is good")
        wait_until(lambda: not here.machine.counts().get("analyzing"), what="the others to end")
        assert machine.unit("MainPID") == pid
        peak = int(machine.shell(f"sed -n 's/VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/{pid}/status")) / 1000
        assert peak < 768, f"{peak} MB, and MemoryHigh= is 768M"
        return f"{peak:.0f} MB at most"


def moves(machine: Machine) -> str:
    """With the drop-in of the documents originals are moved as they are: owner and inode stay."""
    lines = documented("Originals that are moved or deleted, sidecars") + "SupplementaryGroups=recordings"
    watch = [{"path": FOLDER, "settle": "0.5s", "after_success": {"move_to": "/srv/done"}}]
    with scene(machine, started=False, drop_in=lines, watch=watch) as here:
        machine.shell(f"mkdir /srv/done; chgrp recordings {FOLDER} /srv/done; chmod 2770 {FOLDER} /srv/done")
        here.start()
        machine.put("/srv/call.part", wav("moved"), user="root")
        machine.shell("chown dropper:recordings /srv/call.part; chmod 660 /srv/call.part")
        machine.shell(f"mv /srv/call.part {FOLDER}/call.wav")
        before = machine.shell(f"stat -c '%i %U' {FOLDER}/call.wav")
        wait_until(lambda: (machine.root / "srv/done/call.wav").exists(), what="the move")
        after = machine.shell("stat -c '%i %U' /srv/done/call.wav")
        assert before == after
        # Nothing that lies there can be run, although it can be written.
        machine.shell(f"printf '#!/bin/sh\\n' >{FOLDER}/x.sh; chmod 755 {FOLDER}/x.sh")
        space = ["nsenter", "--mount", "--target", machine.unit("MainPID")]
        assert machine.run(*space, f"{FOLDER}/x.sh", check=False).returncode == 126
        return f"inode and owner {after}"


def leases(machine: Machine) -> str:
    """With the drop-in for leases a file that another user's program holds open is not complete."""
    lines = "PrivateUsers=no\nCapabilityBoundingSet=CAP_LEASE\nAmbientCapabilities=CAP_LEASE"
    with scene(machine, drop_in=lines) as here:
        machine.put("/tmp/held", wav("held"))
        held = f"exec 3>>{FOLDER}/held.wav; cat /tmp/held >&3; until [ -e /tmp/over ]; do sleep 0.2; done"
        machine.run("systemd-run", "--quiet", "--uid=dropper", "--unit=holder", "sh", "-c", held)
        here.drop("other.wav")
        here.wait_for(done=1)
        wait_until(lambda: here.status()["folders"][0]["not_taken"]["incomplete"] == 1, what="it to be seen")
        # Many times `settle`: nothing but that it is open keeps it back.
        time.sleep(3)
        assert machine.counts() == {"done": 1}
        machine.shell("touch /tmp/over")
        here.wait_for(done=2)
        return "taken when it was closed, not after `settle`"


def exposure(machine: Machine) -> str:
    """What systemd-analyze says of the unit that runs."""
    with scene(machine):
        said = machine.run("systemd-analyze", "security", "--no-pager", "earshot").stdout
    found = re.search(r"Overall exposure level[^:]*: ([0-9.]+)", said)
    assert found
    rest = re.findall(r"(?m)^✗ (\S+).*?([0-9.]+)$", said)
    assert float(found[1]) <= MOST_EXPOSED, said
    return f"{found[1]} ({', '.join(f'{name} {value}' for name, value in rest)})"


def reboots(machine: Machine) -> str:
    """A reboot with requests in flight and files that arrive meanwhile: each is analyzed once."""
    with scene(machine, started=False, drop_in="", analyzer={"concurrency": 2}) as here:
        machine.run("systemctl", "enable", "--now", "earshot")
        here.drop("before.wav")
        here.wait_for(done=1)
        here.api.then(*[lambda conversation: conversation.reply(body=reply(average=-0.8), delay=1.0)] * 2)
        here.drop("a.wav", "b.wav")
        here.api.wait_for_calls(3)
        machine.halt()
        told = len(here.sink.requests)
        assert machine.counts("alerts") == {"sent": told}
        for name in ("c.wav", "d.wav"):
            (machine.root / "srv/recordings" / name).write_bytes(wav(name))
        machine.boot()
        here.wait_for(done=5)
        here.sink.wait_for(5)
        machine.run("systemctl", "disable", "earshot")
        assert (len(here.api.listened()), len(set(here.alerted()))) == (5, 5)
        return f"{told} alerts before the end, {5 - told} after the boot, 5 requests"


def root_runs_no_engine(machine: Machine) -> str:
    """`sudo earshot engine` has the rights of the service's user: what root alone may read it cannot."""
    with scene(machine, started=False):
        machine.write("/root/engine.yaml", "engine: {}\n", 0o600)
        done = machine.run("earshot", "engine", "--check", "--config", "/root/engine.yaml", check=False)
        said = done.stderr.strip().splitlines()[-1]
        assert "/root/engine.yaml" in said, said
        return said


def interrupts(machine: Machine) -> str:
    """Control-C ends what root has begun by a command, which runs as the service's user."""
    with scene(machine, started=False):
        began = subprocess.Popen(machine.inside("earshot", "run"), stderr=subprocess.PIPE, text=True)
        assert began.stderr is not None
        while "ready" not in (line := began.stderr.readline()):
            assert line, "it ended"
        owner = machine.shell("stat -c %U /var/lib/earshot/earshot.db")
        # As a terminal does it, to the wrapper and systemd-run; nsenter would die of it and hide the code.
        (wrapper,) = _children(began.pid)
        for each in (*_children(wrapper), wrapper):
            os.kill(each, signal.SIGINT)
        began.communicate(timeout=60)
        left = "systemctl list-units --no-legend 'earshot-command-*'"
        wait_until(lambda: not machine.shell(left), what="it to end")
        assert (began.returncode, owner) == (130, "earshot"), f"{began.returncode}, {owner}"
        return f"130, and the database is {owner}'s"


def _children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def papers(machine: Machine) -> str:
    """The package's man page, completion, documents and what the units point to are there."""
    assert "earshot" in machine.shell("man earshot | head -5")
    complete = (
        ". /usr/share/bash-completion/completions/earshot; COMP_WORDS=(earshot stat); COMP_CWORD=1;"
        " _earshot_completion earshot; echo ${COMPREPLY[*]}"
    )
    assert "status" in machine.run("bash", "-c", complete).stdout
    for unit in ("earshot.service", "earshot-backup.service", "earshot-backup.timer"):
        for address in re.findall(r"man:(\w+)\((\d)\)", machine.unit("Documentation", unit)):
            machine.run("man", "--where", ".".join(address))
    notice = machine.shell("cat /usr/share/doc/earshot/copyright")
    assert "MIT License" in notice
    machine.shell("test -s /usr/share/doc/earshot/config.example.yaml")
    return "man, completion, copyright, example"
