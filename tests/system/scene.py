"""The installed service in a machine, with an API and a receiver of alerts that a scenario leads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import Script, ScriptedApi, answer, merged, reply, wav
from tests.servers import HttpSink, wait_until
from tests.system.machine import Machine

FOLDER = "/srv/recordings"
KEY = "a-key-of-the-system-test"
RULE = {"name": "unhappy caller", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
OFTEN = "RestartSec=0.5"
"""A drop-in for scenarios in which the service ends: else each would wait for ten seconds."""


class Skipped(Exception):
    """A scenario that cannot be played here, and why."""


@dataclass
class Scene:
    """A service that was set up anew: nothing in its database, folder and unit from an earlier scenario."""

    machine: Machine
    api: ScriptedApi
    sink: HttpSink

    def configure(self, **settings: Any) -> None:
        """Write the configuration, as its owner."""
        base = {
            "database": "/var/lib/earshot/earshot.db",
            "watch": [{"path": FOLDER, "settle": "0.5s", "rescan": "2s"}],
            "analyzer": {"base_url": self.api.url},
            "alerts": {"destinations": {"team": f"json://{self.sink.address}/"}, "rules": [RULE]},
        }
        self.machine.write("/etc/earshot/config.yaml", json.dumps(merged(base, settings), indent=1), 0o640)
        self.machine.run("chgrp", "earshot", "/etc/earshot/config.yaml")

    def give_key(self, key: str) -> None:
        """Write the file that the unit reads, or with an empty key take it away."""
        file = "/etc/earshot/credentials/deepgram_api_key"
        self.machine.write(file, key, 0o600)
        if not key:
            self.machine.run("rm", file)

    def start(self) -> None:
        """Start the service; systemd says when it is ready."""
        self.machine.run("systemctl", "start", "earshot")

    def drop(self, *names: str, folder: str = FOLDER) -> None:
        """Drop recordings as another user, each with bytes of its own."""
        for name in names:
            self.machine.put(f"{folder}/{name}", wav(name))

    def wait_for(self, **states: int) -> None:
        """Return once the recordings are in these states."""
        try:
            wait_until(lambda: self.machine.counts() == states, what=str(states))
        except AssertionError as error:
            raise AssertionError(f"{error}; they are {self.machine.counts()}") from None

    def wait_restarted(self, times: int) -> None:
        """Return once systemd has started the service anew so many times, and it is ready."""
        wait_until(lambda: self.machine.unit("NRestarts") == str(times), what=f"restart {times}")
        wait_until(lambda: self.machine.unit("SubState") == "running", what="the service to run")

    def status(self) -> dict[str, Any]:
        """What root's `earshot status --json` says."""
        found = json.loads(self.machine.run("earshot", "status", "--json").stdout)
        assert isinstance(found, dict)
        return found

    def alerted(self) -> list[str]:
        """The last lines of the messages that arrived, each with its id."""
        return [str(each.json()["message"]).splitlines()[-1] for each in self.sink.requests]


@contextmanager
def scene(
    machine: Machine,
    script: Script | None = None,
    *,
    drop_in: str = "",
    started: bool = True,
    **settings: Any,
) -> Iterator[Scene]:
    """A service set up anew and, unless told otherwise, started; stopped at the end."""
    with ScriptedApi(script or answer(200, reply(average=-0.8))) as api, HttpSink() as sink:
        made = Scene(machine, api, sink)
        clear(machine)
        machine.drop_in(drop_in)
        made.configure(**settings)
        made.give_key(KEY)
        if started:
            made.start()
        try:
            yield made
        finally:
            machine.run("systemctl", "kill", "--signal=KILL", "earshot", check=False)
            machine.run("systemctl", "stop", "earshot", check=False)


def clear(machine: Machine) -> None:
    """Take away what an earlier scenario has left, and make the watched folder, where everybody may drop."""
    machine.run("systemctl", "stop", "earshot", check=False)
    machine.run("systemctl", "reset-failed", "earshot", check=False)
    machine.shell(
        "rm -rf /var/lib/earshot/* /etc/systemd/system/earshot.service.d /srv/*;"
        f" install -d -m 1777 {FOLDER}; getent group recordings >/dev/null || groupadd recordings;"
        " id -u dropper >/dev/null 2>&1 || useradd -G recordings dropper"
    )


def documented(heading: str) -> str:
    """The lines below `[Service]` of the drop-in that docs/operate.md shows under this heading."""
    text = Path(__file__).parents[2].joinpath("docs/operate.md").read_text("utf-8")
    found = re.search(rf"### {re.escape(heading)}.*?\[Service\]\n(.*?)```", text, re.DOTALL)
    assert found, heading
    return found[1]
