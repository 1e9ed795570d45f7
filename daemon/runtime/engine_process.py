"""Run the embedded engine as a child process, which is watched and ends with this one."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Self

from daemon.errors import EarshotError

logger = logging.getLogger(__name__)

START_SECONDS = 30.0
STOP_SECONDS = 5.0
RESTART_SECONDS = 2.0
_PREFIX = "listening on "
_WITHHELD = ("DEEPGRAM_API_KEY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


class EmbeddedEngine:
    """A running engine; use as a context manager.

    The engine reads from a pipe whose other end only this process holds, and ends when that closes: so it
    ends also when this process is killed.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = {name: value for name, value in env.items() if name not in _WITHHELD}
        self._child: subprocess.Popen[bytes] | None = None
        self._retry_at = 0.0
        self.url = ""

    def __enter__(self) -> Self:
        self._start(port=0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is None:
            return
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def keep_alive(self) -> None:
        """Start the engine again if it has died; call now and then."""
        if self._child is None:
            return
        code = self._child.poll()
        if code is None or time.monotonic() < self._retry_at:
            return
        logger.error("embedded engine ended code=%d; starting it again", code)
        self._retry_at = time.monotonic() + RESTART_SECONDS
        try:
            self._start(port=int(self.url.rpartition(":")[2]))
        except EarshotError as error:
            logger.error("%s", error)

    def _start(self, *, port: int) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "daemon", "engine", "--host", "127.0.0.1", "--port", str(port),
             "--exit-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C at a terminal is for this process alone; the engine ends with it.
            start_new_session=True,
            env=self._env,
        )  # fmt: skip
        self.url = _listening_url(self._child) or self.url
        logger.info("embedded engine started pid=%d url=%s", self._child.pid, self.url)


def _listening_url(child: subprocess.Popen[bytes]) -> str:
    """Wait until the engine prints its address, and return that; EarshotError when it does not."""
    output = child.stdout.fileno() if child.stdout else -1
    deadline = time.monotonic() + START_SECONDS
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
        block = os.read(output, 1024) if ready else b""
        if not block:
            child.kill()
            raise EarshotError(
                "the embedded engine does not start; is it installed? pip install 'earshot[engine]', "
                "then `earshot engine` shows what is wrong"
            )
        line += block
    return line.decode().splitlines()[-1].removeprefix(_PREFIX).strip()
