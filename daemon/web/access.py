"""Who may see the pages, and which requests come from the pages themselves. Pure decisions on headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from daemon.config.addresses import is_loopback, plain_host
from daemon.config.models import Web
from daemon.models import shown_path

NOBODY = "web"
"""Who did it where the pages do not know who is there."""

UNIX = "unix"
LONGEST_NAME = 200
SAFE_METHODS = ("GET", "HEAD")
BY_BROWSERS = ("origin", "sec-fetch-site", "referer", "cookie")
"""What a browser says of the page that a request comes from, or of who is signed in."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks. `is_operator`: may do more than see, listen and judge."""

    name: str
    is_operator: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may come in. `token` is the password, `header` (lower case) what the `proxies` say the user in."""

    token: str | None = None
    header: str | None = None
    proxies: tuple[Network | str, ...] = ()
    operators: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    public: SplitResult | None = None

    @property
    def is_open(self) -> bool:
        """Whether everybody who can connect is let in: on loopback, or by the rights of a socket."""
        return self.token is None and self.header is None


def access_of(web: Web, token: str | None, host_name: str) -> Access:
    """Return who may come in by the configuration; `host_name` is what this host is called."""
    public = urlsplit(web.public_url) if web.public_url else None
    names = (host_name, public.hostname if public else None)
    return Access(
        token=token,
        header=web.user_header.lower() if web.user_header else None,
        proxies=tuple(each if each == UNIX else ip_network(each) for each in web.trusted_proxies),
        operators=frozenset(web.operators),
        hosts=frozenset(plain_host(name) for name in names if name),
        public=public,
    )


def is_known_host(access: Access, headers: Mapping[str, str]) -> bool:
    """Return whether the Host header is a name of this server: else another name was pointed here.

    An address is always one: a page of somebody else can reach us by a name of its own only (DNS rebinding).
    """
    name = plain_host(_host_of(headers.get("host", "")))
    if is_loopback(name) or name in access.hosts:
        return True
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def is_public_host(access: Access, headers: Mapping[str, str]) -> bool:
    """Return whether the pages were asked for by their public address."""
    public = access.public
    return public is not None and headers.get("host", "").lower() == public.netloc.lower()


def is_ours(access: Access, method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request that changes something comes from our own pages, or from no browser.

    Chromium sends `Origin: null` from them, because they have no referrer; then only Sec-Fetch-Site says so.
    A browser sends one of BY_BROWSERS with every form of another page; curl and other programs send none.
    """
    if method in SAFE_METHODS or not any(name in headers for name in BY_BROWSERS):
        return True
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None or origin == "null":
        return site == "same-origin"
    return _netloc(origin) in {headers.get("host", "").lower(), access.public.netloc if access.public else ""}


def said_by_proxy(access: Access, peer: str | None, headers: Mapping[str, str]) -> str | None:
    """Return the user that a trusted proxy names; `peer` is its address, None on a Unix socket."""
    if access.header is None or not _is_trusted(access, peer):
        return None
    # The same form as everywhere else: bytes that are not UTF-8 shown, nothing that acts on a terminal.
    given = headers.get(access.header, "").encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    name = shown_path(given).strip()
    return name if name and name.isprintable() and len(name) <= LONGEST_NAME else None


def person_named(access: Access, name: str) -> Person:
    """Return a person whom a proxy, or nothing but the way in, tells of."""
    return Person(name, not access.operators or name in access.operators)


def _is_trusted(access: Access, peer: str | None) -> bool:
    if peer is None:
        return UNIX in access.proxies
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(not isinstance(each, str) and address in each for each in access.proxies)


def _host_of(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower() or "-"
    except ValueError:
        return "-"
