"""The message at the end of a burst: how many alerts were held back, and which were the worst. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.config.units import format_duration
from daemon.models import SEVERITIES, AlertDraft, Target
from daemon.storage.outbox import room_for
from daemon.storage.volume import BurstWindow
from daemon.text import fitting, shown_recording

WORST = 5


def burst_summary(
    held: Sequence[Mapping[str, Any]], window: BurstWindow, target: Target, link: str | None
) -> AlertDraft:
    """Compose the one message about the alerts that a window held back; `held` has the worst first."""
    rules = tuple(dict.fromkeys(rule for row in held for rule in json.loads(row["rules"])))
    severity = min((row["severity"] for row in held), key=SEVERITIES.index)
    count = "1 alert" if len(held) == 1 else f"{len(held)} alerts"
    title = f"[{severity}] {count} held back - burst"
    start = (
        f"{count} held back, after {window.passed} sent within {format_duration(window.window_seconds)}."
        " None is lost: `earshot alerts --state suppressed` lists them, `earshot alerts retry ID` sends one."
    )
    lines = [
        shown_recording(
            row["recording_id"],
            row["name"],
            row["score"],
            metadata=json.loads(row["metadata"]),
            rules=json.loads(row["rules"]),
            link=link,
            alert=row["id"],
        )
        for row in held[:WORST]
    ]
    body = fitting([start], [("The worst by average sentiment:", lines)], room_for(target, title))
    about = tuple(row["recording_id"] for row in held[:WORST])
    return AlertDraft(target.destination, target.index, severity, title, body, rules=rules, about=about)
