"""Look for done markers: files that say that the one beside them is complete (`done_marker`)."""

from __future__ import annotations

import os
import stat
from collections import defaultdict

from daemon.config.values import marker_name
from daemon.storage.recordings import split_path


class Markers:
    """The files that wait for their markers; without a template none does."""

    def __init__(self, template: str | None) -> None:
        self._template = template
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)

    def marker_of(self, path: str) -> str | None:
        """Return the path of the marker of the file at `path`; None when files of this folder need none."""
        if self._template is None:
            return None
        directory, name = split_path(path)
        return f"{directory}/{marker_name(self._template, name)}"

    def is_missing(self, path: str) -> bool:
        """Return whether the file needs a marker that is not there; if so, it waits for it from now on."""
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
        """Return the files that wait for this marker."""
        return frozenset(self._waiting.get(marker, ()))

    def is_waiting(self, path: str) -> bool:
        """Return whether the marker of this file was missing when it was last looked for."""
        marker = self.marker_of(path)
        return marker is not None and path in self._waiting.get(marker, ())

    def forget(self, path: str) -> None:
        """Note that the file does not wait any more."""
        marker = self.marker_of(path)
        if marker is not None and (waiting := self._waiting.get(marker)):
            waiting.discard(path)
            if not waiting:
                del self._waiting[marker]
