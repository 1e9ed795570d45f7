"""How commands print: JSON documents, tables, times and lengths.

Everything that came from outside (names, transcripts, errors) passes `escaped` before it reaches a terminal.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.look import HEADING, console, cut, print_wrapped, styled, text_width
from daemon.errors import ConfigProblem
from daemon.logs import escaped, redacted
from daemon.models import from_iso, shown_path
from daemon.text import shown_time

if TYPE_CHECKING:
    from rich.console import JustifyMethod

ON_TERMINAL_ROWS = 50
"""Rows that `list` and `alerts` show on a terminal when no limit is given."""

NARROWEST_STRETCH = 10
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d( \S+)")
GAP = "  "
Cell = str | tuple[str, str]
"""A cell of a table: its text, or a pair of text and style (see look.py)."""


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
    rows: Iterable[Sequence[Cell]],
    *,
    stretch: tuple[str, ...],
    numbers: tuple[str, ...] = (),
    droppable: tuple[str, ...] = (),
    keeps_end: tuple[str, ...] = (),
    none: str = "",
) -> None:
    """Print a table; piped: lines with tabs. A terminal shows `none` instead of a table without rows.

    To fit a terminal, the columns `stretch` are shortened, the widest first, those of `keeps_end` by what
    they begin with, after those of `droppable` are left out that are empty or do not fit. Where a whole
    column has times, the zone stands in its header.
    """
    if not sys.stdout.isatty():
        click.echo("\t".join(headers))
        for row in rows:
            click.echo("\t".join(escaped(cell if isinstance(cell, str) else cell[0]) for cell in row))
        return
    rows = list(rows)
    if none and not rows:
        print_line(none, err=True)
        return
    columns = [_Column(name, list(cells)) for name, *cells in zip(headers, *rows, strict=True)]
    columns = _fitted(columns, console().width, stretch=stretch, droppable=droppable)
    _print_columns(columns, numbers=numbers, keeps_end=keeps_end)


def print_line(*parts: str | tuple[str, str], indent: int = 0, err: bool = False) -> None:
    """Print one line, escaped; a terminal wraps it between words, with an indent.

    A part may be a pair of text and style (see look.py).
    """
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        print_wrapped(console(stderr=err), styled(*parts), indent=indent, first=styled())
    else:
        texts = (part if isinstance(part, str) else part[0] for part in parts)
        click.echo(escaped("".join(texts)), err=err)


def print_paragraph(text: str, *, indent: str = "") -> None:
    """Print text wrapped to the terminal between words, escaped; keep its line breaks."""
    screen = console(width=text_width())
    for line in text.splitlines() or [""]:
        print_wrapped(screen, styled(" ".join(line.split())), indent=len(indent))


def use_zone(zone: tzinfo) -> None:
    """Show times by the clocks of this zone from now on; before that they are the system's."""
    _Clocks.zone = zone


def shown_zone() -> tzinfo | None:
    """Return the zone in which times are shown and typed, None for the system's."""
    return _Clocks.zone


class _Clocks:
    zone: tzinfo | None = None


def local_time(moment: str) -> str:
    """Return a stored time as people read it, with its zone: `2026-03-01 10:00 CET`."""
    return shown_time(moment, _Clocks.zone)


def _zone_name() -> str:
    """Return the city of the zone, or what the clocks there are called now: `Berlin`, `UTC`."""
    city = getattr(_Clocks.zone, "key", "").rpartition("/")[2].replace("_", " ")
    return city if city not in ("", "localtime") else f"{datetime.now(UTC).astimezone(_Clocks.zone):%Z}"


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


class _Column:
    """A column of a table on a terminal."""

    def __init__(self, name: str, cells: list[Cell]) -> None:
        from rich.cells import cell_len

        self.name = self.header = name
        self.cells = [styled(cell) for cell in cells]
        self._put_zone_into_header()
        self.width = max([cell_len(self.header), *(cell.cell_len for cell in self.cells)])

    def least(self, stretch: tuple[str, ...]) -> int:
        """Return its smallest width."""
        return min(self.width, NARROWEST_STRETCH) if self.name in stretch else self.width

    def _put_zone_into_header(self) -> None:
        times = [_TIME.fullmatch(cell.plain) for cell in self.cells]
        if self.cells and all(found or not cell for found, cell in zip(times, self.cells, strict=True)):
            self.header = f"{self.name} ({_zone_name()})" if any(times) else self.name
            for found, cell in zip(times, self.cells, strict=True):
                cell.right_crop(len(found[1]) if found else 0)


def _fitted(
    columns: list[_Column], width: int, *, stretch: tuple[str, ...], droppable: tuple[str, ...]
) -> list[_Column]:
    """Return the columns that fit into a width, each with its own."""
    columns = [each for each in columns if each.name not in droppable or any(each.cells)]
    for name in droppable:
        if sum(each.least(stretch) + len(GAP) for each in columns) - len(GAP) > width:
            columns = [each for each in columns if each.name != name]
    # By itself, rich narrows all columns alike, until an id is gone.
    room = width - len(GAP) * (len(columns) - 1) - sum(each.width for each in columns)
    wide = [each for each in columns if each.width > each.least(stretch)]
    while room < 0 and (widest := max(wide, key=lambda each: each.width, default=None)):
        widest.width -= 1
        room += 1
        wide = [each for each in wide if each.width > each.least(stretch)]
    return columns


def _print_columns(columns: list[_Column], *, numbers: tuple[str, ...], keeps_end: tuple[str, ...]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, len(GAP), 0, 0), pad_edge=False, header_style=HEADING)
    for column in columns:
        justify: JustifyMethod = "right" if column.name in numbers else "left"
        table.add_column(column.header, width=column.width, no_wrap=True, justify=justify)
    for row in zip(*(each.cells for each in columns), strict=True):
        cells = (
            cut(cell, column.width, keeps_end=column.name in keeps_end)
            for cell, column in zip(row, columns, strict=True)
        )
        table.add_row(*cells)
    console().print(table, soft_wrap=False)
