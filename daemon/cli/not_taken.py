"""Say which files of a folder are not taken, and why: as the service saw it, or for `check` as it is now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from daemon.cli.output import local_time
from daemon.cli.patience import within
from daemon.cli.report import Report
from daemon.errors import EarshotError
from daemon.status import WORDS, in_words

if TYPE_CHECKING:
    from daemon.config.models import Config, WatchFolder

NOT_IN_NAMES = ("incomplete", "empty", "addresses", "lists")
"""The reasons that only the service finds out."""


def listed(folder: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each file that is not taken, by reason; none if the folder has no `files`."""
    files = folder.get("files", [])
    for file in files:
        yield _line(file, folder["path"])
    shown = Counter(file["reason"] for file in files)
    for reason, words in WORDS.items():
        if shown[reason] and (more := folder["not_taken"][reason] - shown[reason]) > 0:
            yield f"and {more} more: {words}"


def longest_incomplete(files: Iterable[Mapping[str, Any]], root: str) -> str | None:
    """Return the line of the file that has not been complete for the longest; None when all are."""
    found = [file for file in files if file["reason"] == "incomplete"]
    return _line(min(found, key=lambda file: file["since"]), root) if found else None


def _line(file: Mapping[str, Any], root: str) -> str:
    since = f" since {local_time(file['since'])}" if file["since"] else ""
    path = file["path"].removeprefix(root.rstrip("/") + "/")
    return f"{path}: {WORDS[file['reason']]}{since}; {file['why']}"


def counts_by_name(folder: WatchFolder, seconds: float) -> dict[str, int] | None:
    """List the folder and count what is not taken by its name or kind; None where that takes longer."""
    from daemon.watching.names import is_ignored_directory, reasons
    from daemon.watching.passed_over import PassedOver
    from daemon.watching.scan import Walker

    passed, until = PassedOver(folder.root, reasons(folder)), time.monotonic() + seconds
    walker = Walker(
        folder.root,
        recursive=folder.recursive,
        is_ignored=is_ignored_directory,
        pass_over=passed.add_other,
    )
    for directory, entries in walker.walk():
        for entry in entries:
            passed.is_recording(f"{directory}/{entry.name}")
        if time.monotonic() > until:
            return None
    passed.add_unreadable(walker.unreadable)
    return {reason: files.count for reason, files in passed.found().items()}


def say_not_taken(report: Report, config: Config, folders: Iterable[WatchFolder], seconds: float) -> None:
    """Add to the report what is not taken of each folder; one that takes longer to list is not counted."""
    noted, files = _noted(config)
    for folder in folders:
        counts: list[dict[str, int] | None] = []
        within(seconds, partial(_count, folder, seconds, counts))
        if not counts or counts[0] is None:
            text = "takes long to list; `earshot status` has what is not taken"
            report.fine.append(f"folder {folder.path} {text}")
            continue
        known = noted.get(folder.name, {})
        found = counts[0] | {reason: known[reason] for reason in NOT_IN_NAMES if known.get(reason)}
        if text := in_words(found):
            report.fine.append(f"folder {folder.path}: {text}; `earshot status --files` lists them")
        if line := longest_incomplete(files.get(folder.name, []), folder.name):
            report.fine.append(f"folder {folder.path}: {line}")


def _count(folder: WatchFolder, seconds: float, counts: list[dict[str, int] | None]) -> None:
    counts.append(counts_by_name(folder, seconds))


def _noted(config: Config) -> tuple[dict[str, dict[str, int]], dict[str, list[dict[str, Any]]]]:
    """Return what the service noted of files that are not taken, by folder: counts, and some of the files."""
    from daemon.storage.database import open_existing
    from daemon.storage.not_taken import files_not_taken, not_taken

    try:
        with closing(open_existing(config.database)) as db:
            return not_taken(db), {each.name: files_not_taken(db, each.name) for each in config.watch}
    except (EarshotError, OSError):
        # None yet, or one of which `check` says why it cannot be used, or why this user has no access.
        return {}, {}
