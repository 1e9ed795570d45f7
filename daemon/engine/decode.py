"""Decodes any recording into samples for recognition: 16 kHz, one channel, a short part at a time (PyAV)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Sound of one channel, -1..1, SAMPLE_RATE of them a second."""

SAMPLE_RATE = 16_000
FULL_SCALE = np.float32(32_768)  # of 16-bit samples
MAX_CHANNELS = 20  # as Deepgram's multichannel
MOST_MIXED_BY_FFMPEG = 8  # its resampler refuses more (measured with 20)
MAX_SECONDS = 24 * 3600  # a few bytes can claim to be weeks of sound
# Other rates come from damaged headers, which turn seconds into hours or make the resampler take GBs.
SAMPLE_RATES = range(4_000, 768_001)
# Demuxers of recordings only. ffmpeg also knows playlists (hls, concat, dash) that make it open other files
# and addresses; a recording must not make it do that.
FORMATS = (
    "aac,ac3,eac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,flac,flv,gsm,matroska,webm,mov,mp4,mp3,mpeg,"
    "mpegts,mpc,mpc8,mxf,nut,ogg,oma,qcp,rm,rso,sox,tak,tta,voc,w64,wav,wsd,wv,xwma"
)
OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "enable_drefs": "0"}


class UnreadableAudio(Exception):
    """The bytes are no recording, or too little of it can be decoded."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What decoding the whole recording once tells about it."""

    duration_seconds: float
    channels: int


def measure(file: BinaryIO) -> Facts:
    """Decode the recording to its end, for its real length: headers may lie, or say nothing."""
    with _opened(file) as container:
        channels = _sound(container).codec_context.channels
    count = 0
    for part in samples(file):
        count += len(part)
        if count > MAX_SECONDS * SAMPLE_RATE:
            raise UnreadableAudio("the recording is longer than a day")
    return Facts(duration_seconds=count / SAMPLE_RATE, channels=max(channels, 1))


def samples(file: BinaryIO, channel: int | None = None) -> Iterator[Samples]:
    """Yield the recording's samples, a short part at a time so that memory stays small.

    `channel` counts from 0; None mixes all channels. Raises UnreadableAudio if nothing, or less than half of
    the packets, can be decoded; a recording that ends early gives what is there.
    """
    with _opened(file) as container:
        stream = _sound(container)
        empty = True
        for part in _resampled(_frames(container, stream), channel):
            empty = False
            yield part
        if empty:
            raise UnreadableAudio("no audio could be decoded")


def _opened(file: BinaryIO) -> InputContainer:
    file.seek(0)
    try:
        return av.open(file, mode="r", options=OPEN_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise UnreadableAudio("not a known audio or video format") from error


def _sound(container: InputContainer) -> AudioStream:
    """The first audio stream that ffmpeg has a decoder for; PyAV gives the others no codec context."""
    for stream in container.streams.audio:
        if stream.codec_context is not None:
            return stream
    raise UnreadableAudio("the file has no sound, or none that can be decoded")


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    good = bad = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            break  # cut off: what came so far counts
        if packet is None:
            break
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:
            bad += 1
            continue
        good += 1
        yield from frames
    if bad > good:
        raise UnreadableAudio("most of the recording is damaged")


def _resampled(frames: Iterator[AudioFrame], channel: int | None) -> Iterator[Samples]:
    """Convert frames to samples; a recording may change its format on the way (broadcasts)."""
    resampler: av.AudioResampler | None = None
    current: tuple[str, str, int] | None = None
    for frame in frames:
        if frame.sample_rate not in SAMPLE_RATES:
            raise UnreadableAudio("no sample rate of speech")
        frame.pts = None
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or shape != current:
            if resampler is not None:
                yield from _converted(resampler, None, channel)
            resampler, current = _resampler(frame, channel), shape
        yield from _converted(resampler, frame, channel)
    if resampler is not None:
        yield from _converted(resampler, None, channel)


def _resampler(frame: AudioFrame, channel: int | None) -> av.AudioResampler:
    mixes = channel is None and frame.layout.nb_channels <= MOST_MIXED_BY_FFMPEG
    return av.AudioResampler(format="s16", layout="mono" if mixes else frame.layout, rate=SAMPLE_RATE)


def _converted(
    resampler: av.AudioResampler, frame: AudioFrame | None, channel: int | None
) -> Iterator[Samples]:
    try:
        converted = resampler.resample(frame)
    except (av.error.FFmpegError, ValueError) as error:
        raise UnreadableAudio("unusable channels or sample rate") from error
    for part in converted:
        count = part.layout.nb_channels
        every = part.to_ndarray().reshape(-1, count).astype(np.float32) / FULL_SCALE
        if channel is not None:
            yield every[:, min(channel, count - 1)]
        else:
            yield every[:, 0] if count == 1 else every.mean(axis=1, dtype=np.float32)
