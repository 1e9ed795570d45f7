"""Fetches a recording or text for a client, from hosts that the configuration names exactly.

A client must not reach with the engine's help what it could not reach itself: so there is no host but those
named, each redirect is checked like the first address, and the connection goes to the very address that was
checked.
"""

import asyncio
import socket
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

MAX_REDIRECTS = 5
LONGEST_ADDRESS = 8000
CONNECT_SECONDS, READ_SECONDS, TOTAL_SECONDS = 10.0, 30.0, 600.0
REDIRECTS = (301, 302, 303, 307, 308)

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class FetchError(Exception):
    """What was asked for cannot be fetched; str() is said to the client."""


@asynccontextmanager
async def fetching(
    url: str, hosts: Sequence[str], resolve: Resolve | None = None, *, seconds: float = TOTAL_SECONDS
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open what `url` leads to; gives its blocks as they are sent. Raises FetchError, also in between."""
    try:
        async with asyncio.timeout(seconds), _client() as client:
            response = await _open(client, url, hosts, resolve or _look_up)
            try:
                yield _blocks(response)
            finally:
                await response.aclose()
    except TimeoutError:
        raise FetchError("The remote server took too long.") from None


async def _open(
    client: httpx.AsyncClient, url: str, hosts: Sequence[str], resolve: Resolve
) -> httpx.Response:
    for _ in range(MAX_REDIRECTS + 1):
        parts = _allowed(url, hosts)
        address = await _checked_address(parts, hosts, resolve)
        try:
            response = await client.send(_request(client, parts, address), stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(f"The remote server could not be reached ({type(error).__name__}).") from None
        if response.status_code == 200:
            return response
        await response.aclose()
        if response.status_code not in REDIRECTS or "location" not in response.headers:
            raise FetchError(f"The remote server answered with status {response.status_code}.")
        url = urljoin(url, response.headers["location"])
    raise FetchError("The remote server redirects without end.")


def _allowed(url: str, hosts: Sequence[str]) -> SplitResult:
    """Take an address apart; raises FetchError unless it is one of the web, on a host that is named."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise FetchError("The address is not usable.") from None
    if len(url) > LONGEST_ADDRESS or not url.isprintable() or parts.scheme not in ("http", "https"):
        raise FetchError("The address is no http:// or https:// address.")
    if "@" in parts.netloc or "\\" in url or "%" in (parts.hostname or "%"):
        raise FetchError("The address has a user, a password or an escape in its host.")
    if not _is_named(plain_host(parts.hostname or ""), _port(parts), hosts):
        raise FetchError("The host is not one that this engine may fetch from (engine.hosts).")
    return parts


def _is_named(host: str, port: int, hosts: Sequence[str]) -> bool:
    """Whether a host is named, with all its ports or with this one."""
    return host in hosts or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}") in hosts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def plain_host(host: str) -> str:
    """Return a host in the form that `hosts` are in: lower case, no full-width letters or final dot."""
    name = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower().strip("[]").rstrip(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return name


async def _checked_address(parts: SplitResult, hosts: Sequence[str], resolve: Resolve) -> Address:
    """Return the address to connect to. A name may lead to a private one, as it was named; not to this host.

    Only who names `localhost` or the address itself means this host, or what hands out keys on a cloud
    machine.
    """
    host = plain_host(parts.hostname or "")
    try:
        addresses = await resolve(host, _port(parts))
    except (OSError, UnicodeError):
        raise FetchError("The host is not known.") from None
    for address in addresses:
        plain = getattr(address, "ipv4_mapped", None) or address
        special = plain.is_loopback or plain.is_link_local or plain.is_unspecified or plain.is_multicast
        if not special or host == "localhost" or _is_named(str(address), _port(parts), hosts):
            return address
    raise FetchError("The host leads to an address of this machine, which engine.hosts does not name.")


async def _look_up(host: str, port: int) -> Sequence[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(each[4][0]).partition("%")[0]) for each in found]


def _request(client: httpx.AsyncClient, parts: SplitResult, address: Address) -> httpx.Request:
    """Ask the checked address for the host: by name in the header and in the certificate."""
    shown = f"[{address}]" if address.version == 6 else str(address)
    port = f":{parts.port}" if parts.port else ""
    target = parts._replace(netloc=shown + port, fragment="").geturl()
    name = plain_host(parts.hostname or "").encode("idna").decode() if not _is_address(parts) else shown
    extensions = {} if _is_address(parts) else {"sni_hostname": name}
    return client.build_request("GET", target, headers={"Host": name + port}, extensions=extensions)


def _is_address(parts: SplitResult) -> bool:
    try:
        ip_address(parts.hostname or "")
    except ValueError:
        return False
    return True


async def _blocks(response: httpx.Response) -> AsyncIterator[bytes]:
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        # It was asked for as it is; a few bytes could unpack to gigabytes.
        raise FetchError("The remote server sends it compressed.")
    try:
        async for block in response.aiter_raw():
            yield block
    except httpx.HTTPError as error:
        raise FetchError(f"The remote server broke off ({type(error).__name__}).") from None


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        headers={"User-Agent": "earshot", "Accept": "*/*", "Accept-Encoding": "identity"},
        follow_redirects=False,
        # No proxy: it would look the name up again, and reach what this host does not.
        trust_env=False,
    )
