"""Trends: better or worse, where, about what, which rule is noise, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from daemon.models import from_iso, iso
from daemon.storage import pages
from daemon.storage.costs import costs_by, spent
from daemon.storage.filters import Filters
from daemon.storage.stats import stats_by, totals
from daemon.storage.volume import snoozed_rules
from daemon.web.query import METADATA, PERIODS, days_of, filters_of, with_changes
from daemon.web.render import page
from daemon.web.shown import MINUS, score
from daemon.web.site import Site
from daemon.web.timeline import percent

USUAL = "30d"
MOST_DAYS = 120
TALLEST, FLOOR = 140.0, 150.0
MIDDLE, REACH = 42.0, 28.0
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
LABELS = 7
SHOWN_GROUPS = 8


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the chart: its bars as (class, y, height), and the point of its average."""

    day: date
    row: Mapping[str, Any] | None
    x: str
    width: str
    bars: tuple[tuple[str, str, str], ...]
    label: str
    middle: float


def show(request: Request) -> Response:
    """GET /trends?when=&folder=&metadata.KEY=."""
    site: Site = request.state.site
    params = dict(request.query_params)
    params["when"] = params.get("when") or USUAL
    now = site.clock()
    today = now.astimezone(site.zone).date()
    days = days_of(params["when"], now, site.zone) or (today, today + timedelta(days=1))
    wanted = filters_of(params, site)
    with site.readers.lent() as db:
        (figures,) = stats_by(db, None, _recorded(wanted), site.zone)
        before = totals(db, _recorded(_before(wanted)))
        daily = pages.moods_by(db, "day", wanted, site.zone)
        groups = [("folder", "folder", pages.moods_by(db, "folder", wanted, site.zone))]
        for key in pages.metadata_keys(db):
            found = pages.moods_by(db, METADATA + key, wanted, site.zone)
            if _is_telling(found):
                groups.append((METADATA + key, key, found))
        since, until = wanted.made_since, wanted.made_until
        cost = spent(db, from_iso(since or "1970-01-01T00:00:00.000Z"), from_iso(until or _far(now)))
        rules = pages.rules_told(db, since, until)
        return page(
            request,
            "trends.html.jinja",
            db,
            params=params,
            query=with_changes,
            quoted=quote,
            figures=figures,
            before=before,
            change=_change(figures, before),
            days=_days(daily, days),
            steps=_steps(daily),
            line=_line(daily, days),
            groups=[(key, name, rows[:SHOWN_GROUPS], len(rows)) for key, name, rows in groups if rows],
            rules=rules,
            told=(sum(row["useful"] for row in rules), sum(row["judged"] for row in rules)),
            held=int(sum(row["held"] for row in rules)),
            snoozed=snoozed_rules(db, now),
            known_rules=[rule.name for rule in site.config.alerts.rules],
            cost=cost,
            costs=costs_by(db, "folder", since, site.zone),
            periods=PERIODS,
            folders=[folder.name for folder in site.config.watch],
        )


def _is_telling(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a field parts recordings into groups, as agents do and callers do not."""
    named = [row["count"] for row in rows if row["key"] is not None]
    return 1 < len(named) < pages.MOST_CHOICES and len(named) * 3 <= sum(named)


def _recorded(filters: Filters) -> Filters:
    """Return the filters without the state that only lists have."""
    return replace(filters, states=())


def _before(filters: Filters) -> Filters:
    """Return the period of the same length before it."""
    if filters.made_since is None or filters.made_until is None:
        return filters
    first, last = from_iso(filters.made_since), from_iso(filters.made_until)
    start = first - (last - first)
    return replace(filters, made_since=iso(start), made_until=filters.made_since)


def _far(now: datetime) -> str:
    return (now + timedelta(days=365)).isoformat()


def _change(figures: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    if not before["recordings"]:
        return "none before"
    share = round(100 * (figures["recordings"] / before["recordings"] - 1))
    return f"{abs(share)} % {'more' if share >= 0 else 'fewer'}" if share else "as many as before"


def _span(days: tuple[date, date]) -> list[date]:
    first, after = max(days[0], days[1] - timedelta(days=MOST_DAYS)), days[1]
    return [first + timedelta(days=number) for number in range((after - first).days)]


def _top(daily: Sequence[Mapping[str, Any]]) -> int:
    most = max((row["count"] for row in daily), default=1)
    step = next((step for step in STEPS if most / step <= 3), STEPS[-1])
    return step * -(-int(most) // step)


def _steps(daily: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return where the lines of the scale are, and their numbers."""
    top = _top(daily)
    step = next((step for step in STEPS if top / step <= 3), STEPS[-1])
    return [(f"{FLOOR - TALLEST * value / top:.1f}", value) for value in range(0, top + 1, step)]


def _days(daily: Sequence[Mapping[str, Any]], days: tuple[date, date]) -> list[Day]:
    span, top = _span(days), _top(daily)
    by_day = {row["key"]: row for row in daily}
    every = -(-len(span) // LABELS)
    drawn = []
    for number, day in enumerate(span):
        row = by_day.get(day.isoformat())
        bars, y = [], FLOOR
        for kind, name in (("n", "negative"), ("v", "neutral"), ("p", "positive")):
            height = TALLEST * row[name] / top if row else 0.0
            y -= height
            if height:
                bars.append((kind, f"{y:.1f}", f"{max(height - 0.5, 0.5):.1f}"))
        label = f"{day.day} {day:%b}" if number % every == 0 and number + every / 2 < len(span) else ""
        x, width = percent(number, len(span)), percent(0.74, len(span))
        drawn.append(Day(day, row, x, width, tuple(bars), label, (number + 0.37) / len(span)))
    return drawn


def _line(daily: Sequence[Mapping[str, Any]], days: tuple[date, date]) -> dict[str, Any] | None:
    """Return the line of daily averages in a drawing of 1000 by 84, and its lowest day."""
    points = [
        (each.middle, each.row["average"], each.day)
        for each in _days(daily, days)
        if each.row is not None and each.row["average"] is not None
    ]
    if len(points) < 2:
        return None
    reach = max(0.2, *(abs(value) for _, value, _ in points))
    path = "L".join(f"{x * 1000:.1f} {MIDDLE - REACH * value / reach:.1f}" for x, value, _ in points)
    x, value, day = min(points, key=lambda point: point[1])
    return {
        "path": f"M{path}",
        "reach": f"{reach:.2f}",
        "minus": f"{MINUS}{reach:.2f}",
        "x": percent(x, 1.0),
        "y": f"{MIDDLE - REACH * value / reach:.1f}",
        "low": score(value),
        "day": day,
        "anchor": "end" if x > 0.9 else "start" if x < 0.1 else "middle",
    }
