"""What single values of the configuration may be. Each raises ValueError saying what to write."""

from __future__ import annotations

from typing import TypeVar

_Value = TypeVar("_Value")


def not_blank(value: _Value) -> _Value:
    """Refuses text without a visible character and text with a NUL; leaves other types alone."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("must not be empty")
        if "\0" in value:
            raise ValueError("must not contain a NUL character")
    return value


def more_than_nothing(seconds: float) -> float:
    """Refuses a duration of zero where something would never wait or never end."""
    if seconds <= 0:
        raise ValueError("must be longer than 0s")
    return seconds


def known_language(code: str) -> str:
    """Refuses language codes that Deepgram refuses for their form alone."""
    if not code.strip():
        raise ValueError("must not be empty; write a code such as en, en-GB or de")
    if "_" in code:
        raise ValueError("must have a hyphen, not an underscore: en-GB")
    return code


def unlike_each_other(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuses a name that is given twice."""
    if len(set(names)) != len(names):
        raise ValueError("has a name twice; every channel needs a name of its own")
    return names
