"""Health: whether all is well, if not why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.status import status_document
from daemon.storage.database import free_bytes
from daemon.storage.filters import Filters
from daemon.storage.health import stuck_alerts, troubles_now
from daemon.storage.pages import Wanted, listed, told_destinations
from daemon.storage.pauses import LIMIT, pauses
from daemon.web.recording import ERROR_TITLES
from daemon.web.render import page
from daemon.web.site import Site

SHOWN_FAILED, SHOWN_WAITING = 20, 6


def show(request: Request) -> Response:
    """GET /queue."""
    site: Site = request.state.site
    now = site.clock()
    with site.readers.lent() as db:
        document = status_document(db, site.config.database, site.config, now)
        waiting, _ = listed(db, Wanted(Filters(states=("waiting",)), sort="old", limit=SHOWN_WAITING))
        failed, _ = listed(db, Wanted(Filters(states=("failed",)), limit=SHOWN_FAILED))
        held = pauses(db)
        told = told_destinations(db)
        troubles = troubles_now(db, [folder.name for folder in site.config.watch], now, site.zone)
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
            troubles=troubles,
            free_bytes=free_bytes(site.config.database),
            limits=_limits(site),
            error_titles=ERROR_TITLES,
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


def _limits(site: Site) -> list[tuple[str, str, str]]:
    """Return whose limit it is, what it counts, and how much is allowed."""
    named = [("all", site.config.limits)]
    named += [(folder.name, folder.limits) for folder in site.config.watch]
    return [
        (owner, key.replace("_", " "), f"${value:g}" if key.startswith("cost") else f"{value:g}")
        for owner, limits in named
        for key, value in limits.model_dump(exclude={"assume", "then"}, exclude_none=True).items()
    ]
