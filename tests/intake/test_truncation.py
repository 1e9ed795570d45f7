"""Does a file look cut off? Real containers, whole and cut; whatever is not sure to be cut passes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from daemon.intake.truncation import flaw
from tests.harness import wav


def riff(length: int, *, size: int, kind: bytes = b"RIFF") -> bytes:
    return (kind + struct.pack("<I", length) + b"WAVEfmt ").ljust(size, b"\0")


def rf64(length: int, *, size: int) -> bytes:
    head = b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEds64" + struct.pack("<IQ", 28, length)
    return head.ljust(size, b"\0")


def box(kind: bytes, content: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack(">I", 8 + len(content) if length is None else length) + kind + content


def large_box(kind: bytes, length: int) -> bytes:
    return struct.pack(">I", 1) + kind + struct.pack(">Q", length)


def page(content: bytes, *, flags: int = 0) -> bytes:
    lacing = [255] * (len(content) // 255) + [len(content) % 255]
    return b"OggS\0" + bytes([flags]) + bytes(20) + bytes([len(lacing)]) + bytes(lacing) + content


FTYP = box(b"ftyp", b"M4A \0\0\2\0isomiso2")
MOOV = box(b"moov", bytes(200))
WHOLE = {
    "a recording": wav("a"),
    "RIFF of a stream, length 0": riff(0, size=5000),
    "RIFF of a stream, length 2^32-1": riff(0xFFFFFFFF, size=5000),
    "RIFF of a stream as sox writes it": riff(0x7FFFF024, size=5000),
    "RIFF of a stream as arecord writes it": riff(0x80000024, size=5000),
    "RIFF with bytes behind its end": riff(4000, size=5000),
    "RIFF that counts its header as content": riff(5000, size=5000),
    "WAVE of one sample": wav("a", seconds=0) + bytes(2),
    "RF64": rf64(4992, size=5000),
    "RF64 of a stream": rf64(2**64 - 1, size=5000),
    "RIFF too short to say anything": b"RIFF\xff\xff",
    "MP4 with the index at the end": FTYP + box(b"mdat", bytes(500)) + MOOV,
    "MP4 with the index in front": FTYP + MOOV + box(b"mdat", bytes(500)),
    "MP4 whose last part runs to the end": FTYP + MOOV + box(b"mdat", bytes(500), length=0),
    "MP4 in fragments": FTYP + MOOV + (box(b"moof", bytes(30)) + box(b"mdat", bytes(90))) * 9,
    "MP4 with foreign bytes behind it": FTYP + MOOV + box(b"mdat", bytes(500)) + b"\x7f\x7f\x7f\x7fTAGmusic",
    "QuickTime": box(b"wide") + box(b"mdat", bytes(500)) + MOOV,
    "Ogg": page(b"OpusHead", flags=2) + page(b"x" * 700) + page(b"y" * 300, flags=4),
    "Ogg with a tag behind it": page(b"OpusHead", flags=2) + page(b"y" * 300, flags=4) + b"TAG" + bytes(125),
    "MP3": b"\xff\xfb\x90\x64" + bytes(400),
    "text": b"not a recording at all",
    "one byte": b"R",
}
CUT = {
    "RIFF": (wav("a", seconds=1)[:10_000], "announces 32044 bytes and there are 10000"),
    "RF64": (rf64(9_000_000, size=5000), "announces 9000008 bytes"),
    "WAVE with a header only": (wav("a", seconds=0), "no sound in it"),
    "MP4 without an index": (FTYP + box(b"mdat", bytes(500)), "`moov`) is missing"),
    "MP4 cut in its content": (FTYP + box(b"mdat", bytes(500), length=90_000), "`mdat` ends at byte"),
    "MP4 cut after its index": (FTYP + MOOV + box(b"mdat", bytes(500), length=90_000), "`mdat` ends at byte"),
    "MP4 of more than 4 GB, cut": (FTYP + large_box(b"mdat", 2**33) + bytes(500), "`mdat` ends at byte"),
    "MP4 cut in its index": (
        FTYP + box(b"mdat", bytes(90)) + box(b"moov", length=5000),
        "`moov` ends at byte",
    ),
    "Ogg cut in a page": (page(b"OpusHead", flags=2) + page(b"x" * 700)[:-200], "200 bytes are missing"),
    "Ogg cut in the head of a page": (page(b"OpusHead", flags=2) + page(b"x" * 700)[:20], "cut off"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_may_be_whole_passes(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(WHOLE[name])
    assert flaw(str(tmp_path), str(tmp_path / "a")) is None


@pytest.mark.parametrize("name", CUT)
def test_what_is_cut_off_is_told_with_the_reason(tmp_path: Path, name: str) -> None:
    content, reason = CUT[name]
    (tmp_path / "a").write_bytes(content)
    found = flaw(str(tmp_path), str(tmp_path / "a"))
    assert found
    assert found.is_certain
    assert reason in found.reason


def test_an_ogg_stream_without_an_end_is_in_doubt_only(tmp_path: Path) -> None:
    """Recorded streams often have no end mark, and decoders take them all the same."""
    (tmp_path / "a").write_bytes(page(b"OpusHead", flags=2) + page(b"x" * 700))
    found = flaw(str(tmp_path), str(tmp_path / "a"))
    assert found
    assert not found.is_certain


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(CUT["RIFF"][0])
    (tmp_path / "link").symlink_to(tmp_path / "cut")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "missing"):
        assert flaw(str(tmp_path), str(tmp_path / name)) is None


def test_only_heads_and_tails_are_read(tmp_path: Path) -> None:
    """A sparse file of a terabyte takes no time."""
    with (tmp_path / "a").open("wb") as file:
        file.write(FTYP + large_box(b"mdat", 2**40))
        file.seek(len(FTYP) + 2**40)
        file.write(MOOV)
    assert flaw(str(tmp_path), str(tmp_path / "a")) is None
