"""Find out whether a pending file is complete, by what only the file system can say, once it is quiet."""

from __future__ import annotations

import logging
from collections.abc import Callable

from daemon.config.models import WatchFolder
from daemon.config.units import format_duration
from daemon.files import fresh_stamp, has_writer, reading, stamp_below
from daemon.intake.arrivals import Arrival, Kind
from daemon.intake.done_markers import Markers
from daemon.intake.settle import Outcome, Settler
from daemon.intake.truncation import flaw
from daemon.models import FileStamp

logger = logging.getLogger(__name__)

SecondsOf = Callable[[int, int], float | None]
"""How many seconds an open file of so many bytes plays; None where its header does not say."""

INCOMPLETE_GRACE_SECONDS = 60.0
"""How long a file that looks cut off is waited for after it fell quiet: a copy may have stalled."""

SIBLING_SECONDS = 60.0
"""How long a file waits for one beside it that is preferred (`prefer`) and not complete yet."""


class Readiness:
    """Looks at the pending files of one folder, for the loop that watches it."""

    def __init__(
        self, folder: WatchFolder, settler: Settler, *, seconds_of: SecondsOf = lambda _, __: None
    ) -> None:
        self.markers = Markers(folder.done_marker)
        self._folder = folder
        self._settler = settler
        self._seconds_of = seconds_of
        self._root = folder.root
        self._flawed: dict[str, tuple[FileStamp, float]] = {}
        self._why: dict[str, str] = {}

    def why(self, path: str) -> str:
        """Say why the pending file was not complete when it was last looked at."""
        return self._why.get(path, "it still changes, or has only just fallen quiet")

    def arrival(self, path: str, now: float, rescan_seconds: float) -> Arrival | None:
        """Return the pending file at `path` if it is complete, or was empty or cut off for too long.

        None when it is to be looked at again, and when it is gone (it is then forgotten). `rescan_seconds` is
        how long a marker may appear unnoticed.
        """
        is_remote = self._settler.is_remote(path)
        found = fresh_stamp(self._root, path) if is_remote else stamp_below(self._root, path)
        if found is None:
            self._gone(path, now, is_remote=is_remote)
            return None
        self._why.pop(path, None)
        outcome = self._settler.look(found, now)
        if outcome == Outcome.EMPTY:
            return Arrival(found, Kind.EMPTY)
        if found.size_bytes and self.markers.marker_of(path) is not None:
            if self.markers.is_missing(path):
                self._why[path] = "its done marker is not there"
                self._settler.postpone(path, now, rescan_seconds)
                return None
        elif outcome == Outcome.WAIT:
            return None
        if not found.size_bytes:
            return None
        if not is_remote and has_writer(self._root, path):
            logger.debug("file still open for writing path=%s", path)
            self._settler.postpone(path, now)
            return None
        if not is_remote and stamp_below(self._root, path) != found:
            # Written and closed between the two looks: quiet time starts again at the next one.
            self._settler.postpone(path, now)
            return None
        if self._waits_for_sibling(path, now):
            self._why[path] = "a preferred file beside it is not complete yet"
            self._settler.postpone(path, now)
            return None
        return self._whole(found, now)

    def _waits_for_sibling(self, path: str, now: float) -> bool:
        """Return whether a file that is preferred to this one is about to be complete."""
        if not self._folder.prefer:
            return False
        stem = path.rpartition(".")[0]
        better = self._folder.prefer[: self._folder.rank(path)]
        known = [self._settler.seconds_known(f"{stem}.{ending}", now) for ending in better]
        return any(seconds is not None and seconds < SIBLING_SECONDS for seconds in known)

    def forget(self, path: str) -> None:
        """Forget the file: it is stored, or gone."""
        self._flawed.pop(path, None)
        self._why.pop(path, None)
        self.markers.forget(path)

    def _whole(self, found: FileStamp, now: float) -> Arrival | None:
        kind = Kind.QUIET if self._settler.is_old(found.path) else Kind.COMPLETE
        # Where there is a marker, its sender says that it is whole.
        is_checked = self._folder.check_container and self.markers.marker_of(found.path) is None
        has_least = self._folder.min_duration > 0 or self._folder.min_size > 0
        trouble = flaw(self._root, found.path) if is_checked or has_least else None
        is_silent = trouble is not None and trouble.is_silent
        is_cut = is_checked and trouble is not None and not is_silent
        if has_least and not is_cut and (short := self._shortness(found, is_silent=is_silent)):
            return Arrival(found, Kind.SHORT, short)
        if trouble is None or not is_checked:
            return Arrival(found, kind)
        before, since = self._flawed.get(found.path, (found, now))
        if before != found:
            since = now
        if now - since < INCOMPLETE_GRACE_SECONDS:
            if found.path not in self._flawed or before != found:
                text = "file does not look whole path=%s waiting_seconds=%.0f reason=%s"
                logger.info(text, found.path, INCOMPLETE_GRACE_SECONDS, trouble.reason)
            self._flawed[found.path] = (found, since)
            self._why[found.path] = f"it looks cut off: {trouble.reason}"
            self._settler.postpone(found.path, now, since + INCOMPLETE_GRACE_SECONDS - now)
            return None
        if trouble.is_certain:
            return Arrival(found, Kind.INCOMPLETE, trouble.reason)
        return Arrival(found, kind)

    def _shortness(self, found: FileStamp, *, is_silent: bool) -> str | None:
        """Say in what the file is less than the folder wants; None if in nothing."""
        least_seconds, least_bytes = self._folder.min_duration, self._folder.min_size
        if found.size_bytes < least_bytes:
            return f"has {found.size_bytes} bytes, and `min_size` is {least_bytes}"
        if not least_seconds:
            return None
        seconds = 0.0 if is_silent else self._seconds(found)
        if seconds is None or seconds >= least_seconds:
            return None
        return f"plays {seconds:.1f} s, and `min_duration` is {format_duration(least_seconds)}"

    def _seconds(self, found: FileStamp) -> float | None:
        try:
            with reading(self._root, found.path) as descriptor:
                return self._seconds_of(descriptor, found.size_bytes)
        except OSError:
            return None

    def _gone(self, path: str, now: float, *, is_remote: bool) -> None:
        if is_remote and stamp_below(self._root, path):
            # It is there, but the server lets nobody else open it now.
            self._why[path] = "it cannot be opened"
            self._settler.postpone(path, now)
            return
        logger.debug("file gone before it was complete path=%s", path)
        self._settler.forget(path)
        self.forget(path)
