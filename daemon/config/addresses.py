"""Which addresses of hosted recordings are accepted: by their form, and by their host.

Pure: no name is resolved. A public name that leads to a private address is not noticed here; but it is the
API, not earshot, that fetches the recording.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote, urlsplit

LONGEST_ADDRESS = 8_000
PRIVATE = "points to this host or into a private network, which only `hosts` can allow"
NO_HOST = "has no host that can be asked"
NOT_NAMED = "points to a host that `hosts` of the folder does not name"

_USUAL_PORTS = {"http": ":80", "https": ":443"}
_PRIVATE_DOMAINS = frozenset(
    ["localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "lan", "home", "arpa"],
)
_NAT64 = IPv6Network("64:ff9b::/96")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAME = re.compile(r"(\*\.)?[\w-]+(\.[\w-]+)*")
_WITH_PORT = re.compile(r"([^:\[\]]+|\[[^\[\]]+\]):([0-9]{1,5})")
_PORTS = range(1, 65_536)


class BadAddressError(Exception):
    """A text is no usable address; the message says why, and never repeats the text."""


def usable_address(text: str, hosts: Sequence[str]) -> str:
    """The address as it is sent: blanks as `%20`, scheme and host in lower case, no port that goes without
    saying, and no fragment, which is for who plays it and never sent: two moments of one recording are one
    recording. Raises BadAddressError, also for a host that `hosts` does not allow.
    """
    if len(text) > LONGEST_ADDRESS or not text.isprintable() or "\\" in text:
        raise BadAddressError("is too long, or has characters in it that no address has")
    scheme, _, rest = text.partition("://")
    port = _USUAL_PORTS.get(scheme.lower())
    if port is None or not rest:
        raise BadAddressError("is no http:// or https:// address")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in unquote(authority):
        raise BadAddressError("has a user or a password in it; write it without")
    try:
        parts = urlsplit(text)
        host, is_usable = parts.hostname or "", parts.port is None or parts.port > 0
    except ValueError:
        host, is_usable = "", False
    if not host or not is_usable or " " in authority:
        raise BadAddressError(NO_HOST)
    problem = host_problem(host, hosts)
    if problem:
        raise BadAddressError(problem)
    path = rest[len(authority) :].partition("#")[0].replace(" ", "%20")
    return f"{scheme.lower()}://{authority.lower().removesuffix(port)}{path}"


def host_problem(host: str, allowed: Iterable[str] = ()) -> str | None:
    """What is wrong with the host of a dropped address; None if it is allowed.

    `allowed` are the folder's `hosts`: names, `*.example.com` for those below one, or IP addresses. Without
    any, every public host is allowed.
    """
    name = plain_host(host)
    if not (_NAME.fullmatch(name) or _is_address(name)):
        # Such as `evil.com%00.example.com`: some programs read only up to the zero.
        return NO_HOST
    wanted = [plain_host(each) for each in allowed]
    if any(name == each or (each.startswith("*.") and name.endswith(each[1:])) for each in wanted):
        return None
    if wanted:
        return NOT_NAMED
    return None if _is_public(name) else PRIVATE


def plain_host(host: str) -> str:
    """The host in a form to compare: lower case, no escapes, full-width letters or final dot."""
    name = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").lower().strip("[]").rstrip(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def is_loopback(host: str) -> bool:
    """Whether a host is this one, by its name or address."""
    name = plain_host(host)
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def usable_host(host: str) -> str:
    """Returns the host; ValueError if it is no host."""
    name = plain_host(host)
    if not (_NAME.fullmatch(name) or _is_address(name)):
        raise ValueError("must be a host, such as recordings.example.com or *.example.com; no port, no path")
    return host


def exact_host(host: str) -> str:
    """Returns one host, or host and port, in the form that they are compared in; ValueError if it is none."""
    host, port = host_and_port(host)
    name = plain_host(host)
    is_name = "*" not in name and (_NAME.fullmatch(name) or _is_address(name))
    if not is_name or (port is not None and port not in _PORTS):
        raise ValueError("must be one host, such as recordings.example.com or 127.0.0.1:8080; no *, no path")
    if port is None:
        return name
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def host_and_port(text: str) -> tuple[str, int | None]:
    """Take `host:port` apart; an IPv6 address has a port only behind its brackets."""
    found = _WITH_PORT.fullmatch(text)
    return (found[1], int(found[2])) if found else (text, None)


def _is_address(name: str) -> bool:
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def _is_public(name: str) -> bool:
    try:
        return _is_public_address(ip_address(name.partition("%")[0]))
    except ValueError:
        labels = name.split(".")
    # Programs that fetch read 2130706433, 0x7f.1 and 0177.0.0.1 as 127.0.0.1; no public host is written so.
    if _NUMBER.fullmatch(labels[-1]):
        return False
    return len(labels) > 1 and labels[-1] not in _PRIVATE_DOMAINS


def _is_public_address(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if address in _NAT64:
        return _is_public_address(IPv4Address(int(address) & 0xFFFFFFFF))
    is_special = address.is_multicast or address.is_reserved or address.is_site_local
    # Mapped, 6to4 and Teredo addresses contain IPv4 addresses.
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    is_public = [_is_public_address(each) for each in inner if each is not None]
    return all(is_public) and (bool(is_public) or (address.is_global and not is_special))
