"""Find out whether a file is cut off, by what its container says of its own length: RIFF, MP4 and Ogg.

Reads only heads and tails. A container that is not known, or says nothing of its length, counts as whole,
and so does whatever cannot be read here: the analysis says more about that.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from daemon.files import reading

TOLERATED_BYTES = 64
"""Missing bytes that are no sign of a cut: some recorders count their header wrongly, or leave out pads."""

_STREAMED_BYTES = 0x7FFF0000
"""A RIFF length from here on is that of a program that did not know it (2^31 or 2^32, less a header)."""

_LONGEST_HEADER = 65536
"""A WAVE file larger than this is not looked at for having a header only."""

_MOST_BOXES = 4096
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
"""What an MP4 or QuickTime file may begin with."""
_TRUSTED_BOXES = _BOXES | {b"moof", b"mfra", b"sidx", b"styp", b"emsg", b"udta", b"meta", b"uuid"}
"""Parts whose length is believed when it points behind the end; anything else may be foreign bytes."""

_PAGE_BYTES = 27 + 255 + 255 * 255
"""The longest page of an Ogg stream."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a file looks cut off. Without `is_certain` it may be whole all the same.

    `is_silent` says that it is whole but for its sound: there is only a header.
    """

    reason: str
    is_certain: bool = True
    is_silent: bool = False


def flaw(root: str, path: str) -> Flaw | None:
    """Return what speaks against the file at `path`, below `root`, being whole, if anything."""
    try:
        with reading(root, path) as descriptor:
            return _flaw(descriptor, os.fstat(descriptor).st_size)
    except OSError:
        return None


def _flaw(descriptor: int, size: int) -> Flaw | None:
    head = os.pread(descriptor, 48, 0)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and len(head) >= 12:
        return _riff_flaw(head, size) or _silent_flaw(descriptor, size)
    if head[4:8] in _BOXES:
        return _mp4_flaw(descriptor, size)
    if head[:4] == b"OggS":
        return _ogg_flaw(descriptor, size)
    return None


def _riff_flaw(head: bytes, size: int) -> Flaw | None:
    (length,) = struct.unpack_from("<I", head, 4)
    if head[:4] != b"RIFF":
        # 64-bit lengths are in the chunk that has to come first.
        if head[12:16] != b"ds64" or len(head) < 28:
            return None
        (length,) = struct.unpack_from("<Q", head, 20)
        length = 0 if length >= 1 << 62 else length
    elif length >= _STREAMED_BYTES:
        return None
    if size + TOLERATED_BYTES < length + 8:
        return Flaw(f"its header announces {length + 8} bytes and there are {size}")
    return None


def _silent_flaw(descriptor: int, size: int) -> Flaw | None:
    """Return a flaw for a WAVE file of a header alone: its recorder has just started, or failed."""
    if size > _LONGEST_HEADER:
        return None
    head = os.pread(descriptor, size, 0)
    at = 12
    while head[8:12] == b"WAVE" and at + 8 <= len(head):
        (length,) = struct.unpack_from("<I", head, at + 4)
        if head[at : at + 4] == b"data":
            is_silent = at + 8 >= len(head)
            return Flaw("there is no sound in it, only its header", is_silent=True) if is_silent else None
        at += 8 + length + length % 2
    return None


def _mp4_flaw(descriptor: int, size: int) -> Flaw | None:
    has_index = False
    for kind, end in _boxes(descriptor, size):
        if end > size + TOLERATED_BYTES:
            if kind not in _TRUSTED_BOXES:
                return None
            name = kind.decode("latin-1")
            return Flaw(f"its part `{name}` ends at byte {end} and there are {size}")
        # Fragments (`moof`) are a stream's, whose index may be elsewhere.
        has_index = has_index or kind in (b"moov", b"moof")
    return None if has_index else Flaw("its index (`moov`) is missing, which is written at the end")


def _boxes(descriptor: int, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield kind and end of each part; where they cannot be followed, a `moov`, so that none is missed."""
    start = 0
    for _ in range(_MOST_BOXES):
        head = os.pread(descriptor, 16, start)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        if length == 0:
            # To the end of the file, whatever that is.
            yield kind, size
            return
        if length < 8:
            yield b"moov", size
            return
        yield kind, start + length
        start += length
        if start >= size:
            return
    yield b"moov", size


def _ogg_flaw(descriptor: int, size: int) -> Flaw | None:
    start = max(0, size - _PAGE_BYTES)
    tail = os.pread(descriptor, _PAGE_BYTES, start)
    at = tail.rfind(b"OggS")
    if at < 0:
        return None
    page = tail[at:]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return Flaw("its last page is cut off")
    needed = 27 + page[26] + sum(page[27 : 27 + page[26]])
    if len(page) < needed:
        return Flaw(f"its last page is cut off, {needed - len(page)} bytes are missing")
    if not page[5] & 0x04:
        return Flaw("its last page is not marked as the end", is_certain=False)
    return None
