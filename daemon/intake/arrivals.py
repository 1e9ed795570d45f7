"""Name the kinds of files that become rows, and how the row of each begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from daemon.config.filenames import NOTHING, Facts, FactsOf
from daemon.config.models import WatchFolder
from daemon.models import Ending, FileStamp, RecordingState


class Kind(Enum):
    """Why a file becomes a row."""

    COMPLETE = auto()
    QUIET = auto()
    """Was there before earshot: analyzed, but alerts nobody."""
    LEFT_ALONE = auto()
    """Was there before earshot: not analyzed unless somebody asks."""
    EMPTY = auto()
    """Had no content for too long."""
    INCOMPLETE = auto()
    """Looked cut off for too long."""
    SHORT = auto()
    """Is shorter or smaller than the folder wants its recordings."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that is to become a row; `flaw` says what is wrong with one that is INCOMPLETE or SHORT."""

    stamp: FileStamp
    kind: Kind = Kind.COMPLETE
    flaw: str = ""


Asking = Callable[[], AbstractContextManager[object]]
"""Makes what is entered around each question to the file system, so that one without an answer is noticed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when files are taken in. `facts_of` reads names, relative to the folder."""

    folder: WatchFolder
    now: datetime
    facts_of: FactsOf = lambda _: NOTHING
    asking: Asking = nullcontext

    def facts(self, path: str) -> Facts:
        """Return what the name of the file at `path` says."""
        return self.facts_of(path[len(self.folder.root.rstrip("/")) + 1 :])


@dataclass(slots=True)
class Intake:
    """What became of arrivals.

    `queued` recordings wait now that did not; the paths `later` are to be offered again; `new` are those of
    files that were not known under any name.
    """

    queued: int = 0
    later: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


_ENDINGS = {
    Kind.LEFT_ALONE: Ending(
        RecordingState.SKIPPED,
        "existing",
        "was there before earshot first looked at this folder; `earshot scan --existing` takes in all of"
        " them, `earshot retry ID` this one",
    ),
    Kind.EMPTY: Ending(RecordingState.SKIPPED, "empty", "stayed empty; it is taken up again when it fills"),
}


def early_ending(kind: Kind, flaw: str = "") -> Ending | None:
    """Return how the recording of such a file ends at once; None when it waits to be analyzed."""
    if kind == Kind.INCOMPLETE:
        text = f"the file is not whole: {flaw}; copy it again, it is taken up when it changes"
        return Ending(RecordingState.FAILED, "incomplete", text)
    if kind == Kind.SHORT:
        return Ending(RecordingState.SKIPPED, "short", f"{flaw}; it is taken up when it grows")
    return _ENDINGS.get(kind)
