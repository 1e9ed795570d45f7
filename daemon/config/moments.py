"""Reads times in file names, by a format with strftime's directives."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta, tzinfo

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}

_TWO, _ONE_OR_TWO = r"\d{2}", r"\d{1,2}"
_DIRECTIVES = {
    "Y": ("year", r"\d{4}"),
    "y": ("short_year", _TWO),
    "m": ("month", _TWO),
    "-m": ("month", _ONE_OR_TWO),
    "b": ("month_name", r"[A-Za-z]{3}"),
    "d": ("day", _TWO),
    "-d": ("day", _ONE_OR_TWO),
    "H": ("hour", _TWO),
    "-H": ("hour", _ONE_OR_TWO),
    "I": ("half_day_hour", _TWO),
    "-I": ("half_day_hour", _ONE_OR_TWO),
    "p": ("half", r"[AaPp][Mm]"),
    "M": ("minute", _TWO),
    "S": ("second", _TWO),
    "f": ("fraction", r"\d{1,6}"),
    "z": ("offset", r"Z|[+-]\d{2}:?\d{2}"),
    "s": ("epoch", r"\d{9,11}"),
}
"""The name and the pattern of each directive. Digits are counted, so 20260131 needs no separators."""

_KNOWN = "%Y %y %m %b %d %H %I %p %M %S %f %z %s"


_UTC_BEFORE = re.compile(r"(?:^|[^A-Za-z])(?:GMT|UTC)[ _-]?$")
_UTC_AFTER = re.compile(r"(?:Z|[ _-]?(?:GMT|UTC))(?![A-Za-z])")
_UTC_WITHIN = re.compile(r"(?:^|[^A-Za-z%])(?:GMT|UTC)(?![A-Za-z])|(?<=%[MSf])Z(?![A-Za-z])")


def is_marked_as_utc(before: str, after: str) -> bool:
    """Return whether the text beside a time says that it is in UTC: `GMT20260131-1400`, `20260131-1400Z`."""
    return _UTC_BEFORE.search(before) is not None or _UTC_AFTER.match(after) is not None


class MomentFormat:
    """A format such as `%Y%m%d-%H%M%S`; ValueError says what is wrong."""

    def __init__(self, text: str) -> None:
        self.text = text
        pattern, self._names = _pattern(text)
        self._pattern = re.compile(pattern, re.ASCII)
        self._is_utc = _UTC_WITHIN.search(text) is not None
        if "epoch" not in self._names:
            for needed, directive in (("year", "%Y"), ("month", "%m"), ("day", "%d")):
                if not any(name.endswith(needed) or name == f"{needed}_name" for name in self._names):
                    raise ValueError(
                        f"needs {directive} in {{recorded_at:…}}: a time without its day says nothing"
                    )
            if "half_day_hour" in self._names and "half" not in self._names:
                raise ValueError("needs %p beside %I in {recorded_at:…}; %H counts 24 hours")

    def end(self, text: str, start: int) -> int | None:
        """The index after the time that begins at `start`; None without one."""
        found = self._pattern.match(text, start)
        return found.end() if found else None

    def begin(self, text: str, start: int) -> int:
        """The index of the next time, from `start` on; -1 without one."""
        found = self._pattern.search(text, start)
        return found.start() if found else -1

    def moment(self, text: str, timezone: tzinfo | None) -> datetime | None:
        """The moment in UTC; None when there is no such day or time."""
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        parts = found.groupdict()
        try:
            if "epoch" in parts:
                return datetime.fromtimestamp(int(parts["epoch"]), UTC)
            zone = UTC if self._is_utc else timezone
            zone = _offset(parts["offset"]) if "offset" in parts else zone
            # Without a zone, the time is local to this machine, with the offset that was in force then.
            local = _local(parts).replace(tzinfo=zone)
            return local.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


def _pattern(text: str) -> tuple[str, set[str]]:
    pattern, names = "", set[str]()
    for literal, directive in re.findall(r"([^%]+)|%(-?.|$)", text, re.DOTALL):
        if literal:
            pattern += re.escape(literal)
        elif directive == "%":
            pattern += "%"
        elif directive not in _DIRECTIVES:
            raise ValueError(f"has %{directive} in {{recorded_at:…}}; known are {_KNOWN}")
        else:
            name, form = _DIRECTIVES[directive]
            if name in names:
                raise ValueError(f"has %{directive} twice in {{recorded_at:…}}")
            names.add(name)
            pattern += f"(?P<{name}>{form})"
    return pattern, names


def _local(parts: dict[str, str]) -> datetime:
    year = int(parts["year"]) if "year" in parts else _century(int(parts["short_year"]))
    month = int(parts["month"]) if "month" in parts else _MONTHS.get(parts["month_name"].lower(), 0)
    hour = int(parts.get("hour", 0))
    if "half_day_hour" in parts:
        hour = int(parts["half_day_hour"])
        if not 1 <= hour <= 12:
            raise ValueError("no such hour")
        hour = hour % 12 + (12 if parts["half"].lower() == "pm" else 0)
    # DTZ: the caller knows the zone and adds it.
    return datetime(  # noqa: DTZ001
        year,
        month,
        int(parts["day"]),
        hour,
        int(parts.get("minute", 0)),
        int(parts.get("second", 0)),
        int(parts.get("fraction", "0").ljust(6, "0")),
    )


def _century(year: int) -> int:
    # As in POSIX: 69 to 99 are 1969 to 1999.
    return year + (1900 if year >= 69 else 2000)


def _offset(text: str) -> tzinfo:
    from datetime import timezone

    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))
