"""Store what complete files become: a new recording, one with other bytes, or the same under another name.

The file system is asked before the transaction: a share that hangs within would keep everybody else from
writing. A file whose rows have changed meanwhile is left for later.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import compress, islice
from operator import not_

from daemon.files import content_hash, device_above
from daemon.intake.arrivals import Arrival, Intake, Kind, Place, early_ending, sibling_ending
from daemon.intake.decide import Action, beaten, decide, needs_hash, rival
from daemon.models import Ending, FileStamp, NewRecording, RecordingState, shown_path
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.queue import add, add_all, end, renew
from daemon.storage.recordings import (
    KnownFile,
    describe_recording,
    has_marks,
    is_marked,
    known_at,
    known_by_inode,
    known_files,
    mark,
    modified_at,
    move_recording,
    remember_file,
    remember_files,
    siblings,
    split_path,
    touch_recording,
)

logger = logging.getLogger(__name__)

BATCH = 500

Hash = Callable[[str, FileStamp], str | None]


@dataclass(frozen=True, slots=True)
class Case:
    """An arrival with all that `decide` needs."""

    arrival: Arrival
    known: KnownFile | None
    sha256: str | None
    is_marked: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the rows know nothing of the file, so that it is a new recording."""
        return self.known is None and not self.is_marked


def take_in(
    db: Database, place: Place, arrivals: Iterable[Arrival], *, hash_of: Hash = content_hash
) -> Intake:
    """Write what the arrivals mean into the database, in transactions of at most BATCH files.

    A file whose recording is being analyzed right now, or that could not be read, is left for later.
    """
    intake = Intake()
    remaining = iter(arrivals)
    while batch := list(islice(remaining, BATCH)):
        known = known_at(db, (arrival.stamp.path for arrival in batch))
        # Unknown names first: a file that was renamed, and replaced by another, is still known by its inode.
        if unknown := [arrival for arrival in batch if arrival.stamp.path not in known]:
            _take_in(db, place, unknown, {}, hash_of, intake)
        if others := [arrival for arrival in batch if arrival.stamp.path in known]:
            known = known_at(db, known)
            _take_in(db, place, others, known, hash_of, intake)
    return intake


def _take_in(
    db: Database,
    place: Place,
    arrivals: list[Arrival],
    known: Mapping[str, KnownFile],
    hash_of: Hash,
    intake: Intake,
) -> None:
    cases = _cases(db, place, arrivals, known, hash_of)
    # One whose format is chosen among several is looked at by itself.
    plain = [case.is_plain and not place.folder.prefer for case in cases]
    with transaction(db):
        _add_unknown(db, place, list(compress(cases, plain)), intake)
        for case in compress(cases, map(not_, plain)):
            stamp = case.arrival.stamp
            action = Action.LATER
            if _is_current(db, case):
                action = decide(case.known, stamp, case.sha256, is_marked=case.is_marked)
            _apply(db, place, case, action, intake)


def _cases(
    db: Database, place: Place, arrivals: list[Arrival], known: Mapping[str, KnownFile], hash_of: Hash
) -> list[Case]:
    """Ask rows and files for what `decide` needs; the rows for all at once, because there may be many.

    `known` are those of the files that have rows under their own paths.
    """
    arrivals = _on_device(place, arrivals)
    unknown = [arrival.stamp for arrival in arrivals if arrival.stamp.path not in known]
    earlier = known_by_inode(db, place.name, unknown)
    marks = has_marks(db)
    cases = []
    for arrival in arrivals:
        stamp = arrival.stamp
        found = known.get(stamp.path) or _renamed_from(place, stamp, earlier.get(stamp.path, ()))
        sha256 = None
        if needs_hash(found, stamp):
            with place.asking():
                sha256 = hash_of(place.folder.root, stamp)
        cases.append(Case(arrival, found, sha256, marks and found is None and is_marked(db, stamp)))
    return cases


def _on_device(place: Place, arrivals: list[Arrival]) -> list[Arrival]:
    """Return the arrivals with the device of the directory that each is in."""
    devices: dict[str, int | None] = {}
    located = []
    for arrival in arrivals:
        directory, _ = split_path(arrival.stamp.path)
        if directory not in devices:
            with place.asking():
                devices[directory] = device_above(arrival.stamp.path)
        if (device := devices[directory]) not in (None, arrival.stamp.device):
            arrival = replace(arrival, stamp=replace(arrival.stamp, device=device))
        located.append(arrival)
    return located


def _is_current(db: Database, case: Case) -> bool:
    """Return whether the rows still have the file as they had it when the case was made."""
    path, known = case.arrival.stamp.path, case.known
    if known is None and not case.is_marked and is_marked(db, case.arrival.stamp):
        # Its recording was deleted since.
        return False
    if known is None or known.path == path:
        return _known_file(db, path) == known
    return _known_file(db, path) is None and _known_file(db, known.path) == known


def _known_file(db: Database, path: str) -> KnownFile | None:
    directory, name = split_path(path)
    return known_files(db, directory, [name]).get(name)


def _renamed_from(place: Place, stamp: FileStamp, candidates: Iterable[KnownFile]) -> KnownFile | None:
    """Return the known file that is now at `stamp.path`: the same inode, and no longer where it was."""
    for known in candidates:
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


def _apply(db: Database, place: Place, case: Case, action: Action, intake: Intake) -> None:
    arrival, stamp, known = case.arrival, case.arrival.stamp, case.known
    if action == Action.NOTHING:
        return
    if action == Action.LATER:
        intake.later.append(stamp.path)
        return
    if action == Action.MARK:
        mark(db, place.name, stamp)
        return
    if place.folder.prefer and (action == Action.ADD or _is_renewed(action, known)):
        arrival = _among_siblings(db, place, arrival)
    if action == Action.ADD or known is None:
        new, ending = _new_recording(place, arrival)
        recording_id = add(db, new, place.now, ending=ending)
        _note_new(place, arrival, recording_id, ending, intake)
        intake.new += [] if known else [stamp.path]
    else:
        recording_id = known.recording_id
        if action in (Action.RENAME, Action.RENAME_AND_RENEW):
            _rename(db, place, stamp.path, known)
        if action in (Action.RENEW, Action.RENAME_AND_RENEW):
            _renew(db, place, arrival, recording_id, intake)
        if action == Action.TOUCH:
            logger.debug("recording touched recording=%d path=%s", recording_id, stamp.path)
            touch_recording(db, recording_id, stamp)
    remember_file(db, place.name, stamp, recording_id)


def _is_renewed(action: Action, known: KnownFile | None) -> bool:
    """Return whether a file that was skipped is taken up again."""
    is_skipped = known is not None and known.state == RecordingState.SKIPPED
    return is_skipped and action in (Action.RENEW, Action.RENAME_AND_RENEW)


def _among_siblings(db: Database, place: Place, arrival: Arrival) -> Arrival:
    """Return the arrival, as a SIBLING where another file of the recording is taken; else skip the others."""
    if arrival.kind not in (Kind.COMPLETE, Kind.QUIET, Kind.LEFT_ALONE):
        return arrival
    path, rank = arrival.stamp.path, place.folder.rank
    others = siblings(db, path)
    ranked = [(rank(each.path), each) for each in others]
    if winner := rival(rank(path), ranked, is_left_alone=arrival.kind == Kind.LEFT_ALONE):
        return replace(arrival, kind=Kind.SIBLING, flaw=shown_path(split_path(winner.path)[1]))
    ending = sibling_ending(shown_path(split_path(path)[1]))
    for loser in beaten(others):
        end(db, loser.recording_id, ending, place.now)
        logger.info(
            "recording skipped recording=%d path=%s code=%s", loser.recording_id, loser.path, ending.code
        )
    return arrival


def _add_unknown(db: Database, place: Place, cases: list[Case], intake: Intake) -> None:
    """Add a recording for each of these files, but for those that the rows know meanwhile."""
    known = known_at(db, (case.arrival.stamp.path for case in cases))
    marks = has_marks(db)
    arrivals: dict[str, Arrival] = {}
    for case in cases:
        stamp = case.arrival.stamp
        if stamp.path in known or stamp.path in arrivals or (marks and is_marked(db, stamp)):
            intake.later.append(stamp.path)
        else:
            arrivals[stamp.path] = case.arrival
    found = [_new_recording(place, arrival) for arrival in arrivals.values()]
    ids = add_all(db, found, place.now)
    for arrival, (_, ending), recording_id in zip(arrivals.values(), found, ids, strict=True):
        _note_new(place, arrival, recording_id, ending, intake)
    intake.new += arrivals
    stamps = (arrival.stamp for arrival in arrivals.values())
    remember_files(db, place.name, zip(stamps, ids, strict=True))


def _new_recording(place: Place, arrival: Arrival) -> tuple[NewRecording, Ending | None]:
    stamp, kind = arrival.stamp, arrival.kind
    facts = place.facts(stamp.path)
    new = NewRecording(
        source=stamp.path,
        is_url=False,
        folder=place.name,
        size_bytes=stamp.size_bytes,
        modified_at=modified_at(stamp),
        quiet=kind == Kind.QUIET,
        tags=place.folder.tags,
        recorded_at=facts.recorded_at,
        metadata=facts.metadata,
    )
    return new, early_ending(kind, arrival.flaw)


def _note_new(
    place: Place, arrival: Arrival, recording_id: int, ending: Ending | None, intake: Intake
) -> None:
    stamp, kind = arrival.stamp, arrival.kind
    intake.queued += ending is None
    is_left_alone = kind == Kind.LEFT_ALONE
    text = "recording found recording=%d path=%s folder=%s kind=%s"
    level = logging.DEBUG if is_left_alone else logging.INFO
    logger.log(level, text, recording_id, stamp.path, place.name, kind.name.lower())
    _say_incomplete(recording_id, arrival, ending)
    if rest := place.facts(stamp.path).stopped_at:
        text = "name does not fit filename_pattern recording=%d path=%s rest=%s"
        level = logging.DEBUG if is_left_alone else logging.WARNING
        logger.log(level, text, recording_id, stamp.path, rest)


def _renew(db: Database, place: Place, arrival: Arrival, recording_id: int, intake: Intake) -> None:
    ending = early_ending(arrival.kind, arrival.flaw)
    stamp = arrival.stamp
    renew(db, recording_id, stamp.size_bytes, modified_at(stamp), place.now, ending=ending)
    intake.queued += ending is None
    logger.info("recording changed before it was sent recording=%d path=%s", recording_id, stamp.path)
    _say_incomplete(recording_id, arrival, ending)


def _say_incomplete(recording_id: int, arrival: Arrival, ending: Ending | None) -> None:
    if arrival.kind == Kind.INCOMPLETE and ending:
        text = "recording failed recording=%d path=%s code=%s error=%s"
        logger.error(text, recording_id, arrival.stamp.path, ending.code, ending.error)


def _rename(db: Database, place: Place, path: str, known: KnownFile) -> None:
    logger.info("recording renamed recording=%d path=%s from=%s", known.recording_id, path, known.path)
    move_recording(db, place.name, known, path)
    facts = place.facts(path)
    if facts.metadata or facts.recorded_at:
        describe_recording(db, known.recording_id, facts.recorded_at, facts.metadata)
