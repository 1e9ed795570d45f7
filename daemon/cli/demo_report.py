"""What the demo shows at its end: what was found, the alert as it arrived, and where the data is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.cli.conversation import print_turns
from daemon.cli.look import console, styled, text_width, wrapped
from daemon.cli.output import print_paragraph, score
from daemon.export.facts import labels
from daemon.export.turns import turns
from daemon.logs import escaped
from daemon.text import shown_clock

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.export.document import Document


QUESTION = "SELECT * FROM negative_passages"


def report_console() -> Console:
    """Return a console that wraps like other texts, without colours where nobody wants or sees them."""
    return console(width=text_width())


def show_findings(screen: Console, document: Document, alert: dict[str, Any]) -> None:
    """Show the conversation by turns, what was found in it, and the alert."""
    found = document.recording
    length = shown_clock(found["duration_seconds"] or 0)
    average = f"{found['average_sentiment']} {score(found['average_sentiment_score'])} on average"
    _heading(screen, f"{found['name']}, {length} long, {average}")
    print_turns(screen, turns(document))
    _heading(screen, "Summary (key sentences, as they were spoken)")
    _print_indented(screen, found["summary"] or "none")
    _heading(screen, "Intents and topics")
    for line in (*labels(found["intents"], "intent"), *labels(found["topics"], "topic")):
        _print_indented(screen, line)
    _heading(screen, "The alert, as it arrived")
    for line in (str(alert.get("title")), "", *str(alert.get("message")).splitlines()):
        _print_indented(screen, line, "  │ ")


def show_places(screen: Console, database: Path, kept: Path | None, seconds: float) -> None:
    """Say where the data is, and how to look at it."""
    _heading(screen, "Where all of it is")
    if kept is None:
        print_paragraph(
            "In one SQLite file: the tables recordings, sentiments, intents, topics, alerts and others. "
            "This one is deleted now; to have it left for a look:"
        )
        screen.print("\n  earshot demo --keep")
    else:
        screen.print(f"In one SQLite file, {database}. To look into it:\n")
        option = f"-c {shlex.quote(str(kept))}"
        screen.print(f"  earshot {option} show 1")
        screen.print(f"  earshot {option} search refund")
        screen.print(f"  sqlite3 {shlex.quote(str(database))} '{QUESTION}'")
    screen.print(f"\nDone in {seconds:.0f} s.", style="dim")


def _heading(screen: Console, text: str) -> None:
    screen.print(f"\n{escaped(text)}\n", style="bold")


def _print_indented(screen: Console, text: str, mark: str = "  ") -> None:
    for line in wrapped(styled(text), screen.width - len(mark)):
        screen.print(styled(mark) + line)
