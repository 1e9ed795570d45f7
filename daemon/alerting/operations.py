"""Messages about the service itself, for those who run it: what holds the queue, and that it is over."""

from __future__ import annotations

from datetime import datetime

from daemon.alerting.harmless import harmless

_NAMES = {
    "key": "the API key is refused",
    "credit": "the account is out of credit",
    "request": "the request is refused",
    "service": "the service is down",
    "store": "the database cannot be written",
}


def paused_message(cause: str, reason: str, probe_seconds: float) -> tuple[str, str]:
    """Title and body of the one message that says that the queue is held."""
    title = f"[critical] earshot paused - {_NAMES.get(cause, cause)}"
    body = (
        f"Recordings wait, none is lost: {harmless(reason)}.\n\n"
        f"earshot tries one recording every {_interval(probe_seconds)} and goes on by itself; after a repair "
        "`systemctl reload earshot` or `earshot retry --failed` makes it try at once."
    )
    return title, body


def resumed_message(cause: str, reason: str, since: datetime, now: datetime) -> tuple[str, str]:
    """Title and body of the one message that says that it is over."""
    title = f"[info] earshot goes on - {_NAMES.get(cause, cause)} no longer"
    body = f"The queue was held for {_interval((now - since).total_seconds())}: {harmless(reason)}."
    return title, body


def _interval(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
