"""Words as a recognizer gives them, made out of a text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from daemon.engine.sentences import Sentence, build_sentences
from daemon.engine.words import Heard, Word

WORD_SECONDS = 0.25


def spoken(
    text: str, *, start: float = 0.0, speaker: int | None = None, confidence: float = 0.9
) -> list[Word]:
    """The words of a text, a quarter of a second each, without a pause."""
    return [
        Word(
            text=re.sub(r"[^\w']", "", shown).lower(),
            punctuated=shown,
            start=start + at * WORD_SECONDS,
            end=start + (at + 1) * WORD_SECONDS,
            confidence=confidence,
            speaker=speaker,
        )
        for at, shown in enumerate(text.split())
    ]


def conversation(*turns: str) -> Heard:
    """Two people in turn, speakers 0 and 1."""
    words: list[Word] = []
    for number, turn in enumerate(turns):
        words += spoken(turn, start=words[-1].end + 0.5 if words else 0.0, speaker=number % 2)
    return Heard(words=words)


def sentences(*texts: str) -> Sequence[Sentence]:
    """Sentences one after the other."""
    return build_sentences(spoken(" ".join(texts)))
