"""Recognition by the real model: words with times out of speech, and none out of what is no speech."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from daemon.engine.decode import SAMPLE_RATE, Samples
from daemon.engine.recognize import Model, chosen_device, load, recognize
from daemon.engine.weights import find
from daemon.engine.words import Heard, mean_confidence
from daemon.errors import EarshotError
from tests.engine.recordings import REAL, sample, sound


@pytest.fixture(scope="module")
def model() -> Model:
    return load(find("tiny.en"), device="cpu", threads=1)


@pytest.fixture(scope="module")
def complaint(model: Model) -> tuple[Heard, list[float]]:
    """What is heard in the first sentences of the sample, and the progress that was told."""
    progress: list[float] = []
    heard = recognize(model, [sound(sample("complaint"), 12)], on_progress=progress.append)
    return heard, progress


def test_what_was_said_is_heard_word_by_word(complaint: tuple[Heard, list[float]]) -> None:
    heard, _ = complaint
    assert " ".join(word.punctuated for word in heard.words).startswith(
        "Hello, I am calling to complain about your terrible service."
    )
    assert [word.text for word in heard.words[:3]] == ["hello", "i", "am"]
    assert mean_confidence(heard.words) > 0.9
    assert heard.looping_share == 0


def test_words_have_their_times_in_order(complaint: tuple[Heard, list[float]]) -> None:
    heard, _ = complaint
    starts = [word.start for word in heard.words]
    assert starts == sorted(starts)
    assert all(word.start <= word.end <= 12 for word in heard.words)
    # The first sentence ends and the second begins with a pause of 0.8 s between them.
    ends, begins = next(
        (before.end, after.start)
        for before, after in zip(heard.words, heard.words[1:], strict=False)
        if before.punctuated.endswith(".")
    )
    assert begins - ends > 0.4


def test_progress_rises_to_the_end(complaint: tuple[Heard, list[float]]) -> None:
    _, progress = complaint
    assert progress == sorted(progress)
    assert progress[-1] == 12


def tone(*pitches: int, seconds: int = 8, interrupted: bool = False) -> Samples:
    time = np.arange(seconds * SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    waves = np.sum([np.sin(2 * np.pi * pitch * time) for pitch in pitches], axis=0) / len(pitches) * 0.4
    return np.asarray(waves * (time % 3 < 1 if interrupted else 1), np.float32)


def melody() -> Samples:
    """Chords with overtones and a beat."""
    notes = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]
    chords = [tone(*chord, *(2 * pitch for pitch in chord), seconds=2) for chord in notes]
    decay = np.exp(-np.arange(len(chords[0]), dtype=np.float32) % 8000 / 3000)
    return np.concatenate([chord * decay for chord in chords])


@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param(np.zeros(8 * SAMPLE_RATE, np.float32), id="silence"),
        pytest.param(np.float32(np.random.default_rng(1).normal(0, 0.1, 8 * SAMPLE_RATE)), id="noise"),
        pytest.param(tone(440, 480, interrupted=True), id="ringing"),
        pytest.param(tone(425), id="dial-tone"),
        pytest.param(melody(), id="music"),
        pytest.param(np.zeros(1, np.float32), id="one-sample"),
    ],
)
def test_what_is_no_speech_gives_no_words(model: Model, nothing: Samples) -> None:
    assert recognize(model, [nothing]) == Heard(words=[], language="en")


def test_real_speech_is_understood(model: Model) -> None:
    preamble = REAL / "preamble.wav"
    if not preamble.exists():
        pytest.skip("the real recordings are not on this machine")
    heard = recognize(model, [sound(preamble, 10)])
    assert {"people", "united", "states", "union", "justice"} <= {word.text for word in heard.words}


@dataclass
class Scripted:
    """A model of all languages that says what it was told to, to see what is asked of it and made of it."""

    languages: dict[str, float] = field(default_factory=dict)
    said: list[tuple[str, float]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    model: Any = field(default_factory=lambda: SimpleNamespace(is_multilingual=True))

    def detect_language(self, audio: Samples, **_: Any) -> tuple[str, float, list[tuple[str, float]]]:
        best = max(self.languages.items(), key=lambda each: each[1])
        return (*best, list(self.languages.items()))

    def transcribe(self, audio: Samples, *, language: str, **_: Any) -> tuple[Iterator[Any], None]:
        self.asked.append(language)
        segments = [
            SimpleNamespace(
                end=1.0,
                compression_ratio=compression,
                words=[
                    SimpleNamespace(word=word, start=0.1, end=0.2, probability=0.9)
                    for word in re.findall(r" ?[^ |]+", f" {text}".replace(" |", "|"))
                ],
            )
            for text, compression in self.said
        ]
        return iter(segments), None


@pytest.mark.parametrize(
    ("languages", "candidates", "heard_as", "confidence"),
    [
        ({"de": 0.95, "en": 0.02}, (), "de", 0.95),
        ({"cy": 0.78, "en": 0.2}, (), "en", 0.2),
        ({"de": 0.95, "nl": 0.03, "en": 0.01}, ("en", "nl"), "nl", 0.03),
    ],
)
def test_a_language_that_is_not_sure_is_english(
    languages: dict[str, float], candidates: tuple[str, ...], heard_as: str, confidence: float
) -> None:
    model = Scripted(languages)
    heard = recognize(model, [sound(sample("complaint"), 3)], language=None, candidates=candidates)
    assert (heard.language, heard.language_confidence) == (heard_as, confidence)
    assert model.asked == [heard_as]


def test_the_language_is_asked_of_speech_only() -> None:
    model = Scripted({"de": 0.99})
    silence = np.zeros(300 * SAMPLE_RATE, np.float32)
    heard = recognize(model, [silence, sound(sample("complaint"), 3)], language=None)
    assert model.asked == ["de"]
    assert heard.language == "de"
    assert recognize(model, [silence[:SAMPLE_RATE]], language=None).language == "en"


def test_what_is_said_again_and_again_is_counted() -> None:
    model = Scripted(said=[("one two three", 1.3), ("no no no no no no no no no", 2.5)])
    assert recognize(model, [sound(sample("complaint"), 3)]).looping_share == 0.75


def test_a_word_is_bare_beside_how_it_is_written() -> None:
    said = "“Don't! - it is 100 |% … J |.R |. Charlie's, all -female dogs? -No, -5”"
    model = Scripted(said=[(said, 1.0)])
    heard = recognize(model, [sound(sample("complaint"), 3)])
    assert [(word.text, word.punctuated) for word in heard.words] == [
        ("don't", "“Don't!"),
        ("it", "it"),
        ("is", "is"),
        ("100%", "100%"),
        ("j.r", "J.R."),
        ("charlie's", "Charlie's,"),
        ("all-female", "all-female"),
        ("dogs", "dogs?"),
        ("no", "-No,"),
        ("5", "-5”"),
    ]


def test_a_device_that_is_not_there_is_one_line() -> None:
    assert chosen_device("auto") in ("cpu", "cuda")
    if chosen_device("auto") == "cuda":
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(EarshotError, match=r"engine.device is cuda, but no CUDA device can be used here"):
        chosen_device("cuda")
