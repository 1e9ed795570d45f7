"""Messages about the service itself, for those who run it: what is wrong, and when it is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from daemon.models import from_iso
from daemon.storage.limits import NEAR, OVER
from daemon.storage.operations import CLOCK, PAGES, Trouble
from daemon.text import harmless, harmless_name, shorten, shorten_front, shown_time

FAILURES_NAMED = 5

FLAPS = 5
FLAP_WINDOW = timedelta(minutes=30)
LASTS = timedelta(minutes=5)
"""A trouble that was told FLAPS times within the window is told again only when it lasts: a service that
fails every other request must not wake anyone every few seconds."""

ERROR_LENGTH = 200
PATH_LENGTH = 60

PAUSES = {
    "key": ("the API key is refused", "the API key is no longer refused"),
    "credit": ("the account is out of credit", "the account is no longer out of credit"),
    "request": ("the request is refused", "the request is no longer refused"),
    "service": ("the service is down", "the service answers again"),
    "store": ("the database cannot be written", "the database can be written again"),
    "limit": ("a limit is reached", "a limit holds nothing back any more"),
}
"""The causes of pauses: how a message says that one began, and that it is over."""

REMEDIES = {
    "key": "Correct the key (`earshot check` tries it). One that systemd hands over as a credential is read"
    " again by `systemctl restart earshot` alone.",
    "credit": "Top up the account.",
    "request": "Correct the setting that is named above (`earshot check` looks at all of them),"
    " then run `earshot reload`.",
    "service": "`earshot check` says whether the service can be reached from here.",
    "store": "Make room on its disk (`earshot status` says where it is). earshot looks again every few"
    " seconds and goes on by itself.",
    "limit": "What is in flight ends as usual, the rest goes on with the next period; `earshot retry` lets it"
    " go now. `earshot costs` shows what was spent.",
}
"""What to do about each pause."""
TRIED = frozenset({"key", "credit", "request", "service"})
"""The pauses in which a recording is tried now and then."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to operations, before it has an id."""

    severity: str
    subject: str
    body: str
    about: tuple[int, ...] = ()
    """The recordings that are named in it."""

    @property
    def title(self) -> str:
        """The first line that people read."""
        return f"[{self.severity}] {self.subject}"


def failed_message(failed: Sequence[Mapping[str, Any]]) -> Message:
    """Return the message on failed recordings."""
    number = "1 recording" if len(failed) == 1 else f"{len(failed)} recordings"
    lines = [
        # Do not begin a line with a name: a `#` or `-` there is markup.
        f"recording {row['recording_id']}, {harmless_name(row['name'])}:"
        f" {shorten(harmless(row['error'] or row['error_code'] or 'unknown'), ERROR_LENGTH)}"
        for row in failed[:FAILURES_NAMED]
    ]
    if len(failed) > FAILURES_NAMED:
        lines.append(f"and {len(failed) - FAILURES_NAMED} more")
    lines += [
        "",
        "`earshot list --state failed` lists them; `earshot retry ID` tries one again,"
        " `earshot retry --failed` all of them.",
    ]
    about = tuple(row["recording_id"] for row in failed[:FAILURES_NAMED])
    return Message("warning", f"{number} failed", "\n".join(lines), about)


def place_line(host: str, waiting: int, since: str | None, now: datetime) -> str:
    """Return the last line of each message: on which machine, and how many recordings wait there."""
    if not waiting:
        return f"On {harmless(host)}; no recording is waiting."
    number = "1 recording is" if waiting == 1 else f"{waiting} recordings are"
    oldest = f", the oldest for {_interval(abs(now - from_iso(since)))}" if since else ""
    return f"On {harmless(host)}; {number} waiting{oldest}."


def begun_message(trouble: Trouble, *, probe_seconds: float, is_last: bool, zone: tzinfo = UTC) -> Message:
    """Return the message of a trouble, with times by the clocks of `zone`.

    `probe_seconds` is how often a paused queue tries a recording. `is_last` says that this trouble comes and
    goes, and from now on is told only when it lasts.
    """
    if trouble.cause in PAUSES:
        message = _paused(trouble, probe_seconds)
    else:
        message = _wrong(trouble.cause, harmless(trouble.subject), trouble.detail, zone)
    if not is_last:
        return message
    more = (
        f"\n\nThis began {FLAPS} times within {_interval(FLAP_WINDOW)}: from now on you hear of it when it"
        f" lasts for {_interval(LASTS)}, or after a calm."
    )
    return replace(message, body=message.body + more)


def over_message(trouble: Trouble, now: datetime, *, was_delivered: bool) -> Message:
    """Return the message that it is over; `was_delivered`: alerts reached the target meanwhile."""
    cause, name = trouble.cause, harmless(trouble.subject)
    over = now if trouble.over_at is None else from_iso(trouble.over_at)
    lasted = _interval(over - from_iso(trouble.since))
    if cause in PAUSES:
        body = f"The queue was paused for {lasted}: {harmless(trouble.detail)}."
        return Message("info", f"earshot goes on - {PAUSES[cause][1]}", body)
    if cause == "folder":
        return Message("info", f"a watched folder is back - {_end(name)}", f"{name} was gone for {lasted}.")
    if cause == "silent":
        subject = f"a watched folder is silent no longer - {_end(name)}"
        return Message("info", subject, f"Recordings come into {name} again.")
    if cause == "originals":
        body = "They were moved or deleted, or the configuration no longer asks for it."
        return Message("info", f"no originals are left over any longer - {_end(name)}", body)
    if cause == "sidecars":
        body = "They were written, or the configuration no longer asks for them."
        return Message("info", f"no sidecars are left over any longer - {_end(name)}", body)
    if cause == "webhook":
        body = (
            "`earshot webhooks --state failed` lists what was given up, `earshot webhooks retry ID` sends it."
        )
        return Message("info", f"messages reach webhook {name} again", body)
    if cause == PAGES:
        return Message("info", "the web pages are served again", f"They were not for {lasted}.")
    if cause == CLOCK:
        body = "The clock was set right, or is trusted by now: what is over is deleted again."
        return Message("info", "retention goes on", body)
    if cause == "orphans":
        body = (
            "It is in the configuration again, or the alerts were removed or given up:"
            " `earshot alerts --state failed` lists those."
        )
        return Message("info", f"no alerts wait for {name} any longer", body)
    if cause == "given_up":
        body = "`earshot alerts --state failed` lists them, `earshot alerts retry ID` sends one after all."
        return Message("info", f"alerts reach {name} again after some were given up", body)
    if was_delivered:
        return Message("info", f"alerts reach {name} again", f"They had waited for {lasted}.")
    body = "None of them was delivered: `earshot alerts --state failed` lists those that were given up."
    return Message("info", f"no alerts wait for {name} any longer", body)


def _paused(trouble: Trouble, probe_seconds: float) -> Message:
    body = f"Recordings wait, none is lost: {harmless(trouble.detail)}.\n\n{REMEDIES[trouble.cause]}"
    if trouble.cause in TRIED:
        every = _interval(timedelta(seconds=probe_seconds))
        rhythm = "at least once a minute" if trouble.cause == "service" else f"every {every}"
        body += f" earshot tries a recording {rhythm} and goes on by itself, at once after `earshot retry`."
    return Message("critical", f"earshot paused - {PAUSES[trouble.cause][0]}", body)


def _wrong(cause: str, name: str, detail: str, zone: tzinfo) -> Message:
    return _wrong_with_recordings(cause, name, detail, zone) or _wrong_with_messages(cause, name, detail)


def _wrong_with_recordings(cause: str, name: str, detail: str, zone: tzinfo) -> Message | None:
    if cause == "folder":
        body = (
            f"{name} is missing or cannot be read; is it mounted? `earshot status` says what is wrong. The"
            " other folders go on, and so does this one when it is back: what is dropped meanwhile is found"
            " then."
        )
        return Message("warning", f"a watched folder is gone - {_end(name)}", body)
    if cause == "silent":
        since = f" since {shown_time(detail, zone)}" if detail else ""
        body = (
            f"No recording has come into {name}{since}. Is what records them still working?"
            " `earshot status --files` lists what was not taken, and why."
        )
        return Message("warning", f"a watched folder is silent - {_end(name)}", body)
    if cause == "originals":
        body = (
            f"Files of {name} were analyzed and could not be moved or deleted for an hour"
            f" ({shorten(harmless(detail), ERROR_LENGTH)}). It is tried again for as long as it takes;"
            " `earshot status` shows how many are left."
        )
        return Message("warning", f"originals stay where they are - {_end(name)}", body)
    if cause == "sidecars":
        body = (
            f"Results of {name} could not be written as files for an hour"
            f" ({shorten(harmless(detail), ERROR_LENGTH)}). It is tried again for as long as it takes;"
            " `earshot status` shows how many are left."
        )
        return Message("warning", f"sidecars are not written - {_end(name)}", body)
    if cause == CLOCK:
        body = (
            f"The clock leapt ahead, or earshot was off for long: {harmless(detail)}. Until then `retention`"
            " deletes nothing. If the clock is wrong, set it right; else there is nothing to do."
        )
        return Message("warning", "retention waits, because the clock may be wrong", body)
    if cause in (NEAR, OVER):
        subject = "a limit is nearly reached" if cause == NEAR else "a limit is exceeded"
        body = f"{harmless(detail)}. `earshot costs --by day` shows what was spent."
        return Message("warning", f"{subject} - {_end(name)}", body)
    return None


def _wrong_with_messages(cause: str, name: str, detail: str) -> Message:
    if cause == PAGES:
        body = (
            f"{harmless(detail)}. Recordings are analyzed and alerts are sent all the same. It is tried again"
            " every half a minute: end the program that has the address, or write another one and run"
            " `earshot reload`."
        )
        return Message("warning", "the web pages cannot be served", body)
    if cause == "webhook":
        body = (
            f"They are not accepted there ({shorten(harmless(detail), ERROR_LENGTH)}). Each is tried again"
            " for a day, unless the receiver says that it is gone; `earshot webhooks` lists them."
        )
        return Message("warning", f"messages do not reach webhook {name}", body)
    if cause == "orphans":
        body = (
            f"Nobody sends them ({detail}): the configuration has no such destination or address any"
            " more. They go out when it has it again, and are given up after a week;"
            " `earshot alerts --state pending` lists them."
        )
        return Message("warning", f"alerts wait for {name}, which is not configured", body)
    destination = name.partition(", URL ")[0]
    try_it = f"`earshot test-alert {destination}` shows whether it works"
    if cause == "given_up":
        body = f"{harmless(detail)}\n\n{try_it}, `earshot alerts --state failed` lists what was given up."
        return Message("warning", f"alerts do not reach {name}", body)
    body = (
        f"Alerts for {name} have waited for more than an hour ({harmless(detail)}). Each is tried again"
        f" for a day; {try_it}."
    )
    return Message("warning", f"alerts wait for {name}", body)


def _end(path: str) -> str:
    return shorten_front(path, PATH_LENGTH)


def _interval(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
