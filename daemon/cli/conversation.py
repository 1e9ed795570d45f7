"""Prints what was said by turns: when, by whom, in what mood."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from daemon.cli.output import GAP, score
from daemon.logs import escaped
from daemon.text import shown_clock

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {"negative": "red", "positive": "green"}


def print_turns(console: Console, passages: Sequence[dict[str, Any]]) -> None:
    """Print the rows of `sentiments`; who speaks is named where that changes."""
    # Text, not str: what was said may look like rich's markup.
    from rich.text import Text

    speakers = [escaped(row["speaker"] or "") for row in passages]
    width = max(map(len, speakers), default=0)
    before = None
    for row, speaker in zip(passages, speakers, strict=True):
        when = "" if row["start_seconds"] is None else shown_clock(row["start_seconds"])
        who = [(f"{speaker if speaker != before else '':{width}}{GAP}", "bold")] if width else []
        style = STYLES.get(row["sentiment"] or "", "")
        start = Text.assemble(
            (f"{when:5}{GAP}", "dim"), *who, (f"{score(row['sentiment_score']):5}{GAP}", style)
        )
        console.print(start + Text(_wrapped(row["text"] or "", console.width, len(start)), style))
        before = speaker


def _wrapped(text: str, width: int, indent: int) -> str:
    return textwrap.fill(escaped(text), width, initial_indent=" " * indent, subsequent_indent=" " * indent)[
        indent:
    ]
