"""The single values of a reply: whatever an API puts in its JSON, each is usable or None."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

MAX_VALUES = 4_000_000
"""Commas and opening brackets in a body. Word times have about one per 22 bytes, so a reply of 64 MB has
3 million; a body of `{},{},` takes 25 times its size in memory."""
MAX_NAME = 500
"""Characters of a label, a language, a request id or a warning."""
_NUMBERS = frozenset({int, float})
"""The types of JSON's numbers; `bool` is none of them."""


def strict_json(body: bytes) -> Any:
    """Return a body's JSON; ValueError if it is not JSON, has NaN, or has more than MAX_VALUES."""
    if len(body) > MAX_VALUES and sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise ValueError("too many values")
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def mapping(value: object) -> Mapping[str, Any]:
    """An object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def entries_of(value: object) -> list[Any]:
    """A list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def clean_text(value: object) -> str | None:
    """A string without what SQLite cannot hold (lone surrogates) or would end it (NUL)."""
    if not isinstance(value, str):
        return None
    if value.isascii() and "\x00" not in value:
        return value
    return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def clean_name(value: object) -> str | None:
    """A string, cut off after MAX_NAME characters."""
    text = clean_text(value)
    return text[:MAX_NAME] if text else text


def valid_score(value: Any) -> float | None:
    """A number from -1 to 1, None for anything else."""
    return float(value) if type(value) in _NUMBERS and -1 <= value <= 1 else None


def positive(value: Any) -> float | None:
    """A number from 0 to a billion, None for anything else."""
    return float(value) if type(value) in _NUMBERS and 0 <= value < 10**9 else None


def whole_number(value: Any) -> int | None:
    """`positive` without the fraction."""
    return int(value) if type(value) in _NUMBERS and 0 <= value < 10**9 else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
