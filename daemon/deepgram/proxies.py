"""Which proxy the environment names for an address: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, and NO_PROXY as curl
reads it (https://curl.se/libcurl/c/CURLOPT_NOPROXY.html). Pure.

Not left to httpx: it takes a range such as `::1/128` for a host and fails, and ignores `10.0.0.0/8`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from daemon.errors import EarshotError

_OCTETS = re.compile(r"(\d{1,3}\.){1,3}\*?")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\](?:/\d+)?|[^:\[\]]*)(?::(?P<port>\d+))?")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL, which may have a password in it, and the variable that names it, for messages."""

    url: str
    variable: str


def proxy_for(url: str, env: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for requests to `url`; None if they go directly, as always to this host.

    A proxy's loopback is not ours: requests for the embedded engine would leave this host.
    Raises EarshotError if an entry of NO_PROXY cannot be read and may mean this address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        # Not an address; the request itself reports that.
        return None
    proxy = _named(parts.scheme, env)
    if proxy is None or _is_this_host(host):
        return None
    variable = next((name for name in ("no_proxy", "NO_PROXY") if name in env), "")
    for entry in re.split(r"[\s,]+", env.get(variable, "")):
        try:
            if entry and _covers(entry, host, port):
                return None
        except ValueError as error:
            raise EarshotError(
                f"{variable} has an entry that cannot be read: {entry!r}; write a host, a domain, an address "
                "or a range such as 10.0.0.0/8"
            ) from error
    return proxy


def _named(scheme: str, env: Mapping[str, str]) -> Proxy | None:
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
        if name in env:
            value = env[name].strip()
            return Proxy(value if "://" in value else f"http://{value}", name) if value else None
    return None


def _is_this_host(host: str) -> bool:
    address = _address(host)
    if address is None:
        name = host.rstrip(".").lower()
        return name == "localhost" or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or bool(mapped and mapped.is_loopback)


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry means this host; ValueError if it may but cannot be read."""
    if entry == "*":
        return True
    entry = entry.partition("://")[2] or entry
    address = _address(host)
    if entry.count(":") > 1 and not entry.startswith("["):
        # IPv6 without brackets, so it has no port.
        return address is not None and address in ip_network(entry, strict=False)
    found = _HOST_AND_PORT.fullmatch(entry)
    if found is None:
        if address is None:
            return False
        raise ValueError("no host")
    if found["port"] and int(found["port"]) != port:
        return False
    name = found["host"].replace("[", "").replace("]", "").lower()
    if address is None:
        wanted = name.removeprefix("*").strip(".")
        shown = host.rstrip(".").lower()
        return bool(wanted) and (shown == wanted or shown.endswith(f".{wanted}"))
    if _OCTETS.fullmatch(name):
        return str(address).startswith(name.rstrip("*"))
    if "/" in name or _address(name):
        return address in ip_network(name, strict=False)
    return False


def _address(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return None
