"""Decodes one recording for the web pages, shut in as a worker is (`-m daemon.engine.preview KIND PARENT`).

The recording is standard input. To standard output goes either its shape (`peaks`), a byte for each of
COLUMNS parts, or the whole as an MP3 that every browser plays (`mp3`).
"""

import sys
from itertools import pairwise
from typing import BinaryIO

import av
import numpy as np

from daemon.engine.decode import SAMPLE_RATE, UnreadableAudio, samples
from daemon.engine.sandbox import Bounds, enter

COLUMNS = 500
STEP_SAMPLES = SAMPLE_RATE // 10
MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 300
BIT_RATE = 48_000
FRAME_SAMPLES = 16 * 1152
UNREADABLE = 3
"""The exit code for what is no recording."""


def main() -> None:
    """Enter the sandbox, then decode."""
    kind, parent = sys.argv[1], int(sys.argv[2])
    # Loaded before: in the sandbox the codec may open no file.
    av.CodecContext.create("libmp3lame", "w")
    enter(Bounds(memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS), parent)
    try:
        {"peaks": write_peaks, "mp3": write_mp3}[kind](sys.stdin.buffer, sys.stdout.buffer)
    except UnreadableAudio:
        sys.exit(UNREADABLE)


def write_peaks(recording: BinaryIO, output: BinaryIO) -> None:
    """Write the loudest sample of each of COLUMNS parts, 255 for the loudest of all."""
    highest: list[float] = []
    left = np.zeros(0, np.float32)
    for part in samples(recording):
        left = np.concatenate((left, part))
        whole = len(left) // STEP_SAMPLES * STEP_SAMPLES
        highest += np.abs(left[:whole]).reshape(-1, STEP_SAMPLES).max(axis=1).tolist()
        left = left[whole:]
    if len(left) or not highest:
        highest.append(float(np.abs(left).max(initial=0.0)))
    columns = [max(part, default=0.0) for part in _parts(highest)]
    loudest = max(columns) or 1.0
    output.write(bytes(round(255 * min(value / loudest, 1.0)) for value in columns))
    output.flush()


def write_mp3(recording: BinaryIO, output: BinaryIO) -> None:
    """Write the whole as an MP3 of one channel."""
    with av.open(output, "w", format="mp3", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE)
        stream.bit_rate = BIT_RATE
        stream.layout = "mono"
        at = 0
        for part in samples(recording):
            for first in range(0, len(part), FRAME_SAMPLES):
                sound = np.clip(part[first : first + FRAME_SAMPLES] * 32767, -32768, 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16p", layout="mono")
                frame.sample_rate, frame.pts = SAMPLE_RATE, at
                at += len(sound)
                for packet in stream.encode(frame):
                    container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def _parts(values: list[float]) -> list[list[float]]:
    bounds = [round(number * len(values) / COLUMNS) for number in range(COLUMNS + 1)]
    return [values[first : max(last, first + 1)] for first, last in pairwise(bounds)]


if __name__ == "__main__":
    main()
