"""What the demo shows at its end: what was found, the alert as it arrived, and where the data is."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.cli.conversation import print_turns
from daemon.cli.output import print_paragraph, score, text_width
from daemon.export.facts import labels
from daemon.logs import escaped
from daemon.text import shown_clock

if TYPE_CHECKING:
    from rich.console import Console


QUESTION = "SELECT * FROM negative_passages"


def report_console() -> Console:
    """Return a console that wraps like other texts, without colours where nobody wants or sees them."""
    from rich.console import Console

    return Console(width=text_width(), highlight=False, markup=False, emoji=False)


def show_findings(console: Console, found: dict[str, Any], alert: dict[str, Any]) -> None:
    """Show the conversation by turns, what was found in it, and the alert."""
    length = shown_clock(found["duration_seconds"] or 0)
    average = f"{found['average_sentiment']} {score(found['average_sentiment_score'])} on average"
    _heading(console, f"{found['name']}, {length} long, {average}")
    print_turns(console, found["sentiments"])
    _heading(console, "Summary (key sentences, as they were spoken)")
    _print_indented(console, found["summary"] or "none")
    _heading(console, "Intents and topics")
    for line in (*labels(found["intents"], "intent"), *labels(found["topics"], "topic")):
        _print_indented(console, line)
    _heading(console, "The alert, as it arrived")
    for line in (str(alert.get("title")), "", *str(alert.get("message")).splitlines()):
        _print_indented(console, line, "  │ ")


def show_places(console: Console, database: Path, kept: Path | None, seconds: float) -> None:
    """Say where the data is, and how to look at it."""
    _heading(console, "Where all of it is")
    if kept is None:
        print_paragraph(
            "In one SQLite file: the tables recordings, sentiments, intents, topics, alerts and others. "
            "This one is deleted now; to have it left for a look:"
        )
        console.print("\n  earshot demo --keep")
    else:
        console.print(f"In one SQLite file, {database}. To look into it:\n", soft_wrap=True)
        option = f"-c {shlex.quote(str(kept))}"
        console.print(f"  earshot {option} show 1", soft_wrap=True)
        console.print(f"  earshot {option} search refund", soft_wrap=True)
        console.print(f"  sqlite3 {shlex.quote(str(database))} '{QUESTION}'", soft_wrap=True)
    console.print(f"\nDone in {seconds:.0f} s.", style="dim")


def _heading(console: Console, text: str) -> None:
    console.print(f"\n{escaped(text)}\n", style="bold")


def _print_indented(console: Console, text: str, mark: str = "  ") -> None:
    shown = textwrap.fill(escaped(text), console.width, initial_indent=mark, subsequent_indent=mark)
    console.print(shown or mark.rstrip(), soft_wrap=True)
