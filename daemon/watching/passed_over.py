"""Count the files that a listing passes over because of their names or kinds, and keep some of the names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from daemon.config.filenames import ending_of
from daemon.models import shown_path
from daemon.sightings import PassedFile, PassedFiles
from daemon.watching.names import ENDING, IGNORED, OWN

LINK, UNREADABLE = "link", "unreadable"

MOST_NAMES = 100
MOST_ALIKE = 20
"""Names kept for a reason, and those of one ending among them: a rare one shall not be lost among many."""

_WHY = {
    IGNORED: "the name of something unfinished, hidden or left out",
    LINK: "a link or another special file: what it leads to may be anywhere",
    UNREADABLE: "a directory that cannot be read",
}


class PassedOver:
    """What one listing of a whole folder passed over, and what events announced since.

    `reason_of` takes a path relative to `root`, as `names.reasons` gives it.
    """

    def __init__(self, root: str, reason_of: Callable[[str], str | None]) -> None:
        self._prefix = f"{root.rstrip('/')}/"
        self._reason_of = reason_of
        self._counts: Counter[str] = Counter()
        self._alike: Counter[tuple[str, str]] = Counter()
        self._names: dict[str, dict[str, None]] = {}
        self._announced: set[str] = set()

    def is_recording(self, path: str) -> bool:
        """Return whether a listed file is a recording by its name; count it if not."""
        reason = self._reason_of(path.removeprefix(self._prefix))
        if reason is not None:
            self._add(reason, path)
        return reason is None

    def add_other(self, path: str, is_directory: bool) -> None:
        """Count a directory that is not entered, or a link that may lead to recordings."""
        if is_directory:
            self._add(IGNORED, path + "/")
            return
        reason = self._reason_of(path.removeprefix(self._prefix))
        # One without an ending leads to a directory, perhaps with recordings in it.
        if reason is None or (reason == ENDING and not ending_of(path.rpartition("/")[2])):
            self._add(LINK, path)

    def add_unreadable(self, paths: Iterable[str]) -> None:
        """Count directories that could not be read."""
        for path in paths:
            self._add(UNREADABLE, path + "/")

    def announce(self, reason: str, path: str) -> None:
        """Count a file of which an event speaks, perhaps again."""
        is_counted = path in self._announced or path in self._names.get(reason, {})
        if not is_counted and len(self._announced) < MOST_NAMES:
            self._announced.add(path)
            self._add(reason, path)

    def forget(self, path: str) -> None:
        """Note that the file is gone; one whose name was not kept is gone with the next listing."""
        for reason, names in self._names.items():
            if path in names:
                del names[path]
                self._counts[reason] -= 1
        self._announced.discard(path)

    def _add(self, reason: str, path: str) -> None:
        if reason == OWN:
            return
        self._counts[reason] += 1
        names = self._names.setdefault(reason, {})
        if len(names) < MOST_NAMES:
            alike = (reason, ending_of(path))
            self._alike[alike] += 1
            if self._alike[alike] <= MOST_ALIKE:
                names[path] = None

    def found(self) -> dict[str, PassedFiles]:
        """Return the counts and names by reason."""
        return {
            reason: PassedFiles(
                count, tuple(PassedFile(shown_path(path), _why(reason, path)) for path in self._names[reason])
            )
            for reason, count in self._counts.items()
            if count > 0
        }


def _why(reason: str, path: str) -> str:
    if reason != ENDING:
        return _WHY[reason]
    ending = ending_of(path)
    return f"files that end in .{ending} are not taken" if ending else "the name has no ending"
