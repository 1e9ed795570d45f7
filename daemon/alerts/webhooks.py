"""Messages to other programs by the Standard Webhooks specification (https://www.standardwebhooks.com)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from daemon import __version__
from daemon.alerts.deliver import LOOK_SECONDS, Place, attempt
from daemon.alerts.time_limit import TimeLimit
from daemon.models import Alert, utc_now
from daemon.storage.connection import Database
from daemon.storage.outbox import next_alert, seconds_until_due

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

SEND_SECONDS = 30.0
CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0
GONE = "answered 410 "
"""By the specification the receiver no longer exists: it is not tried again."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook of the configuration, ready to be called."""

    name: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    proxy: str | None = field(default=None, repr=False)


class WebhookSender:
    """Posts to one receiver; used by one thread. `delivered_id` is the message that was accepted last."""

    def __init__(self, receiver: Receiver, *, send_seconds: float = SEND_SECONDS) -> None:
        self._receiver = receiver
        self._limit = TimeLimit("webhook", send_seconds)
        self.delivered_id: int | None = None
        self._certificates: ssl.SSLContext | None = None

    def send(self, message: Alert, now: datetime) -> str | None:
        """Post one message; None when it was accepted, else why not, in words without any secret."""
        return self._limit.run(lambda: self._post(message, now))

    def _post(self, message: Alert, now: datetime) -> str | None:
        import httpx
        from standardwebhooks import Webhook

        body, message_id = message.body, str(message.message_id)
        headers = {
            "content-type": "application/json",
            "user-agent": f"earshot/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self._receiver.secret).sign(message_id, now, body),
        }
        limits = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        try:
            # No proxy and no password is taken from the environment here: runtime passes in the proxy.
            with (
                httpx.Client(
                    timeout=limits, trust_env=False, proxy=self._receiver.proxy, verify=self._trusted()
                ) as client,
                client.stream("POST", self._receiver.url, content=body.encode(), headers=headers) as response,
            ):
                # The body is not read.
                return answered(response.status_code)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # The error's text may contain the address.
            return f"no connection, or it was broken off ({type(error).__name__})"

    def _trusted(self) -> ssl.SSLContext:
        """Return whom to trust, read once: that takes longer than all the rest of a message."""
        import httpx

        if self._certificates is None:
            self._certificates = httpx.create_ssl_context(trust_env=False)
        return self._certificates


def answered(status: int) -> str | None:
    """Return what is wrong with this answer, None when the message was accepted."""
    if 200 <= status < 300:
        return None
    try:
        said = f"it answered {status} ({HTTPStatus(status).phrase})"
    except ValueError:
        said = f"it answered {status}"
    if 300 <= status < 400:
        return f"{said}; write the address that it redirects to"
    return said


def step(db: Database, receiver: Receiver, sender: WebhookSender, now: datetime) -> bool:
    """Post the next due message to this receiver; False if none is due."""
    message = next_alert(db, receiver.name, 0, now, table="webhooks")
    if message is None:
        return False
    place = Place("webhooks", receiver.name, 0, is_final=lambda error: GONE in error)
    attempt(db, message, place, sender, lambda: sender.send(message, now), now)
    return True


def webhook_delivery(
    receiver: Receiver, *, clock: Callable[[], datetime] = utc_now
) -> Callable[[Database], float]:
    """Return the step of a receiver's loop: post one due message, return seconds to wait."""
    sender = WebhookSender(receiver)

    def look(db: Database) -> float:
        if step(db, receiver, sender, clock()):
            return 0.0
        due = seconds_until_due(db, receiver.name, 0, clock(), table="webhooks")
        return LOOK_SECONDS if due is None else min(due, LOOK_SECONDS)

    return look
