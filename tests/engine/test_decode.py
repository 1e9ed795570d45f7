"""Decoding: every format gives the same samples, and what is broken or made to harm gives none."""

from __future__ import annotations

import io
import random
import time

import numpy as np
import pytest

from daemon.engine.decode import SAMPLE_RATE, UnreadableAudio, measure, samples
from tests.engine.recordings import SAMPLES, encoded, sample, sound

SPEECH = sound(sample("complaint"), 3)
SILENCE = np.zeros_like(SPEECH)


def likeness(found: np.ndarray, expected: np.ndarray) -> float:
    """The correlation of two sounds at the delay, of up to 0.2 s, at which it is greatest."""
    size = min(len(found), len(expected))
    spectrum = np.fft.rfft(found[:size], 2 * size) * np.conj(np.fft.rfft(expected[:size], 2 * size))
    aligned = np.abs(np.fft.irfft(spectrum))
    delays = np.concatenate([aligned[:3200], aligned[-3200:]])
    return float(delays.max() / (np.linalg.norm(found[:size]) * np.linalg.norm(expected[:size])))


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 8_000),
        ("wav", "pcm_mulaw", 8_000),
        ("wav", "pcm_alaw", 8_000),
        ("wav", "adpcm_ima_wav", 16_000),
        ("mp3", "libmp3lame", 44_100),
        ("ipod", "aac", 44_100),
        ("ogg", "libopus", 48_000),
        ("flac", "flac", 96_000),
        ("webm", "libopus", 48_000),
    ],
)
def test_every_format_gives_the_same_sound(container: str, codec: str, rate: int) -> None:
    content = encoded([SPEECH], container, codec, rate)
    assert measure(io.BytesIO(content)).duration_seconds == pytest.approx(3, abs=0.2)
    assert likeness(sound(content), SPEECH) > 0.9


def test_channels_come_apart_or_mixed() -> None:
    file = io.BytesIO(encoded([SPEECH, SILENCE]))
    assert measure(file).channels == 2
    left, right, mixed = (np.concatenate(list(samples(file, which))) for which in (0, 1, None))
    assert likeness(left, SPEECH) > 0.99
    assert not right.any()
    assert mixed == pytest.approx(left / 2, abs=1e-3)


def test_more_channels_than_ffmpeg_mixes_are_mixed_all_the_same() -> None:
    file = io.BytesIO(encoded([SPEECH] + [SILENCE] * 11))
    assert measure(file).channels == 12
    assert np.concatenate(list(samples(file))) == pytest.approx(SPEECH / 12, abs=1e-3)


def test_a_recording_cut_off_in_the_middle_gives_what_is_there() -> None:
    content = sample("complaint")[:40_000]
    assert 5 < measure(io.BytesIO(content)).duration_seconds < 8
    assert likeness(sound(content, 3), SPEECH) > 0.99


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"this is no recording\n" * 500, id="text"),
        pytest.param(random.Random(2).randbytes(50_000), id="random"),
        pytest.param(encoded([SPEECH[:1]])[:44], id="header-only"),
        pytest.param(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:30\n#EXTINF:30,\n{SAMPLES}/thanks.mp3\n#EXT-X-ENDLIST\n".encode(),
            id="playlist",
        ),
        pytest.param(f"ffconcat version 1.0\nfile '{SAMPLES}/thanks.mp3'\n".encode(), id="list-of-files"),
    ],
)
def test_what_is_no_recording_gives_nothing(content: bytes) -> None:
    with pytest.raises(UnreadableAudio):
        measure(io.BytesIO(content))


@pytest.mark.parametrize("rate", [1, 1_000_000_000])
def test_a_header_with_an_absurd_sample_rate_costs_no_time(rate: int) -> None:
    content = bytearray(encoded([SPEECH]))
    at = content.index(b"fmt ") + 12
    content[at : at + 4] = rate.to_bytes(4, "little")
    started = time.process_time()
    with pytest.raises(UnreadableAudio):
        measure(io.BytesIO(content))
    assert time.process_time() - started < 2


def test_samples_are_short_parts_at_the_rate_of_recognition() -> None:
    parts = list(samples(io.BytesIO(sample("complaint"))))
    assert max(map(len, parts)) < 30 * SAMPLE_RATE
    assert {part.dtype for part in parts} == {np.dtype("float32")}
    assert np.abs(np.concatenate(parts)).max() <= 1
