"""What a condition says of a conversation, and how conditions are put together. Pure.

There are three values, as in SQL: true, false, and unknown (None) for what was not analyzed. Unknown stays
unknown under `not`, and is decided only where the other conditions decide anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from daemon.models import Segment


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a condition. `reasons` say why it is true, or why it is false; unknown has none.

    `segments` are the passages worth quoting for them, the most telling first.
    """

    truth: bool | None
    reasons: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()


UNKNOWN = Finding(None)


def true(reason: str, segments: Iterable[Segment] = ()) -> Finding:
    """A condition that holds."""
    return Finding(True, (reason,), tuple(segments))


def false(reason: str) -> Finding:
    """A condition that does not hold; the reason is read under `not`."""
    return Finding(False, (reason,))


def all_of(findings: Sequence[Finding]) -> Finding:
    """True when all are, false when one is, else unknown; nothing at all is unknown: no reason to alert."""
    truths = [finding.truth for finding in findings]
    if False in truths:
        return _merged(False, findings)
    if None in truths or not truths:
        return UNKNOWN
    return _merged(True, findings)


def any_of(findings: Sequence[Finding]) -> Finding:
    """True when one is, false when all are, else unknown, as is any of nothing."""
    return negated(all_of([negated(finding) for finding in findings]))


def negated(finding: Finding) -> Finding:
    """The opposite; unknown stays unknown. What explained the one explains the other."""
    return finding if finding.truth is None else replace(finding, truth=not finding.truth)


def interleave(groups: Iterable[Sequence[Segment]]) -> Iterator[Segment]:
    """The first of each group, then the second of each, and so on, each passage of the transcript once."""
    seen = set()
    for segment in chain.from_iterable(zip_longest(*groups)):
        if segment is None:
            continue
        passage = (segment.start_word, segment.end_word, segment.text)
        if passage not in seen:
            seen.add(passage)
            yield segment


def shown_score(score: float) -> str:
    """A score with two decimals and an ASCII minus, never `-0.00`."""
    return f"{round(score, 2) + 0.0:.2f}"


def shown_confidence(confidence: float) -> str:
    """Like a score, but never 0.00 for more than nothing: even right answers can be as low as that."""
    return f"{confidence:.1g}" if 0.0 < confidence < 0.005 else shown_score(confidence)


def shown_clock(seconds: float) -> str:
    """`mm:ss`, or `h:mm:ss` from an hour on."""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"


def _merged(truth: bool, findings: Sequence[Finding]) -> Finding:
    """One finding from those that decided: they have this truth themselves."""
    deciding = [finding for finding in findings if finding.truth is truth]
    return Finding(
        truth,
        tuple(reason for finding in deciding for reason in finding.reasons),
        tuple(interleave(finding.segments for finding in deciding)),
    )
