"""Store what dropped lists of addresses become: a recording for each address, none for the list itself.

Lists are shortcuts of Windows and macOS, which hold one address, and plain ones. Whatever is in them, only
web addresses are taken. A list is read once for each content it has: what it held before makes no new rows;
an address that another list brought becomes one, and the analysis finds out that it is a duplicate.
"""

from __future__ import annotations

import logging
import os
import plistlib
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

from sqlite_utils import Database

from daemon.config.filenames import NOTHING, FactsOf, ending_of
from daemon.config.models import WatchFolder
from daemon.files import reading, same_file
from daemon.intake.arrivals import Arrival, Asking, Intake, Kind, Place, early_ending
from daemon.models import FileStamp, NewRecording, hosted_name
from daemon.storage.database import transaction
from daemon.storage.queue import add
from daemon.storage.recordings import (
    forget_list,
    has_recording_of,
    known_list,
    lists_with_content,
    remember_list,
    split_path,
)

logger = logging.getLogger(__name__)

LARGEST_BYTES = 1_000_000
MOST_ADDRESSES = 10_000
_LONGEST_ADDRESS = 8_000
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def take_in_lists(
    db: Database,
    folder: WatchFolder,
    arrivals: Iterable[Arrival],
    now: datetime,
    *,
    facts_of: FactsOf = lambda _: NOTHING,
    asking: Asking = nullcontext,
) -> Intake:
    """Write what these complete lists mean into the database, a transaction for each.

    One that could not be read, or changed meanwhile, is left for later.
    """
    intake = Intake()
    place = Place(folder, now, facts_of, asking)
    for arrival in arrivals:
        if arrival.kind == Kind.EMPTY:
            with transaction(db):
                remember_list(db, folder.name, arrival.stamp, None)
            continue
        with asking():
            content = _content(folder.root, arrival.stamp)
        if content is None:
            intake.later.append(arrival.stamp.path)
        else:
            intake.queued += _take_in(db, place, arrival, content)
    return intake


def _take_in(db: Database, place: Place, arrival: Arrival, content: bytes) -> int:
    """Store one list; return how many recordings wait now that did not."""
    path, name = arrival.stamp.path, place.folder.name
    digest = sha256(content).hexdigest() if content else None
    found = _usable(path, content)
    gone = _gone(db, place, digest)
    with transaction(db):
        before = known_list(db, path)
        alike = [] if before or not digest else lists_with_content(db, name, digest)
        renamed = next((known for known in alike if known.path in gone), None)
        remember_list(db, name, arrival.stamp, digest)
        if renamed:
            forget_list(db, renamed.path)
        if renamed or (before and before.sha256 == digest):
            return 0
        # Of a list that was changed, only addresses that it did not bring before are new.
        was_read = before is not None and before.sha256 is not None
        new = [url for url in found if not was_read or not has_recording_of(db, name, url)]
        for url in new:
            _add(db, place, arrival.kind, url)
    if found:
        logger.info("list of addresses read path=%r addresses=%d new=%d", path, len(found), len(new))
    return 0 if arrival.kind == Kind.LEFT_ALONE else len(new)


def _usable(path: str, content: bytes) -> list[str]:
    """Return the addresses that are taken from a list; the log says why others, or none, are."""
    try:
        if not content:
            raise NoAddressesError(f"it has more than {LARGEST_BYTES} bytes; split it")
        found = addresses(split_path(path)[1], content)
    except NoAddressesError as error:
        logger.warning("list of addresses not taken path=%r error=%s", path, error)
        return []
    if found.refused:
        text = "addresses not taken path=%r count=%d: they are not http:// or https:// ones; correct them"
        logger.warning(text, path, found.refused)
    return found.usable


def _gone(db: Database, place: Place, digest: str | None) -> set[str]:
    """Return the paths of lists with these bytes at which there is none any more: one of them was renamed."""
    alike = lists_with_content(db, place.folder.name, digest) if digest else []
    with place.asking():
        return {known.path for known in alike if not os.path.lexists(known.path)}


def _add(db: Database, place: Place, kind: Kind, url: str) -> None:
    facts = place.facts_of(hosted_name(url))
    new = NewRecording(
        source=url,
        is_url=True,
        folder=place.folder.name,
        quiet=kind == Kind.QUIET,
        tags=place.folder.tags,
        recorded_at=facts.recorded_at,
        metadata=facts.metadata,
    )
    recording_id = add(db, new, place.now, ending=early_ending(kind))
    # Its name only: an address may hold a key.
    logger.debug("recording found id=%d name=%r", recording_id, hosted_name(url))
    if facts.stopped_at and kind != Kind.LEFT_ALONE:
        logger.warning("name does not fit filename_pattern id=%d: %s", recording_id, facts.stopped_at)


def _content(root: str, stamp: FileStamp) -> bytes | None:
    """Return the bytes of a list below `root`, none of one that is too large.

    None when it cannot be read, or is not as `stamp` says.
    """
    if stamp.size_bytes > LARGEST_BYTES:
        return b""
    try:
        with reading(root, stamp.path) as descriptor:
            if not same_file(os.fstat(descriptor), stamp):
                return None
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(LARGEST_BYTES + 1)
    except OSError:
        return None


class NoAddressesError(Exception):
    """The file holds no usable address; the text says why, and never repeats what is in it."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The web addresses in a file, and how many others are in it, which are not taken."""

    usable: list[str]
    refused: int


def addresses(name: str, content: bytes) -> Addresses:
    """Return the addresses in a file of this name; raises NoAddressesError where none can be used."""
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
    """Return whether this is an http or https address with a host, without blanks and control characters."""
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
    # All that plistlib raises for damaged files; its own error is a ValueError.
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
