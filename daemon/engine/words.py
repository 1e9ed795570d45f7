"""What recognition hands on: words with their times, and what was heard of one channel."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word: `text` in lower case and bare, `punctuated` as it stands in the transcript.

    Times are seconds from the recording's start, the confidence is 0..1; `speaker` counts from 0.
    """

    text: str
    punctuated: str
    start: float
    end: float
    confidence: float
    speaker: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One channel: its words, its language with the confidence in that, and how far it is to be believed.

    `looping_share` is the share of the words in stretches where the recognizer said the same again and again.
    """

    words: Sequence[Word]
    language: str = "en"
    language_confidence: float = 1.0
    looping_share: float = 0.0


def mean_confidence(words: Iterable[Word]) -> float:
    """Mean confidence over words, 0 without any; over a whole recording it follows the word error rate."""
    values = [word.confidence for word in words]
    return sum(values) / len(values) if values else 0.0
