"""Whether speakers are told apart: `.venv/bin/python -m benchmarks.speakers FOLDER [--model base]`.

FOLDER holds recordings of one channel, each with its turns beside it in NAME.rttm. Each is recognized and its
words are given to speakers with the settings that ship. A word counts where one speaker alone has a turn in
its middle. Prints how many speak and were found, and the share of the words that are with the right one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

from benchmarks.recognition import ENDINGS
from daemon.engine.decode import samples
from daemon.engine.recognize import Model, load, recognize
from daemon.engine.speakers import tell_apart
from daemon.engine.weights import find


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds in which somebody speaks."""

    start: float
    end: float
    speaker: str


def turns_of(file: Path) -> list[Turn]:
    """Read the turns of an RTTM file."""
    rows = (line.split() for line in file.read_text("utf-8").splitlines() if line)
    return [Turn(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]


def speaker_at(moment: float, turns: Sequence[Turn]) -> str | None:
    """Who speaks, None when it is nobody or several."""
    speaking = {turn.speaker for turn in turns if turn.start <= moment <= turn.end}
    return speaking.pop() if len(speaking) == 1 else None


def measured(model: Model, file: Path) -> str:
    """Make one row of the table."""
    turns = turns_of(file.with_suffix(".rttm"))
    with file.open("rb") as recording:
        sound = np.concatenate(list(samples(recording)))
    told = tell_apart(recognize(model, [sound]).words, [sound])
    pairs = [(speaker_at((word.start + word.end) / 2, turns), word.speaker) for word in told]
    scored = [(said, found) for said, found in pairs if said is not None and found is not None]
    said, found = (sorted({pair[side] for pair in scored}, key=str) for side in (0, 1))
    # Names do not matter: the best way to match them counts.
    longer, shorter = (said, found) if len(said) >= len(found) else (found, said)
    ways = [dict(zip(shorter, chosen, strict=True)) for chosen in permutations(longer, len(shorter))]
    right = max(
        sum(way.get(a) == b or way.get(b) == a for a, b in scored)
        for way in ways  # type: ignore[call-overload]
    )
    return f"{file.stem} | {len(said)} | {len(found)} | {len(scored)} | {right / max(len(scored), 1):.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="base")
    arguments = parser.parse_args()
    model = load(find(arguments.model), device="cpu", threads=1)
    print("recording | speakers | found | words | with the right speaker")
    for file in sorted(arguments.folder.iterdir()):
        if file.suffix in ENDINGS and file.with_suffix(".rttm").exists():
            print(measured(model, file), flush=True)


if __name__ == "__main__":
    main()
