"""From a dropped list of addresses to rows: a recording for each address, none for the list itself.

A list is read once for each content it has. What it held before makes no new rows; an address that another
list brought becomes one, and the analysis finds out that it is a duplicate.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import datetime
from hashlib import sha256

from sqlite_utils import Database

from daemon.config.filenames import NOTHING, FactsOf
from daemon.config.models import WatchFolder
from daemon.files import reading, same_file
from daemon.intake.addresses import LARGEST_BYTES, NoAddressesError, addresses
from daemon.intake.arrivals import Arrival, Intake, Kind, ending_of
from daemon.intake.intake import Asking
from daemon.models import FileStamp, NewRecording, hosted_name
from daemon.storage.database import transaction
from daemon.storage.lists import (
    forget_list,
    has_recording_of,
    known_lists,
    lists_with_content,
    remember_list,
)
from daemon.storage.queue import add
from daemon.storage.recordings import split_path

logger = logging.getLogger(__name__)


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
    for arrival in arrivals:
        if arrival.kind == Kind.EMPTY:
            with transaction(db):
                remember_list(db, folder.name, arrival.stamp, None)
            continue
        with asking():
            content = (
                b"" if arrival.stamp.size_bytes > LARGEST_BYTES else _content(folder.root, arrival.stamp)
            )
        if content is None:
            intake.later.append(arrival.stamp.path)
            continue
        _take_in(db, folder, arrival, content, now, facts_of, asking, intake)
    return intake


def _take_in(
    db: Database,
    folder: WatchFolder,
    arrival: Arrival,
    content: bytes,
    now: datetime,
    facts_of: FactsOf,
    asking: Asking,
    intake: Intake,
) -> None:
    path, name = arrival.stamp.path, folder.name
    digest = sha256(content).hexdigest() if content else None
    found: list[str] = []
    try:
        if not content:
            raise NoAddressesError(f"it has more than {LARGEST_BYTES} bytes; split it")
        taken = addresses(split_path(path)[1], content)
        found = taken.usable
        if taken.refused:
            text = "addresses not taken path=%r count=%d: they are not http:// or https:// ones; correct them"
            logger.warning(text, path, taken.refused)
    except NoAddressesError as error:
        logger.warning("list of addresses not taken path=%r error=%s", path, error)
    gone: set[str] = set()
    if digest:
        # Which of them was renamed: asked before the transaction, because their share may hang.
        with asking():
            alike = lists_with_content(db, name, digest)
            gone = {known.path for known in alike if not os.path.lexists(known.path)}
    with transaction(db):
        before = known_lists(db, *_directory_and_names(path)).get(split_path(path)[1])
        alike = [] if before or not digest else lists_with_content(db, name, digest)
        renamed = next((known for known in alike if known.path in gone), None)
        remember_list(db, name, arrival.stamp, digest)
        if renamed:
            forget_list(db, renamed.path)
        if renamed or (before and before.sha256 == digest):
            return
        # In a list that was changed, what it brought before is no news.
        was_read = before is not None and before.sha256 is not None
        new = [url for url in found if not was_read or not has_recording_of(db, name, url)]
        for url in new:
            _add(db, folder, arrival.kind, url, now, facts_of)
    if arrival.kind != Kind.LEFT_ALONE:
        intake.queued += len(new)
    if found:
        logger.info("list of addresses read path=%r addresses=%d new=%d", path, len(found), len(new))


def _add(db: Database, folder: WatchFolder, kind: Kind, url: str, now: datetime, facts_of: FactsOf) -> None:
    facts = facts_of(hosted_name(url))
    new = NewRecording(
        source=url,
        is_url=True,
        folder=folder.name,
        quiet=kind == Kind.QUIET,
        tags=folder.tags,
        recorded_at=facts.recorded_at,
        metadata=facts.metadata,
    )
    recording_id = add(db, new, now, ending=ending_of(kind))
    # Its name only: an address may hold a key.
    logger.debug("recording found id=%d name=%r", recording_id, hosted_name(url))
    if facts.stopped_at and kind != Kind.LEFT_ALONE:
        logger.warning("name does not fit filename_pattern id=%d: %s", recording_id, facts.stopped_at)


def _directory_and_names(path: str) -> tuple[str, list[str]]:
    directory, name = split_path(path)
    return directory, [name]


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
