"""Make pages from templates: what all of them know, and how values are written."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from daemon import __version__
from daemon.storage.connection import Database
from daemon.storage.health import troubles_now
from daemon.storage.lock import daemon_status, unready
from daemon.storage.views import pause_row, states_now
from daemon.text import shown_confidence, shown_size
from daemon.web import shown
from daemon.web.access import Person
from daemon.web.site import Site

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"


@functools.cache
def environment() -> Environment:
    """The templates' own world: everything from outside is escaped, a missing value is an error."""
    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(FOLDER / "templates"),
    )
    made.filters |= {
        name: getattr(shown, name)
        for name in ("score", "mood", "clock", "duration", "money", "plural", "coded")
    }
    made.filters |= {"groupby_day": _by_day, "confidence": shown_confidence, "size": shown_size}
    made.globals |= {"version": __version__, "fingerprint": fingerprint()}
    return made


def _by_day(entries: Iterable[dict[str, Any]], times: shown.Times) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return entries in their order, under the heading of their row's day."""
    days = itertools.groupby(entries, key=lambda entry: times.heading(entry["row"]["created_at"]))
    return [(day, list(own)) for day, own in days]


@functools.cache
def fingerprint() -> str:
    """Return what changes with any of the static files, so that browsers may keep them."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def page(
    request: Request, template: str, db: Database | None, status_code: int = 200, **values: Any
) -> HTMLResponse:
    """Return a page; with a database its head says how the service is doing."""
    site: Site = request.state.site
    person: Person | None = request.state.person
    now = site.clock()
    common = {
        "root": site.root,
        "path": request.url.path,
        "person": person,
        "can_leave": site.access.token is not None,
        "zone_name": site.zone_name,
        "times": shown.Times(site.zone, now),
        "live": None if db is None else live(db, site),
    }
    text = environment().get_template(template).render(common | values)
    return HTMLResponse(text, status_code)


def live(db: Database, site: Site) -> dict[str, Any]:
    """Return how the service is doing, for the head of the pages: a word, its class, and two counts."""
    service, pause = daemon_status(site.config.database), pause_row(db)
    now = site.clock()
    counts = states_now(db, ("waiting", "analyzing"))
    times = shown.Times(site.zone, now)
    if not service["running"]:
        word, kind = "Not running", "bad"
    elif pause is not None:
        word, kind = f"Paused {times.since(pause['since'])}", "warn"
    elif troubles_now(db, [folder.name for folder in site.config.watch], now, site.zone):
        word, kind = "Look here", "warn"
    else:
        word, kind = ("All well", "ok") if service["ready"] else (unready(service).capitalize(), "pending")
    return {"word": word, "kind": kind, "pause": pause, **counts}
