"""Tells systemd how the service is doing, by the protocol of sd_notify(3), where there is a systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

SEND_SECONDS = 1.0


def notify(message: str, *, env: Mapping[str, str] = os.environ) -> bool:
    """Send `READY=1`, `WATCHDOG=1`, `STATUS=...` and the like; several are separated by newlines.

    False when no service manager listens. A manager that has gone away is no reason to stop working,
    so nothing is raised then either.
    """
    address = env.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        # The abstract namespace: the kernel wants a zero byte where the environment shows an @.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            # One that does not read is as good as gone.
            connection.settimeout(SEND_SECONDS)
            connection.connect(address)
            connection.sendall(message.encode("utf-8", "backslashreplace"))
    except OSError:
        return False
    return True


def watchdog_seconds(env: Mapping[str, str] = os.environ) -> float | None:
    """How long the manager waits for the next `WATCHDOG=1`; None when it does not wait for this process."""
    try:
        microseconds = int(env.get("WATCHDOG_USEC", ""))
        # A child inherits the environment; the watchdog is meant for the process that WATCHDOG_PID names.
        pid = int(env.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    if microseconds <= 0 or pid != os.getpid():
        return None
    return microseconds / 1_000_000
