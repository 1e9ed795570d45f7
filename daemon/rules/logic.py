"""What a condition says of a conversation, and how conditions are put together. Pure.

There are three values, as in SQL: true, false, and unknown (None) for what was not analyzed. Unknown stays
unknown under `not`, and matters only where the other conditions leave it open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from daemon.models import Segment, interleave


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
    """Return the opposite, with the same reasons; unknown stays unknown."""
    return finding if finding.truth is None else replace(finding, truth=not finding.truth)


def _merged(truth: bool, findings: Sequence[Finding]) -> Finding:
    """Put the findings together that decide: those that have this truth themselves."""
    deciding = [finding for finding in findings if finding.truth is truth]
    if len(deciding) == 1 and len(deciding[0].segments) < 2:
        return deciding[0]
    return Finding(
        truth,
        tuple(reason for finding in deciding for reason in finding.reasons),
        tuple(interleave(finding.segments for finding in deciding)),
    )
