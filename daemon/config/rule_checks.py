"""Finds conditions of a rule that are each valid but do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from daemon.config.document import Finding, Location
from daemon.config.models import SENTIMENT_CONDITIONS
from daemon.config.units import parse_duration

_NO_CONDITION = "has no condition; write at least one, such as average_sentiment: negative"
_NEEDED = {"intent_confidence": "intent", "topic_confidence": "topic"}
_OPPOSITES = (("average_score_above", "average_score_below"), ("duration_above", "duration_below"))


def condition_findings(when: Any, where: Location) -> Iterator[Finding]:
    """Every contradiction in a mapping of conditions and in those inside it."""
    if not isinstance(when, dict):
        return
    if not when:
        yield Finding(where, _NO_CONDITION)
    yield from _empty_values(when, where)
    if isinstance(when.get("metadata"), dict):
        if not when["metadata"]:
            yield Finding((*where, "metadata"), "is empty; write KEY: PATTERN")
        yield from _empty_values(when["metadata"], (*where, "metadata"))
    for key, needed in _NEEDED.items():
        if key in when and needed not in when:
            yield Finding((*where, key), f"needs {needed}: beside it; write which {needed}s are meant")
    for above, below in _OPPOSITES:
        if _excludes(when.get(above), when.get(below)):
            yield Finding((*where, below), f"can never hold together with {above}; write them under any:")
    if "fold_accents" in when and not ("phrase" in when or "without_phrase" in when):
        yield Finding((*where, "fold_accents"), "needs phrase: or without_phrase: beside it")
    if "speaker" in when and not _on_sentiment(when):
        text = "limits conditions on sentiment to one side; write one of them beside it, or remove it"
        yield Finding((*where, "speaker"), text)
    for inner, place in _inside(when):
        yield from condition_findings(inner, (*where, *place))


def _empty_values(mapping: dict[str, Any], where: Location) -> Iterator[Finding]:
    for key, value in mapping.items():
        if value is None:
            # Dropping the condition instead would make the rule fire more often than people meant.
            yield Finding((*where, key), "has no value; write one or remove the condition")
        elif value == []:
            yield Finding((*where, key), "is empty; write at least one value or remove the condition")


def _excludes(above: Any, below: Any) -> bool:
    """True when no value can be over `above` and under `below`."""
    try:
        return parse_duration(above) >= parse_duration(below)
    except ValueError:
        numbers = isinstance(above, int | float) and isinstance(below, int | float)
        return numbers and above >= below


def _on_sentiment(when: Any) -> bool:
    """True when a condition that `speaker` limits is in the mapping or inside it."""
    if not isinstance(when, dict):
        return False
    return any(key in when for key in SENTIMENT_CONDITIONS) or any(
        _on_sentiment(inner) for inner, _ in _inside(when)
    )


def _inside(when: dict[str, Any]) -> Iterator[tuple[Any, Location]]:
    for key in ("any", "all"):
        if isinstance(when.get(key), list):
            yield from ((inner, (key, index)) for index, inner in enumerate(when[key]))
    if "not" in when:
        yield when["not"], ("not",)
