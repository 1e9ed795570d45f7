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
    SIBLING = auto()
    """Is the same recording in another format than the one that is analyzed."""
    SHORT = auto()
    """Is shorter or smaller than the folder wants its recordings."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that is to become a row; `flaw` says what is wrong with one that is INCOMPLETE or SHORT,
    or which file is analyzed in place of a SIBLING."""

    stamp: FileStamp
    kind: Kind = Kind.COMPLETE
    flaw: str = ""


Asking = Callable[[], AbstractContextManager[object]]
"""Makes what is entered around each question to the file system, so that one without an answer is noticed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when files are taken in. `facts_of` reads names, relative to the folder.

    `name` is the folder's in the database.
    """

    folder: WatchFolder
    now: datetime
    facts_of: FactsOf = lambda _: NOTHING
    asking: Asking = nullcontext
    name: str = field(init=False)
    _relative: slice = field(init=False)

    def __post_init__(self) -> None:
        # Once, and not for each of very many files.
        object.__setattr__(self, "name", self.folder.name)
        object.__setattr__(self, "_relative", slice(len(self.folder.root.rstrip("/")) + 1, None))

    def facts(self, path: str) -> Facts:
        """Return what the name of the file at `path` says."""
        return self.facts_of(path[self._relative])


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


def sibling_ending(taken: str) -> Ending:
    """Return how the recording of a file ends where another one, called `taken`, is analyzed instead."""
    text = f"the same recording as {taken}, which is taken; `earshot retry ID` has this file analyzed too"
    return Ending(RecordingState.SKIPPED, "sibling", text)


def early_ending(kind: Kind, flaw: str = "") -> Ending | None:
    """Return how the recording of such a file ends at once; None when it waits to be analyzed."""
    if kind == Kind.INCOMPLETE:
        text = f"the file is not whole: {flaw}; copy it again, it is taken up when it changes"
        return Ending(RecordingState.FAILED, "incomplete", text)
    if kind == Kind.SIBLING:
        return sibling_ending(flaw)
    if kind == Kind.SHORT:
        return Ending(RecordingState.SKIPPED, "short", f"{flaw}; it is taken up when it grows")
    return _ENDINGS.get(kind)
