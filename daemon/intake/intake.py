"""From complete files to rows: a new recording, one that changed before it was sent, a touch, or a rename.

Whatever the file system has to be asked comes first: a share that hangs while a transaction is open would
keep everybody else from writing. A file whose rows have changed meanwhile is left for later.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice

from sqlite_utils import Database

from daemon.config.filenames import NOTHING, Facts, FactsOf
from daemon.config.models import WatchFolder
from daemon.files import content_hash, device_above
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
Asking = Callable[[], AbstractContextManager[object]]
"""Makes what is entered around each question to the file system, so that one without an answer is noticed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when files are taken in; `name` is the folder as rows have it."""

    folder: WatchFolder
    name: str
    now: datetime
    facts_of: FactsOf
    hash_of: Hash
    asking: Asking

    def facts(self, path: str) -> Facts:
        """What the name of the file says."""
        return self.facts_of(path[len(str(self.folder.path.absolute()).rstrip("/")) + 1 :])


@dataclass(frozen=True, slots=True)
class Case:
    """An arrival with all that is needed to decide what it becomes.

    `known` is how the rows have the file: under its own path, else under the one that it was renamed from.
    `sha256` is None where it is not needed, and where the file could not be read.
    """

    arrival: Arrival
    known: KnownFile | None
    sha256: str | None = None

    @property
    def is_renamed(self) -> bool:
        """True when the rows have the file under another path, at which it is no more."""
        return self.known is not None and self.known.path != self.arrival.stamp.path


def take_in(
    db: Database,
    folder: WatchFolder,
    arrivals: Iterable[Arrival],
    now: datetime,
    *,
    hash_of: Hash | None = None,
    facts_of: FactsOf = lambda _: NOTHING,
    asking: Asking = nullcontext,
) -> Intake:
    """Write what the arrivals mean into the database, in transactions of at most BATCH files.

    `facts_of` reads names, relative to the folder. A file whose recording is being analyzed right now, or
    that could not be read, is left for later.
    """
    intake = Intake()
    place = Place(folder, folder.name, now, facts_of, hash_of or partial(content_hash, folder.root), asking)
    remaining = iter(arrivals)
    while batch := list(islice(remaining, BATCH)):
        is_new = [_known_file(db, arrival.stamp.path) is None for arrival in batch]
        # Unknown names first: a file that was renamed away and replaced is then still known by its inode.
        for wanted in (True, False):
            group = [arrival for arrival, new in zip(batch, is_new, strict=True) if new == wanted]
            if group:
                _take_in(db, place, group, intake)
    return intake


def _take_in(db: Database, place: Place, arrivals: list[Arrival], intake: Intake) -> None:
    cases = [_case(db, place, arrival) for arrival in arrivals]
    with transaction(db):
        for case in cases:
            if _is_current(db, case):
                _write(db, place, case, intake)
            else:
                intake.later.append(case.arrival.stamp.path)


def _case(db: Database, place: Place, arrival: Arrival) -> Case:
    stamp = arrival.stamp
    with place.asking():
        device = device_above(stamp.path)
    if device is not None:
        stamp = replace(stamp, device=device)
    known = _known_file(db, stamp.path) or _renamed_from(db, place, stamp)
    case = Case(replace(arrival, stamp=stamp), known)
    if not _needs_hash(case):
        return case
    with place.asking():
        return replace(case, sha256=place.hash_of(stamp))


def _is_current(db: Database, case: Case) -> bool:
    """Whether the rows still have the file as they had it when the case was made."""
    known = case.known
    if known is not None and case.is_renamed and _known_file(db, known.path) != known:
        return False
    return _known_file(db, case.arrival.stamp.path) == (None if case.is_renamed else known)


def _known_file(db: Database, path: str) -> KnownFile | None:
    directory, name = split_path(path)
    return known_files(db, directory, [name]).get(name)


def _needs_hash(case: Case) -> bool:
    is_doubtful = _is_doubtful_rename if case.is_renamed else _may_be_touched
    return case.known is not None and is_doubtful(case.arrival.stamp, case.known)


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


def _write(db: Database, place: Place, case: Case, intake: Intake) -> None:
    arrival, stamp, known = case.arrival, case.arrival.stamp, case.known
    is_hash_missing = _needs_hash(case) and case.sha256 is None
    if known is None:
        _add(db, place, arrival, intake)
        intake.new.append(stamp.path)
    elif case.is_renamed:
        if known.state == RecordingState.ANALYZING or is_hash_missing:
            intake.later.append(stamp.path)
        elif _is_doubtful_rename(stamp, known) and case.sha256 != known.sha256:
            _add(db, place, arrival, intake)
        else:
            _rename(db, place, arrival, known, intake)
    elif known.has_stamp(stamp) and not known.is_gone:
        return
    elif known.state == RecordingState.ANALYZING or is_hash_missing:
        intake.later.append(stamp.path)
    elif _is_unsent(known):
        _renew(db, place, arrival, known, intake)
        remember_file(db, place.name, stamp, known.recording_id)
    elif _may_be_touched(stamp, known) and case.sha256 == known.sha256:
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


def _is_same_left_alone(stamp: FileStamp, known: KnownFile) -> bool:
    """A file that was left alone and has only another inode: put back by a backup, it stays left alone."""
    left_alone = known.state == RecordingState.SKIPPED and known.error_code == "existing"
    return left_alone and known.has_stamp(stamp, inodes_last=False)


def _renamed_from(db: Database, place: Place, stamp: FileStamp) -> KnownFile | None:
    """Return the known file that is now at `stamp.path`: the same inode, and no longer where it was."""
    for known in known_by_inode(db, place.name, stamp):
        try:
            with place.asking():
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
