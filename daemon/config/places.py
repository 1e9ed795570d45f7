"""Where a recording's file may lie: the folder below which no link is followed on the way to it."""

from __future__ import annotations

from daemon.config.models import Config, WatchFolder
from daemon.models import Recording


def folder_of(config: Config, name: str | None) -> WatchFolder | None:
    """Return the watched folder of this name in rows; None when none that is configured has it."""
    return next((folder for folder in config.watch if folder.name == name), None)


def root_of(recording: Recording, folder: WatchFolder | None) -> str:
    """Return the folder below which no link is followed on the way to the file.

    In a path that a person named outside the folders, links are that person's. Where originals were moved to
    once and are no longer, there is no folder to begin at: then no link at all is followed.
    """
    if recording.folder is None:
        return recording.source.rpartition("/")[0] or "/"
    if folder is not None:
        return folder.place_of(recording.source)
    return recording.folder if recording.source.startswith(f"{recording.folder.rstrip('/')}/") else "/"
