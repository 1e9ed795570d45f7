"""Delete or move the originals of recordings that have ended, as the folder's configuration says.

Works off the rows that were written with each result, so it happens after the commit and a crash forgets
nothing. Only the bytes that were analyzed are touched: a file that is another one by now stays. Everything is
done by open descriptors of the directories, so that no link below the folder is followed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from daemon.backoff import backoff
from daemon.config.after_analysis import AfterSuccess, Delete, MoveTo
from daemon.config.models import WatchFolder
from daemon.config.values import marker_name
from daemon.files import (
    NotRegularError,
    OutsideError,
    directory_below,
    hash_of,
    is_being_written,
    is_unmounted,
    open_in,
    reading,
)
from daemon.models import shown_path
from daemon.originals.move import (
    ChangedError,
    free_names,
    is_same_content,
    open_target,
    put_in_place,
    remove_leftovers,
)
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.originals import (
    Original,
    Outcome,
    original_settled,
    original_stays,
    originals_due,
    plan_move,
    seconds_until_original,
)
from daemon.storage.recordings import places_of, split_path, stamp_of

logger = logging.getLogger(__name__)

BATCH = 50
LOOK_SECONDS = 5.0
FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 600.0
LEAST_PATIENCE_SECONDS = 60.0
"""Before a file that is not where it was is taken for gone."""


Roots = Callable[[], Iterable[tuple[str, bool]]]
"""The watched folders, by their paths without links, each with whether it is recursive."""


class NotNowError(Exception):
    """It cannot be done now; the text says why, and is empty where nobody need hear of it."""


@dataclass(frozen=True, slots=True)
class OpenOriginal:
    """The file of an original and the directory that it is in, both as open descriptors."""

    directory: int
    name: str
    descriptor: int


def outcomes_of(folder: WatchFolder) -> list[tuple[str, Outcome]]:
    """Return the folder's name with each outcome after which its originals are moved or deleted."""
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
    batch: int = BATCH,
) -> float:
    """Do what is due for one folder and return the seconds until it is worth another look.

    `roots` says where the watched folders are, without links; at most `batch` originals are tended at once.
    """
    due = originals_due(db, folder.name, now, batch)
    for original in due:
        if is_stopped():
            return 0.0
        actions = {"success": folder.after_success, "failure": folder.after_failure, "deletion": Delete()}
        try:
            _settle(db, folder, original, actions[original.outcome], roots)
        except (NotNowError, OSError) as error:
            reason = str(error) if isinstance(error, NotNowError) else reason_of(error)
            _postpone(db, original, reason, now)
    if len(due) == batch:
        return 0.0
    wait = seconds_until_original(db, folder.name, now)
    return LOOK_SECONDS if wait is None else min(max(wait, 0.1), LOOK_SECONDS)


def delete_file(
    db: Database, folder: WatchFolder, original: Original
) -> Literal["deleted", "gone", "another's"]:
    """Delete the file of a recording, which must have ended, and return what became of it.

    Raises NotNowError or OSError when it stays. One that is another one by now is not touched.
    """
    place = folder.place_of(original.path)
    if place == "/":
        raise NotNowError("it is in no folder of the configuration; delete it by hand")
    if original.is_anothers:
        return "another's"
    try:
        with _opened(place, original.path) as file:
            _check(original, file)
            _remove(file)
            _remove_marker(folder, file)
    except (FileNotFoundError, NotADirectoryError):
        if is_unmounted(Path(place), places_of(db, original.recording_id)):
            raise NotNowError(f"{place} is not there or not mounted") from None
        return "gone"
    except ChangedError:
        return "another's"
    return "deleted"


def _settle(
    db: Database, folder: WatchFolder, original: Original, action: AfterSuccess, roots: Roots
) -> None:
    if not isinstance(action, Delete | MoveTo) or original.is_anothers:
        with transaction(db):
            original_settled(db, original)
        return
    place = folder.place_of(original.path)
    try:
        with ExitStack() as closing:
            try:
                file = closing.enter_context(_opened(place, original.path))
            except (FileNotFoundError, NotADirectoryError):
                if is_unmounted(Path(place), places_of(db, original.recording_id)):
                    raise NotNowError(f"{place} is not there or not mounted; it is tried again") from None
                _gone(db, folder, original)
                return
            _act(db, folder, original, action, file, roots)
    except ChangedError:
        _leave(db, original)


@contextmanager
def _opened(root: str, path: str) -> Iterator[OpenOriginal]:
    """Open the file at `path`; ChangedError when something that is no file is in its place."""
    above, name = split_path(path)
    directory = directory_below(root, above or "/")
    try:
        descriptor = _open_in(directory, name)
        try:
            yield OpenOriginal(directory, name, descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.close(directory)


def _open_in(directory: int, name: str) -> int:
    try:
        return open_in(directory, name)
    except (OutsideError, NotRegularError) as error:
        raise ChangedError from error


def _act(
    db: Database,
    folder: WatchFolder,
    original: Original,
    action: Delete | MoveTo,
    file: OpenOriginal,
    roots: Roots,
) -> None:
    _check(original, file)
    if isinstance(action, Delete):
        _remove(file)
        with transaction(db):
            original_settled(db, original, is_away=True)
        logger.info("original deleted recording=%d path=%s", original.recording_id, original.path)
    else:
        _note_moved(db, original, _moved(db, folder, original, str(action.folder), file, roots))
    _remove_marker(folder, file)


def _check(original: Original, file: OpenOriginal) -> None:
    """Raise ChangedError or NotNowError unless the file is the one that is meant and may be taken away."""
    _check_bytes(original, file.descriptor)
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=file.directory):
        # Known beforehand, so that no second copy is made that the first cannot be exchanged for.
        raise NotNowError(f"{shown_path(original.path)}: its folder may not be written to; it is tried again")
    if is_being_written(file.descriptor):
        raise NotNowError("another program has it open for writing; it is tried again")


def _check_bytes(original: Original, descriptor: int) -> None:
    """Raise ChangedError unless these bytes were analyzed: by the stamp, else by reading them."""
    if stamp_of(os.fstat(descriptor)) != original.stamp and (
        original.sha256 is None or hash_of(descriptor) != original.sha256
    ):
        raise ChangedError


def _moved(
    db: Database, folder: WatchFolder, original: Original, top: str, file: OpenOriginal, roots: Roots
) -> str:
    """Move the open file below `top`, with its subfolders, and return the path where it is then."""
    _check_target(folder, top, roots)
    place = _target_of(folder, original.path, top)
    try:
        directory = open_target(top, place[len(top) :])
    except OutsideError as error:
        raise NotNowError(f"{shown_path(place)}: {error.strerror}; put a folder there") from error
    try:
        if os.path.samestat(os.fstat(directory), os.fstat(file.directory)):
            # Tried again after it had been moved there.
            return original.path
        if original.target:
            if is_same_content(file.descriptor, top, original.target):
                # Killed after the copy was there and before the original was gone.
                _remove(file)
                return original.target
            remove_leftovers(directory, str(original.recording_id))
        return _placed(db, original, file, directory, place)
    finally:
        os.close(directory)


def _check_target(folder: WatchFolder, top: str, roots: Roots) -> None:
    if not Path(top).is_dir():
        raise NotNowError(f"{top} is not there; create or mount it, it is tried again")
    real = os.path.realpath(top)
    for watched, recursive in ((os.path.realpath(folder.path), folder.recursive), *roots()):
        if real == watched or (recursive and real.startswith(watched.rstrip("/") + "/")):
            # Found again there, it would be moved again, for ever.
            raise NotNowError(f"{top} leads into the watched folder {watched}; write another one")


def _target_of(folder: WatchFolder, path: str, top: str) -> str:
    """Return the directory below `top` for the file at `path`, in the subfolders that it is in now."""
    place = folder.place_of(path)
    below = split_path(path)[0][len(place.rstrip("/")) + 1 :] if place != "/" else ""
    return f"{top.rstrip('/')}/{below}".rstrip("/")


def _placed(db: Database, original: Original, file: OpenOriginal, directory: int, place: str) -> str:
    """Move the open file into the open directory, which is at `place`, under the first free name."""
    for name in free_names(file.name):
        if _is_taken(directory, name):
            continue
        target = f"{place}/{name}"
        with transaction(db):
            plan_move(db, original.recording_id, target)
        try:
            put_in_place(file.descriptor, directory, name, str(original.recording_id))
        except FileExistsError:
            continue
        _remove(file)
        return target
    raise AssertionError("names never end")


def _is_taken(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _gone(db: Database, folder: WatchFolder, original: Original) -> None:
    """Settle one that is not where it was: an interrupted move had got so far, or somebody took it away.

    A file that was renamed while it was analyzed is found under its new name only afterwards, perhaps by a
    listing. Until there was one, it is waited for; then the recording has the new path.
    """
    target = original.target
    if target is not None and _has_arrived(folder, original, target):
        _note_moved(db, original, target)
        return
    patience = max(LEAST_PATIENCE_SECONDS, 2 * folder.rescan)
    if original.outcome != "deletion" and sum(map(_pause, range(original.tries))) <= patience:
        raise NotNowError
    with transaction(db):
        original_settled(db, original)
    logger.info("original gone already recording=%d path=%s", original.recording_id, original.path)


def _note_moved(db: Database, original: Original, target: str) -> None:
    with transaction(db):
        original_settled(db, original, moved_to=target)
    logger.info("original moved recording=%d path=%s to=%s", original.recording_id, original.path, target)


def _has_arrived(folder: WatchFolder, original: Original, target: str) -> bool:
    try:
        with reading(folder.place_of(target), target) as descriptor:
            return original.sha256 is None or hash_of(descriptor) == original.sha256
    except (FileNotFoundError, NotADirectoryError, OutsideError, NotRegularError):
        return False


def _leave(db: Database, original: Original) -> None:
    with transaction(db):
        original_settled(db, original)
    text = "original left alone, it is another file than was analyzed recording=%d path=%s"
    logger.warning(text, original.recording_id, original.path)


def _postpone(db: Database, original: Original, reason: str, now: datetime) -> None:
    pause = _pause(original.tries)
    with transaction(db):
        original_stays(db, original, reason or None, now + timedelta(seconds=pause))
    level = logging.DEBUG if original.tries or not reason else logging.WARNING
    text = "original not moved or deleted recording=%d path=%s retry_seconds=%.0f error=%s"
    logger.log(level, text, original.recording_id, original.path, pause, reason)


def _pause(tries: int) -> float:
    return backoff(tries, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)


def _remove(file: OpenOriginal) -> None:
    """Delete the name of the open file, unless it is another file's by now."""
    status = os.stat(file.name, dir_fd=file.directory, follow_symlinks=False)
    if not os.path.samestat(status, os.fstat(file.descriptor)):
        raise ChangedError
    os.unlink(file.name, dir_fd=file.directory)


def _remove_marker(folder: WatchFolder, file: OpenOriginal) -> None:
    # Left behind, it would call the next file of this name complete before it is. One that is named after the
    # stem may be another file's too.
    if folder.done_marker and "{name}" in folder.done_marker:
        with suppress(OSError):
            os.unlink(marker_name(folder.done_marker, file.name), dir_fd=file.directory)


def reason_of(error: OSError) -> str:
    """Say what failed, for people."""
    place = f"{shown_path(os.fsdecode(error.filename))}: " if error.filename else ""
    return f"{place}{error.strerror or type(error).__name__}; it is tried again"
