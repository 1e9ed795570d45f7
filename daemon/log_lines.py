"""Take a call of the logger apart into its event and its fields, and write them as text or JSON. Pure.

A call is `logger.info("recording done recording=%d name=%s", …)`: an event, then `key=%s` for each value.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath

HIDDEN = "***"

NAME_KEYS = frozenset({"name", "path", "from", "to", "rest"})
"""The fields that have the name of a file, or a part of it, as their value."""

_PLACEHOLDER = re.compile(r"%%|%[-#0 +]*[0-9]*(?:[.][0-9]+)?[a-zA-Z]")
_KEY = re.compile(r"(?:^|(?<=\s))([a-z_]+)=$")
_BARE = re.compile(r"""[^\s='"\\[{]+""")
"""What needs no quotes after `key=`."""

_ENDINGS = (
    "aac|aiff?|amr|avi|caf|flac|gsm|m4[abv]|mkv|mov|mp[234]|mpe?g|oga|ogg|opus|qta|wav16|wave?|webm|wma"
)
_RECORDING = re.compile(
    rf"""(["'])[^"'\n]{{1,255}}\.(?:{_ENDINGS})\1|[^\s"'=/\\:,;()]{{1,255}}\.(?:{_ENDINGS})\b""",
    re.IGNORECASE,
)
"""What looks like the name of a recording: a server may repeat one without its path."""


@dataclass(frozen=True, slots=True)
class Line:
    """One call of the logger: the line as text, its event, its fields, and what else it says after them."""

    text: str
    event: str
    fields: dict[str, object] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What stands before a placeholder, the placeholder, and the key of its value; both None for "%%"."""

    literal: str
    placeholder: str | None
    key: str | None


@functools.lru_cache(maxsize=1000)
def _taken_apart(message: str) -> tuple[tuple[_Piece, ...], str]:
    """Return the pieces of a message up to its last placeholder, and the rest: the same for all its calls."""
    pieces = []
    end = 0
    for found in _PLACEHOLDER.finditer(message):
        literal = message[end : found.start()]
        end = found.end()
        key = _KEY.search(literal)
        is_value = found[0] != "%%"
        pieces.append(_Piece(literal, found[0] if is_value else None, key[1] if key and is_value else None))
    return tuple(pieces), message[end:]


def read_call(message: str, values: tuple[object, ...], clean: Callable[[str], str]) -> Line:
    """Return a call's line, each text in it passed through `clean`; ValueError if the values do not fit."""
    fields: dict[str, object] = {}
    texts: list[str] = []
    event = None
    pieces, note = _taken_apart(message)
    if sum(piece.placeholder is not None for piece in pieces) != len(values):
        raise ValueError("too few or too many values")
    rest = iter(values)
    for piece in pieces:
        texts.append(clean(piece.literal))
        if piece.placeholder is None:
            texts.append("%")
        elif piece.key is None:
            texts.append(clean(piece.placeholder % (next(rest),)))
        else:
            if event is None:
                event = "".join(texts)[: -len(piece.key) - 1].rstrip()
            fields[piece.key], text = _field(piece.placeholder, next(rest), clean)
            texts.append(text)
    note = clean(note)
    text = "".join(texts) + note
    return Line(text, text, {}) if event is None else Line(text, event, fields, note.strip())


def json_line(line: Line, *, created: float, level: str, logger: str, exception: str | None) -> str:
    """Return a call as one JSON object; times are UTC."""
    at = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content = {"time": at, "level": level.lower(), "logger": logger, "event": line.event, **line.fields}
    if line.note:
        content["note"] = line.note
    if exception:
        content["exception"] = exception
    return json.dumps(content, ensure_ascii=False)


def file_names(fields: Iterable[tuple[str, object]]) -> list[str]:
    """Return every spelling of the file names among the values of a call, the longest first."""
    texts = {str(value) for key, value in fields if key in NAME_KEYS}
    return sorted(
        {each for text in texts for each in (text, PurePath(text).name)} - {""}, key=len, reverse=True
    )


def keys_and_values(message: str, values: tuple[object, ...]) -> list[tuple[str, object]]:
    """Return the values of a call that have a key, with it, as they were given."""
    keys = [piece.key for piece in _taken_apart(message)[0] if piece.placeholder is not None]
    return [(key, value) for key, value in zip(keys, values, strict=False) if key]


def without_names(text: str, names: Iterable[str], roots: Iterable[str]) -> str:
    """Return the text without these names, what looks like one, and what follows a folder of `roots`."""
    names = list(names)
    # A path is taken out whole, so that what an error says after it stays.
    for path in (each for each in names if "/" in each):
        text = text.replace(path, HIDDEN)
    for root in roots:
        # A name may have any character in it: only the end of the line certainly ends it.
        text = re.sub(rf"({re.escape(root.rstrip('/'))}/)[^\n]+", rf"\1{HIDDEN}", text)
    for name in (each for each in names if "/" not in each):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", HIDDEN, text)
    return _RECORDING.sub(HIDDEN, text)


def _field(placeholder: str, value: object, clean: Callable[[str], str]) -> tuple[object, str]:
    """Return a value as JSON has it, and as text, quoted if needed so that it stays one value."""
    if placeholder[-1] not in "sr":
        text = placeholder % (value,)
        return value if type(value) is int else json.loads(text.strip()), text
    if value is None or isinstance(value, bool | int | float):
        return value, str(value)
    if isinstance(value, list | tuple | set | frozenset):
        items = [clean(str(each)) for each in value]
        return items, json.dumps(items, ensure_ascii=False)
    if isinstance(value, Mapping):
        value = json.dumps(dict(value), ensure_ascii=False, default=str)
    shown = clean(str(value))
    return shown, shown if _BARE.fullmatch(shown) else json.dumps(shown, ensure_ascii=False)
