"""Keys that people may know from the documentation of other versions and that this one does not have.

Ignoring one would be worse than refusing it: a `cooldown` without effect is an alert storm. A value that
asks for what happens anyway is accepted and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from daemon.config.document import Finding, Location
from daemon.config.units import parse_duration

Neutral = Callable[[Any], bool]


def _never(_value: Any) -> bool:
    return False


def _is_none(value: Any) -> bool:
    return value is None


def _is_keep(value: Any) -> bool:
    return isinstance(value, str) and value == "keep"


def _is_no_time(value: Any) -> bool:
    try:
        return parse_duration(value) == 0
    except ValueError:
        return False


_CONDITIONS = (
    "any",
    "all",
    "not",
    "average_score_below",
    "average_score_above",
    "any_score_below",
    "negative_share_above",
    "negative_passages_at_least",
    "last_part_score_below",
    "score_drop_above",
    "speaker",
    "topic",
    "topic_confidence",
    "phrase",
    "without_phrase",
    "duration_above",
    "duration_below",
    "tag",
    "metadata",
    "not_analyzed",
)

LATER_KEYS: dict[Location, dict[str, Neutral]] = {
    (): {"timezone": _never},
    ("watch", "*"): {
        "done_marker": _is_none,
        "after_success": _is_keep,
        "after_failure": _is_keep,
        "filename_pattern": _never,
    },
    ("alerts",): {"cooldown": _is_no_time, "burst": _never, "digest": _never},
    ("alerts", "destinations", "*"): {"quiet_hours": _never, "timezone": _never, "template": _never},
    ("alerts", "rules", "*"): {"cooldown": _is_no_time, "cooldown_by": _never},
    ("alerts", "rules", "*", "when"): dict.fromkeys(_CONDITIONS, _never),
}
"""By the place of a mapping (`*` is any name or index): its keys, each with the test for a value to drop."""


def take_out_later_keys(data: dict[str, Any]) -> list[Finding]:
    """Removes the keys from the data, in place; a finding for each that asked for something."""
    findings = []
    for pattern, keys in LATER_KEYS.items():
        for location, section in _sections(data, pattern):
            for key in [key for key in section if key in keys]:
                if not keys[key](section.pop(key)):
                    findings.append(Finding((*location, key), "is not available in this version; remove it"))
    return findings


def _sections(
    value: Any, pattern: Location, location: Location = ()
) -> Iterator[tuple[Location, dict[str, Any]]]:
    if not pattern:
        if isinstance(value, dict):
            yield location, value
        return
    first, rest = pattern[0], pattern[1:]
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = [(key, child) for key, child in value.items() if first in ("*", key)]
    elif isinstance(value, list) and first == "*":
        children = list(enumerate(value))
    for key, child in children:
        yield from _sections(child, rest, (*location, key))
