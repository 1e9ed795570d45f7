"""Where the marks of the drawings stand: sentiment over time, and the small one of the lists. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from daemon.web.shown import mood
from daemon.web.transcript import Say, Talk

HALF = 29.0
ZERO = 93.0
FLAT = 2.0
COLUMNS = 500
"""Narrower than this part of the drawing nothing can be told apart, nor pointed at."""
SPARK_ZERO, SPARK_HALF = 13.0, 13.0
SPARK_COLUMNS = 40
TICK_STEPS = (5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200)
MOST_TICKS = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """A passage: `x` and `width` in percent of the drawing, `y` and `height` in its pixels; which speaker."""

    x: str
    width: str
    y: str
    height: str
    kind: str
    speaker: int
    say: Say


@dataclass(frozen=True, slots=True)
class Drawing:
    """Sentiment over time. `ticks` are seconds with their place; `end` is the length in seconds."""

    end: float
    passages: int
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[str, int], ...]
    negative: int
    positive: int
    worst: tuple[Say, ...]


def drawing_of(talk: Talk, length: float | None) -> Drawing | None:
    """Return where each passage with a time stands; None when there is none."""
    says = [say for say in talk.says if say.start is not None]
    if not says:
        return None
    end = max(length or 0.0, *(say.end or say.start or 0.0 for say in says)) or 1.0
    order = {speaker: number for number, speaker in enumerate(talk.speakers)}
    bars = tuple(_bar(say, end, say.lane or order.get(say.speaker or "", 0)) for say in _telling(says, end))
    scored = sorted((say for say in says if say.score is not None), key=lambda say: say.score or 0.0)
    return Drawing(
        end,
        len(says),
        bars,
        _ticks(end),
        sum(mood(say.score) == "negative" for say in scored),
        sum(mood(say.score) == "positive" for say in scored),
        tuple(say for say in scored[:4] if mood(say.score) == "negative"),
    )


def percent(part: float, whole: float) -> str:
    """A place in the drawing, such as `30.88%`."""
    return f"{min(max(part / whole, 0.0), 1.0) * 100:.2f}%"


def kind_of(score: float) -> str:
    """The class of a mark: n(egative), p(ositive), u (neutral)."""
    return {"negative": "n", "positive": "p"}.get(mood(score), "u")


def spark(scores: Sequence[float]) -> dict[str, str]:
    """Return the paths of a small drawing by their class, passages side by side."""
    columns = _averaged(scores, SPARK_COLUMNS)
    step = 100 / max(len(columns), 1)
    paths: dict[str, list[str]] = {}
    for number, score in enumerate(columns):
        height = max(1.0, abs(score) * SPARK_HALF)
        y = SPARK_ZERO if score < 0 else SPARK_ZERO - height
        width = step * 0.78
        path = f"M{number * step:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z"
        paths.setdefault(kind_of(score), []).append(path)
    return {kind: "".join(parts) for kind, parts in sorted(paths.items())}


def _telling(says: Sequence[Say], end: float) -> list[Say]:
    """Return of all that begin in the same column the one whose score says most; hours have thousands."""
    kept: dict[int, Say] = {}
    for say in says:
        column = int((say.start or 0.0) / end * COLUMNS)
        if column not in kept or abs(say.score or 0.0) > abs(kept[column].score or 0.0):
            kept[column] = say
    return list(kept.values())


def _bar(say: Say, end: float, speaker: int) -> Bar:
    start = say.start or 0.0
    score = say.score or 0.0
    height = max(FLAT, abs(score) * HALF)
    width = max((say.end or start) - start, end / COLUMNS)
    y = ZERO if score < 0 else ZERO - height
    return Bar(
        percent(start, end),
        percent(width, end),
        f"{y:.1f}",
        f"{height:.1f}",
        kind_of(score),
        speaker % 2,
        say,
    )


def _ticks(end: float) -> tuple[tuple[str, int], ...]:
    step = next((each for each in TICK_STEPS if end / each <= MOST_TICKS), math.ceil(end / MOST_TICKS))
    seconds = [each for each in range(0, int(end), step) if each == 0 or end - each > step / 2]
    return tuple((percent(each, end), each) for each in seconds)


def _averaged(scores: Sequence[float], columns: int) -> list[float]:
    if len(scores) <= columns:
        return list(scores)
    bounds = [round(number * len(scores) / columns) for number in range(columns + 1)]
    return [sum(scores[first:last]) / (last - first) for first, last in pairwise(bounds)]
