"""Decide what a complete file becomes, by what the rows know of it. Pure: each case is a line in its test."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from daemon.models import FileStamp, RecordingState
from daemon.storage.recordings import KnownFile


class Action(Enum):
    """What is to be done with the rows of a file."""

    NOTHING = auto()
    """It is known as it is."""
    ADD = auto()
    """A new recording."""
    RENEW = auto()
    """Its recording was never sent: it begins anew with what is there now."""
    TOUCH = auto()
    """The same bytes with another time or inode: the row follows."""
    RENAME = auto()
    """The same file at another path: the row follows."""
    RENAME_AND_RENEW = auto()
    """The same, and its recording was set aside because the file could not be found."""
    REMEMBER = auto()
    """It was left alone and stays so; only how it looks has changed."""
    MARK = auto()
    """Its recording was deleted: it stays marked."""
    LATER = auto()
    """It cannot be decided now: the recording is being analyzed, or the file cannot be read."""


def decide(
    known: KnownFile | None, stamp: FileStamp, sha256: str | None, *, is_marked: bool = False
) -> Action:
    """Return what is to be done with the file that has this stamp.

    `known` is how the rows have it: under its own path, else under the one that it was renamed from, at
    which it is no more. `sha256` is that of its bytes where `needs_hash` asks for it, None where it could
    not be read. `is_marked` says that it is the file of a recording that was deleted.
    """
    if known is None:
        return Action.MARK if is_marked else Action.ADD
    if known.path == stamp.path and known.has_stamp(stamp) and not known.is_gone:
        return Action.NOTHING
    is_hash_needed = needs_hash(known, stamp)
    if known.state == RecordingState.ANALYZING or (is_hash_needed and sha256 is None):
        return Action.LATER
    if known.path != stamp.path:
        if is_hash_needed and sha256 != known.sha256:
            return Action.ADD
        return Action.RENAME_AND_RENEW if known.is_gone else Action.RENAME
    if _is_same_left_alone(known, stamp):
        return Action.REMEMBER
    if _is_unsent(known):
        return Action.RENEW
    if is_hash_needed and sha256 == known.sha256:
        return Action.TOUCH
    if known.state == RecordingState.WAITING and not known.has_reply:
        # It was sent without a result and waits to be sent again: then what is there now is sent.
        return Action.RENEW
    return Action.ADD


def needs_hash(known: KnownFile | None, stamp: FileStamp) -> bool:
    """Return whether only the bytes tell what happened to the file."""
    if known is None or known.sha256 is None:
        return False
    if known.path != stamp.path:
        # The inode of a deleted file is soon another one's, and whole seconds do not tell the two apart.
        return stamp.mtime_ns % 1_000_000_000 == 0
    is_same_size = known.size_bytes == stamp.size_bytes and not known.has_stamp(stamp)
    return is_same_size and known.state != RecordingState.ANALYZING and not _is_unsent(known)


def rival(rank: int, siblings: Iterable[tuple[int, KnownFile]], *, is_left_alone: bool) -> KnownFile | None:
    """Return the sibling because of which a file of this rank is skipped; None when it is the one to take.

    `siblings` have the ranks of their endings, the first of `prefer` being 0. One that was sent wins over
    all; of those that were not, the better rank, and of the same rank the one that came first. A sibling that
    failed, or was skipped for another reason, wins over none. `is_left_alone`: the file was there before
    earshot, as perhaps its siblings were, and is not taken before any that waits.
    """
    for other, sibling in siblings:
        if _is_sent(sibling) or (is_left_alone and _waits_unsent(sibling)):
            return sibling
        is_equal = _was_left_alone(sibling) if is_left_alone else _waits_unsent(sibling)
        if is_equal and other <= rank:
            return sibling
    return None


def beaten(siblings: Iterable[KnownFile]) -> list[KnownFile]:
    """Return the siblings that are skipped now that another file is taken: those that were not sent."""
    return [each for each in siblings if _waits_unsent(each) or _was_left_alone(each)]


def _is_sent(known: KnownFile) -> bool:
    if known.state in (RecordingState.FAILED, RecordingState.SKIPPED):
        return False
    return known.state != RecordingState.WAITING or known.attempts > 0 or known.has_reply


def _waits_unsent(known: KnownFile) -> bool:
    return known.state == RecordingState.WAITING and not _is_sent(known)


def _was_left_alone(known: KnownFile) -> bool:
    return known.state == RecordingState.SKIPPED and known.error_code == "existing"


def _is_unsent(known: KnownFile) -> bool:
    """Return whether no request was made for the recording, so that it may begin anew with other bytes."""
    if known.state == RecordingState.SKIPPED:
        return known.error_code in ("existing", "empty", "gone", "short", "sibling")
    return known.state in (RecordingState.WAITING, RecordingState.FAILED) and known.attempts == 0


def _is_same_left_alone(known: KnownFile, stamp: FileStamp) -> bool:
    """Return whether a file that was left alone has only another inode, as after a backup put it back."""
    return _was_left_alone(known) and known.has_stamp(stamp, inodes_last=False)
