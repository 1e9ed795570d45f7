"""What an export is made of: a recording as `show --json` has it, with its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from daemon.models import Match, Word


@dataclass(frozen=True, slots=True)
class Document:
    """A recording with its sentiments, topics, intents and alerts, and its words where they are stored.

    `matches` are the rules that fire for it, where a reader wants to see what they look at. Times are shown
    in `zone`.
    """

    recording: Mapping[str, Any]
    words: tuple[Word, ...] = ()
    matches: tuple[Match, ...] = ()
    zone: tzinfo = UTC
