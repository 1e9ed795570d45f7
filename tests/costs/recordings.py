"""Files to read lengths from: encoded by FFmpeg, and by hand where a header is to be odd."""

from __future__ import annotations

import array
import io
import math
import struct

import av

CODECS = {
    "wav": ("wav", "pcm_s16le"),
    "mulaw.wav": ("wav", "pcm_mulaw"),
    "adpcm.wav": ("wav", "adpcm_ima_wav"),
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "flac": ("flac", "flac"),
    "m4a": ("mp4", "aac"),
    "aiff": ("aiff", "pcm_s16be"),
}
RATE = 16_000


def encoded(kind: str, *, seconds: float) -> bytes:
    """A tone of this length as a file of this kind."""
    container, codec = CODECS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000 if kind == "opus" else RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        wave = array.array("h", (round(8000 * math.sin(n * 0.17)) for n in range(RATE))) * math.ceil(seconds)
        samples = wave[: round(seconds * RATE)]
        frame = av.AudioFrame("s16", "mono", len(samples))
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


def mp3_of_constant_rate(*, hours: float) -> bytes:
    """MPEG-2 layer III, 32 kbit/s at 16 kHz, without a Xing header: frames of 144 bytes and 36 ms."""
    return (bytes([0xFF, 0xF3, 0x48, 0xC0]) + bytes(140)) * round(hours * 3600 / 0.036)


def telephone_wav(*, seconds: float, data_bytes: int | None = None) -> bytes:
    """G.711 at 8 kHz as telephone systems write it: no `fact` chunk; `data_bytes` is what the header says."""
    size = round(seconds * 8000)
    header = struct.pack("<HHIIHH", 7, 1, 8000, 8000, 1, 8)
    said = size if data_bytes is None else data_bytes
    chunks = b"fmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", said) + bytes(size)
    return b"RIFF" + struct.pack("<I", min(4 + len(chunks), 2**32 - 1)) + b"WAVE" + chunks
