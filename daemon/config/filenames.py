"""What a file's name says about the recording: `filename_pattern`, read from left to right.

Pure, and its time is linear in the length of any name: a field ends where the text after it begins, and
nothing is tried twice.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import pairwise

from daemon.config.moments import MomentFormat, is_marked_as_utc
from daemon.models import iso, shown_path

RECORDED_AT = "recorded_at"
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENDING = re.compile(r"\.[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Field:
    """A part of the name that becomes metadata."""

    name: str


Part = str | Field | MomentFormat


@dataclass(frozen=True, slots=True)
class Facts:
    """What a name says. `stopped_at`: why and where it does not fit the pattern; None if it fits."""

    recorded_at: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    stopped_at: str | None = None


LIST_ENDINGS = frozenset({"url", "webloc", "urls"})
"""Endings of files that hold addresses of hosted recordings: shortcuts of Windows and macOS, plain lists."""


def is_list(name: str) -> bool:
    """Return whether this is the name of a file that holds addresses of hosted recordings."""
    return ending_of(name) in LIST_ENDINGS


def ending_of(name: str) -> str:
    """Return what follows the last dot of a name, in lower case; empty for `name` and `.name`."""
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem else ""


NOTHING = Facts()
FactsOf = Callable[[str], Facts]


class FilenamePattern:
    """A pattern such as `{recorded_at:%Y%m%d-%H%M%S}_{agent}`; ValueError says what is wrong.

    A pattern with a slash is compared with the path relative to the folder, others with the name; without
    the file's ending (`.wav`), unless the pattern has one too.
    """

    def __init__(self, text: str) -> None:
        self._parts = _parsed(_composed(text))
        self._by_path = "/" in text
        last = self._parts[-1]
        self._with_ending = isinstance(last, str) and _ENDING.search(last[last.rfind(".") :]) is not None

    def facts(self, relative: str, timezone: tzinfo | None) -> Facts:
        """What a file's name says; `relative` is its path below the folder.

        A time without an offset is in UTC where Z, GMT or UTC is beside it, else in `timezone`; None is the
        zone of this machine.
        """
        text = _composed(shown_path(relative))
        text = text if self._by_path else text.rpartition("/")[2]
        stem, dot, _ = text.rpartition(".")
        text = stem if dot and stem and not self._with_ending else text
        recorded_at: datetime | None = None
        metadata: dict[str, str] = {}
        position = 0
        for number, part in enumerate(self._parts):
            end = self._end_of(number, text, position)
            if end is None:
                return Facts(stopped_at=_stopped(text, position, part, self._parts[number + 1 :]))
            if isinstance(part, Field):
                metadata[part.name] = text[position:end]
            elif isinstance(part, MomentFormat):
                zone = UTC if is_marked_as_utc(text[:position], text[end:]) else timezone
                moment = part.moment(text[position:end], zone)
                if moment is None:
                    return Facts(stopped_at=f"{text[position:end]!r} is no date and time")
                recorded_at = moment
            position = end
        if position < len(text):
            return Facts(stopped_at=f"{text[position:]!r} is left over")
        return Facts(iso(recorded_at) if recorded_at else None, metadata)

    def _end_of(self, number: int, text: str, start: int) -> int | None:
        part = self._parts[number]
        if isinstance(part, str):
            return start + len(part) if text.startswith(part, start) else None
        if isinstance(part, MomentFormat):
            return part.end(text, start)
        following = self._parts[number + 1] if number + 1 < len(self._parts) else ""
        if isinstance(following, MomentFormat):
            end = following.begin(text, start + 1)
        elif number + 2 < len(self._parts):
            end = text.find(following, start + 1) if isinstance(following, str) else -1
        else:
            # The last field takes all that is left.
            tail = following if isinstance(following, str) else ""
            end = len(text) - len(tail) if text.endswith(tail) else -1
        return end if end > start and "/" not in text[start:end] else None


def field_names(pattern: str) -> tuple[str, ...]:
    """Return the keys of metadata that a pattern fills, in order."""
    return tuple(part.name for part in _parsed(_composed(pattern)) if isinstance(part, Field))


def facts_reader(pattern: str | None, timezone: tzinfo | None) -> FactsOf:
    """A function: from a path below the folder to what its name says by this pattern."""
    if pattern is None:
        return lambda _: NOTHING
    parsed = FilenamePattern(pattern)
    return lambda relative: parsed.facts(relative, timezone)


def usable_pattern(text: str) -> str:
    """Returns the pattern; ValueError says what to write instead."""
    FilenamePattern(text)
    return text


def _parsed(text: str) -> list[Part]:
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        raise ValueError("has an unmatched { or }; a brace itself is written {{ or }}") from None
    parts: list[Part] = []
    names: set[str] = set()
    for literal, name, form, conversion in pieces:
        if literal:
            parts.append(literal)
        if name is not None:
            parts.append(_field(name, form or "", conversion))
            if name in names:
                raise ValueError(f"has {{{name}}} twice; give each field a name of its own")
            names.add(name)
    if not names:
        raise ValueError("has no field; write at least one, such as {agent}")
    for before, after in pairwise(parts):
        if isinstance(before, Field) and isinstance(after, Field):
            raise ValueError(
                f"has nothing between {{{before.name}}} and {{{after.name}}} that tells where one ends"
            )
    return parts


def _field(name: str, form: str, conversion: str | None) -> Part:
    if not _FIELD.fullmatch(name) or conversion:
        raise ValueError("may have fields of letters, digits and _ only, such as {agent}")
    if name == RECORDED_AT:
        if not form:
            raise ValueError("needs a format for {recorded_at}, such as {recorded_at:%Y%m%d-%H%M%S}")
        return MomentFormat(form)
    if form:
        raise ValueError(f"may have a format for {{recorded_at:…}} only, not for {{{name}}}")
    return Field(name)


def _stopped(text: str, position: int, part: Part, following: list[Part]) -> str:
    rest = repr(text[position:]) if position < len(text) else "the end of the name"
    if isinstance(part, str):
        return f"{part!r} expected at {rest}"
    if isinstance(part, MomentFormat):
        return f"a time like {part.text} expected at {rest}"
    ahead = f" and then {following[0]!r}" if following and isinstance(following[0], str) else ""
    return f"{{{part.name}}}{ahead} expected at {rest}"


def _composed(text: str) -> str:
    """Unicode's composed form: macOS stores `ä` as two characters, a configuration file has one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
