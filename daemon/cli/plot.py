"""Sentiment over time as text: bars above and below a zero line, readable without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

from daemon.export.timeline import timeline
from daemon.text import shown_clock

ROWS = 3
"""Lines on each side of zero; every line has two half blocks."""

LABEL_COLUMNS = 6
UP = (" ", "▄", "█")
DOWN = (" ", "▀", "█")
SCORED = "─"
NOTHING = "·"
BLOCKS = "▁▂▃▄▅▆▇█"


def sentiment_plot(
    segments: Sequence[dict[str, object]], width: int, length: float | None = None
) -> list[str]:
    """Return the lines of a plot of `sentiments` rows, at most `width` wide; [] when none is scored.

    `length`: of the recording, in seconds.
    Where the times are not known (several channels) the passages follow one another, equally wide.
    """
    columns = max(10, width - LABEL_COLUMNS)
    found = timeline(segments, columns, length)
    if found is None:
        return []
    under = _times(found.end, columns) if found.timed else _numbers(round(found.end), columns)
    return [*_bars(found.scores), " " * LABEL_COLUMNS + under]


def sparkline(values: Sequence[float | None], *, low: float, high: float | None = None) -> str:
    """Return a block for each value, from `low` to `high` (None: the highest).

    None as a value is nothing there.
    """
    top = max((value for value in values if value is not None), default=low) if high is None else high
    return "".join(NOTHING if value is None else _block(value, low, top) for value in values)


def _block(value: float, low: float, high: float) -> str:
    share = (value - low) / (high - low) if high > low else 1.0
    return BLOCKS[max(0, min(len(BLOCKS) - 1, math.ceil(share * len(BLOCKS)) - 1))]


def _bars(slices: Sequence[float | None]) -> list[str]:
    halves = [_halves(value) for value in slices]
    lines = []
    for row in range(ROWS, 0, -1):
        label = "+1.0" if row == ROWS else ""
        lines.append(f"{label:>4}  " + "".join(UP[_filled(half, row)] for half in halves))
    lines.append(" 0.0  " + "".join(NOTHING if value is None else SCORED for value in slices))
    for row in range(1, ROWS + 1):
        label = "-1.0" if row == ROWS else ""
        lines.append(f"{label:>4}  " + "".join(DOWN[_filled(-half, row)] for half in halves))
    return [line.rstrip() for line in lines]


def _halves(value: float | None) -> int:
    """A score as a number of half blocks, with its sign."""
    return 0 if value is None else round(max(-1.0, min(1.0, value)) * ROWS * 2)


def _filled(halves: int, row: int) -> int:
    """How many of the two half blocks of a line are filled; line 1 is the one next to zero."""
    return max(0, min(2, halves - 2 * (row - 1)))


def _times(end: float, columns: int) -> str:
    """Beginning, middle and end under their columns."""
    middle, last = shown_clock(end / 2), shown_clock(end)
    line = "00:00".ljust(columns // 2 - len(middle) // 2) + middle
    return line.ljust(columns - len(last)) + last


def _numbers(count: int, columns: int) -> str:
    first, last = "passage 1", f"passage {count}"
    return first if count == 1 else first.ljust(columns - len(last)) + last
