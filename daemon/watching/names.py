"""Tell which names are recordings: by ending or the folder's `include`, less `exclude` and the usual ignores.

Pure: takes names, asks no file system.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import partial
from typing import get_args

from daemon.config.filenames import LIST_ENDINGS, ending_of
from daemon.config.kinds import SidecarFormat
from daemon.config.models import Sidecars, WatchFolder
from daemon.config.values import marker_names

_ENDINGS = """
    3g2 3ga 3gp aac ac3 adts aif aifc aiff alac amr asf au avi awb caf f4a f4v flac flv gsm m2ts m4a m4b m4v
    mka mkv mov mp2 mp3 mp4 mpeg mpg mpga mts mxf oga ogg ogv ogx opus pcm qta ra raw snd spx ts vob voc vox
    wav wav16 wave weba webm wma wmv wv
"""
ENDINGS = frozenset(_ENDINGS.split())
"""Endings of audio and video, without the dot: the formats that Deepgram documents
(https://developers.deepgram.com/docs/supported-audio-formats) and the other usual ones it decodes. Samples
without a header (sln16, g722, ulaw) are not among them: nobody can read them who is not told their rate."""

OWN, IGNORED, ENDING = "own", "ignored", "ending"
"""Why a name is no recording's."""

SIDECAR_FORMATS: tuple[str, ...] = get_args(SidecarFormat)

_ALL_ENDINGS = ENDINGS | LIST_ENDINGS

_UNFINISHED = (
    # Office and Syncthing temporary names.
    "~*",
    # Downloads and copies that other programs have not finished.
    "*.tmp",
    "*.temp",
    "*.part",
    "*.partial",
    "*.filepart",
    "*.crdownload",
    "*.download",
    "*.opdownload",
    "*.!sync",
    "*.!ut",
    "*.bts",
    "*.aria2",
    "*.lock",
    "*.swp",
    "*~",
)
"""Names that programs give to what they are still writing: files, and directories with the files in them."""

_IGNORED_FILES = (
    # Dotfiles; among them rsync's `.name.XXXXXX`, `.syncthing.*`, `.~lock*` and macOS' `._name`.
    ".*",
    *_UNFINISHED,
    # What file managers leave behind.
    "thumbs.db",
    "desktop.ini",
    "ehthumbs.db",
)

_IGNORED_DIRECTORIES = (
    # Dot directories; among them `.stfolder`, `.stversions`, `.Trash-1000`, `.sync`, `.recycle`.
    ".*",
    *_UNFINISHED,
    # Where programs keep what is not whole yet.
    "incomplete",
    "unfinished",
    "partial",
    # Saved by office programs and browsers: macOS' safe save, WinRAR, 7-Zip, unpackers of downloads.
    "*.sb-????????-??????",
    "(a document being saved by *)",
    "rar$*",
    "7z?????????",
    "_unpack_*",
    "_failed_*",
    "*_unpackerred",
    "__macosx",
    # Trash cans and snapshots of shares.
    "@eadir",
    "@tmp",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "~snapshot",
    "$recycle.bin",
    "recycler",
    "recycled",
    "network trash folder",
    "temporary items",
    "system volume information",
    "lost+found",
)


def _any_of(globs: Iterable[str], *, case_sensitive: bool = False) -> re.Pattern[str]:
    expression = "|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)"
    return re.compile(expression, re.NOFLAG if case_sensitive else re.IGNORECASE)


_ignored_file = _any_of(_IGNORED_FILES)
_ignored_directory = _any_of(_IGNORED_DIRECTORIES)


def is_ignored_directory(name: str) -> bool:
    """Return whether nobody puts recordings there: hidden ones, trash cans, those of files half written."""
    return _ignored_directory.match(name) is not None


def recording_names(folder: WatchFolder) -> Callable[[str], bool]:
    """Return a test for this folder's files: it takes a path relative to the folder, true for a recording.

    Lists of addresses of recordings count too, where `include` does not say otherwise. It does not look at
    the directories in the path; the walk leaves the ignored ones out.
    """
    reason_of = reasons(folder)
    return lambda relative: reason_of(relative) is None


def reasons(folder: WatchFolder) -> Callable[[str], str | None]:
    """Return a function that says of a path relative to the folder why it is no recording; None for one.

    The reason is IGNORED, ENDING, or OWN for what earshot or a done marker puts there.
    """
    select = partial(_selection, case_sensitive=folder.case_sensitive)
    included = select(folder.include) if folder.include is not None else _has_known_ending
    excluded = select(folder.exclude)
    is_marker = marker_names(folder.done_marker)

    def reason(relative: str) -> str | None:
        name = relative.rpartition("/")[2]
        if _ignored_file.match(name):
            return IGNORED
        if is_marker(name) or _is_sidecar(name, folder.sidecars):
            return OWN
        if not included(relative):
            return ENDING
        return IGNORED if excluded(relative) else None

    return reason


def is_inside(relative: str, *, recursive: bool) -> bool:
    """Return whether a file at this path, relative to the folder, is in a directory that is listed."""
    *directories, _ = relative.split("/")
    if directories and not recursive:
        return False
    return not any(is_ignored_directory(name) for name in directories)


def _is_sidecar(name: str, wanted: Sidecars | None) -> bool:
    """Return whether this is what earshot calls a sidecar: of a format that is written here, or `*.wav.json`.

    Whatever `include` says: what earshot has written is never analyzed.
    """
    stem, _, ending = name.rpartition(".")
    if ending not in SIDECAR_FORMATS:
        return False
    return (wanted is not None and ending in wanted.formats) or ending_of(stem) in ENDINGS


def _has_known_ending(relative: str) -> bool:
    return ending_of(relative) in _ALL_ENDINGS


def _selection(globs: Iterable[str], *, case_sensitive: bool) -> Callable[[str], bool]:
    patterns = [_composed(glob) for glob in globs]
    if not patterns:
        return lambda _: False
    by_name = _any_of((glob for glob in patterns if "/" not in glob), case_sensitive=case_sensitive)
    by_path = _any_of((_path_glob(glob) for glob in patterns if "/" in glob), case_sensitive=case_sensitive)

    def is_selected(relative: str) -> bool:
        relative = _composed(relative)
        name = relative.rpartition("/")[2]
        return by_name.match(name) is not None or by_path.match(relative) is not None

    return is_selected


def _path_glob(glob: str) -> str:
    # `archive/` means all that is in it; a leading slash is the folder itself.
    return glob.lstrip("/") + ("*" if glob.endswith("/") else "")


def _composed(text: str) -> str:
    """Return Unicode's composed form: macOS stores `ä` as two characters, a configuration file has one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
