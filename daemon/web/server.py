"""The server of the pages: in a thread of the service, or alone."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import uvicorn

from daemon.config.models import Config
from daemon.config.values import listen_address
from daemon.engine.connections import Connection, address_of, listen_on_path, listen_on_port
from daemon.logs import register_secret
from daemon.models import utc_now
from daemon.web.app import application
from daemon.web.site import Site, site_of

logger = logging.getLogger(__name__)

END_SECONDS = 2
"""How long requests may go on at the end: a page takes less."""
SOCKET_MODE = 0o660
"""Whoever is in the group may connect: the proxy."""
ADVICE = "write another one as web.listen"


class Pages:
    """The pages of the present configuration, served until `end`."""

    def __init__(
        self, env: Mapping[str, str] = os.environ, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._env = env
        self._clock = clock
        self._site: Site | None = None
        self._listen: str | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def take(self, config: Config) -> None:
        """Serve the pages of this configuration from now on; where that raises EarshotError, all stays."""
        listen = config.web.listen
        if listen is None:
            self.end()
            self.join()
            return
        site = site_of(config, self._env, clock=self._clock)
        if site.access.token is not None:
            register_secret(site.access.token)
        if listen == self._listen and self._thread is not None and self._thread.is_alive():
            self._site = site
            return
        listener = listening(listen)
        self.end()
        self.join()
        self._site, self._listen = site, listen
        server = self._server = _Server(listener, self._present)
        self._thread = threading.Thread(target=server.run_all, name="web", daemon=True)
        self._thread.start()
        logger.info("pages served address=%s", address_of(listener))

    def serve_here(self, config: Config, on_listening: Callable[[str], None]) -> None:
        """Serve in this thread until SIGTERM or SIGINT; raises EarshotError when that cannot begin.

        `on_listening` gets the address, once connections are accepted.
        """
        self._site = site_of(config, self._env, clock=self._clock)
        if self._site.access.token is not None:
            register_secret(self._site.access.token)
        listener = listening(config.web.listen or "")
        self._server = _Server(listener, self._present)
        on_listening(self._server.address)
        self._server.run_all()

    @property
    def address(self) -> str | None:
        """Where the pages are, as people write it; None while there are none."""
        return self._server.address if self._server else None

    def troubles(self) -> list[str]:
        """Return what is wrong: pages that are to be served and are not."""
        if self._thread is None or self._thread.is_alive():
            return []
        return ["the web pages have ended"]

    def end(self) -> None:
        """Ask the server to end; `join` waits for it."""
        if self._server is not None:
            self._server.should_exit = True

    def join(self) -> None:
        """Wait for the end; the last requests have END_SECONDS."""
        if self._thread is not None:
            self._thread.join(END_SECONDS + 3)
        self._thread, self._server, self._listen = None, None, None

    def _present(self) -> Site:
        if self._site is None:
            raise RuntimeError("nothing is served yet")
        return self._site


class _Server(uvicorn.Server):
    """Serves on a listener that is there already."""

    def __init__(self, listener: socket.socket, site: Callable[[], Site]) -> None:
        self._listener = listener
        self.address = address_of(listener)
        super().__init__(
            uvicorn.Config(
                application(site, lambda: self.should_exit),
                http=Connection,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                # Else X-Forwarded-For is believed from this host.
                proxy_headers=False,
                timeout_graceful_shutdown=END_SECONDS,
            )
        )

    def run_all(self) -> None:
        """Serve until `should_exit`."""
        with self._listener:
            self.run(sockets=[self._listener])


def listening(listen: str) -> socket.socket:
    """Listen where the configuration says; raises EarshotError."""
    address = listen_address(listen)
    if address is not None:
        return listen_on_port(*address, advice=ADVICE)
    path = Path(listen)
    listener = listen_on_path(path, for_all=False, advice=ADVICE)
    path.chmod(SOCKET_MODE)
    return listener
