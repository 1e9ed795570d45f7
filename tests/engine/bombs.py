"""Recordings that take far more than their size: small files that claim or unpack to a great deal."""

from __future__ import annotations

import struct

RATE = 16_000


def sample_table(samples: int = 80_000_000) -> bytes:
    """An MP4 of some 640 bytes whose tables say that it has this many samples: an index of gigabytes."""
    entry = box(
        b"sowt", bytes(6) + struct.pack(">H", 1), bytes(8), struct.pack(">HHHHI", 1, 16, 0, 0, RATE << 16)
    )
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1) + entry),
        full(b"stts", struct.pack(">III", 1, samples, 2)),
        full(b"stsc", struct.pack(">IIII", 1, 1, samples, 1)),
        full(b"stsz", struct.pack(">II", 2, samples)),
        full(b"stco", struct.pack(">II", 1, 600)),
    )
    source = box(b"dinf", full(b"dref", struct.pack(">I", 1) + full(b"url ", b"", flags=1)))
    information = box(b"minf", full(b"smhd", bytes(4)), source, table)
    header = full(b"mdhd", struct.pack(">IIIIHH", 0, 0, RATE, samples, 0x55C4, 0))
    handler = full(b"hdlr", bytes(4) + b"soun" + bytes(12) + b"\0")
    media = box(b"mdia", header, handler, information)
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    track = full(b"tkhd", struct.pack(">IIIII", 0, 0, 1, 0, samples) + bytes(16) + matrix + bytes(8), flags=7)
    movie = full(b"mvhd", struct.pack(">IIII", 0, 0, RATE, samples) + bytes(80))
    return (
        box(b"ftyp", b"isom", bytes(4), b"isom")
        + box(b"moov", movie, box(b"trak", track, media))
        + box(b"mdat", bytes(16))
    )


def box(name: bytes, *content: bytes) -> bytes:
    """A box of an MP4 file."""
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def full(name: bytes, content: bytes, *, flags: int = 0) -> bytes:
    """A box with version and flags."""
    return box(name, struct.pack(">I", flags), content)
