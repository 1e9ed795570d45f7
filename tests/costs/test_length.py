"""How long files play, read from their headers in bounded time and memory."""

from __future__ import annotations

import os
import random
import struct
import time
from pathlib import Path

import pytest

from daemon.costs.length import Length, guessed, length_of
from tests.costs.recordings import CODECS, encoded, mp3_of_constant_rate, telephone_wav


def measured(path: Path, content: bytes | None = None) -> Length:
    if content is not None:
        path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return length_of(descriptor, path.name, path.stat().st_size)
    finally:
        os.close(descriptor)


def is_read(length: Length) -> bool:
    return length.least == length.usual == length.most


@pytest.mark.parametrize("kind", CODECS)
def test_a_file_says_its_length_itself(tmp_path: Path, kind: str) -> None:
    length = measured(tmp_path / f"a.{kind}", encoded(kind, seconds=20))
    assert is_read(length)
    assert length.usual == pytest.approx(20, abs=0.3)


def test_an_hour_without_a_header_of_its_own_is_an_hour(tmp_path: Path) -> None:
    content = mp3_of_constant_rate(hours=1)
    for name, tag in (("plain.mp3", b""), ("tagged.mp3", b"ID3\x04\x00\x00\x00\x00\x20\x00" + bytes(4096))):
        assert measured(tmp_path / name, tag + content).usual == pytest.approx(3600, rel=0.001)


def test_a_long_ogg_file_is_not_read_from_end_to_end(tmp_path: Path) -> None:
    content = encoded("opus", seconds=60)
    assert len(content) > 3 * 65_536
    length = measured(tmp_path / "a.opus", content)
    assert is_read(length)
    assert length.usual == pytest.approx(60, abs=0.3)


@pytest.mark.parametrize("data_bytes", [None, 0, 2**32 - 1])
def test_telephone_recordings_without_a_length_are_as_long_as_their_samples(
    tmp_path: Path, data_bytes: int | None
) -> None:
    """Also one that was written into a pipe, or cut off: then the header has no size, or any."""
    length = measured(tmp_path / "a.wav", telephone_wav(seconds=90, data_bytes=data_bytes))
    assert is_read(length)
    assert length.usual == pytest.approx(90, abs=0.1)


@pytest.mark.parametrize(
    ("name", "size", "seconds"),
    [
        ("a.mp3", 720_000, 60),
        ("a.opus", 240_000, 60),
        ("a.unknown", 720_000, 60),
        ("noheader.wav", 32_000, 1),
    ],
)
def test_of_what_has_no_header_the_length_is_guessed_with_its_bounds(
    tmp_path: Path, name: str, size: int, seconds: float
) -> None:
    length = measured(tmp_path / name, bytes(size))
    assert length == guessed(name, size)
    assert length.usual == pytest.approx(seconds)
    assert length.least < length.usual < length.most


def hostile() -> dict[str, bytes]:
    chunk = struct.pack("<I", 2**32 - 1)
    atom = struct.pack(">I", 2**31 - 1)
    return {
        "wav with a format of 4 GB": b"RIFF" + chunk + b"WAVEfmt " + chunk + bytes(100_000),
        "wav of a million empty chunks": b"RIFF" + chunk + b"WAVE" + b"junk\0\0\0\0" * 1_000_000,
        "mp4 of atoms that are larger than it": (atom + b"ftyp" + atom + b"moov") * 100_000,
        "mp4 of nested atoms": b"\0\0\0\x08ftyp" + (struct.pack(">I", 2**24) + b"moov") * 200_000,
        "mp4 of a million empty atoms": b"\0\0\0\x08ftypisom" + b"\0\0\0\x08free" * 1_000_000,
        "an MPEG header and then none": b"\xff\xfb\x90\x00" + b"\xff\xff\xff\xff" * 2_000_000,
        "id3 that skips four times its size": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(1_000_000),
        "ogg of a page that is repeated": (b"OggS" + bytes(22) + b"\x01\x00") * 300_000,
        "ogg of one endless packet": b"OggS" + bytes(22) + b"\xff" * 256 + b"\x03vorbis" * 100_000,
        "flac of empty blocks": b"fLaC" + b"\x01\0\0\0" * 1_000_000,
        "aiff of empty chunks": b"FORM\0\0\0\0AIFF" + b"JUNK\0\0\0\0" * 1_000_000,
        "wav that plays for a year": b"RIFF" + chunk + b"WAVEfmt \x10\0\0\0"
        + struct.pack("<HHIIHH", 6, 1, 1, 1, 1, 1) + b"fact\x04\0\0\0" + chunk + b"data" + chunk + bytes(99),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_file_takes_neither_time_nor_a_false_length(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(hostile()[name])
    began = time.process_time()
    length = measured(path)
    assert time.process_time() - began < 1.0
    assert 0 <= length.least <= length.usual <= length.most <= path.stat().st_size / 75


def test_whatever_a_header_says_ends_in_a_length(tmp_path: Path, seed: int = 11) -> None:
    changing = random.Random(seed)
    for kind in CODECS:
        whole = encoded(kind, seconds=1)
        for _ in range(40):
            content = bytearray(whole[: changing.randrange(1, len(whole))])
            for _ in range(changing.randrange(8)):
                content[changing.randrange(min(len(content), 300))] = changing.randrange(256)
            length = measured(tmp_path / f"a.{kind}", bytes(content))
            assert 0 <= length.least <= length.usual <= length.most < 10**7
