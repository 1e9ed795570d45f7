"""HAProxy and nginx with the configurations of examples/, in front of servers of a test."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.programs import program
from tests.servers import client, free_port, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAME_OF_NGINX = """
daemon off;
{user}
pid {place}/nginx.pid;
error_log {place}/nginx.log info;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    include {place}/balancer.conf;
}}
"""


class Balancer:
    """A running HAProxy or nginx; `replacements` changes lines of its example, such as how long it waits."""

    def __init__(
        self, kind: str, place: Path, *engines: str, replacements: dict[str, str] | None = None
    ) -> None:
        """`engines` are addresses without a scheme."""
        self.kind = kind
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = place / f"{kind}.log"
        self._place = place
        self._replacements = replacements or {}
        self.configure(*engines)
        if kind == "nginx":
            # Its worker processes, which as root it makes of another user, need the folder.
            user = "" if os.geteuid() else "user root;"
            (place / "nginx.conf").write_text(FRAME_OF_NGINX.format(place=place, user=user), "utf-8")
            command = [program("nginx"), "-c", str(place / "nginx.conf"), "-e", str(self.log)]
        else:
            # As Debian's unit starts it: with a master process, which takes over a configuration at SIGUSR2.
            command = [program("haproxy"), "-W", "-f", str(place / "balancer.conf")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def __enter__(self) -> Self:
        wait_until(self._answers, what=f"{self.kind} to answer\n{self.log.read_text()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Both end their other processes with them at SIGTERM.
        self._obeys(signal.SIGTERM, lambda: self._process.poll() is not None)

    def configure(self, *engines: str) -> None:
        """Write the example down with these engines in the place of its own."""
        name = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[self.kind]
        text = (EXAMPLES / name).read_text("utf-8")
        for old, new in self._replacements.items():
            assert old in text, old
            text = text.replace(old, new)
        [listening] = re.findall(r"^ +(?:bind :|listen )8080", text, re.MULTILINE)
        text = text.replace(listening, re.sub(r":?8080", f"127.0.0.1:{self.port}", listening))
        servers = re.findall(r"^ +server .*192\.0\.2\.\d+:8080.*\n", text, re.MULTILINE)
        lines = [
            re.sub(r"192\.0\.2\.\d+:8080", engine, servers[0]).replace("engine-1", f"engine-{number}")
            for number, engine in enumerate(engines, 1)
        ]
        text = text.replace(servers[0], "".join(lines))
        for server in servers[1:]:
            text = text.replace(server, "")
        (self._place / "balancer.conf").write_text(text, "utf-8")

    def reload(self) -> None:
        """Take over what was configured last, as `systemctl reload` does: by another worker process."""
        before = self._workers()
        number = signal.SIGHUP if self.kind == "nginx" else signal.SIGUSR2
        self._obeys(number, lambda: self._workers() - before)

    def _workers(self) -> set[str]:
        pid = self._process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split())

    def _obeys(self, number: int, is_done: Callable[[], object]) -> None:
        """Send a signal until it is obeyed: HAProxy's master loses one that comes too early."""
        for _ in range(12):
            self._process.send_signal(number)
            with contextlib.suppress(AssertionError):
                return wait_until(is_done, seconds=5)
        raise AssertionError(f"signal {number} is not obeyed\n{self.log.read_text()}")

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        try:
            client().get(f"{self.url}/healthz", timeout=5)
        except httpx.TransportError:
            return False
        return True
