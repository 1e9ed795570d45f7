"""What people change by the pages. Each answers by leading back to where it came from."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.alerts.trial import try_destination
from daemon.config.units import parse_duration
from daemon.errors import UsageError
from daemon.storage import purge
from daemon.storage.actions import note_action
from daemon.storage.limits import lift_limits
from daemon.storage.outbox import retry_alert
from daemon.storage.pauses import probe_now
from daemon.storage.requeue import requeue, requeue_failed
from daemon.storage.verdicts import Verdict, give_verdict
from daemon.storage.volume import snooze
from daemon.web.login import own_path
from daemon.web.render import page
from daemon.web.site import Site


def verdict(request: Request) -> Response:
    """POST /alerts/ID/verdict: useful or noise."""
    given = request.state.form.get("verdict")
    if given not in tuple(Verdict):
        raise HTTPException(400, "A verdict is useful or noise.")
    site: Site = request.state.site
    with site.writing() as db:
        give_verdict(
            db, request.path_params["id"], Verdict(given), site.clock(), by=request.state.person.name
        )
    return _back(request)


def retry_recording(request: Request) -> Response:
    """POST /recordings/ID/retry: back into the queue."""
    by, now, site = _operator(request)
    with site.writing() as db:
        refused = requeue(db, [request.path_params["id"]], now)
        if not refused:
            note_action(db, by, "retry", request.path_params["id"], now)
    if refused:
        raise UsageError("; ".join(refused.values()))
    return _back(request)


def retry_failed(request: Request) -> Response:
    """POST /retry?state=failed: all that failed back into the queue."""
    by, now, site = _operator(request)
    if request.query_params.get("state") != "failed":
        raise HTTPException(400, "Only those that failed can be tried again all together.")
    with site.writing() as db:
        count = requeue_failed(db, now)
        note_action(db, by, "retry all", f"{count} recordings", now)
    return _back(request)


def protect(request: Request) -> Response:
    """POST /recordings/ID/protect: keep from retention and forget, or with on=0 no longer."""
    by, now, site = _operator(request)
    is_on = request.state.form.get("on", "1") != "0"
    with site.writing() as db:
        if not purge.protect(db, request.path_params["id"], on=is_on):
            raise HTTPException(404, f"There is no recording {request.path_params['id']}.")
        note_action(db, by, "protect" if is_on else "protect off", request.path_params["id"], now)
    return _back(request)


def try_now(request: Request) -> Response:
    """POST /queue/try: let a paused queue try at once, and free what a limit holds."""
    by, now, site = _operator(request)
    with site.writing() as db:
        lift_limits(db, now)
        probe_now(db, now)
        note_action(db, by, "try now", "", now)
    return _back(request)


def retry_told(request: Request) -> Response:
    """POST /alerts/ID/retry: send after all, or at once."""
    by, now, site = _operator(request)
    with site.writing() as db:
        retry_alert(db, request.path_params["id"], now)
        note_action(db, by, "send", request.path_params["id"], now)
    return _back(request)


def snooze_rule(request: Request) -> Response:
    """POST /rules/NAME/snooze: hold a rule's alerts back for `duration`; 0s ends that."""
    by, now, site = _operator(request)
    rule = _named(request, [each.name for each in site.config.alerts.rules], "rule")
    given = request.state.form.get("duration", "2h")
    try:
        until = now + timedelta(seconds=parse_duration(given))
    except (ValueError, OverflowError):
        raise HTTPException(400, "A snooze lasts something like 2h or 7d.") from None
    with site.writing() as db:
        snooze(db, rule, until, now)
        note_action(db, by, f"snooze {given}", rule, now)
    return _back(request)


def test_destination(request: Request) -> Response:
    """POST /destinations/NAME/test: send a sample, and say what came of it."""
    by, now, site = _operator(request)
    name = _named(request, site.config.alerts.destinations, "destination")
    with site.writing() as db:
        note_action(db, by, "test", name, now)
    results = list(try_destination(site.config, name, site.env))
    failed = [f"{place}: {error}" for place, error in results if error is not None]
    if failed:
        raise UsageError("; ".join(failed))
    text = f"{name} took the sample: {len(results)} of {len(results)} addresses."
    with site.readers.lent() as reader:
        return page(request, "done.html.jinja", reader, title="Sent", text=text, back=_way_back(request))


def _operator(request: Request) -> tuple[str, datetime, Site]:
    """Return who asks, now, and the site; HTTPException 403 for one who may only look and judge."""
    person: Any = request.state.person
    if not person.is_operator:
        raise HTTPException(403, "You may see, listen and judge; this is for those in web.operators.")
    site: Site = request.state.site
    return person.name, site.clock(), site


def _named(request: Request, known: Collection[str], what: str) -> str:
    name: str = request.path_params["name"]
    if name not in known:
        raise HTTPException(404, f"The configuration has no {what} of this name.")
    return name


def _way_back(request: Request) -> str:
    return f"{request.state.site.root}{own_path(request.state.form.get('back'))}"


def _back(request: Request) -> Response:
    return RedirectResponse(_way_back(request), 303)
