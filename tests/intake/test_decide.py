"""What a complete file becomes: the table of all cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.intake.decide import Action, beaten, decide, needs_hash, rival
from daemon.models import FileStamp, RecordingState
from daemon.storage.recordings import KnownFile

WAITING, ANALYZING, DONE, FAILED, DUPLICATE, SKIPPED = RecordingState

SAME = FileStamp("/r/a.wav", size_bytes=3, mtime_ns=1_500_000_001, ctime_ns=1, inode=7, device=1, blocks=8)
TOUCHED = replace(SAME, mtime_ns=2_500_000_001)
OTHER_INODE = replace(SAME, inode=8)
LONGER = replace(SAME, size_bytes=4, mtime_ns=2_500_000_001)
RENAMED = replace(SAME, path="/r/b.wav")
WHOLE_SECOND = replace(RENAMED, mtime_ns=1_000_000_000)


def known(
    state: RecordingState,
    *,
    attempts: int = 1,
    code: str | None = None,
    sha256: str | None = "of the bytes",
    has_reply: bool = True,
    stamp: FileStamp = SAME,
) -> KnownFile:
    """As the rows have /r/a.wav."""
    return KnownFile(
        path="/r/a.wav",
        folder="/r",
        device=1,
        size_bytes=stamp.size_bytes,
        mtime_ns=stamp.mtime_ns,
        inode=stamp.inode,
        recording_id=1,
        state=state,
        attempts=attempts,
        error_code=code,
        sha256=sha256,
        has_reply=has_reply,
    )


NEW = known(WAITING, attempts=0, sha256=None, has_reply=False)
RETRIED = known(WAITING, has_reply=False)
REPLIED = known(WAITING)
LEFT_ALONE = known(SKIPPED, attempts=0, code="existing", sha256=None, has_reply=False)
GONE = known(SKIPPED, attempts=0, code="gone", sha256=None, has_reply=False)
SHORT = known(SKIPPED, attempts=0, code="short", sha256=None, has_reply=False)
SIBLING = known(SKIPPED, attempts=0, code="sibling", sha256=None, has_reply=False)
EMPTY = known(SKIPPED, attempts=0, code="empty", sha256=None, has_reply=False)
UNREADABLE = known(FAILED, attempts=0, code="unreadable", has_reply=False)
REFUSED = known(FAILED, code="corrupt_audio", has_reply=False)


@pytest.mark.parametrize(
    ("before", "stamp", "sha256", "action"),
    [
        (None, SAME, None, Action.ADD),
        # Known as it is, whatever became of it; but not when it had been set aside because it was gone.
        *((known(state), SAME, None, Action.NOTHING) for state in RecordingState),
        (LEFT_ALONE, SAME, None, Action.NOTHING),
        (GONE, SAME, None, Action.RENEW),
        # Changed before anything was sent.
        (NEW, LONGER, None, Action.RENEW),
        (NEW, TOUCHED, None, Action.RENEW),
        (EMPTY, LONGER, None, Action.RENEW),
        (SHORT, LONGER, None, Action.RENEW),
        (SHORT, SAME, None, Action.NOTHING),
        (SIBLING, LONGER, None, Action.RENEW),
        (UNREADABLE, TOUCHED, None, Action.RENEW),
        (RETRIED, LONGER, None, Action.RENEW),
        (RETRIED, TOUCHED, "of others", Action.RENEW),
        # Changed after it: the bytes decide.
        (known(DONE), TOUCHED, "of the bytes", Action.TOUCH),
        (known(DONE), OTHER_INODE, "of the bytes", Action.TOUCH),
        (known(DUPLICATE), TOUCHED, "of the bytes", Action.TOUCH),
        (RETRIED, TOUCHED, "of the bytes", Action.TOUCH),
        (known(DONE), TOUCHED, "of others", Action.ADD),
        (known(DONE), TOUCHED, None, Action.LATER),
        (known(DONE), LONGER, None, Action.ADD),
        (known(DONE, sha256=None), TOUCHED, None, Action.ADD),
        (REPLIED, LONGER, None, Action.ADD),
        (REFUSED, LONGER, None, Action.ADD),
        (known(ANALYZING), TOUCHED, None, Action.LATER),
        (known(ANALYZING), LONGER, None, Action.LATER),
        # Left alone: put back by a backup it stays so, changed it is taken in, in the row that it has.
        (LEFT_ALONE, OTHER_INODE, None, Action.REMEMBER),
        (LEFT_ALONE, TOUCHED, None, Action.RENEW),
        (LEFT_ALONE, LONGER, None, Action.RENEW),
        # Renamed: the same inode, size and time tell, but a time of whole seconds is none.
        *((known(state), RENAMED, None, Action.RENAME) for state in (WAITING, DONE, FAILED, DUPLICATE)),
        (NEW, RENAMED, None, Action.RENAME),
        (LEFT_ALONE, RENAMED, None, Action.RENAME),
        (GONE, RENAMED, None, Action.RENAME_AND_RENEW),
        (known(ANALYZING), RENAMED, None, Action.LATER),
        (known(DONE, stamp=WHOLE_SECOND), WHOLE_SECOND, "of the bytes", Action.RENAME),
        (known(DONE, stamp=WHOLE_SECOND), WHOLE_SECOND, "of others", Action.ADD),
        (known(DONE, stamp=WHOLE_SECOND), WHOLE_SECOND, None, Action.LATER),
        (known(DONE, sha256=None, stamp=WHOLE_SECOND), WHOLE_SECOND, None, Action.RENAME),
    ],
)
def test_each_case_has_its_action(
    before: KnownFile | None, stamp: FileStamp, sha256: str | None, action: Action
) -> None:
    assert decide(before, stamp, sha256) == action


@pytest.mark.parametrize(
    ("before", "stamp", "is_needed"),
    [
        (None, SAME, False),
        (known(DONE), SAME, False),
        (known(DONE), TOUCHED, True),
        (known(DONE), LONGER, False),
        (known(DONE, sha256=None), TOUCHED, False),
        (known(ANALYZING), TOUCHED, False),
        (NEW, TOUCHED, False),
        (UNREADABLE, TOUCHED, False),
        (known(DONE), RENAMED, False),
        (known(DONE), WHOLE_SECOND, True),
        (known(DONE, sha256=None), WHOLE_SECOND, False),
    ],
)
def test_bytes_are_read_only_where_nothing_else_tells(
    before: KnownFile | None, stamp: FileStamp, is_needed: bool
) -> None:
    assert needs_hash(before, stamp) == is_needed


@pytest.mark.parametrize(
    ("rank", "other", "sibling", "is_left_alone", "is_skipped", "is_beaten"),
    [
        # Not sent yet: the better rank, and of the same rank the one that came first.
        (0, 1, NEW, False, False, True),
        (1, 0, NEW, False, True, True),
        (1, 1, NEW, False, True, True),
        # Sent: it stays, even if the new file is preferred.
        *(
            (0, 1, sent, False, True, False)
            for sent in (RETRIED, REPLIED, known(ANALYZING), known(DONE), known(DUPLICATE))
        ),
        # Set aside: the new file is the one that is left.
        *((1, 0, aside, False, False, False) for aside in (REFUSED, UNREADABLE, GONE, EMPTY, SHORT, SIBLING)),
        # There before earshot: by rank among its like, and behind all that is new.
        (0, 1, LEFT_ALONE, True, False, True),
        (1, 0, LEFT_ALONE, True, True, True),
        (1, 0, LEFT_ALONE, False, False, True),
        (0, 1, NEW, True, True, True),
    ],
)
def test_of_siblings_one_is_taken(
    rank: int, other: int, sibling: KnownFile, is_left_alone: bool, is_skipped: bool, is_beaten: bool
) -> None:
    """`is_beaten`: the sibling is skipped if the new file is taken."""
    assert (rival(rank, [(other, sibling)], is_left_alone=is_left_alone) is sibling) == is_skipped
    assert beaten([sibling]) == ([sibling] if is_beaten else [])
