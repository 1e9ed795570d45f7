"""CSV: a line for each recording, safe to be opened by a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from daemon.text import without_controls

METADATA = "metadata."
"""The start of a column that is one key of the metadata: `metadata.caller`."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Starts that make a text a formula (https://owasp.org/www-community/attacks/CSV_Injection); the last
four are the first four in full width."""


def csv_lines(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a CSV file with these columns, the header first."""
    yield _line(columns)
    for row in rows:
        yield _line([value_of(row, column) for column in columns])


def _line(values: Iterable[Any]) -> str:
    # With CR LF as the line end, csv quotes every cell that has a CR or LF in it.
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(map(_cell, values))
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def value_of(row: Mapping[str, Any], column: str) -> Any:
    """Return a column's value; None for `metadata.KEY` if the recording has no such key."""
    if column.startswith(METADATA):
        return row["metadata"].get(column.removeprefix(METADATA))
    return row[column]


def _cell(value: Any) -> Any:
    """Numbers as they are, lists and mappings as JSON; an apostrophe before what would be calculated."""
    if value is None or isinstance(value, int | float):
        return value
    text = without_controls(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
