"""Loudness: quiet speech becomes loud, a rumble goes, and nothing is made out of silence."""

from __future__ import annotations

import numpy as np
import pytest

from daemon.engine.decode import SAMPLE_RATE, Samples
from daemon.engine.loudness import MOST_AT_ONCE, levelled
from tests.engine.recordings import sample, sound

SPEECH = sound(sample("complaint"), 5)
RUMBLE = (0.5 * np.sin(2 * np.pi * 10 * np.arange(len(SPEECH)) / SAMPLE_RATE)).astype(np.float32)
QUIET: Samples = SPEECH * np.float32(0.1)
VERY_QUIET: Samples = SPEECH * np.float32(0.03)


def level(samples: Samples, parts: int = 7) -> Samples:
    return np.concatenate(list(levelled(np.array_split(samples, parts))))


def loudness(samples: Samples) -> float:
    """In decibels of full scale."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12))


@pytest.mark.parametrize("decibels", [0, -20, -40])
def test_speech_is_loud_however_quiet_it_was(decibels: int) -> None:
    found = level(SPEECH * np.float32(10 ** (decibels / 20)))
    assert -30 < loudness(found) < -5
    assert np.abs(found).max() <= 1


def test_what_is_loud_at_first_keeps_nothing_later_quiet() -> None:
    found = level(np.concatenate([SPEECH, VERY_QUIET]))
    # It rises slowly, so that the pauses within loud speech stay quiet.
    assert loudness(found[len(SPEECH) :]) > loudness(VERY_QUIET) + 5


def test_a_rumble_that_nobody_hears_goes_and_speech_stays() -> None:
    alone, beside = (level(each)[SAMPLE_RATE:].astype(np.float64) for each in (QUIET, QUIET + RUMBLE))
    assert np.corrcoef(alone, beside)[0, 1] > 0.8


def test_one_channel_of_several_is_heard_as_it_would_be_alone() -> None:
    both = np.stack([SPEECH, QUIET], axis=1)
    assert np.array_equal(level(both[:, 0]), level(SPEECH))


def test_silence_stays_silence_and_each_sample_keeps_its_place() -> None:
    assert not level(np.zeros(3 * SAMPLE_RATE, np.float32)).any()
    clicks = np.zeros(2 * MOST_AT_ONCE + 5, np.float32)
    clicks[[9_000, 2 * MOST_AT_ONCE + 2]] = 0.5
    found = level(clicks)
    assert len(found) == len(clicks)
    assert set(np.flatnonzero(np.abs(found) > 0.2)) == {9_000, 2 * MOST_AT_ONCE + 2}


def test_no_sound_is_no_failure() -> None:
    assert list(levelled([])) == []
    assert list(levelled([np.zeros(0, np.float32)])) == []
    assert len(level(np.full(1, 0.1, np.float32), parts=1)) == 1


@pytest.mark.timeout(60)  # without an end otherwise
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_no_sound_ends_and_spoils_nothing_after_it(value: float) -> None:
    hostile = np.where(np.arange(SAMPLE_RATE) % 7 == 0, np.float32(value), SPEECH[:SAMPLE_RATE])
    found = level(np.concatenate([hostile, SPEECH]))
    assert np.abs(found).max() <= 1, "nor is there anything in it that is no number"
    assert loudness(found[-SAMPLE_RATE:]) > -30
