"""What happens in the simulated year, and when: worked out without the service, to compare it with."""

from __future__ import annotations

import os
import random
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Berlin")
YEAR = 2025
"""Before the present: files are made now, and whatever is older than the first look counts as old."""
HOUR = timedelta(hours=1)


def local(month: int, day: int, hour: int = 0, *, year: int = YEAR) -> datetime:
    """An hour by the clocks on the wall."""
    return datetime(year, month, day, hour, tzinfo=ZONE).astimezone(UTC)


BEGIN, END = local(1, 1), local(1, 1, year=YEAR + 1)

KEYS = ((local(2, 10, 10), local(2, 10, 14)), (local(8, 19, 22), local(8, 20, 3)))
"""From when the old key is refused, until the service gets the new one."""
OUTAGE = (local(4, 14), local(4, 15))
DEAF = (local(5, 12, 9), local(5, 12, 15))
"""The destination `team` answers with errors."""
AWAY = (local(6, 2), local(6, 9))
"""The folder `support` is not there."""
FULL_DISK = (local(7, 15, 12), local(7, 15, 13))
AHEAD = (local(9, 20, 12), local(9, 20, 14))
"""The clock is a year ahead."""
BEHIND = (local(10, 8, 9), local(10, 8, 15))
"""The clock is two hours behind: 08:00 comes twice on this day."""
SURGES = (date(YEAR, 3, 18), date(YEAR, 3, 30), date(YEAR, 10, 26))
"""Days on which more comes into `calls` than its limit for a day; the clocks change on two of them."""
STORM = local(5, 20, 12), 16
"""When so many callers are unhappy at once."""
SPREE = local(11, 29, 17), local(11, 29, 18)
"""When most of the month's money is spent, and when the rest is."""
POOR = (SPREE[1], local(12, 1))
"""From when nothing is sent, because the month's money is spent, until the next month."""
HOLDS = (*KEYS, OUTAGE, FULL_DISK, POOR)
"""When nothing is analyzed."""

MAX_AGE = timedelta(hours=48)
"""Older recordings alert nobody."""
BURST = 10
"""So many messages go out at once."""
SPREE_KINDS = (3, 1)
"""How many expensive recordings it takes."""
LIMIT_FACTOR = 1.4
"""The limit of a month, in what the busiest month costs."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A recording that somebody puts into a folder. A `copy_of` has the bytes of that one."""

    number: int
    folder: str
    kind: str
    at: datetime
    copy_of: int | None = None
    seconds: float = 600.0

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.at.astimezone(ZONE):%Y%m%d-%H%M%S}_{self.number:06}.wav"


@dataclass(frozen=True)
class Scale:
    """How much happens: in all, on a day with a surge, and the limit that it exceeds.

    `hours` is when something comes and the loops are called on every day; None: only where anything begins or
    ends, on some days more, and for the digest of every third day (a longer leap makes the clock doubtful).
    """

    recordings: int
    surge: int
    day_limit: int
    kinds: dict[str, float]
    hours: tuple[int, ...] | None = None


RECORDINGS = int(os.environ.get("SOAK_RECORDINGS", "100000"))
IS_HOURLY = RECORDINGS >= 50_000
"""With less, an hour would have next to nothing, and the year would pass by in calling the loops."""
DAY_LIMIT = RECORDINGS // (200 if IS_HOURLY else 130)
FULL = Scale(
    recordings=RECORDINGS,
    surge=DAY_LIMIT * 4 // 5 + 4,
    day_limit=DAY_LIMIT,
    kinds={
        "calm": 95.2, "negative": 3, "cancel": 0.5, "corrupt": 0.5,
        "copy": 0.5, "empty": 0.1, "doubtful": 0.2,
    },
    hours=tuple(range(24)) if IS_HOURLY else (2, 7, 8, 12, 18),
)  # fmt: skip
SHORT = Scale(
    recordings=300,
    surge=34,
    day_limit=30,
    kinds={"calm": 75, "negative": 10, "cancel": 4, "corrupt": 4, "copy": 3, "empty": 2, "doubtful": 2},
)


MEASURED = 12
"""The hour, on the last day of a month, when sizes are noted."""

EVENTS = (
    *KEYS,
    OUTAGE,
    DEAF,
    AWAY,
    FULL_DISK,
    AHEAD,
    BEHIND,
    (STORM[0], STORM[0] + HOUR),
    (SPREE[0], POOR[1]),
)


def within(at: datetime, *spans: tuple[datetime, datetime]) -> bool:
    """Whether a time lies in one of these spans."""
    return any(start <= at < end for start, end in spans)


@dataclass
class Plan:
    """The year: when somebody looks, and what has come by then."""

    scale: Scale
    ticks: list[datetime] = field(default_factory=list)
    drops: dict[datetime, list[Drop]] = field(default_factory=lambda: defaultdict(list))
    month_limit_usd: float = 0.0

    def all(self) -> Iterator[Drop]:
        """Every recording of the year."""
        for at in self.ticks:
            yield from self.drops.get(at, ())

    def digests(self) -> set[datetime]:
        """When digests are made: at 08:00 by the clocks on the wall, or by the next look after it."""
        looks = [*self.ticks, END + 8 * HOUR]
        days = (BEGIN.astimezone(ZONE) + timedelta(days=number) for number in range(366))
        return {looks[bisect_left(looks, day.replace(hour=8))] for day in days}

    def processed(self, drop: Drop) -> datetime:
        """When the recording is analyzed; a limit of `calls` apart, which holds only calm ones."""
        at = AWAY[1] if drop.folder == "support" and within(drop.at, AWAY) else drop.at
        return next((end for start, end in HOLDS if start <= at < end), at)

    def alerting(self) -> dict[datetime, list[Drop]]:
        """The recordings for which a rule fires, by the time when they are analyzed."""
        found: dict[datetime, list[Drop]] = defaultdict(list)
        for drop in self.all():
            if drop.kind in ("negative", "cancel"):
                found[self.processed(drop)].append(drop)
        return found

    def alerts(self) -> Counter[tuple[str, str | None]]:
        """How many alerts end in which state, for which reason."""
        counts: Counter[tuple[str, str | None]] = Counter()
        for at, drops in self.alerting().items():
            now = at + timedelta(days=365) if within(at, AHEAD) else at
            young = sum(now - drop.at < MAX_AGE for drop in drops)
            counts["suppressed", "age"] += len(drops) - young
            counts["suppressed", "burst"] += max(0, young - BURST)
            counts["sent", None] += min(young, BURST)
        return counts

    def bursts(self) -> int:
        """How many messages sum up what was held back."""
        return sum(
            sum(at - drop.at < MAX_AGE for drop in drops) > BURST
            for at, drops in self.alerting().items()
            if not within(at, AHEAD)
        )

    def failures(self) -> Counter[datetime]:
        """How many recordings fail, by the time when they do."""
        return Counter(self.processed(drop) for drop in self.all() if drop.kind == "corrupt")

    def held_by_limit(self, day: date) -> int:
        """How many recordings of `calls` wait at the end of a day with a surge."""
        came = sum(
            drop.folder == "calls" and self.processed(drop).astimezone(ZONE).date() == day
            for drop in self.all()
        )
        return came - self.scale.day_limit


def plan(scale: Scale, usd_of: dict[str, float]) -> Plan:
    """Make the year; `usd_of` is what a recording costs: `fixed`, and for each `second`."""
    made = Plan(scale)
    made.ticks = sorted(_ticks(scale))
    numbers = iter(range(1, 10**6))
    choice = random.Random(11)
    last: dict[str, Drop] = {}
    for at, count in _counts(scale, made.ticks):
        for _ in range(count):
            drop = _drop(scale, next(numbers), at, choice, last)
            made.drops[at].append(drop)
            if drop.kind == "calm" and not within(at, *HOLDS, AWAY):
                last[drop.folder] = drop
    for day in SURGES:
        noon = local(day.month, day.day, 12)
        made.drops[noon] += [Drop(next(numbers), "calls", "calm", noon) for _ in range(scale.surge)]
    made.drops[DEAF[0]].append(Drop(next(numbers), "support", "negative", DEAF[0]))
    made.drops[AWAY[0]].append(Drop(next(numbers), "support", "negative", AWAY[0]))
    made.drops[STORM[0]] += [Drop(next(numbers), "support", "negative", STORM[0]) for _ in range(STORM[1])]
    _spend(made, numbers, usd_of)
    return made


def _drop(scale: Scale, number: int, at: datetime, choice: random.Random, last: dict[str, Drop]) -> Drop:
    folder = choice.choices(("calls", "support", "voicemail"), (60, 38, 2))[0]
    kind = choice.choices(list(scale.kinds), list(scale.kinds.values()))[0]
    is_odd = within(at, *HOLDS, AWAY) or at in {end for _, end in (*HOLDS, AWAY)}
    day = at.astimezone(ZONE).date()
    if folder == "calls" and {day, day - timedelta(days=1)} & {*SURGES}:
        kind = "calm"
    if (kind == "doubtful" and folder != "support") or (kind in ("copy", "doubtful") and is_odd):
        kind = "calm"
    if kind == "copy":
        original = last.get(folder)
        if original is None or original.at == at:
            return Drop(number, folder, "calm", at)
        return Drop(number, folder, kind, at, copy_of=original.number)
    return Drop(number, folder, kind, at)


def _counts(scale: Scale, ticks: list[datetime]) -> Iterator[tuple[datetime, int]]:
    """How many recordings come by each time; none beside what makes the month's money run out."""
    owed = 0.0
    for at in ticks:
        if at in SPREE:
            continue
        if scale.hours:
            owed += scale.recordings / len(ticks)
        else:
            owed += _short_count(at)
        count = max(int(owed), 8 if at == OUTAGE[0] else 0)
        owed = max(0.0, owed - count)
        yield at, count


def _hours(begin: datetime, end: datetime) -> list[datetime]:
    return [begin + HOUR * number for number in range((end - begin) // HOUR)]


def _ticks(scale: Scale) -> set[datetime]:
    """The hours of every day, and those around whatever begins or ends."""
    ticks: set[datetime] = set()
    for start, end in EVENTS:
        ticks |= {*_hours(start - HOUR, start + 2 * HOUR), *_hours(end - HOUR, end + 2 * HOUR)}
    eventful = {at.astimezone(ZONE).date() for at in ticks}
    for number in range((END - BEGIN) // timedelta(days=1)):
        day = date(YEAR, 1, 1) + timedelta(days=number)
        hours = {*(scale.hours or ((2, 8) if number % BUSY == 0 else ()))}
        if {day, day - timedelta(days=1)} & {*SURGES}:
            hours |= {0, 7, 8, 12, 23}
        if number % SOMETIMES == 0 or day in eventful or day.day == 1:
            hours |= {8}
        if (day + timedelta(days=1)).day == 1:
            hours |= {8, MEASURED}
        ticks |= {datetime.combine(day, time(hour), tzinfo=ZONE).astimezone(UTC) for hour in hours}
    return ticks


BUSY = 30
"""In the short year, something comes every so many days, and wherever something else happens."""
SOMETIMES = 3
"""In the short year, the service is at work on every day of so many, and wherever something happens."""


def _short_count(at: datetime) -> float:
    day = at.astimezone(ZONE).timetuple().tm_yday - 1
    if day % BUSY == 0:
        return 2.0
    spans = EVENTS
    return 1.0 if within(at, *((start - HOUR, end + 2 * HOUR) for start, end in spans)) else 0.0


def _spend(made: Plan, numbers: Iterator[int], usd_of: dict[str, float]) -> None:
    """Set the limit of a month, and let expensive recordings come that reach it."""
    by_month: Counter[int] = Counter()
    for drop in made.all():
        if drop.kind not in ("corrupt", "copy", "empty"):
            by_month[made.processed(drop).astimezone(ZONE).month] += 1
    each = usd_of["fixed"] + 600 * usd_of["second"]
    made.month_limit_usd = round(LIMIT_FACTOR * each * max(by_month.values()), 2)
    spent = each * sum(
        drop.kind not in ("corrupt", "copy", "empty") and drop.at.astimezone(ZONE).month == 11
        for drop in made.all()
        if drop.at < SPREE[0]
    )
    price = (0.93 * made.month_limit_usd - spent) / SPREE_KINDS[0]
    seconds = round((price - usd_of["fixed"]) / usd_of["second"], 1)
    for at, count in zip(SPREE, SPREE_KINDS, strict=True):
        made.drops[at] += [Drop(next(numbers), "support", "long", at, seconds=seconds) for _ in range(count)]
