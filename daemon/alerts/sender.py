"""One message to one URL, by Apprise: accepted, or why not in words without any secret."""

from __future__ import annotations

import re
import time
from http import HTTPStatus

from apprise import Apprise, AppriseResult, NotifyFormat, NotifyType

from daemon.alerts.time_limit import TimeLimit
from daemon.config.destinations import keep_quiet, open_service
from daemon.errors import EarshotError

SEND_SECONDS = 45.0
"""For one message altogether: Apprise's pause between two messages (5.5 s), connecting, and the answer."""

_TYPES = {"info": NotifyType.INFO, "warning": NotifyType.WARNING, "critical": NotifyType.FAILURE}
_STATUS = re.compile(r"error=(\d{3})\b")


class AppriseSender:
    """Sends to one URL; used by one thread. At most one message is under way at any time.

    `delivered_id` is the alert that was accepted last, also while that could not be stored yet.
    """

    def __init__(self, url: str, *, send_seconds: float = SEND_SECONDS) -> None:
        """Raises EarshotError when Apprise does not understand the URL."""
        keep_quiet()
        service = open_service(url)
        if service is None:
            raise EarshotError("Apprise does not understand the URL of this destination; run earshot check")
        self._read_seconds = float(service.socket_read_timeout)
        # Its own limits are off (see open_service), so the call stays in the thread that makes it.
        self._apprise = Apprise(asset=service.asset)
        self._apprise.add(service)
        self._limit = TimeLimit("apprise", send_seconds)
        self.delivered_id: int | None = None

    def send(self, title: str, body: str, severity: str = "info") -> str | None:
        """Send one message; None when the service accepted it, else why not, in words without any secret."""
        return self._limit.run(lambda: self._notify(title, body, severity))

    def _notify(self, title: str, body: str, severity: str) -> str | None:
        started = time.monotonic()
        try:
            with self._apprise.notify(
                body=body, title=title, notify_type=_TYPES[severity], body_format=NotifyFormat.TEXT
            ) as result:
                if result:
                    return None
                waited = time.monotonic() - started >= self._read_seconds
                return f"no answer within {self._read_seconds:.0f} s" if waited else _failure(result)
        except Exception as error:  # noqa: BLE001 - plugins raise what they like, and its text may hold the URL
            return f"Apprise failed with {type(error).__name__}"


def _failure(result: AppriseResult) -> str:
    """Why Apprise could not send, in our words: its own name hosts, addresses and tokens."""
    said = [entry.message for entry in result.logs()]
    for message in said:
        if found := _STATUS.search(message):
            return _answered(int(found[1]))
    if any("onnection" in message for message in said):
        return "no connection, or the service broke it off"
    return "the service refused the message"


def _answered(status: int) -> str:
    try:
        said = f"the service answered {status} ({HTTPStatus(status).phrase})"
    except ValueError:
        said = f"the service answered {status}"
    moved = 300 <= status < 400
    return (
        f"{said}; write the address that it redirects to, or add redirect=yes to the URL" if moved else said
    )
