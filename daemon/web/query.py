"""What an address asks for: the query parameters of the lists as filters, and as words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from urllib.parse import urlencode

from starlette.exceptions import HTTPException

from daemon.config.times import moment, moment_meant
from daemon.models import RecordingState, iso
from daemon.storage.filters import Filters
from daemon.web.shown import NEGATIVE
from daemon.web.site import Site

PERIODS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "week": "This week",
    "last-week": "Last week",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "90d": "Last 90 days",
}
MOODS = {
    "negative": "Negative average",
    "any-negative": "Negative passage",
    "neutral": "Neutral average",
    "positive": "Positive average",
    "none": "Not analyzed",
}
STATES = [state.value for state in RecordingState]
MOMENTS = ("since", "until", "recorded_since", "recorded_until")
SWITCHES = ("alerted", "not_analyzed")
OFF = ("0", "false", "no")
METADATA = "metadata."
LONGEST_VALUE = 500
EARLIEST, LATEST = date(1970, 1, 1), date(9000, 1, 1)
_DAYS = re.compile(r"([1-9][0-9]{0,3})d")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A filter that is on: its key, what people call it, and the query without it."""

    key: str
    label: str
    without: str


def filters_of(params: Mapping[str, str], site: Site) -> Filters:
    """Return the filters that the parameters mean; HTTPException 400 for one that means nothing.

    Those of `earshot list` have their names here, too (`recorded_since` for --recorded-since).
    """
    given = {key: _clean(value) for key, value in params.items() if value.strip()}
    since, until = period_of(given.get("when", ""), site.clock(), site.zone)
    state, mood = _one_of(given, "state", STATES), _one_of(given, "sentiment", MOODS)
    return Filters(
        states=(state,) if state else (),
        folder=given.get("folder"),
        since=_moment(given, "since", site),
        until=_moment(given, "until", site),
        recorded_since=_moment(given, "recorded_since", site),
        recorded_until=_moment(given, "recorded_until", site),
        made_since=since,
        made_until=until,
        sentiments=(mood,) if mood in ("negative", "neutral", "positive") else (),
        worst_below=NEGATIVE if mood == "any-negative" else None,
        no_sentiment=mood == "none",
        intents=(given["intent"],) if "intent" in given else (),
        topics=(given["topic"],) if "topic" in given else (),
        text=given.get("text"),
        rule=given.get("rule"),
        where=(*_pairs(given),),
        alerted=given.get("alerted", "no").lower() not in OFF,
        not_analyzed=given.get("not_analyzed", "no").lower() not in OFF,
    )


def period_of(when: str, now: datetime, zone: tzinfo) -> tuple[str | None, str | None]:
    """Return begin and end of `today`, `week`, `30d`, `2026-11-01..2026-11-26` and the like, as stored."""
    days = days_of(when, now, zone)
    if days is None:
        return None, None
    first, last = (moment(day, time(), zone) for day in days)
    return iso(first), iso(last)


def days_of(when: str, now: datetime, zone: tzinfo) -> tuple[date, date] | None:
    """Return the first day and the day after the last one; None for no limit."""
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    one, week = timedelta(days=1), timedelta(days=7)
    known = {
        "": None,
        "today": (today, today + one),
        "yesterday": (today - one, today),
        "week": (monday, monday + week),
        "last-week": (monday - week, monday),
    }
    if when in known:
        return known[when]
    if found := _DAYS.fullmatch(when):
        return today - timedelta(days=int(found[1]) - 1), today + one
    first, _, last = when.partition("..")
    try:
        days = date.fromisoformat(first), date.fromisoformat(last or first) + one
        if days[0] >= EARLIEST and days[1] <= LATEST:
            return days
        raise ValueError
    except (ValueError, OverflowError):
        text = "when is neither a period such as today, week or 30d nor 2026-11-01..2026-11-26"
        raise HTTPException(400, text) from None


def chosen_of(params: Mapping[str, str]) -> list[Chosen]:
    """Return the filters that are on, in words."""
    found = []
    for key, value in params.items():
        if not value.strip():
            continue
        label = _label(key, value)
        if label is not None:
            rest = {
                name: each for name, each in params.items() if each and name not in (key, "before", "after")
            }
            found.append(Chosen(key, label, urlencode(rest)))
    return found


def with_changes(params: Mapping[str, str], **changes: str | None) -> str:
    """Return the query with these parameters changed, or without those that are None."""
    merged = {name: value for name, value in params.items() if value} | changes
    return urlencode({name: value for name, value in merged.items() if value is not None})


def _label(key: str, value: str) -> str | None:
    if key == "when":
        return PERIODS.get(value, value.replace("..", " to ")).lower()
    if key == "sentiment":
        return MOODS.get(value, value).lower()
    if key == "folder":
        return value.rstrip("/").rpartition("/")[2]
    if key.startswith(METADATA):
        return f"{key.removeprefix(METADATA)} {value}"
    if key in SWITCHES:
        return key.replace("_", " ") if value.lower() not in OFF else None
    if key in ("intent", "topic", "rule", "text", "where", *MOMENTS):
        return f"{key.replace('_', ' ')} {value}"
    return None


def _moment(given: Mapping[str, str], name: str, site: Site) -> str | None:
    try:
        return iso(moment_meant(given[name].strip(), site.clock(), site.zone)) if name in given else None
    except (ValueError, OverflowError):
        raise HTTPException(400, f"{name} is neither like 24h or 30d nor a date like 2026-01-31") from None


def _pairs(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the wanted metadata: of each `metadata.KEY=PATTERN`, and of `where=KEY=PATTERN`."""
    for name, value in given.items():
        key, is_there, pattern = value.partition("=") if name == "where" else (name, "", value)
        if name == "where" and not (key and is_there):
            raise HTTPException(400, "where is not like caller=0151*")
        if name == "where" or name.startswith(METADATA):
            yield key.removeprefix(METADATA), pattern


def _clean(value: str) -> str:
    if len(value) > LONGEST_VALUE or "\0" in value:
        raise HTTPException(400, "a filter is too long")
    return value.encode("utf-8", "replace").decode()


def _one_of(given: Mapping[str, str], key: str, allowed: Collection[str]) -> str | None:
    value = given.get(key)
    if value is not None and value not in allowed:
        raise HTTPException(400, f"{key} is none of {', '.join(allowed)}")
    return value
