"""Sentiment over time, for a plot in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Passage(NamedTuple):
    """A stretch of the recording and its score; `begin` and `end` in any one unit."""

    begin: float
    end: float
    score: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The average score of each column, None where nothing was said.

    `end` is where the last column ends: in seconds if `timed`, else in passages.
    """

    scores: tuple[float | None, ...]
    end: float
    timed: bool


def timeline(segments: Sequence[Mapping[str, Any]], columns: int, length: float | None) -> Timeline | None:
    """Return sentiment over time from rows of `sentiments`; None without a scored passage.

    `length` is the recording's in seconds. Where the times are not known (several channels) the passages
    follow one another, equally wide.
    """
    scored = [row for row in segments if isinstance(row["sentiment_score"], int | float)]
    if not scored:
        return None
    timed = all(
        isinstance(row[key], int | float) for row in scored for key in ("start_seconds", "end_seconds")
    )
    if timed:
        passages = [
            Passage(row["start_seconds"], row["end_seconds"], row["sentiment_score"]) for row in scored
        ]
        end = max(length or 0.0, *(passage.end for passage in passages))
    else:
        passages = [Passage(i, i + 1, row["sentiment_score"]) for i, row in enumerate(scored)]
        end = float(len(passages))
    return Timeline(_slices(passages, end, columns), end, timed)


def _slices(passages: Sequence[Passage], end: float, columns: int) -> tuple[float | None, ...]:
    """Average per column, weighted by how much of a passage is in it."""
    step = end / columns or 1.0
    totals, weights = [0.0] * columns, [0.0] * columns
    for passage in passages:
        first = min(columns - 1, max(0, int(passage.begin / step)))
        for number in range(first, columns):
            overlap = min(passage.end, (number + 1) * step) - max(passage.begin, number * step)
            if overlap <= 0:
                break
            totals[number] += overlap * passage.score
            weights[number] += overlap
    return tuple(total / weight if weight else None for total, weight in zip(totals, weights, strict=True))
