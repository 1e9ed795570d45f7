"""Who may use the engine: a key where one is set, no pages of browsers, on loopback who means this host."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost",)
_AUTHORIZATION = re.compile(r"(?:token|bearer)\s+(\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`key`: what clients must send, None for nothing. `checks_host`: only names of this host are asked for.

    Without a key a page in a browser on this host could otherwise use the engine, by a name of its own that
    it has pointed to 127.0.0.1 (DNS rebinding).
    """

    key: str | None = None
    checks_host: bool = False


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is refused, as Deepgram says it."""

    status: int
    code: str
    message: str


BAD_KEY = Denial(401, "INVALID_AUTH", "Invalid credentials.")
BAD_ORIGIN = Denial(403, "FORBIDDEN", "Pages in browsers may not use this engine.")
BAD_HOST = Denial(403, "FORBIDDEN", "The Host header names another host; ask for 127.0.0.1 or localhost.")


def denial(access: Access, headers: Mapping[str, str]) -> Denial | None:
    """Return why a request with these headers (by lower-case name) is refused, or None."""
    if access.checks_host and not is_loopback(_host(headers.get("host", ""))):
        return BAD_HOST
    # Programs send no Origin; a page does, and the browser tells for other pages' requests that they are.
    site = headers.get("sec-fetch-site", "none")
    if headers.get("origin") is not None or site not in ("none", "same-origin"):
        return BAD_ORIGIN
    if access.key is not None and not _is_key(headers.get("authorization", ""), access.key):
        return BAD_KEY
    return None


def is_loopback(host: str) -> bool:
    """Whether a host is this one, by its name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") in LOOPBACK_NAMES


def _is_key(header: str, key: str) -> bool:
    found = _AUTHORIZATION.fullmatch(header.strip())
    # In constant time: how long it takes must not tell how much of a guess is right.
    return hmac.compare_digest((found[1] if found else "").encode(), key.encode())


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
