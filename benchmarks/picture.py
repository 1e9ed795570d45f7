"""Bars as an SVG, legible in light and dark: groups one below the other, each with an axis of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.figures import shown

WIDTH = 760
LEFT = 250
PLOT = 400
BAR = 16
LINE = 24
STYLE = """
.paper { fill: #ffffff } text { fill: #24292f; font: 13px sans-serif } .title { font-weight: bold }
.axis { stroke: #8c959f } .ours { fill: #0969da } .other { fill: #8c959f }
.beside { stroke: #cf222e; stroke-width: 3 }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117 } text { fill: #e6edf3 } .axis { stroke: #6e7681 } .ours { fill: #58a6ff }
.other { fill: #6e7681 } .beside { stroke: #ff7b72 } }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A value, and what stands beside it as a mark across its bar; `baseline` 0 where there is none."""

    label: str
    value: float
    baseline: float = 0.0
    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Bars of one unit; `beside` says what their marks are."""

    title: str
    unit: str
    bars: tuple[Bar, ...]
    beside: str = ""


def svg(title: str, groups: Sequence[Group]) -> str:
    """Return the picture; its description says the values in words, for those who do not see it."""
    parts, top = [], 12
    for group in groups:
        parts += _group(group, top)
        top += LINE * (len(group.bars) + 3)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
        ' role="img" aria-labelledby="title description">'
    )
    text = (
        f'<title id="title">{escape(title)}</title>\n<desc id="description">{escape(_words(groups))}</desc>'
    )
    paper = f'<rect class="paper" width="{WIDTH}" height="{top}"/>'
    return "\n".join([head, text, f"<style>{STYLE}</style>", paper, *parts, "</svg>\n"])


def _words(groups: Sequence[Group]) -> str:
    said = (
        (group.title, ", ".join(f"{bar.label} {shown(bar.value)} {group.unit}" for bar in group.bars))
        for group in groups
    )
    return " ".join(f"{title}: {bars}." for title, bars in said)


def _group(group: Group, top: int) -> Iterator[str]:
    most = max(max(bar.value, bar.baseline) for bar in group.bars)
    step = _step(most)
    scale = PLOT / (step * math.ceil(most / step))
    yield f'<text class="title" x="8" y="{top + BAR}">{escape(group.title)}</text>'
    for number, bar in enumerate(group.bars, start=1):
        yield from _bar(bar, top + LINE * number, scale)
    bottom = top + LINE * (len(group.bars) + 1)
    yield f'<path class="axis" d="M{LEFT} {bottom}h{PLOT}"/>'
    for tick in range(round(PLOT / scale / step) + 1):
        x = LEFT + tick * step * scale
        yield f'<path class="axis" d="M{x:.1f} {bottom}v4"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick * step:g}</text>'
    yield f'<text x="{LEFT + PLOT + 28}" y="{bottom + 17}">{escape(group.unit)}</text>'
    if group.beside:
        yield f'<path class="beside" d="M12 {bottom + 4}v{BAR}"/>'
        yield f'<text x="20" y="{bottom + 17}">{escape(group.beside)}</text>'


def _bar(bar: Bar, top: int, scale: float) -> Iterator[str]:
    width, kind = max(1.0, bar.value * scale), "ours" if bar.is_ours else "other"
    mark = LEFT + bar.baseline * scale
    yield f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(bar.label)}</text>'
    yield f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR}"/>'
    if bar.baseline:
        yield f'<path class="beside" d="M{mark:.1f} {top - 2}v{BAR + 4}"/>'
    after = max(LEFT + width, mark if bar.baseline else 0.0) + 6
    yield f'<text x="{after:.1f}" y="{top + 13}">{shown(bar.value)}</text>'


def _step(most: float) -> float:
    """Return 1, 2 or 5 times a power of ten, of which at most six reach over the axis."""
    power = 10.0 ** math.floor(math.log10(most or 1.0))
    return next(each for each in (power / 5, power / 2, power, power * 2) if most / each <= 6)
