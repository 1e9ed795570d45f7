"""Sentiment over time as text: bars above and below a zero line, readable without colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from daemon.cli.output import clock

ROWS = 3
"""Lines on each side of zero; every line has two half blocks."""

LABEL_COLUMNS = 6
UP = (" ", "▄", "█")
DOWN = (" ", "▀", "█")
SCORED = "─"
NOTHING = "·"


class Passage(NamedTuple):
    """A stretch of the recording and its score; `begin` and `end` in any one unit."""

    begin: float
    end: float
    score: float


def sentiment_plot(
    segments: Sequence[dict[str, object]], width: int, length: float | None = None
) -> list[str]:
    """The lines of a plot for rows of `sentiments`, at most `width` wide; none without a scored passage.

    `length` is the recording's in seconds.
    Where the times are not known (several channels) the passages follow one another, equally wide.
    """
    scored = [row for row in segments if isinstance(row["sentiment_score"], (int, float))]
    timed = all(
        isinstance(row[key], (int, float)) for row in scored for key in ("start_seconds", "end_seconds")
    )
    if not scored:
        return []
    if timed:
        passages = [_passage(row, row["start_seconds"], row["end_seconds"]) for row in scored]
    else:
        passages = [_passage(row, number, number + 1) for number, row in enumerate(scored)]
    end = max(passage.end for passage in passages)
    if timed:
        end = max(end, length or 0.0)
    columns = max(10, width - LABEL_COLUMNS)
    slices = _slices(passages, end, columns)
    return [
        *_bars(slices),
        " " * LABEL_COLUMNS + (_times(end, columns) if timed else _numbers(len(scored), columns)),
    ]


def _passage(row: dict[str, object], begin: object, end: object) -> Passage:
    return Passage(float(str(begin)), float(str(end)), float(str(row["sentiment_score"])))


def _slices(passages: list[Passage], end: float, columns: int) -> list[float | None]:
    """The average score of each column's slice of time, weighted by overlap; None where nothing was said."""
    step = end / columns or 1.0
    slices: list[float | None] = []
    for number in range(columns):
        begin = number * step
        total = weight = 0.0
        for passage in passages:
            overlap = min(passage.end, begin + step) - max(passage.begin, begin)
            if overlap > 0:
                total += overlap * passage.score
                weight += overlap
        slices.append(total / weight if weight else None)
    return slices


def _bars(slices: list[float | None]) -> list[str]:
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
    middle, last = clock(end / 2), clock(end)
    line = "00:00".ljust(columns // 2 - len(middle) // 2) + middle
    return line.ljust(columns - len(last)) + last


def _numbers(count: int, columns: int) -> str:
    first, last = "passage 1", f"passage {count}"
    return first if count == 1 else first.ljust(columns - len(last)) + last
