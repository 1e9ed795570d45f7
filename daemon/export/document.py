"""What an export is made of: a recording as `show --json` has it, with its words, and its turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from daemon.models import Word

PAUSE_SECONDS = 1.0
"""A silence that ends a phrase: somebody else may have spoken meanwhile."""

LONG_TURN_SECONDS = 45.0
"""A longer turn is split at the end of a sentence, as a text is into paragraphs."""

SENTENCE_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
"""The last three as Chinese and Japanese write them."""


@dataclass(frozen=True, slots=True)
class Document:
    """A recording with its sentiments, topics, intents and alerts, and its words where they are stored."""

    recording: Mapping[str, Any]
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says without a break; seconds from the start, None where they are not known."""

    speaker: str | None
    start: float | None
    end: float | None
    text: str


def turns(document: Document) -> list[Turn]:
    """Return the conversation by turns: from its words, else its passages, else its transcript by lines."""
    if document.words:
        spoken = [_turn(phrase) for phrase in phrases(document.words)]
    elif any(row["text"] for row in document.recording["sentiments"]):
        spoken = list(passages(document))
    else:
        lines = (document.recording["transcript"] or "").splitlines()
        return [Turn(None, None, None, line) for line in lines if line.strip()]
    return list(_joined(spoken))


def passages(document: Document) -> Iterator[Turn]:
    """Yield the sentiment analysis's passages in order; together they are the whole conversation."""
    for row in document.recording["sentiments"]:
        text = " ".join((row["text"] or "").split())
        if text:
            yield Turn(row["speaker"], row["start_seconds"], row["end_seconds"], text)


def phrases(words: Sequence[Word]) -> list[list[Word]]:
    """Return the words by phrases, in the order in which these begin.

    A phrase is what a speaker says up to a pause: two who speak at once are not cut into single words.
    """
    by_channel: dict[int, list[Word]] = {}
    for word in words:
        by_channel.setdefault(word.channel, []).append(word)
    found = list(chain.from_iterable(map(_phrases_of_channel, by_channel.values())))
    return sorted(found, key=lambda phrase: phrase[0].start)


def _phrases_of_channel(words: Iterable[Word]) -> Iterator[list[Word]]:
    phrase: list[Word] = []
    for word in words:
        if phrase and (word.speaker != phrase[-1].speaker or word.start - phrase[-1].end >= PAUSE_SECONDS):
            yield phrase
            phrase = []
        phrase.append(word)
    if phrase:
        yield phrase


def _turn(phrase: Sequence[Word]) -> Turn:
    text = " ".join(word.text for word in phrase)
    return Turn(phrase[0].speaker, phrase[0].start, phrase[-1].end, text)


def _joined(spoken: Iterable[Turn]) -> Iterator[Turn]:
    """Join a speaker's successive turns; a long one stops at the end of a sentence."""
    pending: list[Turn] = []
    for turn in spoken:
        if pending and (turn.speaker != pending[0].speaker or _is_full(pending)):
            yield _whole(pending)
            pending = []
        pending.append(turn)
    if pending:
        yield _whole(pending)


def _is_full(pending: Sequence[Turn]) -> bool:
    first, last = pending[0], pending[-1]
    if first.start is None or last.end is None:
        return False
    return last.end - first.start >= LONG_TURN_SECONDS and last.text.endswith(SENTENCE_ENDS)


def _whole(pending: Sequence[Turn]) -> Turn:
    text = " ".join(turn.text for turn in pending)
    return Turn(pending[0].speaker, pending[0].start, pending[-1].end, text)
