"""What watching finds in a folder, as intake gets it, and what is passed over, as people read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from daemon.models import FileStamp


class FoundBy(Enum):
    """How a file was noticed."""

    HINT = auto()
    """By an event, or by a listing if no event was possible."""
    LATE_LISTING = auto()
    """By the listing that is made when events are known to be lost."""
    LISTING_ONLY = auto()
    """Only by a listing, although an event should have come."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file that is new or changed compared with the rows.

    `is_closed`: its writer closed it, or it was renamed into its place. `is_old`: it was there before earshot
    first looked at the folder. `is_remote`: it is on a network or FUSE mount, where the kernel does not see
    every writer.
    """

    stamp: FileStamp
    found_by: FoundBy = FoundBy.HINT
    is_closed: bool = False
    is_old: bool = False
    is_remote: bool = False


@dataclass(slots=True)
class Sightings:
    """What one look at a watched folder found.

    `gone`: paths that have no file any more; handle them before `files`. `markers`: done markers that
    appeared. `is_away`: the folder is not there. `is_listed`: the whole folder was listed. A file must not
    change for `settle_seconds`; a listing is made every `rescan_seconds`.
    """

    files: list[Sighting] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    markers: list[str] = field(default_factory=list)
    is_away: bool = False
    is_listed: bool = False
    settle_seconds: float = 0.0
    rescan_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PassedFile:
    """A file that is not taken, as people read it: where, why, and since when as far as that is known."""

    path: str
    why: str
    since: str | None = None


@dataclass(frozen=True, slots=True)
class PassedFiles:
    """How many files are not taken for one reason, and some of them."""

    count: int
    files: tuple[PassedFile, ...]
