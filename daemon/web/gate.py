"""What stands before every page: hosts, origins, who is there, the size of what is sent, and the headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.web.access import (
    NOBODY,
    SAFE_METHODS,
    Person,
    is_known_host,
    is_ours,
    person_named,
    said_by_proxy,
)
from daemon.web.sessions import COOKIE, is_session, is_token
from daemon.web.site import Site

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'{media};"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY.format(media=""),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
}
OPEN_TO_ALL = ("/static/", "/login", "/healthz", "/verdict/")
"""What needs no login: it says nothing of a recording."""

FOR_PROGRAMS = ("/api/", "/metrics", "/live")
LARGEST_FORM_BYTES = 16 * 1024
MOST_FIELDS = 20


class Gate:
    """Lets a request through to the pages with `site`, `person` and `form` in its state, or answers it."""

    def __init__(self, app: ASGIApp, site: Callable[[], Site]) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        site = self._site()
        _take_off_root(scope, site.root)
        headers = _headers_of(scope)
        answer = _refused(site, scope, headers)
        if answer is None and scope["method"] not in SAFE_METHODS:
            body = await _body(headers, receive)
            if body is None:
                answer = PlainTextResponse("The form is too large, or its length is not said.", 413)
            else:
                scope["state"]["form"] = body
        await (answer or self._app)(scope, receive, send_with_headers)


def _refused(site: Site, scope: Scope, headers: Mapping[str, str]) -> Response | None:
    """Return the answer to a request that does not come in; note who asks."""
    access, path = site.access, scope["path"]
    if not is_known_host(access, headers):
        text = "This is not a name of this server. Write it as web.public_url into earshot's configuration."
        return PlainTextResponse(text, 421)
    if not is_ours(access, scope["method"], headers):
        return PlainTextResponse("This was not sent by a page of earshot, so nothing was changed.", 403)
    peer = (scope.get("client") or (None,))[0] or None
    person = _person(site, peer, headers)
    scope["state"] = {"site": site, "person": person, "form": {}, "peer": peer or ""}
    if person is not None or path.startswith(OPEN_TO_ALL):
        return None
    wait = site.guesses.wait_seconds(peer or "")
    if wait and "authorization" in headers:
        return PlainTextResponse("Too many wrong passwords.", 429, {"retry-after": str(wait)})
    if access.token is None:
        return PlainTextResponse("The proxy in front of earshot does not say who you are.", 403)
    if path.startswith(FOR_PROGRAMS) or path.endswith("/audio"):
        return JSONResponse(
            {"error": "log in, or send the password as a bearer token"}, 401, {"www-authenticate": "Bearer"}
        )
    if scope["method"] not in SAFE_METHODS:
        return PlainTextResponse("You are not signed in any more. Sign in, and try again.", 401)
    query = scope["query_string"].decode("latin-1")
    wanted = path + (f"?{query}" if query else "")
    return RedirectResponse(f"{site.root}/login?next={quote(wanted, safe='/')}", 303)


def _person(site: Site, peer: str | None, headers: Mapping[str, str]) -> Person | None:
    access = site.access
    if access.is_open:
        return person_named(access, NOBODY)
    user = said_by_proxy(access, peer, headers)
    if user is not None:
        return person_named(access, user)
    if access.token is None:
        return None
    now = site.clock().timestamp()
    if is_session(site.key, access.token, _cookie(headers.get("cookie", "")), now):
        return Person(NOBODY, True)
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and not site.guesses.wait_seconds(peer or ""):
        if is_token(given.strip(), access.token):
            return Person(NOBODY, True)
        site.guesses.note_wrong(peer or "")
    return None


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers by lower-case name; of one that comes twice, nothing usable is left."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}\n{text}" if key in headers else text
    return headers


def _take_off_root(scope: Scope, root: str) -> None:
    """Understand paths below `root` as well as those from which a proxy has taken it off.

    A slash at the end means the same: to lead to the path without it would need the address that people use.
    """
    path = scope["path"]
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    scope["path"] = path.rstrip("/") or "/"
    scope["raw_path"] = scope["path"].encode("utf-8", "replace")


async def _body(headers: Mapping[str, str], receive: Receive) -> dict[str, Any] | None:
    """Return the fields of a form, None when it is too large."""
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not length.isdecimal() or int(length) > LARGEST_FORM_BYTES:
        return None
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=MOST_FIELDS)
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}
