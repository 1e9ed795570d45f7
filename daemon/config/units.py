"""Durations and sizes as people write them in the configuration."""

from __future__ import annotations

import math
import re

SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES_PER_UNIT = {
    "": 1,
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
    "TIB": 1024**4,
}

_NUMBER_AND_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([A-Za-z]*)\s*", re.ASCII)
_LARGEST = 1e15
_DURATION_HELP = "is not a duration; write 0.5s, 2s, 15m, 24h, 30d, or a number of seconds"
_SIZE_HELP = "is not a size; write 64MB, 2GB, 512KiB, or a number of bytes"


def parse_duration(value: object) -> float:
    """The seconds that `2s`, `500ms`, `15m`, `24h`, `30d` or a number of seconds mean.

    Raises ValueError with a text that says what to write; the text never repeats the value.
    """
    number, unit = _split(value, _DURATION_HELP)
    if unit and unit not in SECONDS_PER_UNIT:
        raise ValueError(_DURATION_HELP)
    return _in_range(number * SECONDS_PER_UNIT.get(unit, 1.0), _DURATION_HELP)


def parse_size(value: object) -> int:
    """The bytes that `64MB`, `2GB`, `512KiB` or a number of bytes mean (letter case does not matter).

    Raises ValueError with a text that says what to write; the text never repeats the value.
    """
    number, unit = _split(value, _SIZE_HELP)
    if unit.upper() not in BYTES_PER_UNIT:
        raise ValueError(_SIZE_HELP)
    return round(_in_range(number * BYTES_PER_UNIT[unit.upper()], _SIZE_HELP))


def format_duration(seconds: float) -> str:
    """A duration in the largest unit that gives a whole number: 90.0 is `90s`, 86400.0 is `1d`."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if seconds % SECONDS_PER_UNIT[unit] == 0:
            return f"{seconds / SECONDS_PER_UNIT[unit]:.0f}{unit}"
    milliseconds = round(seconds * 1000, 6)
    return f"{milliseconds:.0f}ms" if seconds < 1 and milliseconds.is_integer() else f"{seconds:.15g}s"


def _split(value: object, text: str) -> tuple[float, str]:
    # A bool is an int to Python, but nobody means one second by `timeout: yes`.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return min(value, _LARGEST * 2.0), ""
    match = _NUMBER_AND_UNIT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, str) and value.strip().startswith("-"):
            raise ValueError(_negative(text))
        raise ValueError(text)
    return float(match[1]), match[2]


def _in_range(amount: float, text: str) -> float:
    if amount < 0:
        raise ValueError(_negative(text))
    if not math.isfinite(amount) or amount > _LARGEST:
        raise ValueError(text)
    return float(amount)


def _negative(text: str) -> str:
    return f"must not be negative; {text.partition('; ')[2]}"
