"""Store what dropped lists of addresses become: a recording for each address.

Lists are shortcuts of Windows and macOS, which hold one address, and plain ones (`lists: true`). Whatever is
in them, only addresses that may be asked for are taken, and one row says of a file what was not. A list is
read once for each content it has: what it held before makes no new rows; an address that another list brought
becomes one, and the analysis finds out that it is a duplicate.
"""

from __future__ import annotations

import logging
import os
import plistlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

from daemon.config.addresses import BadAddressError, usable_address
from daemon.config.filenames import ending_of
from daemon.config.models import WatchFolder
from daemon.files import reading, same_file
from daemon.intake.arrivals import Arrival, Intake, Kind, Place, early_ending
from daemon.models import Ending, FileStamp, NewRecording, RecordingState, hosted_name, shown_address
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.queue import add, end
from daemon.storage.recordings import (
    NOT_TAKEN,
    forget_list,
    has_recording_of,
    is_marked,
    known_list,
    lists_with_content,
    modified_at,
    refusal_of,
    remember_list,
    split_path,
)
from daemon.text import shorten

logger = logging.getLogger(__name__)

LARGEST_BYTES = 1_000_000
MOST_ADDRESSES = 10_000
REFUSED_NAMED = 5
"""How many of the addresses that are not taken are named."""
SHOWN_LENGTH = 80
"""Characters of each of them."""
CORRECTED = Ending(
    RecordingState.SKIPPED, "corrected", "the file was corrected; each of its addresses has a row of its own"
)
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


Found = tuple[str, str]
"""A text where an address should be, after what says where it is."""


def take_in_lists(db: Database, place: Place, arrivals: Iterable[Arrival]) -> Intake:
    """Write what these complete lists mean into the database, a transaction for each.

    One that could not be read, or changed meanwhile, is left for later.
    """
    intake = Intake()
    for arrival in arrivals:
        if is_marked(db, arrival.stamp):
            continue
        if not place.folder.lists and ending_of(arrival.stamp.path) == "urls":
            _pass_over(db, place, arrival)
            continue
        with place.asking():
            content = _content(place.folder.root, arrival.stamp)
        if content is None:
            intake.later.append(arrival.stamp.path)
        else:
            intake.queued += _take_in(db, place, arrival, content)
    return intake


def _take_in(db: Database, place: Place, arrival: Arrival, content: bytes) -> int:
    """Store one list; return how many recordings wait now that did not."""
    path, name = arrival.stamp.path, place.name
    digest = sha256(content).hexdigest() if content else None
    found, refusal = _read(place.folder, arrival.stamp, content)
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
        was_read = before is not None and before.sha256 not in (None, NOT_TAKEN)
        new = [url for url in found if not was_read or not has_recording_of(db, name, url)]
        for url in new:
            _add(db, place, arrival.kind, url)
        if arrival.kind != Kind.LEFT_ALONE:
            _refuse(db, place, arrival, refusal)
    if found:
        logger.info("list of addresses read path=%s addresses=%d new=%d", path, len(found), len(new))
    return 0 if arrival.kind == Kind.LEFT_ALONE else len(new)


def _pass_over(db: Database, place: Place, arrival: Arrival) -> None:
    """Note that a list is there which its folder does not take."""
    is_old = arrival.kind == Kind.LEFT_ALONE
    with transaction(db):
        remember_list(db, place.name, arrival.stamp, None if is_old else NOT_TAKEN)
    if not is_old:
        text = "list of addresses not taken, as `lists` of its folder is false path=%s"
        logger.warning(text, arrival.stamp.path)


def _read(folder: WatchFolder, stamp: FileStamp, content: bytes) -> tuple[list[str], str | None]:
    """Return the addresses that are taken from a dropped file, and what is to be said of the others."""
    try:
        if stamp.size_bytes > LARGEST_BYTES:
            raise BadAddressError(f"it has more than {LARGEST_BYTES} bytes; split it")
        taken = addresses(split_path(stamp.path)[1], content, folder.hosts)
    except BadAddressError as error:
        return [], f"no address is taken from this file: {error}"
    if not taken.refused:
        return taken.usable, None
    named = taken.refused[:REFUSED_NAMED]
    more = f"; and {count} more" if (count := len(taken.refused) - len(named)) else ""
    of = len(taken.refused) + len(taken.usable)
    text = f"{len(taken.refused)} of {of} addresses not taken: {'; '.join(named)}{more}"
    return taken.usable, f"{text}. Correct the file and save it again"


def _refuse(db: Database, place: Place, arrival: Arrival, refusal: str | None) -> None:
    """Have one row say what was not taken of a dropped file: a new one, or the one that it has already."""
    stamp, folder = arrival.stamp, place.folder
    known = refusal_of(db, stamp.path)
    ending = CORRECTED if refusal is None else Ending(RecordingState.FAILED, "bad_address", refusal)
    if known:
        end(db, known, ending, place.now)
    elif refusal is not None:
        new = NewRecording(
            stamp.path, False, folder.name, stamp.size_bytes, modified_at(stamp), tags=folder.tags
        )
        known = add(db, new, place.now, ending=ending)
    if refusal is not None:
        logger.error("addresses not taken recording=%d path=%s error=%s", known, stamp.path, refusal)


def _gone(db: Database, place: Place, digest: str | None) -> set[str]:
    """Return the paths of lists with these bytes at which there is none any more: one of them was renamed."""
    alike = lists_with_content(db, place.name, digest) if digest else []
    with place.asking():
        return {known.path for known in alike if not os.path.lexists(known.path)}


def _add(db: Database, place: Place, kind: Kind, url: str) -> None:
    facts = place.facts_of(hosted_name(url))
    new = NewRecording(
        source=url,
        is_url=True,
        folder=place.name,
        quiet=kind == Kind.QUIET,
        tags=place.folder.tags,
        recorded_at=facts.recorded_at,
        metadata=facts.metadata,
    )
    recording_id = add(db, new, place.now, ending=early_ending(kind))
    # Its name only: an address may hold a key.
    logger.debug("recording found recording=%d name=%s", recording_id, hosted_name(url))
    if facts.stopped_at and kind != Kind.LEFT_ALONE:
        logger.warning(
            "name does not fit filename_pattern recording=%d rest=%s", recording_id, facts.stopped_at
        )


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


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses in a file that are taken, as they are sent, and of each other one where and why not."""

    usable: list[str]
    refused: list[str]


def addresses(name: str, content: bytes, hosts: Sequence[str] = ()) -> Addresses:
    """The addresses in a file of this name, of which only those to `hosts` are taken, where there are any.

    Raises BadAddressError where there is none at all.
    """
    found = list(_READERS[ending_of(name)](content))
    if len(found) > MOST_ADDRESSES:
        raise BadAddressError(f"it has {len(found)} addresses, at most {MOST_ADDRESSES} are taken; split it")
    if not found:
        raise BadAddressError("there is no address in it; write one that begins with https://")
    usable: dict[str, None] = {}
    refused = []
    for place, text in found:
        try:
            usable[usable_address(text, hosts)] = None
        except BadAddressError as error:
            refused.append(f"{place}{_shown(text)} {error}")
    return Addresses(list(usable), refused)


def _shown(text: str) -> str:
    """Host and name of an address; nothing of what is none, as it may be anything."""
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    return shorten(shown_address(text), SHOWN_LENGTH) if is_address else "what is there"


def _shortcut(content: bytes) -> Iterable[Found]:
    section = ""
    for line in _text(content).splitlines():
        line = line.strip()
        key, equals, value = line.partition("=")
        if line.startswith("["):
            section = line.lower()
        elif section == "[internetshortcut]" and equals and key.strip().lower() == "url":
            return [("", value.strip())]
    return []


def _location(content: bytes) -> Iterable[Found]:
    try:
        said = plistlib.loads(content)
    # All that plistlib raises for damaged files; its own error is a ValueError.
    except (ValueError, ExpatError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise BadAddressError("it is no shortcut that can be read; make it again") from None
    address = said.get("URL") if isinstance(said, dict) else None
    return [("", address.strip())] if isinstance(address, str) else []


def _lines(content: bytes) -> Iterable[Found]:
    seen: set[str] = set()
    for number, line in enumerate(_text(content).splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#") and line not in seen:
            seen.add(line)
            yield f"line {number}: ", line


def _text(content: bytes) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        # Old Windows code pages: an address itself is ASCII.
        return content.decode("latin-1")


_READERS: dict[str, Callable[[bytes], Iterable[Found]]] = {
    "url": _shortcut,
    "webloc": _location,
    "urls": _lines,
}
