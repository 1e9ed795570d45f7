"""Write results as files beside their originals, or below another folder: `call.wav.json`, `call.wav.vtt`.

Handles the rows written with each result, once the original is where it will stay: after a move the sidecar
lies beside the moved file. All is done through open descriptors of directories, so that no link below the
folder is followed, and only our own files are replaced.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from daemon.backoff import backoff
from daemon.config.models import WatchFolder
from daemon.errors import EarshotError
from daemon.files import directory_below, is_unmounted
from daemon.models import shown_path
from daemon.originals.move import LONGEST_NAME_BYTES, NewFile, free_names, open_target
from daemon.originals.originals import (
    BATCH,
    FIRST_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    LOOK_SECONDS,
    NotNowError,
    reason_of,
)
from daemon.storage.connection import Database
from daemon.storage.recordings import places_of, split_path
from daemon.storage.sidecars import (
    Sidecar,
    left_sidecar_gone,
    left_sidecars,
    plan_sidecar,
    sidecar_settled,
    sidecar_stays,
    sidecars_due,
)

logger = logging.getLogger(__name__)

PRIVATE = 0o600

Render = Callable[[Database, int, str], str | None]
"""Returns a recording in a format; None when it is gone, EarshotError when it cannot have that format."""


def write_sidecars(db: Database, folder: WatchFolder, render: Render, now: datetime) -> float:
    """Write the due sidecars of a folder, and return the seconds until the next look."""
    remove_left(db, folder)
    due = sidecars_due(db, folder.name, now, BATCH)
    for sidecar in due:
        try:
            _write(db, folder, sidecar, render)
        except (NotNowError, OSError) as error:
            reason = str(error) if isinstance(error, NotNowError) else reason_of(error)
            _postpone(db, sidecar, reason, now)
    return 0.0 if len(due) == BATCH else LOOK_SECONDS


def remove_left(db: Database, folder: WatchFolder) -> dict[str, str]:
    """Delete the sidecars of a folder's deleted recordings; return those that stay, with the reason.

    A file that is not the one we wrote is left there and not tracked any more.
    """
    stay = {}
    for path, inode, name in left_sidecars(db):
        if name != folder.name:
            continue
        try:
            _remove(folder, path, inode)
        except OSError as error:
            stay[path] = reason_of(error)
        else:
            left_sidecar_gone(db, path)
            logger.info("sidecar of a deleted recording deleted path=%s", shown_path(path))
    return stay


def _remove(folder: WatchFolder, path: str, inode: int) -> None:
    above, name = split_path(path)
    place = (
        folder.into
        if folder.into and path.startswith(f"{folder.into.rstrip('/')}/")
        else folder.place_of(path)
    )
    try:
        directory = directory_below(place, above or "/")
    except FileNotFoundError:
        # If the folder is missing too, it may only be unmounted.
        if not Path(place).is_dir():
            raise
        return
    try:
        with suppress(FileNotFoundError):
            if os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino == inode:
                os.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)


def _write(db: Database, folder: WatchFolder, sidecar: Sidecar, render: Render) -> None:
    try:
        content = render(db, sidecar.recording_id, sidecar.format)
    except EarshotError as error:
        logger.warning(
            "no sidecar recording=%d format=%s error=%s", sidecar.recording_id, sidecar.format, error
        )
        sidecar_settled(db, sidecar, error=str(error))
        return
    if content is None:
        return
    place = folder.place_of(sidecar.original)
    try:
        directory, path = _directory(folder, sidecar.original, place)
    except FileNotFoundError as error:
        top = Path(place if folder.into is None else folder.into)
        if is_unmounted(top, places_of(db, sidecar.recording_id)):
            raise NotNowError(f"{top} is not there or not mounted; it is tried again") from error
        sidecar_settled(db, sidecar, error="the folder of its original is gone")
        return
    try:
        with NewFile(
            directory,
            f"sidecar-{sidecar.recording_id}",
            content.encode("utf-8", "backslashreplace"),
            _mode_like(place, sidecar.original),
        ) as new:
            written = _put(db, sidecar, new, directory, path)
    finally:
        os.close(directory)
    sidecar_settled(db, sidecar)
    logger.info(
        "sidecar written recording=%d format=%s path=%s",
        sidecar.recording_id,
        sidecar.format,
        shown_path(written),
    )


def _directory(folder: WatchFolder, original: str, place: str) -> tuple[int, str]:
    """Open the directory for the sidecars of a file; return descriptor and path."""
    above = split_path(original)[0]
    if folder.into is None:
        return directory_below(place, above or "/"), above
    relative = above[len(place.rstrip("/")) :] if place != "/" else ""
    return open_target(folder.into, relative), folder.into.rstrip("/") + relative


def _put(db: Database, sidecar: Sidecar, new: NewFile, directory: int, above: str) -> str:
    """Give the new file its name and return its path; replaces our own earlier one, never another file."""
    before = sidecar.path
    if before is not None and split_path(before)[0] == above and _is_ours(sidecar, directory, before):
        plan_sidecar(db, sidecar, before, new.inode)
        new.replace(split_path(before)[1])
        return before
    for name in free_names(_name(sidecar)):
        path = f"{above}/{name}"
        plan_sidecar(db, sidecar, path, new.inode)
        with suppress(FileExistsError):
            new.publish(name)
            return path
    raise AssertionError("names do not end")


def _is_ours(sidecar: Sidecar, directory: int, path: str) -> bool:
    try:
        status = os.stat(split_path(path)[1], dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return status.st_ino == sidecar.inode


def _name(sidecar: Sidecar) -> str:
    ending = f".{sidecar.format}"
    name = os.fsencode(split_path(sidecar.original)[1])
    return os.fsdecode(name[: LONGEST_NAME_BYTES - len(ending)]) + ending


def _mode_like(place: str, original: str) -> int:
    """Return a mode that lets those read who may hear the original; PRIVATE when that is gone."""
    above, name = split_path(original)
    try:
        directory = directory_below(place, above or "/")
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode & 0o666 | PRIVATE
        finally:
            os.close(directory)
    except OSError:
        return PRIVATE


def _postpone(db: Database, sidecar: Sidecar, reason: str, now: datetime) -> None:
    pause = backoff(sidecar.tries, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
    sidecar_stays(db, sidecar, reason, now + timedelta(seconds=pause))
    level = logging.DEBUG if sidecar.tries else logging.WARNING
    text = "sidecar not written recording=%d format=%s retry_seconds=%.0f error=%s"
    logger.log(level, text, sidecar.recording_id, sidecar.format, pause, reason)
