"""What becomes of originals once their recordings have ended: kept, deleted or moved, as the folder says.

Works off the rows that the trigger wrote with each result, so it happens after the commit and a crash forgets
nothing. Only the bytes that were analyzed are touched: a file that is another one by now stays.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from sqlite_utils import Database

from daemon.backoff import backoff
from daemon.config.after_analysis import AfterSuccess, Delete, MoveTo
from daemon.config.models import WatchFolder
from daemon.config.values import marker_name
from daemon.files import is_being_written, is_unmounted
from daemon.models import shown_path
from daemon.originals.move import (
    ChangedError,
    free_names,
    hash_of,
    is_same_content,
    make_directories,
    open_regular,
    put_in_place,
)
from daemon.storage.originals import (
    Original,
    Outcome,
    original_settled,
    original_stays,
    originals_due,
    plan_move,
    seconds_until_original,
)
from daemon.storage.recordings import places_of, signed_number, split_path, stored_time

logger = logging.getLogger(__name__)

BATCH = 50
LOOK_SECONDS = 5.0
FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 600.0


Roots = Callable[[], Iterable[tuple[str, bool]]]
"""The watched folders, by their paths without links, each with whether it is recursive."""


class NotNowError(Exception):
    """It cannot be done now; the text says why."""


def outcomes_of(folder: WatchFolder) -> list[tuple[str, Outcome]]:
    """The outcomes after which something is done to the originals of this folder, as rows name it."""
    wanted: list[tuple[str, Outcome]] = []
    if isinstance(folder.after_success, Delete | MoveTo):
        wanted.append((folder.name, "success"))
    if isinstance(folder.after_failure, MoveTo):
        wanted.append((folder.name, "failure"))
    return wanted


def tidy(
    db: Database,
    folder: WatchFolder,
    now: datetime,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    roots: Roots = tuple,
) -> float:
    """Do what is due and return the seconds until it is worth another look."""
    due = originals_due(db, folder.name, now, BATCH)
    for original in due:
        if is_stopped():
            return 0.0
        action = folder.after_failure if original.outcome == "failure" else folder.after_success
        try:
            _settle(db, folder, original, action, roots)
        except (NotNowError, OSError) as error:
            reason = str(error) if isinstance(error, NotNowError) else _reason(error)
            _postpone(db, original, reason, now)
    if len(due) == BATCH:
        return 0.0
    wait = seconds_until_original(db, folder.name, now)
    return LOOK_SECONDS if wait is None else min(max(wait, 0.1), LOOK_SECONDS)


def _settle(
    db: Database, folder: WatchFolder, original: Original, action: AfterSuccess, roots: Roots
) -> None:
    if not isinstance(action, Delete | MoveTo) or original.is_anothers:
        original_settled(db, original)
        return
    try:
        descriptor = open_regular(original.path)
    except FileNotFoundError:
        if is_unmounted(folder.path, places_of(db, original.recording_id)):
            raise NotNowError(f"{folder.path} is not there or not mounted; it is tried again") from None
        _gone(db, original)
        return
    except ChangedError:
        _leave(db, original)
        return
    try:
        _act(db, folder, original, action, descriptor, roots)
    except ChangedError:
        _leave(db, original)
    finally:
        os.close(descriptor)


def _act(
    db: Database,
    folder: WatchFolder,
    original: Original,
    action: Delete | MoveTo,
    descriptor: int,
    roots: Roots,
) -> None:
    _check_bytes(original, descriptor)
    directory = split_path(original.path)[0] or "/"
    if not os.access(directory, os.W_OK | os.X_OK):
        # Known beforehand, so that no second copy is made that the first cannot be exchanged for.
        raise NotNowError(f"{shown_path(directory)} may not be written to; it is tried again")
    if is_being_written(descriptor):
        raise NotNowError("another program has it open for writing; it is tried again")
    if isinstance(action, Delete):
        _remove(original, descriptor)
        original_settled(db, original, is_away=True)
        logger.info("original deleted id=%d path=%r", original.recording_id, original.path)
    else:
        target = _moved(db, folder, original, str(action.folder), descriptor, roots)
        original_settled(db, original, moved_to=target)
        logger.info("original moved id=%d path=%r to=%r", original.recording_id, original.path, target)
    _remove_marker(folder, original.path)


def _check_bytes(original: Original, descriptor: int) -> None:
    """ChangedError unless these are the bytes that were analyzed: by the stamp, else by reading them."""
    status = os.fstat(descriptor)
    stamp = (status.st_size, stored_time(status.st_mtime_ns), signed_number(status.st_ino))
    if stamp != original.stamp and (original.sha256 is None or hash_of(descriptor) != original.sha256):
        raise ChangedError


def _moved(
    db: Database, folder: WatchFolder, original: Original, top: str, descriptor: int, roots: Roots
) -> str:
    """Move the open file below `top`; returns where it is."""
    if not Path(top).is_dir():
        raise NotNowError(f"{top} is not there; create or mount it, it is tried again")
    real = os.path.realpath(top)
    for watched, recursive in ((os.path.realpath(folder.path), folder.recursive), *roots()):
        if real == watched or (recursive and real.startswith(watched.rstrip("/") + "/")):
            # Found again there, it would be moved again, for ever.
            raise NotNowError(f"{top} leads into the watched folder {watched}; write another one")
    relative, name = _below(folder, original.path)
    directory = make_directories(top.rstrip("/"), relative, str(folder.path))
    if os.path.realpath(directory) == os.path.realpath(split_path(original.path)[0] or "/"):
        # Tried again after it had been moved there.
        return original.path
    if original.target and is_same_content(descriptor, original.target):
        # Killed after the copy was there and before the original was gone.
        _remove(original, descriptor)
        return original.target
    for target in free_names(directory, name):
        if os.path.lexists(target):
            continue
        plan_move(db, original.recording_id, target)
        try:
            put_in_place(descriptor, original.path, target)
        except FileExistsError:
            continue
        _remove(original, descriptor)
        return target
    raise AssertionError("names never end")


def _gone(db: Database, original: Original) -> None:
    """The file is not where it was: because an interrupted move had got so far, or somebody took it away."""
    target = original.target
    if target is not None and os.path.lexists(target):
        original_settled(db, original, moved_to=target)
        logger.info("original moved id=%d path=%r to=%r", original.recording_id, original.path, target)
        return
    original_settled(db, original)
    logger.info("original gone already id=%d path=%r", original.recording_id, original.path)


def _leave(db: Database, original: Original) -> None:
    original_settled(db, original)
    text = "original left alone id=%d path=%r: it is another file than was analyzed"
    logger.warning(text, original.recording_id, original.path)


def _postpone(db: Database, original: Original, reason: str, now: datetime) -> None:
    pause = backoff(original.tries, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
    original_stays(db, original, reason, now + timedelta(seconds=pause))
    level = logging.DEBUG if original.tries else logging.WARNING
    text = "original not moved or deleted id=%d path=%r retry_in=%.0fs error=%s"
    logger.log(level, text, original.recording_id, original.path, pause, reason)


def _remove(original: Original, descriptor: int) -> None:
    """Delete the name of the open file, unless it is another file's by now."""
    if not os.path.samestat(os.lstat(original.path), os.fstat(descriptor)):
        raise ChangedError
    Path(original.path).unlink()


def _remove_marker(folder: WatchFolder, path: str) -> None:
    # Left behind, it would call the next file of this name complete before it is. One that is named after the
    # stem may be another file's too.
    directory, name = split_path(path)
    if folder.done_marker and "{name}" in folder.done_marker:
        with suppress(OSError):
            Path(directory, marker_name(folder.done_marker, name)).unlink()


def _below(folder: WatchFolder, path: str) -> tuple[str, str]:
    """Folder and name of the file relative to where it is kept: the watched folder, or that for failures."""
    tops = [str(folder.path.absolute())]
    if isinstance(folder.after_failure, MoveTo):
        tops.append(str(folder.after_failure.folder))
    directory, name = split_path(path)
    for top in tops:
        if directory == top.rstrip("/") or directory.startswith(top.rstrip("/") + "/"):
            return directory[len(top.rstrip("/")) + 1 :], name
    return "", name


def _reason(error: OSError) -> str:
    place = f"{shown_path(os.fsdecode(error.filename))}: " if error.filename else ""
    return f"{place}{error.strerror or type(error).__name__}; it is tried again"
