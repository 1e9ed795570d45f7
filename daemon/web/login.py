"""Sign in with the password, and out again."""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.web.access import is_public_host
from daemon.web.render import page
from daemon.web.sessions import COOKIE, DAY_SECONDS, STAY_SECONDS, is_token, session
from daemon.web.site import Site

_OWN_PATH = re.compile(r"/(?![/\\])[^\\\s\x00-\x20]*")


def show(request: Request) -> Response:
    """GET /login: the form."""
    return page(request, "login.html.jinja", None, next=own_path(request.query_params.get("next")), wrong="")


async def enter(request: Request) -> Response:
    """POST /login: set the cookie, and go on to where the person wanted to be."""
    site: Site = request.state.site
    form, peer = request.state.form, request.state.peer
    wanted = own_path(form.get("next"))
    wait = site.guesses.wait_seconds(peer)
    token = site.access.token
    if wait or token is None or not is_token(form.get("token", "").strip(), token):
        if not wait:
            site.guesses.note_wrong(peer)
        wrong = (
            f"Too many tries. Wait {wait} s, then try again."
            if wait
            else ("That password is not right. Check it and try again.")
        )
        answer: Response = await run_in_threadpool(
            page, request, "login.html.jinja", None, 429 if wait else 403, next=wanted, wrong=wrong
        )
        if wait:
            answer.headers["retry-after"] = str(wait)
        return answer
    seconds = STAY_SECONDS if form.get("stay") else DAY_SECONDS
    until = int(site.clock().timestamp()) + seconds
    answer = RedirectResponse(site.root + wanted, 303)
    _set_cookie(request, answer, session(site.key, token, until), seconds if form.get("stay") else None)
    return answer


def leave(request: Request) -> Response:
    """POST /logout: forget the cookie."""
    answer = RedirectResponse(f"{request.state.site.root}/login", 303)
    _set_cookie(request, answer, "", 0)
    return answer


def own_path(given: str | None) -> str:
    """Return where to go on: a path of these pages, never an address of somebody else."""
    return given if given and len(given) < 2000 and _OWN_PATH.fullmatch(given) else "/"


def _set_cookie(request: Request, answer: Response, value: str, seconds: int | None) -> None:
    access = request.state.site.access
    is_https = is_public_host(access, request.headers) and access.public.scheme == "https"
    # Lax: the link in a message leads to the page, not to the login.
    answer.set_cookie(
        COOKIE,
        value,
        max_age=seconds,
        path=f"{request.state.site.root}/",
        secure=is_https,
        httponly=True,
        samesite="lax",
    )
