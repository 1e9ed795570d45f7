"""From complete files to rows: a new recording, one that changed before it was sent, a touch, or a rename.

What the database knows of a file is read and changed in one transaction; hashing comes before it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby, islice

from sqlite_utils import Database

from daemon.config.filenames import NOTHING, Facts, FactsOf
from daemon.config.models import WatchFolder
from daemon.files import content_hash
from daemon.intake.arrivals import Arrival, Intake, Kind, ending_of
from daemon.models import FileStamp, RecordingState
from daemon.storage.database import transaction
from daemon.storage.recordings import (
    KnownFile,
    add_recording,
    describe_recording,
    known_by_inode,
    known_files,
    move_recording,
    remember_file,
    renew_recording,
    split_path,
    touch_recording,
)
from daemon.storage.results import stored_reply

logger = logging.getLogger(__name__)

BATCH = 500

Hash = Callable[[FileStamp], str | None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when files are taken in; `name` is the folder as rows have it."""

    folder: WatchFolder
    name: str
    now: datetime
    facts_of: FactsOf = lambda _: NOTHING

    def facts(self, path: str) -> Facts:
        """What the name of the file says."""
        return self.facts_of(path[len(str(self.folder.path.absolute()).rstrip("/")) + 1 :])


def take_in(
    db: Database,
    folder: WatchFolder,
    arrivals: Iterable[Arrival],
    now: datetime,
    *,
    hash_of: Hash | None = None,
    facts_of: FactsOf = lambda _: NOTHING,
) -> Intake:
    """Write what the arrivals mean into the database, in transactions of at most BATCH files.

    `facts_of` reads names, relative to the folder. A file whose recording is being analyzed right now, or
    that could not be read, is left for later.
    """
    hash_of = hash_of or partial(content_hash, folder.root)
    intake = Intake()
    place = Place(folder, folder.name, now, facts_of)
    remaining = iter(arrivals)
    while batch := list(islice(remaining, BATCH)):
        hashes = {
            arrival.stamp.path: hash_of(arrival.stamp)
            for arrival, known in _with_known(db, batch)
            if _needs_hash(db, place, arrival, known)
        }
        with transaction(db):
            # Unknown names first: a file that was renamed away and replaced is then still known by its inode.
            for arrival, known in sorted(_with_known(db, batch), key=lambda pair: pair[1] is not None):
                _write(db, place, arrival, known, hashes, intake)
    return intake


def _with_known(db: Database, batch: list[Arrival]) -> Iterator[tuple[Arrival, KnownFile | None]]:
    ordered = sorted(batch, key=lambda arrival: split_path(arrival.stamp.path))
    for directory, group in groupby(ordered, key=lambda arrival: split_path(arrival.stamp.path)[0]):
        arrivals = {split_path(arrival.stamp.path)[1]: arrival for arrival in group}
        known = known_files(db, directory, arrivals)
        for name, arrival in arrivals.items():
            yield arrival, known.get(name)


def _needs_hash(db: Database, place: Place, arrival: Arrival, known: KnownFile | None) -> bool:
    if known is None:
        renamed = _renamed_from(db, place, arrival.stamp)
        return renamed is not None and _is_doubtful_rename(arrival.stamp, renamed)
    return _may_be_touched(arrival.stamp, known)


def _may_be_touched(stamp: FileStamp, known: KnownFile) -> bool:
    unsent = _is_unsent(known) or known.state == RecordingState.ANALYZING
    return (
        known.sha256 is not None
        and known.size_bytes == stamp.size_bytes
        and not known.has_stamp(stamp)
        and not unsent
    )


def _is_unsent(known: KnownFile) -> bool:
    """True for a recording that no request was made for and that may start anew with other bytes."""
    if known.state == RecordingState.SKIPPED:
        return known.error_code in ("empty", "gone")
    return known.state in (RecordingState.WAITING, RecordingState.FAILED) and known.attempts == 0


def _write(
    db: Database,
    place: Place,
    arrival: Arrival,
    known: KnownFile | None,
    hashes: dict[str, str | None],
    intake: Intake,
) -> None:
    stamp = arrival.stamp
    if known is None:
        known = _renamed_from(db, place, stamp)
        if known is None:
            _add(db, place, arrival, intake)
            intake.new.append(stamp.path)
            return
        if known.state == RecordingState.ANALYZING or _hash_missing(
            arrival, known, hashes, _is_doubtful_rename
        ):
            intake.later.append(stamp.path)
        elif _is_doubtful_rename(stamp, known) and hashes[stamp.path] != known.sha256:
            _add(db, place, arrival, intake)
        else:
            _rename(db, place, arrival, known, intake)
    elif known.has_stamp(stamp) and not known.is_gone:
        return
    elif known.state == RecordingState.ANALYZING or _hash_missing(arrival, known, hashes, _may_be_touched):
        intake.later.append(stamp.path)
    elif _is_unsent(known):
        _renew(db, place, arrival, known, intake)
        remember_file(db, place.name, stamp, known.recording_id)
    elif _may_be_touched(stamp, known) and hashes[stamp.path] == known.sha256:
        logger.debug("recording touched id=%d path=%r", known.recording_id, stamp.path)
        touch_recording(db, known.recording_id, stamp)
        remember_file(db, place.name, stamp, known.recording_id)
    elif known.state == RecordingState.WAITING and stored_reply(db, known.recording_id) is None:
        # Sent before without a result: what is there now is what it waits for.
        _renew(db, place, arrival, known, intake)
        remember_file(db, place.name, stamp, known.recording_id)
    elif _is_same_left_alone(stamp, known):
        remember_file(db, place.name, stamp, known.recording_id)
    else:
        _add(db, place, arrival, intake)


def _hash_missing(
    arrival: Arrival,
    known: KnownFile,
    hashes: dict[str, str | None],
    is_needed: Callable[[FileStamp, KnownFile], bool],
) -> bool:
    """True when the decision needs a hash that could not be made, or was not yet known to be needed."""
    return is_needed(arrival.stamp, known) and hashes.get(arrival.stamp.path) is None


def _is_same_left_alone(stamp: FileStamp, known: KnownFile) -> bool:
    """A file that was left alone and has only another inode: put back by a backup, it stays left alone."""
    left_alone = known.state == RecordingState.SKIPPED and known.error_code == "existing"
    return left_alone and known.has_stamp(stamp, inodes_last=False)


def _renamed_from(db: Database, place: Place, stamp: FileStamp) -> KnownFile | None:
    """The known file that is now at `stamp.path`: its inode, size and time, and no longer where it was."""
    for known in known_by_inode(db, place.name, stamp):
        try:
            status = os.lstat(known.path)
        except FileNotFoundError:
            return known
        except OSError:
            continue
        if status.st_ino != stamp.inode:
            return known
    return None


def _is_doubtful_rename(stamp: FileStamp, known: KnownFile) -> bool:
    """A time without a fraction is no fingerprint: a deleted file's inode is soon another one's."""
    return known.sha256 is not None and stamp.mtime_ns % 1_000_000_000 == 0


def _add(db: Database, place: Place, arrival: Arrival, intake: Intake) -> None:
    state, error_code, error = ending_of(arrival.kind, arrival.flaw)
    facts = place.facts(arrival.stamp.path)
    recording_id = add_recording(
        db,
        place.name,
        arrival.stamp,
        state=state,
        error_code=error_code,
        error=error,
        quiet=arrival.kind == Kind.QUIET,
        tags=place.folder.tags,
        recorded_at=facts.recorded_at,
        metadata=facts.metadata,
        now=place.now,
    )
    intake.queued += not error_code
    level = logging.DEBUG if arrival.kind == Kind.LEFT_ALONE else logging.INFO
    logger.log(
        level,
        "recording found id=%d path=%r kind=%s",
        recording_id,
        arrival.stamp.path,
        arrival.kind.name.lower(),
    )
    _say_incomplete(recording_id, arrival, error)
    if facts.stopped_at:
        text = "name does not fit filename_pattern id=%d path=%r: %s"
        level = logging.DEBUG if arrival.kind == Kind.LEFT_ALONE else logging.WARNING
        logger.log(level, text, recording_id, arrival.stamp.path, facts.stopped_at)


def _renew(db: Database, place: Place, arrival: Arrival, known: KnownFile, intake: Intake) -> None:
    state, error_code, error = ending_of(arrival.kind, arrival.flaw)
    renew_recording(
        db, known.recording_id, arrival.stamp, state=state, error_code=error_code, error=error, now=place.now
    )
    intake.queued += not error_code
    logger.info("recording changed before it was sent id=%d path=%r", known.recording_id, arrival.stamp.path)
    _say_incomplete(known.recording_id, arrival, error)


def _say_incomplete(recording_id: int, arrival: Arrival, error: str | None) -> None:
    if arrival.kind == Kind.INCOMPLETE:
        path = arrival.stamp.path
        logger.error("recording failed id=%d path=%r code=incomplete error=%s", recording_id, path, error)


def _rename(db: Database, place: Place, arrival: Arrival, known: KnownFile, intake: Intake) -> None:
    path = arrival.stamp.path
    logger.info("recording renamed id=%d path=%r from=%r", known.recording_id, path, known.path)
    move_recording(db, place.name, known, path)
    facts = place.facts(path)
    if facts.metadata or facts.recorded_at:
        describe_recording(db, known.recording_id, facts.recorded_at, facts.metadata)
    if known.is_gone:
        _renew(db, place, arrival, known, intake)
    remember_file(db, place.name, arrival.stamp, known.recording_id)
