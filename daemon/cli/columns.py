"""Which columns of recordings a person wants to see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.output import print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from daemon.storage.connection import Database


def _split(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in (value or "").split(","))))


columns_option = click.option(
    "--columns",
    metavar="NAMES",
    callback=_split,
    help="Only these, by commas: id,name,metadata.caller,summary.",
)
"""Adds `--columns`, passed to the command as a tuple of names."""


csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print a table for spreadsheets.")
"""Adds `--csv`, passed to the command as `as_csv`."""


def wanted_columns(db: Database, names: Sequence[str], *more: str) -> tuple[str, ...]:
    """Return these columns; when none is named, all public ones and `more`. UsageError for an unknown one."""
    from daemon.export.table import METADATA
    from daemon.storage.views import recording_columns

    known = (*recording_columns(db), *more)
    for name in names:
        if name not in known and not (name.startswith(METADATA) and name != METADATA):
            raise click.UsageError(
                f"there is no column {name!r}; there are {', '.join(known)}, and metadata.KEY"
            )
    return tuple(names) or known


def picked(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Return these columns of a row."""
    from daemon.export.table import value_of

    return {column: value_of(row, column) for column in columns}


def print_csv(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print these columns as lines of a CSV file."""
    from daemon.export.table import csv_lines

    for line in csv_lines(rows, columns):
        click.echo(line, nl=False)


def print_columns(rows: Iterable[dict[str, Any]], columns: Sequence[str], *, none: str) -> None:
    """Print these columns as a table; `none` is said where there is no row."""
    cells = ([_shown(value) for value in picked(row, columns).values()] for row in rows)
    stretch = tuple(reversed([name for name in columns if name != "id"]))
    print_table(columns, cells, stretch=stretch, none=none)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
