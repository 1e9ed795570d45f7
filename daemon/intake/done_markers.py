"""Done markers: the file beside a recording that says it is complete, by the folder's `done_marker`."""

from __future__ import annotations

import os
import stat
from collections import defaultdict

from daemon.config.values import marker_name
from daemon.storage.recordings import split_path


class Markers:
    """Which marker belongs to which file, and which files wait for theirs; without a template, none."""

    def __init__(self, template: str | None) -> None:
        self._template = template
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)

    def marker_of(self, path: str) -> str | None:
        """Where the marker of the file at this path is; None when files of this folder need none."""
        if self._template is None:
            return None
        directory, name = split_path(path)
        return f"{directory}/{marker_name(self._template, name)}"

    def is_missing(self, path: str) -> bool:
        """True when the file needs a marker that is not there; it is then one of `waiting_for` its marker."""
        marker = self.marker_of(path)
        if marker is None:
            return False
        try:
            if stat.S_ISREG(os.lstat(marker).st_mode):
                self.forget(path)
                return False
        except OSError:
            pass
        self._waiting[marker].add(path)
        return True

    def waiting_for(self, marker: str) -> frozenset[str]:
        """The files that wait for this marker."""
        return frozenset(self._waiting.get(marker, ()))

    def is_waiting(self, path: str) -> bool:
        """True for a file whose marker was missing when it was last looked for."""
        marker = self.marker_of(path)
        return marker is not None and path in self._waiting.get(marker, ())

    def forget(self, path: str) -> None:
        """The file does not wait any more."""
        marker = self.marker_of(path)
        if marker is not None and (waiting := self._waiting.get(marker)):
            waiting.discard(path)
            if not waiting:
                del self._waiting[marker]
