"""What the engine hears: `.venv/bin/python -m benchmarks.recognition FOLDER [--model base] [--clean]`.

FOLDER holds recordings, each with what is said in it beside it in NAME.txt. Each is recognized with the
settings that ship: as it is, as telephone codecs leave it, so when it is quiet, and in noise of each
loudness. Prints a row per recording and condition, then word error rate (WER), processor time, memory, and
the honesty gate: which bound of the mean confidence parts good transcripts from bad ones.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from daemon.engine.decode import SAMPLE_RATE, Samples, samples
from daemon.engine.recognize import Model, load, recognize
from daemon.engine.weights import find
from daemon.engine.words import mean_confidence

FILLERS = {"uh", "um", "hmm", "mm", "mhm", "er", "ah"}  # which Whisper was taught to leave out
ENDINGS = (".wav", ".mp3", ".flac", ".ogg", ".m4a")
MU_LAW, GSM = ("wav", "pcm_mulaw", 64_000), ("amr", "libopencore_amrnb", 7_400)
TELEPHONE_RATE = 8_000
QUIETER_DECIBELS = (20, 30, 40)
NOISE_DECIBELS = (5, 0, -5)
BOUNDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)


@dataclass(frozen=True, slots=True)
class Row:
    """One recording under one condition."""

    recording: str
    condition: str
    words: int
    errors: int
    confidence: float
    looping_share: float
    seconds: float
    cpu_seconds: float

    @property
    def error_rate(self) -> float:
        """Errors by words that were said; over 1 where more is invented than was said."""
        return self.errors / self.words


def normalized(text: str) -> list[str]:
    """Words without case, punctuation and the ways in which the same is written."""
    text = re.sub(r"(?<=\d),(?=\d)", "", text.lower().replace("’", "'"))  # noqa: RUF001
    written = {"mister": "mr", "missus": "mrs", "doctor": "dr", "okay": "ok"}
    words = re.sub(r"[^\w' ]", " ", text).split()
    return [written.get(word, word) for word in words if word not in FILLERS]


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    """The least number of words to change, add and leave out."""
    before = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        row = [number]
        for at, other in enumerate(heard, 1):
            row.append(min(before[at] + 1, row[at - 1] + 1, before[at - 1] + (word != other)))
        before = row
    return before[-1]


def through(sound: Samples, container: str, codec: str, bit_rate: int) -> Samples:
    """What a codec of telephones leaves of a sound."""
    output = io.BytesIO()
    with av.open(output, "w", format=container) as file:
        stream = file.add_stream(codec, rate=TELEPHONE_RATE, layout="mono")
        stream.bit_rate = bit_rate
        values = (sound.clip(-1, 1) * 32_767).astype("<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(values, format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=TELEPHONE_RATE, frame_size=stream.frame_size
        )
        for part in (frame, None):
            for converted in resampler.resample(part):
                file.mux(stream.encode(converted))
        file.mux(stream.encode(None))
    output.seek(0)
    return np.concatenate(list(samples(output)))


def noisy(sound: Samples, decibels: float) -> Samples:
    """The sound in white noise that is so many decibels quieter."""
    power = float(np.mean(np.square(sound))) / 10 ** (decibels / 10)
    noise = np.random.default_rng(1).normal(0, np.sqrt(power), len(sound))
    return np.asarray((sound + noise).clip(-1, 1), np.float32)


def conditions(sound: Samples, *, only_clean: bool) -> Iterator[tuple[str, Samples]]:
    """The sound as it is, and as it may arrive."""
    yield "clean", sound
    if only_clean:
        return
    yield "mu-law", through(sound, *MU_LAW)
    yield "GSM", through(sound, *GSM)
    for decibels in QUIETER_DECIBELS:
        yield f"{decibels} dB quieter, mu-law", through(sound * np.float32(10 ** (-decibels / 20)), *MU_LAW)
    for decibels in NOISE_DECIBELS:
        yield f"noise {decibels:+} dB, mu-law", through(noisy(sound, decibels), *MU_LAW)


def measured(model: Model, file: Path, *, only_clean: bool) -> Iterator[Row]:
    """Recognize one recording under every condition."""
    said = normalized(file.with_suffix(".txt").read_text("utf-8"))
    with file.open("rb") as recording:
        sound = np.concatenate(list(samples(recording)))
    for condition, heard_sound in conditions(sound, only_clean=only_clean):
        began = time.process_time()
        heard = recognize(model, [heard_sound])
        yield Row(
            recording=file.stem,
            condition=condition,
            words=len(said),
            errors=edits(said, normalized(" ".join(word.punctuated for word in heard.words))),
            confidence=mean_confidence(heard.words),
            looping_share=heard.looping_share,
            seconds=len(sound) / SAMPLE_RATE,
            cpu_seconds=time.process_time() - began,
        )


def gate(rows: Sequence[Row]) -> str:
    """Say for each bound what it lets pass and what it holds back."""
    lines = ["bound | passed: number, worst WER | held back: number, best WER, number under .20"]
    for bound in BOUNDS:
        passed = [row.error_rate for row in rows if row.confidence >= bound]
        held = [row.error_rate for row in rows if row.confidence < bound]
        lines.append(
            f"{bound:.2f} | {len(passed)}, {max(passed, default=0):.2f} | "
            f"{len(held)}, {min(held, default=0):.2f}, {sum(rate < 0.2 for rate in held)}"
        )
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    """WER and processor time by condition."""
    lines = ["condition | WER | mean confidence | CPU s per audio s"]
    for condition in dict.fromkeys(row.condition for row in rows):
        some = [row for row in rows if row.condition == condition]
        lines.append(
            f"{condition} | {sum(r.errors for r in some) / sum(r.words for r in some):.3f} | "
            f"{sum(r.confidence for r in some) / len(some):.2f} | "
            f"{sum(r.cpu_seconds for r in some) / sum(r.seconds for r in some):.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="base")
    parser.add_argument("--clean", action="store_true", help="only as they are")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all rows there")
    arguments = parser.parse_args()
    began, began_wall = time.process_time(), time.monotonic()
    model = load(find(arguments.model), device="cpu", threads=arguments.threads)
    print(
        f"loaded in {time.monotonic() - began_wall:.2f} s, {time.process_time() - began:.2f} s of a processor"
    )
    files = sorted(file for file in arguments.folder.iterdir() if file.suffix in ENDINGS)
    rows = []
    for file in files:
        for row in measured(model, file, only_clean=arguments.clean):
            rows.append(row)
            print(
                f"{row.recording} | {row.condition} | {row.error_rate:.2f} of {row.words} | "
                f"{row.confidence:.2f} | looping {row.looping_share:.2f} | "
                f"{row.cpu_seconds / row.seconds:.2f}",
                flush=True,
            )
            if arguments.json:
                arguments.json.write_text(json.dumps([asdict(each) for each in rows]))
    print("", summary(rows), "", gate(rows), sep="\n")
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
