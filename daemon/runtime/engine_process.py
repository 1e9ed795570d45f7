"""Run the embedded engine as a child process, which is watched and ends with this one."""

from __future__ import annotations

import logging
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx

from daemon.config.models import Config, Engine
from daemon.deepgram.client import http_client
from daemon.deepgram.request import EMBEDDED
from daemon.engine.languages import is_multilingual
from daemon.engine.settings import PROGRESS_PATH, Settings
from daemon.engine.weights import SENTENCES, find, need_packages
from daemon.errors import ConfigError, ConfigProblem, EarshotError
from daemon.logs import writes_json

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
STOP_SECONDS = 5.0
RESTART_SECONDS = 2.0
LOOK_SECONDS = 2.0
ENGINE_URL = "http://localhost"
"""What requests to it are addressed to; they go by its socket."""
_LONGEST_SOCKET_PATH = 107
_PREFIX, _SOCKET = "engine-", "engine.sock"
_WITHHELD = ("DEEPGRAM_API_KEY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


class EmbeddedEngine:
    """A running engine, reached by the Unix socket `socket`; use as a context manager.

    The socket's folder lets nobody else in: no other user of the host can use the engine or take its place.
    The engine reads from a pipe whose other end only this process holds, and ends when that closes: so it
    ends also when this process is killed.
    """

    def __init__(self, settings: Settings, env: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._env = {name: value for name, value in env.items() if name not in _WITHHELD}
        self._child: subprocess.Popen[bytes] | None = None
        self._retry_at = 0.0
        self.socket = Path()

    def __enter__(self) -> Self:
        self.socket = _own_folder(self._env) / _SOCKET
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            if self._child.stdin is not None:
                self._child.stdin.close()
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        shutil.rmtree(self.socket.parent, ignore_errors=True)

    def keep_alive(self) -> None:
        """Start the engine again if it has died; call now and then."""
        if self._child is None:
            return
        code = self._child.poll()
        if code is None or time.monotonic() < self._retry_at:
            return
        logger.error("embedded engine ended, starting it again code=%d", code)
        self._retry_at = time.monotonic() + RESTART_SECONDS
        try:
            # What cleans up temporary folders may have taken it; others still cannot make one of this name.
            self.socket.parent.mkdir(mode=0o700, exist_ok=True)
            self._start()
        except (EarshotError, OSError) as error:
            logger.error("embedded engine does not start error=%s", error)

    def _start(self) -> None:
        log = ["--log-json"] if writes_json() else []
        self._child = subprocess.Popen(
            [sys.executable, "-m", "daemon", "engine", "--uds", str(self.socket), "--exit-with-stdin", *log],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C at a terminal is for this process alone; the engine ends with it.
            start_new_session=True,
            env=self._env,
        )
        _hand_over(self._child, self._settings)
        _wait_for_listening(self._child)
        logger.info("embedded engine started pid=%d", self._child.pid)


def share_done(socket_path: Path | None) -> float | None:
    """Ask an engine on its Unix socket how much of its work is done, 0 to 1; None if that is not known."""
    if socket_path is None:
        return None
    try:
        with http_client(ENGINE_URL, socket_path=socket_path, timeout=LOOK_SECONDS) as client:
            requests = client.get(ENGINE_URL + PROGRESS_PATH).json()["requests"]
    except (httpx.HTTPError, ValueError, KeyError):
        return None
    seconds = sum(each["seconds"] for each in requests)
    return sum(each["done_seconds"] for each in requests) / seconds if seconds else None


def socket_below(runtime_directory: Path) -> Path | None:
    """Return the socket of the engine of a service with this $RUNTIME_DIRECTORY; None if there is none."""
    return next(runtime_directory.glob(f"{_PREFIX}*/{_SOCKET}"), None)


def embedded(config: Config) -> Settings | None:
    """Return what the service's own engine starts with, None where it has none; raises as `settings_of`."""
    return settings_of(config.engine) if config.analyzer.base_url == EMBEDDED else None


def settings_of(engine: Engine) -> Settings:
    """Return the settings for an engine, with its models found.

    Raises ConfigError, which says what to install, if a model or a package is not there.
    """
    try:
        need_packages()
        speech, sentences = find(engine.model), find(SENTENCES)
    except EarshotError as error:
        raise ConfigError("engine", [ConfigProblem("", None, "engine.model", str(error))]) from error
    return Settings(
        models=(str(speech), str(sentences)),
        knows_all_languages=is_multilingual(speech),
        device=engine.device,
        workers=engine.workers,
        examples=engine.examples,
        hosts=engine.hosts,
    )


def _own_folder(env: Mapping[str, str]) -> Path:
    """Make a folder that only this user can enter, with a path short enough for a socket in it."""
    places = (env.get("RUNTIME_DIRECTORY", "").partition(":")[0], tempfile.gettempdir(), "/tmp")  # noqa: S108
    for place in filter(None, places):
        if len(os.fsencode(place)) + len(f"/engine-12345678/{_SOCKET}") <= _LONGEST_SOCKET_PATH:
            try:
                return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            except OSError:
                continue
    raise EarshotError("the embedded engine finds no folder for its socket; set TMPDIR to a short path")


def _hand_over(child: subprocess.Popen[bytes], settings: Settings) -> None:
    assert child.stdin is not None  # noqa: S101
    try:
        child.stdin.write(settings.to_json())
        child.stdin.flush()
    except BrokenPipeError:
        # It has ended, and said why on stderr.
        return


def _wait_for_listening(child: subprocess.Popen[bytes]) -> None:
    """Wait until the engine prints where it listens; EarshotError when it does not."""
    output = child.stdout.fileno() if child.stdout else -1
    deadline = time.monotonic() + START_SECONDS
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
        block = os.read(output, 1024) if ready else b""
        if not block:
            child.kill()
            raise EarshotError(
                "the embedded engine does not start; what it said before this tells why, "
                "and `earshot engine` says it again"
            )
        line += block
