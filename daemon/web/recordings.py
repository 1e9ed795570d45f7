"""The list of recordings: what came in, and what a search or a filter finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from typing import Any

from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from daemon.config.times import moment
from daemon.models import RecordingState, iso
from daemon.storage import pages
from daemon.storage.connection import Database
from daemon.storage.filters import Filters
from daemon.storage.pages import MOST_COUNTED, Wanted
from daemon.storage.views import recording_counts
from daemon.web.query import METADATA, MOODS, PERIODS, chosen_of, filters_of, with_changes
from daemon.web.recording import ERROR_TITLES
from daemon.web.render import page
from daemon.web.shown import Times
from daemon.web.site import Site
from daemon.web.timeline import spark
from daemon.web.transcript import first_hit, hits_of, marked

SORTS = {
    "new": "Newest first",
    "worst": "Worst passage first",
    "low": "Lowest average first",
    "long": "Longest first",
    "old": "Oldest first",
}
SHORT_SNIPPET = 160
MOST_COUNTED_DAYS = 8
"""Days of one page whose calls are counted: where there are more, or where a filter is on, they are not."""

MARK = Markup("<mark>%s</mark>")


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording as the list shows it. `heading`: a new day begins with it."""

    row: Mapping[str, Any]
    title: str
    spark: Mapping[str, str]
    told: Sequence[str]
    snippet: Markup | None
    second: int | None
    heading: Mapping[str, Any] | None


def show(request: Request) -> Response:
    """GET /recordings, or /, with its query."""
    site: Site = request.state.site
    params = request.query_params
    words = params.get("q", "").strip()[:500] or None
    sort = params.get("sort") or "new"
    if sort not in SORTS:
        raise HTTPException(400, f"sort is none of {', '.join(SORTS)}")
    back, given = ("before" in params, params.get("before") or params.get("after"))
    wanted = Wanted(filters_of(params, site), sort, words, _place(given), bool(back and given))
    with site.readers.lent() as db:
        rows, is_more = pages.listed(db, wanted)
        chosen = chosen_of(params)
        # Shown beside the states only where nothing else is chosen: they count everything.
        counts = recording_counts(db) if not words and not chosen else None
        is_filtered = counts is None or "state" in params
        return page(
            request,
            "recordings.html.jinja",
            db,
            entries=_entries(db, site, rows, wanted),
            states=[state.value for state in RecordingState],
            counts=counts,
            found=pages.counted(db, wanted) if is_filtered else None,
            most_counted=MOST_COUNTED,
            is_filtered=is_filtered,
            chosen=chosen,
            choices=_choices(db, site),
            params=params,
            words=words or "",
            sort=sort,
            sorts=SORTS,
            newer=_link(params, "before", rows[0])
            if rows and wanted.after and (is_more or not back)
            else None,
            older=_link(params, "after", rows[-1]) if rows and (is_more or back) else None,
            is_first=wanted.after is None,
            query=with_changes,
            error_titles=ERROR_TITLES,
            folders=[folder.name for folder in site.config.watch],
        )


def _place(given: str | None) -> tuple[Any, int] | None:
    """Return the sort value and the id in `VALUE~ID`, as `_link` writes it."""
    if not given:
        return None
    text, _, number = given.rpartition("~")
    if not (number.isascii() and number.isdecimal()) or len(number) > 18:
        raise HTTPException(400, "this is no place in the list")
    try:
        return (float(text) if _is_number(text) else text), int(number)
    except ValueError:
        raise HTTPException(400, "this is no place in the list") from None


def _is_number(text: str) -> bool:
    return bool(text) and text.lstrip("-").replace(".", "", 1).replace("e-", "", 1).isdecimal()


def _link(params: Mapping[str, str], key: str, row: Mapping[str, Any]) -> str:
    changes: dict[str, str | None] = {"before": None, "after": None}
    return with_changes(params, **changes | {key: f"{row['sort_value']}~{row['id']}"})


def _entries(db: Database, site: Site, rows: Sequence[Mapping[str, Any]], wanted: Wanted) -> list[Entry]:
    ids = [row["id"] for row in rows]
    hits = hits_of(wanted.words)
    passages = pages.passages_of(db, ids, text=bool(hits))
    told = pages.told_of(db, ids)
    heard = {
        number: first_hit((each["text"] for each in own), hits) for number, own in passages.items() if hits
    }
    silent = [number for number in ids if heard.get(number) is None]
    pieces = pages.snippets(db, wanted.words, silent) if wanted.words else {}
    times = Times(site.zone, site.clock())
    few_days = len({times.local(row["made_at"]).date() for row in rows}) <= MOST_COUNTED_DAYS
    is_counted = few_days and wanted.filters == Filters()
    entries: list[Entry] = []
    before: date | None = None
    for row in rows:
        own = passages.get(row["id"], [])
        snippet, second = _snippet(own, heard.get(row["id"]), hits, pieces.get(row["id"]))
        day = times.local(row["made_at"]).date()
        is_new = wanted.sort in ("new", "old") and not wanted.words and day != before
        before = day
        entries.append(
            Entry(
                row=row,
                title=" ".join((row["summary"] or row["name"]).split()),
                spark=spark([each["sentiment_score"] for each in own if each["sentiment_score"] is not None]),
                told=told.get(row["id"], []),
                snippet=snippet,
                second=second,
                heading=_heading(db, site, times, day, row["made_at"], wanted if is_counted else None)
                if is_new
                else None,
            )
        )
    return entries


def _heading(
    db: Database, site: Site, times: Times, day: date, made_at: str, wanted: Wanted | None
) -> dict[str, Any]:
    """Return what stands above a day; without `wanted` nothing is counted."""
    name = times.heading(made_at)
    if wanted is None:
        return {"name": name, "count": None}
    first = moment(day, time(), site.zone)
    last = moment(day + timedelta(days=1), time(), site.zone)
    filters = replace(wanted.filters, made_since=iso(first), made_until=iso(last))
    return pages.counted(db, replace(wanted, filters=filters, after=None)) | {"name": name}


def _snippet(
    passages: Sequence[Mapping[str, Any]], number: int | None, hits: Sequence[str], piece: str | None
) -> tuple[Markup | None, int | None]:
    """Return what was said with the words marked, and when; else a piece of summary, transcript or name."""
    if number is not None:
        said = passages[number]
        start = said["start_seconds"]
        return marked(_around(said["text"], hits), hits), None if start is None else int(start)
    if piece is None:
        return None, None
    # Every second piece between the signs is a hit.
    pieces = piece.replace("\n", " ").replace(pages.LAST, pages.FIRST).split(pages.FIRST)
    parts = [escape(each) if number % 2 == 0 else MARK % each for number, each in enumerate(pieces)]
    return Markup("").join(parts), None


def _around(text: str, hits: Sequence[str]) -> str:
    """Return at most SHORT_SNIPPET characters of a passage, with its first hit in them."""
    text = " ".join(text.split())
    if len(text) <= SHORT_SNIPPET:
        return text
    words = text.split(" ")
    at = first_hit(words, hits) or 0
    begin = max(0, at - 8)
    short = " ".join(words[begin : begin + 24])[:SHORT_SNIPPET]
    return f"{'… ' if begin else ''}{short} …"


def _choices(db: Database, site: Site) -> list[dict[str, Any]]:
    """Return the selects above the list: name, label, what to call no choice, and the choices."""
    folders = [(folder.name, folder.name.rstrip("/").rpartition("/")[2]) for folder in site.config.watch]
    metadata = [
        {
            "name": METADATA + key,
            "label": key.capitalize(),
            "any": f"Any {key}",
            "options": [(value, value) for value in pages.metadata_choices(db, key)],
        }
        for key in pages.metadata_keys(db)
    ]
    return [
        {"name": "folder", "label": "Folder", "any": "Any folder", "options": folders},
        *(each for each in metadata if 1 < len(each["options"]) < pages.MOST_CHOICES),
        {"name": "when", "label": "When", "any": "Any time", "options": list(PERIODS.items())},
        {"name": "sentiment", "label": "Sentiment", "any": "Any sentiment", "options": list(MOODS.items())},
    ]
