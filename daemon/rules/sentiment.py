"""The conditions on sentiment: averages, passages, and how they change in the course of a conversation. Pure.

A passage is a segment of the API's sentiment analysis. Passages weigh by their words, and belong to a quarter
of the conversation by the part of their time that lies in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from daemon.config.models import When
from daemon.models import Analysis, Segment, sentiment_of
from daemon.rules.logic import UNKNOWN, Finding, false, true
from daemon.text import harmless_name, shown_score

QUARTER = 0.25

_BOUNDS = {
    "negative": "negative at -0.33 and below",
    "neutral": "neutral between -0.33 and 0.33",
    "positive": "positive at 0.33 and above",
}


@dataclass(frozen=True, slots=True)
class _Side:
    """The passages that count. `complete` says that no other passage could belong to them as well.

    `start` and `end` are those of the whole conversation in seconds, None where they cannot be known.
    """

    passages: tuple[Segment, ...] = ()
    complete: bool = False
    name: str = ""
    label: str | None = None
    average: float | None = None
    start: float | None = None
    end: float | None = None


def sentiment_findings(when: When, speakers: Sequence[str] | None, analysis: Analysis) -> Iterator[Finding]:
    """A finding for each condition on sentiment in this mapping; `speakers` limits them to one side."""
    if not when.is_on_sentiment:
        return
    side = _side(speakers, analysis)
    if when.average_sentiment is not None:
        yield _average_sentiment(when.average_sentiment, side)
    if when.average_score_below is not None:
        worst = _lowest(side.passages)
        yield _compared(
            "average sentiment" + side.name, side.average, "below", when.average_score_below, worst
        )
    if when.average_score_above is not None:
        best = _highest(side.passages)
        yield _compared(
            "average sentiment" + side.name, side.average, "above", when.average_score_above, best
        )
    if when.any_score_below is not None:
        yield _any_score_below(when.any_score_below, side)
    if when.negative_share_above is not None:
        yield _negative_share_above(when.negative_share_above, side)
    if when.negative_passages_at_least is not None:
        yield _negative_passages_at_least(when.negative_passages_at_least, side)
    if when.last_part_score_below is not None:
        last, passages = _quarter(side, last=True)
        name, worst = "sentiment in the last quarter" + side.name, _lowest(passages)
        yield _compared(name, last, "below", when.last_part_score_below, worst)
    if when.score_drop_above is not None:
        yield _score_drop_above(when.score_drop_above, side)


def _side(speakers: Sequence[str] | None, analysis: Analysis) -> _Side:
    """What one side said; nothing where the sentiment or the speakers are not known."""
    if "sentiment" in analysis.not_analyzed or not analysis.transcript.strip():
        return _Side()
    start, end = _span(analysis.sentiments)
    label, average = analysis.average_sentiment, analysis.average_sentiment_score
    if speakers is None:
        return _Side(analysis.sentiments, True, "", label, average, start, end)
    wanted = {name.casefold() for name in speakers}
    passages = tuple(each for each in analysis.sentiments if (each.speaker or "").casefold() in wanted)
    # A passage without a speaker may be this side's: what depends on every passage is then unknown.
    complete = bool(passages) and all(each.speaker for each in analysis.sentiments)
    average = _weighted([(_words(each), each.score) for each in passages]) if complete else None
    name = f" of {harmless_name(' or '.join(speakers))}"
    label = None if average is None else sentiment_of(average)
    return _Side(passages, complete, name, label, average, start, end)


def _average_sentiment(labels: Sequence[str], side: _Side) -> Finding:
    if side.label is None:
        return UNKNOWN
    score = "" if side.average is None else f" {shown_score(side.average)}"
    reason = f"average{side.name}{score}, {_BOUNDS.get(side.label, side.label)}"
    if side.label not in labels:
        return false(reason)
    return true(reason, _highest(side.passages) if side.label == "positive" else _lowest(side.passages))


def _compared(
    name: str, value: float | None, side: Literal["below", "above"], bound: float, segments: Sequence[Segment]
) -> Finding:
    if value is None:
        return UNKNOWN
    if value < bound if side == "below" else value > bound:
        return true(f"{name} {shown_score(value)}, {side} {shown_score(bound)}", segments)
    return false(f"{name} {shown_score(value)}, not {side} {shown_score(bound)}")


def _any_score_below(bound: float, side: _Side) -> Finding:
    scored = sorted((each for each in side.passages if each.score is not None), key=_score)
    if not scored:
        return UNKNOWN
    fitting = [each for each in scored if _score(each) < bound]
    worst = _score(scored[0])
    if not fitting and not (side.complete and len(scored) == len(side.passages)):
        return UNKNOWN
    return _compared("worst sentiment" + side.name, worst, "below", bound, fitting)


def _negative_share_above(bound: float, side: _Side) -> Finding:
    """The share of the words in negative passages among the words in all passages."""
    words = sum(map(_words, side.passages))
    if not words or not side.complete:
        return UNKNOWN
    share = sum(_words(each) for each in side.passages if each.label == "negative") / words
    name = "share of negative passages" + side.name
    return _compared(name, share, "above", bound, _worst(side.passages))


def _negative_passages_at_least(bound: int, side: _Side) -> Finding:
    worst = _worst(side.passages)
    passages = "passage" if len(worst) == 1 else "passages"
    reason = f"{len(worst)} negative {passages}{side.name}"
    if len(worst) >= bound:
        return true(f"{reason}, at least {bound}", worst)
    return false(f"{reason}, fewer than {bound}") if side.complete and side.passages else UNKNOWN


def _score_drop_above(bound: float, side: _Side) -> Finding:
    first, _ = _quarter(side, last=False)
    last, passages = _quarter(side, last=True)
    if first is None or last is None:
        return UNKNOWN
    quarters = f"from {shown_score(first)} in the first quarter to {shown_score(last)} in the last"
    return _compared(
        f"fall of sentiment{side.name} {quarters}:", first - last, "above", bound, _lowest(passages)
    )


def _quarter(side: _Side, *, last: bool) -> tuple[float | None, list[Segment]]:
    """The average score in the first or last quarter of the conversation, and the passages in it.

    None without times, and where nothing with a score was said in that quarter.
    """
    if side.start is None or side.end is None or not side.complete:
        return None, []
    length = (side.end - side.start) * QUARTER
    start, end = (side.end - length, side.end) if last else (side.start, side.start + length)
    parts = [(each, _overlap(each, start, end)) for each in side.passages]
    average = _weighted([(_words(each) * part, each.score) for each, part in parts])
    return average, [each for each, part in parts if part > 0]


def _overlap(segment: Segment, start: float, end: float) -> float:
    """How much of a passage lies between two moments, from 0 to 1."""
    first, last = segment.start_seconds or 0.0, segment.end_seconds or 0.0
    if last <= first:
        return float(start <= first <= end)
    return max(min(last, end) - max(first, start), 0.0) / (last - first)


def _span(segments: Sequence[Segment]) -> tuple[float | None, float | None]:
    """When the first passage starts and the last one ends; None where one of them has no times."""
    starts = [each.start_seconds for each in segments if each.start_seconds is not None]
    ends = [each.end_seconds for each in segments if each.end_seconds is not None]
    if not segments or len(starts) < len(segments) or len(ends) < len(segments):
        return None, None
    return min(starts), max(ends)


def _weighted(values: Sequence[tuple[float, float | None]]) -> float | None:
    known = [(weight, score) for weight, score in values if score is not None]
    total = sum(weight for weight, _ in known)
    return sum(weight * score for weight, score in known) / total if total else None


def _words(segment: Segment) -> int:
    if segment.start_word is not None and segment.end_word is not None:
        return max(segment.end_word - segment.start_word + 1, 1)
    return max(len(segment.text.split()), 1)


def _score(segment: Segment) -> float:
    return segment.score or 0.0


def _worst(segments: Sequence[Segment]) -> list[Segment]:
    return sorted((each for each in segments if each.label == "negative"), key=_score)


def _best(segments: Sequence[Segment]) -> list[Segment]:
    return sorted((each for each in segments if each.label == "positive"), key=lambda each: -_score(each))


def _lowest(segments: Sequence[Segment]) -> list[Segment]:
    """What to quote for a low score: the negative passages, or whatever has the lowest score."""
    return _worst(segments) or sorted((each for each in segments if each.score is not None), key=_score)


def _highest(segments: Sequence[Segment]) -> list[Segment]:
    return _best(segments) or sorted(
        (each for each in segments if each.score is not None), key=_score, reverse=True
    )
