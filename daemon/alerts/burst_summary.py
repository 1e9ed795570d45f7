"""The message at the end of a burst: how many alerts were held back, and which were the worst. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.alerts.compose import MAX_NAME, SEVERITIES
from daemon.alerts.targets import Target
from daemon.config.units import format_duration
from daemon.models import AlertDraft, AlertState
from daemon.rules.logic import shown_score
from daemon.storage.outbox import last_line_room
from daemon.storage.volume import BurstWindow
from daemon.text import harmless, shorten

WORST = 5


def burst_summary(
    held: Sequence[Mapping[str, Any]], window: BurstWindow, target: Target, link: str | None
) -> AlertDraft:
    """The one message about alerts that a window held back, given the worst first."""
    rules = tuple(dict.fromkeys(rule for row in held for rule in json.loads(row["rules"])))
    severity = min((row["severity"] for row in held), key=SEVERITIES.index)
    count = "1 alert" if len(held) == 1 else f"{len(held)} alerts"
    title = f"[{severity}] {count} held back - burst"
    start = (
        f"{count} held back, after {window.passed} sent within {format_duration(window.window_seconds)};"
        " none is lost: `earshot alerts --state suppressed` lists them, `earshot alerts retry ID` sends one."
    )
    lines = [
        worst_line(row, link) + f" (alert {row['id']}, recording {row['recording_id']})"
        for row in held[:WORST]
    ]
    room = room_for(target, title)
    return AlertDraft(
        destination=target.destination,
        target=target.index,
        rules=rules,
        severity=severity,
        state=AlertState.PENDING,
        reason=None,
        title=title,
        body=shorten(within([start], [("The worst by average score:", lines)], room), room),
    )


def room_for(target: Target, title: str) -> int:
    """How many characters a body about no single recording may have at this target."""
    return target.limit - last_line_room(None) - (len(title) + len("\r\n") if target.title_in_body else 0)


def within(start: Sequence[str], lists: Sequence[tuple[str, Sequence[str]]], room: int) -> str:
    """The start and as many of the lists, line by line in their order, as there is room for."""
    text = "\n".join(start)
    for heading, lines in lists:
        for number, line in enumerate(lines):
            longer = f"{text}\n{line}" if number else f"{text}\n\n{heading}\n{line}"
            if len(longer) > room:
                return text
            text = longer
    return text


def worst_line(row: Mapping[str, Any], link: str | None) -> str:
    """A recording in a list: its score, its name, the rules that fired, where to find it."""
    score = "not scored" if row["score"] is None else shown_score(row["score"])
    line = f"{score} {shorten(harmless(row['name']), MAX_NAME)}"
    if rules := json.loads(row.get("rules") or "[]"):
        line += ": " + ", ".join(shorten(harmless(rule), MAX_NAME) for rule in rules)
    if link is not None:
        line += " " + link.replace("{id}", str(row["recording_id"])).replace("{seconds}", "0")
    return line
