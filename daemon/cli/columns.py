"""Which columns of recordings a person wants to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlite_utils import Database


def _split(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in (value or "").split(","))))


columns_option = click.option(
    "--columns",
    metavar="NAMES",
    callback=_split,
    help="Only these, by commas: id,name,metadata.caller,summary.",
)
"""Adds `--columns`, passed to the command as a tuple of names."""


def wanted_columns(db: Database, names: Sequence[str]) -> tuple[str, ...]:
    """Return these columns, or all public ones when none is named; UsageError for an unknown one."""
    from daemon.export.table import METADATA
    from daemon.storage.views import recording_columns

    known = recording_columns(db)
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
