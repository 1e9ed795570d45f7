"""Speech to words with Whisper (faster-whisper), block by block; silence and music give none."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ctranslate2
import faster_whisper
import numpy as np

from daemon.engine.blocks import Block, blocks
from daemon.engine.decode import Samples
from daemon.engine.languages import ENGLISH
from daemon.engine.loudness import levelled
from daemon.engine.words import Heard, Word
from daemon.errors import EarshotError

Model = Any
"""A faster_whisper.WhisperModel, which brings no types, as its segments and words."""

BEAM_SIZE = 5
SURE_OF_LANGUAGE = 0.9
"""Short English has been taken for Welsh at .78: what is less sure than this is heard as English."""
LANGUAGE_PARTS = 4
"""How many stretches of 30 s are looked at, at most, until one is sure of its language."""
LOOPING_COMPRESSION = 2.4
"""Text that can be packed so much better says the same again and again: 0 of it in good transcripts."""
PUNCTUATION = " \t\n.,!?;:…\"'“”‘’«»„()[]{}¿¡。、，！？：；-–—♪*"  # noqa: RUF001
WITHOUT_BLANKS = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
"""Languages that write no blanks between words."""
HYPHENATED = re.compile(r" -[^\W\d]")
"""How a model of English alone goes on after a hyphen: all-female comes as "all" and " -female"."""
SEED = 1  # for the tries at a higher temperature: the same recording shall give the same words


@dataclass(slots=True)
class _Language:
    """The language of a recording, as soon as a block with speech has told it."""

    code: str | None
    confidence: float = 1.0


@dataclass(slots=True)
class _Found:
    words: list[Word] = field(default_factory=list)
    looping: int = 0


def load(folder: Path, *, device: str = "auto", threads: int = 0) -> Model:
    """Load a model: int8 on processors, float16 on a CUDA device; with `threads` 0 the library decides."""
    where = chosen_device(device)
    ctranslate2.set_random_seed(SEED)
    return faster_whisper.WhisperModel(
        str(folder),
        device=where,
        compute_type="float16" if where == "cuda" else "int8",
        cpu_threads=threads,
        local_files_only=True,
    )


def chosen_device(device: str) -> Literal["cpu", "cuda"]:
    """Return where a model will run. Raises EarshotError when there is no CUDA device that is asked for."""
    has_cuda = device != "cpu" and ctranslate2.get_cuda_device_count() > 0
    if device == "cuda" and not has_cuda:
        raise EarshotError(
            "engine.device is cuda, but no CUDA device can be used here; set it to auto or cpu"
        )
    return "cuda" if has_cuda else "cpu"


def recognize(
    model: Model,
    samples: Iterable[Samples],
    *,
    language: str | None = ENGLISH,
    candidates: Iterable[str] = (),
    on_progress: Callable[[float], None] = lambda _: None,
) -> Heard:
    """Recognize one channel's words. `on_progress` hears the seconds of the recording that are done.

    `language` None: detected where there is speech first, among `candidates` if there are any.
    """
    wanted = _Language(language if model.model.is_multilingual else ENGLISH)
    found = _Found()
    for block in blocks(levelled(samples)):
        if wanted.code is None:
            _detect(model, block, tuple(candidates), wanted)
        for segment in _segments(model, block, wanted.code):
            words = _words(segment, block.start, parted=wanted.code not in WITHOUT_BLANKS)
            found.words += words
            found.looping += len(words) if segment.compression_ratio > LOOPING_COMPRESSION else 0
            on_progress(block.start + segment.end)
        on_progress(block.end)
    return Heard(
        words=found.words,
        language=wanted.code or ENGLISH,
        language_confidence=round(wanted.confidence, 4),
        looping_share=round(found.looping / len(found.words), 4) if found.words else 0.0,
    )


def _segments(model: Model, block: Block, language: str | None) -> Iterator[Any]:
    if language is None:
        return iter(())  # no speech so far
    segments, _ = model.transcribe(
        block.samples,
        language=language,
        beam_size=BEAM_SIZE,
        # With it a mistake goes on from one stretch to the next, and sentences end less often.
        condition_on_previous_text=False,
        # Without it sentences are invented for silence, tones and music.
        vad_filter=True,
        word_timestamps=True,
    )
    return iter(segments)


def _detect(model: Model, block: Block, candidates: tuple[str, ...], language: _Language) -> None:
    """Say what language the block is in; nothing while it holds no speech."""
    speech = _speech(block.samples)
    if not len(speech):
        return
    code, confidence, every = model.detect_language(
        speech, language_detection_segments=LANGUAGE_PARTS, language_detection_threshold=SURE_OF_LANGUAGE
    )
    shares = dict(every)
    if candidates:
        code = max(candidates, key=lambda each: shares.get(each, 0.0))
    elif confidence < SURE_OF_LANGUAGE:
        code = ENGLISH
    language.code, language.confidence = code, shares.get(code, confidence)


def _speech(samples: Samples) -> Samples:
    """Leave out what is no speech."""
    stretches = faster_whisper.vad.get_speech_timestamps(samples)
    parts = [samples[each["start"] : each["end"]] for each in stretches]
    return np.concatenate(parts) if parts else samples[:0]


def _words(segment: Any, start: float, *, parted: bool) -> list[Word]:
    """Return a segment's words, each with its punctuation; with `parted` only a blank begins another one.

    Whisper's own words also begin at each point and apostrophe, as in J.R. and 100%.
    """
    groups: list[list[Any]] = []
    for word in segment.words or ():
        if groups and parted and not _begins_another(word.word, groups[-1][-1].word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return [made for group in groups if (made := _word(group, start)).text]


def _begins_another(text: str, before: str) -> bool:
    if HYPHENATED.match(text) and before[-1:].isalnum():
        return False
    return text.startswith(" ")


def _word(parts: list[Any], start: float) -> Word:
    punctuated = "".join(part.word.strip() for part in parts)
    first, last = parts[0], parts[-1]
    confidence = sum(float(part.probability) for part in parts) / len(parts)
    return Word(
        text=punctuated.strip(PUNCTUATION).lower(),
        punctuated=punctuated,
        start=round(start + first.start, 2),
        end=round(start + max(last.end, first.start), 2),
        confidence=round(min(max(confidence, 0.0), 1.0), 4),
    )
