"""Blocks: endless sound in pieces that fit into memory, without losing a sample or cutting a word."""

from __future__ import annotations

import numpy as np

from daemon.engine.blocks import MAX_SECONDS, blocks
from daemon.engine.decode import SAMPLE_RATE, Samples


def speech_with_pauses(seconds: int, every: int) -> Samples:
    """Noise as loud as speech, with a pause of 0.6 s at the end of each `every` seconds."""
    noise = np.random.default_rng(1).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
    for second in range(every, seconds, every):
        noise[int((second - 0.6) * SAMPLE_RATE) : second * SAMPLE_RATE] *= 0.01
    return noise


def test_no_sample_is_lost_and_each_block_knows_where_it_starts() -> None:
    sound = speech_with_pauses(2 * MAX_SECONDS + 7, every=41)
    found = list(blocks(np.array_split(sound, 50)))
    assert np.array_equal(np.concatenate([block.samples for block in found]), sound)
    starts = np.cumsum([0] + [len(block.samples) for block in found[:-1]]) / SAMPLE_RATE
    assert [block.start for block in found] == list(starts)
    assert all(len(block.samples) <= MAX_SECONDS * SAMPLE_RATE for block in found)
    assert found[-1].end == len(sound) / SAMPLE_RATE


def test_a_block_ends_in_a_pause() -> None:
    first, _ = blocks([speech_with_pauses(MAX_SECONDS + 10, every=41)])
    # Each pause is the 0.6 s before a multiple of 41 s.
    assert 245.4 < first.end < 246 or 286.4 < first.end < 287


def test_a_part_longer_than_a_block_is_cut_as_often_as_it_takes() -> None:
    assert len(list(blocks([speech_with_pauses(3 * MAX_SECONDS, every=30)]))) == 4


def test_no_sound_is_no_block() -> None:
    assert list(blocks([])) == []
    assert list(blocks([np.zeros(0, np.float32)])) == []
