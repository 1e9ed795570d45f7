"""Cuts endless sound into blocks that recognition has memory for, at quiet moments."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from daemon.engine.decode import SAMPLE_RATE, Samples

MAX_SECONDS = 300
"""Recognizing a block takes 54 MB a minute besides the model."""
CUT_WITHIN_SECONDS = 60
FRAME_SECONDS = 0.02
QUIET_FRAMES = 25
"""A pause between two words is shorter: a cut is made where half a second has the least sound."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive samples and the second of the recording at which they start."""

    start: float
    samples: Samples

    @property
    def end(self) -> float:
        """The second at which they end."""
        return self.start + len(self.samples) / SAMPLE_RATE


def blocks(parts: Iterable[Samples]) -> Iterator[Block]:
    """Join parts of any length to blocks of at most MAX_SECONDS, each cut at a quiet moment near its end."""
    room = np.empty(MAX_SECONDS * SAMPLE_RATE, np.float32)
    held = given = 0
    for part in parts:
        while len(part):
            taken = min(len(part), len(room) - held)
            room[held : held + taken] = part[:taken]
            held, part = held + taken, part[taken:]
            if held == len(room):
                cut = _quietest(room)
                yield Block(given / SAMPLE_RATE, room[:cut].copy())
                room[: held - cut] = room[cut:held].copy()
                held, given = held - cut, given + cut
    if held:
        yield Block(given / SAMPLE_RATE, room[:held].copy())


def _quietest(samples: Samples) -> int:
    """Return the middle of the quietest half second of the last minute."""
    frame = int(FRAME_SECONDS * SAMPLE_RATE)
    end = samples[-CUT_WITHIN_SECONDS * SAMPLE_RATE :]
    energies = np.square(end.reshape(-1, frame), dtype=np.float64).sum(axis=1)
    windows = np.convolve(energies, np.ones(QUIET_FRAMES), mode="valid")
    middle = int(windows.argmin()) + QUIET_FRAMES // 2
    return len(samples) - len(end) + middle * frame
