"""Health: whether all is well, if not why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.config.times import period
from daemon.models import iso
from daemon.status import in_words, status_document, watched_rows
from daemon.storage.connection import Database
from daemon.storage.database import free_bytes
from daemon.storage.filters import Filters
from daemon.storage.health import paused, stuck_alerts, troubles_now
from daemon.storage.limits import used_of_limits
from daemon.storage.pages import Wanted, listed, told_destinations
from daemon.storage.pauses import EVERYTHING, LIMIT, pauses
from daemon.web.recording import ERROR_TITLES
from daemon.web.render import page
from daemon.web.site import Site

SHOWN_FAILED, SHOWN_WAITING = 20, 6


def show(request: Request) -> Response:
    """GET /queue."""
    site: Site = request.state.site
    now = site.clock()
    with site.readers.lent() as db:
        folders = watched_rows(db, site.config)
        document = status_document(db, site.config.database, folders, site.zone, now)
        waiting, _ = listed(db, Wanted(Filters(states=("waiting",)), sort="old", limit=SHOWN_WAITING))
        failed, _ = listed(db, Wanted(Filters(states=("failed",)), limit=SHOWN_FAILED))
        held = pauses(db)
        told = told_destinations(db)
        held_up = paused(db, site.zone)
        return page(
            request,
            "queue.html.jinja",
            db,
            status=document,
            waiting=waiting,
            failed=failed,
            pauses=held,
            next_try=min((pause.next_probe_at for pause in held if pause.cause != LIMIT), default=None),
            destinations=_destinations(site, told),
            stuck=stuck_alerts(db, now, site.zone),
            away=[folder for folder in document["folders"] if folder["reason"] and not folder["available"]],
            looks=[text for text in troubles_now(db, (), now, site.zone) if text not in held_up],
            free_bytes=free_bytes(site.config.database),
            limits=_limits(db, site, now),
            error_titles=ERROR_TITLES,
            in_words=in_words,
        )


def lead(request: Request) -> Response:
    """GET /health."""
    return RedirectResponse(f"{request.state.site.root}/queue", 303)


def _destinations(site: Site, told: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the configured destinations, and others that alerts still wait for, each with what is known."""
    nothing = {"sent_at": None, "pending": 0, "failed": 0, "error": None}
    configured = list(site.config.alerts.destinations)
    others = [name for name, row in told.items() if name not in configured and row["pending"]]
    return [
        {"name": name, "is_configured": name in configured} | dict(told.get(name, nothing))
        for name in configured + others
    ]


def _limits(db: Database, site: Site, now: datetime) -> list[dict[str, Any]]:
    """Return each limit: whose it is, what it allows in its period, and how much of that is used."""
    named = [(EVERYTHING, site.config.limits)]
    named += [(folder.name, folder.limits) for folder in site.config.watch]
    counted = used_of_limits(db)
    found = []
    for scope, limits in named:
        for key, most in limits.model_dump(exclude={"assume", "then"}, exclude_none=True).items():
            what, _, every = key.partition("_per_")
            start, usd, recordings = counted.get((key, scope), ("", 0.0, 0))
            is_present = start == iso(period(every, now, site.zone)[0])
            used = (usd if what == "cost" else recordings) if is_present else 0
            found.append({"scope": scope, "what": what, "every": every, "most": most, "used": used})
    return found
