"""How pages write scores, times, sizes and lengths: words of the command line, signs of the pages."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from markupsafe import Markup, escape

from daemon.models import from_iso

MINUS = "\u2212"
NEGATIVE = -1 / 3
POSITIVE = 1 / 3


def score(value: float | None) -> str:
    """Two decimals with a sign, the minus of typesetters; nothing for None."""
    if value is None:
        return ""
    rounded = round(value, 2) + 0.0
    if not rounded:
        return "0.00"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):.2f}"


def mood(value: float | None) -> str:
    """`negative`, `neutral` or `positive` by Deepgram's bounds, `none` without a score."""
    if value is None:
        return "none"
    return "negative" if value <= NEGATIVE else "positive" if value >= POSITIVE else "neutral"


def clock(seconds: float | None) -> str:
    """`3:53`, `1:02:07`."""
    if seconds is None:
        return ""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def duration(seconds: float) -> str:
    """`1 h 22 min`, `58 min`, `40 s`."""
    if seconds < 60:
        return f"{int(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours:,} h {minutes} min" if minutes and hours < 100 else f"{hours:,} h"


def money(usd: float | None) -> str:
    """`$66.40`; three decimals below a dollar."""
    if usd is None:
        return ""
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.3f}"


def plural(count: int, word: str) -> str:
    """`1 call`, `3,214 calls`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def coded(text: str) -> Markup:
    """Return a text in which what stands between backticks is shown as code."""
    return Markup("").join(
        escape(part) if number % 2 == 0 else Markup("<code>%s</code>") % part
        for number, part in enumerate(text.split("`"))
    )


class Times:
    """Times in the configured zone, as seen at `now`."""

    def __init__(self, zone: tzinfo, now: datetime) -> None:
        self.zone = zone
        self.now = now.astimezone(zone)

    def local(self, stored: str) -> datetime:
        """The stored time by the clocks of the zone."""
        return from_iso(stored).astimezone(self.zone)

    def time(self, stored: str | None) -> str:
        """`14:12`."""
        return "" if stored is None else f"{self.local(stored):%H:%M}"

    def iso(self, stored: str) -> str:
        """For the attribute `datetime`."""
        return self.local(stored).isoformat(timespec="seconds")

    def day(self, stored: str | None) -> str:
        """`Today`, `Yesterday`, `Thu 26 Nov`, `Thu 26 Nov 2025`."""
        if stored is None:
            return ""
        date = self.local(stored).date()
        if date == self.now.date():
            return "Today"
        if date == self.now.date() - timedelta(days=1):
            return "Yesterday"
        return self.plain_day(stored)

    def heading(self, stored: str) -> str:
        """`Today, Thu 26 Nov`, `Thu 26 Nov`."""
        day, plain = self.day(stored), self.plain_day(stored)
        return plain if day == plain else f"{day}, {plain}"

    def plain_day(self, stored: str) -> str:
        """`Thu 26 Nov`, with the year when it is another."""
        at = self.local(stored)
        year = "" if at.year == self.now.year else f" {at.year}"
        return f"{at:%a} {at.day} {at:%b}{year}"

    def short_day(self, stored: str) -> str:
        """`26 Nov`, with the year when it is another."""
        return self.plain_day(stored).partition(" ")[2]

    def moment(self, stored: str | None) -> str:
        """`today 14:12`, `26 Nov 14:12`."""
        if stored is None:
            return ""
        day = self.day(stored)
        return f"{day.lower() if day in ('Today', 'Yesterday') else day} {self.time(stored)}"

    def full(self, stored: str | None) -> str:
        """`26 Nov 2026, 14:12:03`."""
        if stored is None:
            return ""
        at = self.local(stored)
        return f"{at.day} {at:%b %Y, %H:%M:%S}"

    def since(self, stored: str | None) -> str:
        """`16 min`, `3 h`, `12 days`: how long ago."""
        if stored is None:
            return ""
        seconds = max(0.0, (self.now - self.local(stored)).total_seconds())
        if seconds < 60:
            return f"{int(seconds)} s"
        if seconds < 3600:
            return f"{int(seconds // 60)} min"
        if seconds < 2 * 86400:
            return f"{int(seconds // 3600)} h"
        return f"{int(seconds // 86400)} days"
