"""How commands print: JSON documents, tables, times and lengths.

Everything that came from outside (names, transcripts, errors) passes `escaped` before it reaches a terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from daemon.errors import ConfigProblem
from daemon.logs import escaped, redacted
from daemon.models import from_iso, shown_path

if TYPE_CHECKING:
    from rich.console import JustifyMethod

ON_TERMINAL_ROWS = 50
"""Rows that `list` and `alerts` show on a terminal when no limit is given."""

NARROWEST = 40
WIDEST_TEXT = 100
NARROWEST_STRETCH = 10
GAP = "  "


def print_json(document: Any) -> None:
    """Print one JSON document.

    ASCII only: valid in any locale, and without terminal control characters.
    """
    click.echo(json.dumps(document, indent=2))


def print_json_rows(rows: Iterable[dict[str, Any]]) -> None:
    """Print a JSON list row by row, so that a long one need not fit into memory."""
    click.echo("[", nl=False)
    separator = "\n"
    for row in rows:
        click.echo(separator + textwrap.indent(json.dumps(row, indent=2), "  "), nl=False)
        separator = ",\n"
    click.echo("]" if separator == "\n" else "\n]")


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    stretch: tuple[str, ...],
    numbers: tuple[str, ...] = (),
) -> None:
    """Print a table, the columns `stretch` shortened to fit the terminal; piped: lines with tabs."""
    safe = ([escaped(cell) for cell in row] for row in rows)
    if not sys.stdout.isatty():
        click.echo("\t".join(headers))
        for row in safe:
            click.echo("\t".join(row))
        return
    _print_fitted(headers, list(safe), stretch=[headers.index(name) for name in stretch], numbers=numbers)


def print_paragraph(text: str, *, indent: str = "") -> None:
    """Print text wrapped to the terminal, escaped; keep its line breaks."""
    for line in text.splitlines() or [""]:
        wrapped = textwrap.wrap(escaped(line), text_width(), initial_indent=indent, subsequent_indent=indent)
        click.echo("\n".join(wrapped))


def text_width() -> int:
    """Return the columns for running text: the terminal's, within 40 to 100; 80 when piped."""
    return max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST_TEXT))


def local_time(moment: str) -> str:
    """Return a stored time as local time, to the second."""
    return f"{from_iso(moment).astimezone():%Y-%m-%d %H:%M:%S}"


def ago(moment: str, now: datetime | None = None) -> str:
    """Return how long ago a time was, in the largest unit of which two fit: `5 min ago`."""
    seconds = ((now or datetime.now(UTC)) - from_iso(moment)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def score(value: float | None) -> str:
    """A sentiment score with its sign; empty for None."""
    return "" if value is None else f"{value:+.2f}"


def problem_rows(problems: Sequence[ConfigProblem]) -> list[dict[str, Any]]:
    """Problems of the configuration as `--json` prints them."""
    return [
        {
            "level": each.level,
            "file": shown_path(each.file) or None,
            "line": each.line,
            "key": each.key or None,
            "problem": redacted(each.problem),
        }
        for each in problems
    ]


def plural(number: int, noun: str) -> str:
    """`1 alert`, `2 alerts`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print_fitted(
    headers: Sequence[str], cells: list[list[str]], *, stretch: list[int], numbers: tuple[str, ...]
) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    widths = [max(map(cell_len, column)) for column in zip(headers, *cells, strict=True)]
    # By itself, rich narrows all columns alike, until an id is gone.
    room = console.width - len(GAP) * (len(headers) - 1) - sum(widths)
    for number in stretch:
        given = min(0, max(room, NARROWEST_STRETCH - widths[number]))
        widths[number] += given
        room -= given
    table = Table(box=None, padding=(0, len(GAP), 0, 0), pad_edge=False, header_style="bold")
    for header, width in zip(headers, widths, strict=True):
        justify: JustifyMethod = "right" if header in numbers else "left"
        table.add_column(header, width=width, no_wrap=True, overflow="ellipsis", justify=justify)
    for row in cells:
        # Text, not str: a file name may look like rich's markup.
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
