"""Messages about the service itself, for those who run it: what is wrong, and that it is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from daemon.models import from_iso
from daemon.text import harmless, shorten, shorten_front

FAILURES_NAMED = 5

FLAPS = 5
FLAP_WINDOW = timedelta(minutes=30)
LASTS = timedelta(minutes=5)
"""A cause that began so often within the window is told only when it lasts: a service that fails every other
request must not wake anyone every few seconds."""

_NAMES = {
    "key": "the API key is refused",
    "credit": "the account is out of credit",
    "request": "the request is refused",
    "service": "the service is down",
    "store": "the database cannot be written",
}


def paused_title(cause: str) -> str:
    """The title of the message that says that the queue is held, always the same for a cause."""
    return f"[critical] earshot paused - {_NAMES.get(cause, cause)}"


def paused_message(
    cause: str, reason: str, probe_seconds: float, *, is_last: bool = False
) -> tuple[str, str]:
    """Title and body of the one message that says that the queue is held.

    `is_last` says that it began so often lately that it is told from now on only when it lasts.
    """
    body = (
        f"Recordings wait, none is lost: {harmless(reason)}.\n\n"
        f"earshot tries one recording every {_interval(probe_seconds)} and goes on by itself; after a repair "
        "`systemctl reload earshot` or `earshot retry --failed` makes it try at once."
    )
    if is_last:
        body += (
            f"\n\nThis began {FLAPS} times within {_interval(FLAP_WINDOW.total_seconds())}: from now on you"
            f" hear of it when it lasts for {_interval(LASTS.total_seconds())}, or after a calm."
        )
    return paused_title(cause), body


def resumed_message(cause: str, reason: str, since: datetime, now: datetime) -> tuple[str, str]:
    """Title and body of the one message that says that it is over."""
    title = f"[info] earshot goes on - {_NAMES.get(cause, cause)} no longer"
    body = f"The queue was held for {_interval((now - since).total_seconds())}: {harmless(reason)}."
    return title, body


def failed_message(failed: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Title and body of the message about recordings that failed."""
    number = "1 recording" if len(failed) == 1 else f"{len(failed)} recordings"
    lines = [
        # A name must not begin a line: there a `#` or a `-` is markup.
        f"recording {row['recording_id']}, {shorten(harmless(row['name']), 60)}:"
        f" {shorten(harmless(row['error'] or row['error_code'] or 'unknown'), 200)}"
        for row in failed[:FAILURES_NAMED]
    ]
    if len(failed) > FAILURES_NAMED:
        lines.append(f"and {len(failed) - FAILURES_NAMED} more")
    lines.append("")
    lines.append(
        "`earshot list --state failed` lists them; `earshot retry ID`, or `--failed` for all, tries again."
    )
    return f"[warning] {number} failed", "\n".join(lines)


def trouble_message(cause: str, subject: str, detail: str) -> tuple[str, str]:
    """Title and body of the one message that says that something lasts: folder, silent, outbox, orphans."""
    name = harmless(subject)
    if cause == "folder":
        return (
            f"[warning] a watched folder is gone - {shorten_front(name, 60)}",
            f"{name} is missing or cannot be read. The other folders go on, and this one once it is back;"
            " what was dropped in between is found then.",
        )
    if cause == "silent":
        since = f" since {from_iso(detail):%Y-%m-%d %H:%M} UTC" if detail else ""
        return (
            f"[warning] a watched folder is silent - {shorten_front(name, 60)}",
            f"No recording came into {name}{since}. Is what records them still working?",
        )
    if cause == "orphans":
        return (
            f"[warning] alerts wait for {name}, which is not configured",
            f"Nobody sends them, in all {detail}: the configuration has no such destination or address"
            " any more. They go out once it has it again; `earshot alerts --state pending` lists them.",
        )
    return (
        f"[warning] alerts wait for {name}",
        f"Alerts for {name} wait for more than an hour, in all {harmless(detail)}. They are tried again for a"
        f" day; `earshot test-alert` with that destination shows whether it works.",
    )


def over_message(
    cause: str, subject: str, since: datetime, now: datetime, *, was_delivered: bool
) -> tuple[str, str]:
    """Title and body of the one message that says that it is over."""
    name, lasted = harmless(subject), _interval((now - since).total_seconds())
    if cause == "folder":
        title = f"[info] a watched folder is back - {shorten_front(name, 60)}"
        return title, f"{name} was gone for {lasted}."
    if cause == "silent":
        title = f"[info] a watched folder is silent no longer - {shorten_front(name, 60)}"
        return title, f"Recordings come into {name} again."
    if cause == "orphans":
        return f"[info] no alerts wait for {name} any longer", "It is configured again, or they were removed."
    if was_delivered:
        return f"[info] alerts reach {name} again", f"They had waited for {lasted}."
    return (
        f"[info] no alerts wait for {name} any longer",
        "None of them was delivered: `earshot alerts --state failed` lists those that were given up.",
    )


def _interval(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
