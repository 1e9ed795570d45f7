"""Addresses of hosted recordings in dropped files: Windows and macOS shortcuts, and plain lists.

Pure: takes bytes. Whatever a file holds, only web addresses come out, in their order and each once.
"""

from __future__ import annotations

import plistlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

from daemon.config.filenames import ending_of

LARGEST_BYTES = 1_000_000
MOST_ADDRESSES = 10_000
_LONGEST_ADDRESS = 8_000
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class NoAddressesError(Exception):
    """The file holds no usable address; the text says why, and never repeats what is in it."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The web addresses in a file, and how many others are in it, which are not taken."""

    usable: list[str]
    refused: int


def addresses(name: str, content: bytes) -> Addresses:
    """The addresses in a file of this name; raises NoAddressesError where none is of use."""
    found = list(dict.fromkeys(_READERS[ending_of(name)](content)))
    if len(found) > MOST_ADDRESSES:
        raise NoAddressesError(f"it has {len(found)} addresses, at most {MOST_ADDRESSES} are taken; split it")
    usable = [address for address in found if is_web_address(address)]
    if not found:
        raise NoAddressesError("there is no address in it; write one that begins with https://")
    if not usable:
        raise NoAddressesError("no address in it is an http:// or https:// one; correct them")
    return Addresses(usable, len(found) - len(usable))


def is_web_address(text: str) -> bool:
    """True for an http or https address with a host, without blanks and control characters."""
    if len(text) > _LONGEST_ADDRESS or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port_is_fine


def _shortcut(content: bytes) -> Iterable[str]:
    section = ""
    for line in _text(content).splitlines():
        line = line.strip()
        key, equals, value = line.partition("=")
        if line.startswith("["):
            section = line.lower()
        elif section == "[internetshortcut]" and equals and key.strip().lower() == "url":
            return [value.strip()]
    return []


def _location(content: bytes) -> Iterable[str]:
    try:
        said = plistlib.loads(content)
    # What plistlib lets through of a damaged file, besides its own error, which is a ValueError.
    except (ValueError, ExpatError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise NoAddressesError("it is no shortcut that can be read; make it again") from None
    address = said.get("URL") if isinstance(said, dict) else None
    return [address.strip()] if isinstance(address, str) else []


def _lines(content: bytes) -> Iterable[str]:
    lines = (line.strip() for line in _text(content).splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _text(content: bytes) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        # Old Windows code pages: an address itself is ASCII.
        return content.decode("latin-1")


_READERS: dict[str, Callable[[bytes], Iterable[str]]] = {
    "url": _shortcut,
    "webloc": _location,
    "urls": _lines,
}
