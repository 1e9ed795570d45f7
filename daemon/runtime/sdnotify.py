"""Tell systemd how the service is doing, by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

SEND_SECONDS = 1.0


def notify(message: str, *, env: Mapping[str, str] = os.environ) -> bool:
    """Send `READY=1`, `WATCHDOG=1`, `STATUS=...` and the like, separated by newlines; True when it was sent.

    Never raises: the service works on without a service manager.
    """
    address = env.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        # In the abstract namespace the kernel wants a zero byte in place of the @.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            # A manager that does not read must not stop the service.
            connection.settimeout(SEND_SECONDS)
            connection.connect(address)
            connection.sendall(message.encode("utf-8", "backslashreplace"))
    except OSError:
        return False
    return True
