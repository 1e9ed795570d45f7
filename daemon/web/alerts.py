"""The alerts: what was told, what was held back and why, what waits for a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.models import AlertState
from daemon.storage import pages
from daemon.storage.outbox import alert_counts
from daemon.storage.views import alert as alert_row
from daemon.storage.volume import snoozed_rules
from daemon.web.query import PERIODS, period_of, with_changes
from daemon.web.recording import why
from daemon.web.render import page
from daemon.web.site import Site

SEVERITIES = ("critical", "warning", "info")


def show(request: Request) -> Response:
    """GET /alerts?state=&verdict=none&rule=&destination=&severity=&when=&before=ID."""
    site: Site = request.state.site
    params = request.query_params
    since, until = period_of(params.get("when", ""), site.clock(), site.zone)
    before = params.get("before", "")
    if before and not (before.isascii() and before.isdecimal() and len(before) < 19):
        raise HTTPException(400, "before is the id of an alert")
    with site.readers.lent() as db:
        found, is_more = pages.alerts_listed(
            db,
            state=params.get("state") or None,
            unjudged=params.get("verdict") == "none",
            rule=params.get("rule") or None,
            destination=params.get("destination") or None,
            severity=params.get("severity") or None,
            since=since,
            until=until,
            before=int(before) if before else None,
        )
        moments = [_moment(row) for row in found if row["moment_seconds"] is not None and row["recording_id"]]
        quotes = pages.quotes_at(db, moments)
        return page(
            request,
            "alerts.html.jinja",
            db,
            alerts=[_entry(row, quotes) for row in found],
            counts=alert_counts(db),
            unjudged=pages.unjudged_alerts(db),
            snoozed=snoozed_rules(db, site.clock()),
            rules=[rule.name for rule in site.config.alerts.rules],
            choices=_choices(site),
            params=params,
            older=with_changes(params, before=str(found[-1]["id"])) if is_more else None,
            query=with_changes,
            states=[state.value for state in (AlertState.SENT, AlertState.PENDING, AlertState.FAILED)],
        )


def lead(request: Request) -> Response:
    """GET /alerts/ID: to the moment of its recording."""
    site: Site = request.state.site
    number = request.path_params["id"]
    with site.readers.lent() as db:
        found = alert_row(db, number)
    if found is None or found["recording_id"] is None:
        raise HTTPException(404, f"There is no alert {number} about a recording.")
    second = found["moment_seconds"]
    moment = "" if second is None else f"?t={int(second)}#t={int(second)}"
    return RedirectResponse(f"{site.root}/recordings/{found['recording_id']}{moment}", 303)


def _moment(row: Mapping[str, Any]) -> tuple[int, float]:
    return row["recording_id"], row["moment_seconds"]


def _entry(row: Mapping[str, Any], quotes: Mapping[tuple[int, float], Mapping[str, Any]]) -> dict[str, Any]:
    quote = quotes.get(_moment(row)) if row["moment_seconds"] is not None else None
    return {"row": row, "quote": quote, "why": why(row) if row["rules"] else row["body"].partition("\n")[0]}


def _choices(site: Site) -> Sequence[dict[str, Any]]:
    """Return the selects above the list."""
    alerts = site.config.alerts

    def plain(names: Sequence[str]) -> list[tuple[str, str]]:
        return [(name, name) for name in names]

    return [
        {"name": "rule", "any": "Any rule", "options": plain([rule.name for rule in alerts.rules])},
        {"name": "destination", "any": "Any destination", "options": plain(list(alerts.destinations))},
        {"name": "severity", "any": "Any severity", "options": plain(SEVERITIES)},
        {"name": "when", "any": "Any time", "options": list(PERIODS.items())},
    ]
