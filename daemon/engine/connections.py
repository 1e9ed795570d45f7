"""Where the engine listens, and a limit to how long a connection may take for the headers of a request."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.errors import ListenError

HEADER_SECONDS = 20.0
BACKLOG = 128


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, closed when the headers of a request are not there after `header_seconds`."""

    header_seconds = HEADER_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        self._forget()

    def data_received(self, data: bytes) -> None:
        """Take data in; stop waiting once it ends the headers."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def listen_on_port(host: str, port: int, advice: str = "name others by --host and --port") -> socket.socket:
    """Listen on an address of this host; port 0 takes a free one. Raises ListenError with the advice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # Python adds the address after the system's reason, in its own format.
        reason = (error.strerror or type(error).__name__).partition(" (while")[0]
        raise ListenError(f"cannot listen on {host}, port {port}: {reason}; {advice}") from error


def listen_on_path(path: Path, *, for_all: bool, advice: str = "name another path by --uds") -> socket.socket:
    """Listen on a Unix socket, in place of one that nobody listens on any more. Raises ListenError.

    `for_all`: every user of the host may connect, as a key is asked for; else its owner alone.
    """
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0 if for_all else 0o177)
    try:
        if path.is_socket():
            _refuse_if_in_use(path)
            path.unlink()
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on {path}: {error.strerror or error}; {advice}") from error
    finally:
        os.umask(before)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return where a listener is reached, as people write it."""
    name: Any = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    shown = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{shown}:{name[1]}"


def _refuse_if_in_use(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
        probe.connect(str(path))
        raise OSError(0, "another process listens there")
