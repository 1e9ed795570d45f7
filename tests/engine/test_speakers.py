"""Speakers of one channel: one or two, told apart by how they sound."""

from __future__ import annotations

import numpy as np
import pytest

from daemon.engine.decode import SAMPLE_RATE, Samples
from daemon.engine.speakers import Piece, groups, pieces, tell_apart
from daemon.engine.words import Word
from tests.engine.recordings import sample, sound


def spoken(*words: str, start: float = 0.0, seconds: float = 0.5) -> list[Word]:
    return [
        Word(word.strip(".,?").lower(), word, start + at * seconds, start + (at + 1) * seconds, 0.9)
        for at, word in enumerate(words)
    ]


def higher(voice: Samples, by: float) -> Samples:
    """The same sound faster and so higher: the voice of somebody else."""
    return np.asarray(np.interp(np.arange(0, len(voice), by), np.arange(len(voice)), voice), np.float32)


def turns(count: int) -> tuple[list[Word], Samples]:
    """Words and sound of two voices that take turns, 3 s each."""
    low = sound(sample("complaint"), 3 * count)
    high = higher(sound(sample("complaint")), 1.35)
    parts, words = [], []
    for at in range(count):
        source = low if at % 2 == 0 else high
        parts.append(source[at * 3 * SAMPLE_RATE :][: 3 * SAMPLE_RATE])
        words += spoken("one", "two", "three", "four", "five", "six.", start=3 * at)
    return words, np.concatenate(parts)


def test_two_who_take_turns_are_told_apart() -> None:
    words, voices = turns(6)
    told = tell_apart(words, np.array_split(voices, 20))
    assert [word.speaker for word in told] == [turn % 2 for turn in range(6) for _ in range(6)]
    assert [word.text for word in told] == [word.text for word in words]


def test_one_voice_is_one_speaker() -> None:
    words = [word for at in range(4) for word in spoken("a", "b", "c", "d", "e", "f.", start=3 * at)]
    assert {word.speaker for word in tell_apart(words, [sound(sample("complaint"), 12)])} == {0}


def test_what_is_too_short_goes_to_its_neighbour() -> None:
    words, voices = turns(6)
    words[4] = Word("five", "five.", 2.0, 2.5, 0.9)
    words[5] = Word("yes", "Yes.", 2.6, 2.7, 0.9)
    told = tell_apart(words, [voices])
    assert told[5].speaker == told[4].speaker == 0


def test_no_words_or_no_sound_is_no_failure() -> None:
    assert tell_apart([], []) == []
    assert [word.speaker for word in tell_apart(spoken("Hello.", "there."), [])] == [0, 0]
    assert [word.speaker for word in tell_apart(spoken("Hm.", seconds=0.2), [])] == [0]


def test_pieces_end_at_sentences_pauses_and_when_they_grow_long() -> None:
    words = [
        *spoken("Hello.", "this", "is"),
        *spoken("Ann", "speaking", start=2.0),
        *spoken(*["so"] * 20, start=3.0),
    ]
    assert pieces(words) == [Piece(0, 1), Piece(1, 3), Piece(3, 19), Piece(19, 25)]


@pytest.mark.parametrize(
    ("angles", "seconds", "expected"),
    [
        ([0, 5, 90, 95], [3, 3, 3, 3], [0, 0, 1, 1]),
        ([0, 5, 10, 15], [3, 3, 3, 3], [0, 0, 0, 0]),
        ([0, 5, 90], [3, 3, 1], [0, 0, 0]),
        ([0, 4, 40, 44, 130], [3, 3, 3, 3, 1], [0, 0, 1, 1, 1]),
        ([0, 4, 130], [3, 3, 1], [0, 0, 0]),
        ([7, 7, 7], [3, 3, 3], [0, 0, 0]),
        ([0], [3], [0]),
    ],
)
def test_two_groups_are_far_apart_and_both_speak(
    angles: list[int], seconds: list[int], expected: list[int]
) -> None:
    radians = np.radians(np.array(angles, np.float32))
    rows = np.stack([np.cos(radians), np.sin(radians)], axis=1)
    found = groups(rows, np.array(seconds, np.float32))
    assert [group ^ found[0] for group in found] == expected
