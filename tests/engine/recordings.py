"""Recordings for the tests of the engine: the samples that it brings along, in any shape."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream

from daemon.engine.decode import SAMPLE_RATE, Samples, samples

SAMPLES = Path(__file__).parents[2] / "daemon/samples"
REAL = Path(__file__).parents[3] / "shared/data/audio"
"""Real recordings, which are not on every machine."""


def sample(name: str) -> bytes:
    """One of the samples as it lies in the package."""
    return (SAMPLES / f"{name}.mp3").read_bytes()


def sound(file: bytes | Path, seconds: float | None = None) -> Samples:
    """The first seconds of a recording, decoded."""
    content = file if isinstance(file, bytes) else file.read_bytes()
    wanted = int(seconds * SAMPLE_RATE) if seconds else None
    parts: list[Samples] = []
    for part in samples(io.BytesIO(content)):
        parts.append(part)
        if wanted and sum(map(len, parts)) >= wanted:
            break
    return np.concatenate(parts)[:wanted]


def encoded(
    channels: list[Samples], container: str = "wav", codec: str = "pcm_s16le", rate: int = 16_000
) -> bytes:
    """Make a recording of channels of equal length, in any format and at any rate."""
    layout = {1: "mono", 2: "stereo"}.get(len(channels), f"{len(channels)}c")
    values = (np.stack(channels, axis=1).clip(-1, 1) * 32_767).astype("<i2")
    output = io.BytesIO()
    with av.open(output, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, AudioStream)
        frame = av.AudioFrame.from_ndarray(values.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        resampler = av.AudioResampler(
            format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size
        )
        for part in (frame, None):
            for converted in resampler.resample(part):
                file.mux(stream.encode(converted))
        file.mux(stream.encode(None))
    return output.getvalue()
