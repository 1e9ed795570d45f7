"""Reads from the open file how many seconds a recording plays, or guesses a range.

Tinytag reads the headers, but makes no promise about hostile files: it sees the file through a window that
limits the bytes, calls and seconds of its reading. If this gives no length, it is guessed from the usual
bit rates for the file's ending.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from tinytag import TinyTag, TinyTagException

MAX_READ_BYTES = 2_000_000
MAX_READS = 20_000
MAX_SECONDS = 1.0

END_BYTES = 65_536
"""Some files are read only this far from each end."""

LEAST_BYTES_PER_SECOND = 75.0
"""No codec for speech uses less (600 bit/s): a header with less is wrong."""

_KILOBITS: dict[str, tuple[float, float, float]] = {
    **dict.fromkeys(("amr", "spx", "gsm"), (5, 13, 25)),
    **dict.fromkeys(("opus", "ogg", "oga", "3ga", "weba"), (12, 32, 128)),
    **dict.fromkeys(("mp3", "mp2", "m4a", "m4b", "qta", "aac", "wma", "mka", "adts"), (16, 96, 320)),
    **dict.fromkeys(("flac", "alac", "wv", "ape"), (100, 400, 1400)),
    **dict.fromkeys(
        ("wav", "wav16", "wave", "aif", "aiff", "aifc", "caf", "au", "snd", "raw", "pcm"), (32, 256, 1536)
    ),
    **dict.fromkeys(
        ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "wmv", "3gp", "flv"), (100, 1000, 8000)
    ),
}
"""Least, usual and most kilobits per second, by ending."""
_OTHER_KILOBITS = (16.0, 96.0, 320.0)


@dataclass(frozen=True, slots=True)
class Length:
    """How many seconds a recording plays: `usual`, and surely not less than `least` nor more than `most`."""

    usual: float
    least: float
    most: float


def length_of(descriptor: int, name: str, size_bytes: int) -> Length:
    """The length of the open file `descriptor`: read, or guessed from `name` and size."""
    seconds = read_seconds(descriptor, size_bytes)
    if seconds is None:
        return guessed(name, size_bytes)
    return Length(seconds, seconds, seconds)


def guessed(name: str, size_bytes: int) -> Length:
    """How long a file of this name and size probably plays."""
    ending = name.rpartition(".")[2].lower()
    least, usual, most = (
        size_bytes / 125 / rate for rate in reversed(_KILOBITS.get(ending, _OTHER_KILOBITS))
    )
    return Length(usual, least, most)


def read_seconds(descriptor: int, size_bytes: int) -> float | None:
    """How many seconds the open file plays, by its header; None if it does not say."""
    try:
        found = TinyTag.get(file_obj=_view(descriptor, size_bytes), tags=False)  # type: ignore[arg-type]
    except (OSError, TinyTagException):
        return None
    seconds = _seconds(found, size_bytes)
    return seconds if seconds and 0 < seconds <= size_bytes / LEAST_BYTES_PER_SECOND else None


def _view(descriptor: int, size_bytes: int) -> io.IOBase:
    """What tinytag sees of the file."""
    head = os.pread(descriptor, END_BYTES, 0)
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xF6 == 0xF0:
        raise OSError(
            "raw AAC looks like an MPEG frame of no layer, and would be searched for one to its end"
        )
    if head.startswith(b"RIFF"):
        # After a chunk without a size, the samples would look like endless chunks.
        return io.BytesIO(head)
    if head.startswith(b"OggS") and size_bytes > 2 * END_BYTES:
        # The first pages name the format, the last one has the length, and each page can be read alone.
        tail = os.pread(descriptor, END_BYTES, size_bytes - END_BYTES)
        return io.BytesIO(head[: head.rfind(b"OggS")] + tail[max(tail.find(b"OggS"), 0) :])
    return _Window(descriptor, size_bytes)


def _seconds(found: TinyTag, size_bytes: int) -> float | None:
    """The seconds by the header; with samples of a fixed size, at most what the file has room for.

    A recorder that was cut off, or writes into a pipe, leaves no length or one far too large; telephone
    recorders give the size of their samples, but often not their number.
    """
    is_fixed = found.mime_type is not None and found.mime_type.startswith(("audio/wav", "audio/aiff"))
    if not is_fixed or not (found.samplerate and found.channels and found.bitdepth):
        return found.duration
    room = size_bytes * 8 / (found.samplerate * found.channels * found.bitdepth)
    return min(found.duration or room, room)


class _Window(io.RawIOBase):
    """An open file; no more of it is read than a header may need."""

    def __init__(self, descriptor: int, size_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._descriptor = descriptor
        self._size = size_bytes
        self._at = 0
        self._bytes_left = MAX_READ_BYTES
        self._reads_left = MAX_READS
        self._clock = clock
        self._until = clock() + MAX_SECONDS

    def read(self, size: int = -1) -> bytes:
        """Raises OSError if it is too much for a header, or takes too long."""
        wanted = max(0, self._size - self._at) if size < 0 else size
        self._reads_left -= 1
        if wanted > self._bytes_left or self._reads_left < 0 or self._clock() > self._until:
            raise OSError("no header takes so much reading")
        block = os.pread(self._descriptor, wanted, self._at)
        self._bytes_left -= len(block)
        self._at += len(block)
        return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Raises OSError for a place before the start, as files do."""
        at = offset + (0, self._at, self._size)[whence]
        self._reads_left -= 1
        if at < 0 or self._reads_left < 0:
            raise OSError("no header leads there")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at
