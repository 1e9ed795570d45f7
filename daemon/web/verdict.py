"""Judge an alert by the link in its message: without a login, and without a word of the recording.

GET shows one button, because programs that preview links follow them too; POST judges.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from daemon.signing import is_signed
from daemon.storage.verdicts import Verdict, give_verdict, verdict_of
from daemon.storage.views import alert as alert_row
from daemon.web.render import page
from daemon.web.site import Site

BY_LINK = "link"
"""Who judged, where only the link says that somebody may."""


def ask(request: Request) -> Response:
    """GET /verdict/ID?v=&e=&s=."""
    return _page(request, _judged(request), "")


def judge(request: Request) -> Response:
    """POST /verdict/ID?v=&e=&s=."""
    site: Site = request.state.site
    verdict = _judged(request)
    by = request.state.person.name if request.state.person else BY_LINK
    with site.writing() as db:
        give_verdict(db, request.path_params["id"], verdict, site.clock(), by=by)
    return _page(request, verdict, f"Thank you. Alert {request.path_params['id']} is {verdict}.")


def _judged(request: Request) -> Verdict:
    """Return the verdict that the link is signed for; HTTPException 403 for any other link."""
    params, number = request.query_params, request.path_params["id"]
    given, expiry = params.get("v", ""), params.get("e", "")
    site: Site = request.state.site
    is_ours = is_signed(site.key, params.get("s", ""), "verdict", number, given, expiry)
    if not is_ours or given not in tuple(Verdict) or not expiry.isdecimal():
        raise HTTPException(403, "This link was changed, or the key that it was made with is gone.")
    if int(expiry) < site.clock().timestamp():
        raise HTTPException(403, "This link has expired. Open the alert in the pages, and judge there.")
    return Verdict(given)


def _page(request: Request, verdict: Verdict, said: str) -> Response:
    site: Site = request.state.site
    number = request.path_params["id"]
    with site.readers.lent() as db:
        if alert_row(db, number) is None:
            raise HTTPException(404, f"There is no alert {number} any more.")
        before = verdict_of(db, number)
    return page(
        request,
        "verdict.html.jinja",
        None,
        number=number,
        verdict=verdict.value,
        said=said,
        before=before,
        query=str(request.query_params),
    )
