"""Tells the one or two speakers of a channel apart: words are grouped to pieces, pieces by their voice.

More than two are not told apart: they would be heard as two.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from daemon.engine.decode import SAMPLE_RATE, Samples
from daemon.engine.voices import Array, embed_voices, unit
from daemon.engine.words import Word

Groups = NDArray[np.intp]

PAUSE_SECONDS = 0.4
LONGEST_PIECE_SECONDS = 8.0
LEAST_SECONDS = 0.7
"""A shorter piece says too little of its voice: it goes to the speaker of the nearest longer one."""
TWO_SPEAKERS_GAIN = 0.028
"""How much closer to two middles than to one the pieces lie when there are two voices."""
TWO_SPEAKERS_LIKENESS = 0.85
"""The most likeness of the middles of two voices: .83 in telephone calls, under .77 between clean ones; the
halves of one voice are .89 and more."""
LEAST_SPOKEN_SECONDS = 2.5
"""A group that speaks less is a title or a sigh of the same speaker."""
AT_ONCE = 64
ROUNDS = 50
PARTINGS = 8
"""After so many short groups there is one voice: each parting of a long recording takes a second."""
SENTENCE_ENDS = (".", "?", "!")


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive words of one speaker, by position; the end is behind the last one."""

    first: int
    end: int


def tell_apart(words: Sequence[Word], samples: Iterable[Samples]) -> list[Word]:
    """Give each word its speaker, numbered from 0 as they come; `samples` is where they were heard."""
    parts = pieces(words)
    long = [part for part in parts if _seconds(words, part) >= LEAST_SECONDS]
    speakers = _speakers(words, long, samples) if long else []
    known = dict(zip(long, speakers, strict=True))
    names: dict[int, int] = {}
    told: list[Word] = []
    for part in parts:
        group = known.get(part)
        if group is None:
            group = known[min(long, key=lambda other: _gap(words, part, other))] if long else 0
        speaker = names.setdefault(group, len(names))
        told += [replace(word, speaker=speaker) for word in words[part.first : part.end]]
    return told


def pieces(words: Sequence[Word]) -> list[Piece]:
    """Cut words where another may begin to speak: at ends of sentences and pauses; none grows too long."""
    found: list[Piece] = []
    first = 0
    for at, word in enumerate(words):
        if at + 1 == len(words) or _ends(words, first, at, word):
            found.append(Piece(first, at + 1))
            first = at + 1
    return found


def _ends(words: Sequence[Word], first: int, at: int, word: Word) -> bool:
    return (
        word.punctuated.endswith(SENTENCE_ENDS)
        or words[at + 1].start - word.end >= PAUSE_SECONDS
        or word.end - words[first].start >= LONGEST_PIECE_SECONDS
    )


def _seconds(words: Sequence[Word], part: Piece) -> float:
    return words[part.end - 1].end - words[part.first].start


def _gap(words: Sequence[Word], part: Piece, other: Piece) -> float:
    """The seconds between two pieces."""
    if other.first >= part.end:
        return words[other.first].start - words[part.end - 1].end
    return words[part.first].start - words[other.end - 1].end


def _speakers(words: Sequence[Word], parts: Sequence[Piece], samples: Iterable[Samples]) -> list[int]:
    """Return for each piece the group of its voice, 0 or 1; all 0 if there is one voice."""
    spans = [(words[part.first].start, words[part.end - 1].end) for part in parts]
    rows: list[Array] = []
    waiting: list[Samples] = []
    for sound in _cut(spans, samples):
        waiting.append(sound)
        if len(waiting) == AT_ONCE:
            rows.append(embed_voices(waiting))
            waiting = []
    if waiting:
        rows.append(embed_voices(waiting))
    return groups(np.concatenate(rows), np.array([end - start for start, end in spans], np.float32))


def _cut(spans: Sequence[tuple[float, float]], samples: Iterable[Samples]) -> Iterator[Samples]:
    """Yield the sound of each span, in order, holding no more of the recording than one span."""
    held, offset = np.zeros(0, np.float32), 0
    source = iter(samples)
    for start, end in spans:
        first, last = int(start * SAMPLE_RATE), int(end * SAMPLE_RATE)
        while offset + len(held) < last and (part := next(source, None)) is not None:
            if offset + len(held) < first:
                offset, held = offset + len(held), part
            else:
                held = np.concatenate([held, part])
        sound = held[max(first - offset, 0) : max(last - offset, 0)]
        yield sound if len(sound) else np.zeros(SAMPLE_RATE // 10, np.float32)


def groups(rows: Array, seconds: Array) -> list[int]:
    """Part rows of length 1 in two by their directions; all are 0 when one direction does nearly as well.

    What lies apart and speaks too little for a voice is left aside, and goes to the nearer of the two.
    """
    kept = _without_short_groups(rows, seconds)
    if not len(kept):
        return [0] * len(rows)
    weights = seconds[kept] / seconds[kept].sum()
    chosen = _two_groups(rows[kept], weights)
    middles = _middles(rows[kept], weights, chosen)
    if not _are_two_voices(rows[kept], weights, middles, chosen):
        return [0] * len(rows)
    return [int(group) for group in (rows @ middles.T).argmax(axis=1)]


def _without_short_groups(rows: Array, seconds: Array) -> Groups:
    """Return which rows are left when neither part of two speaks too little; none if that cannot be had."""
    kept: Groups = np.arange(len(rows))
    for _ in range(PARTINGS):
        if len(kept) < 2:
            break
        chosen = _two_groups(rows[kept], seconds[kept])
        spoken = [seconds[kept][chosen == group].sum() for group in (0, 1)]
        if min(spoken) >= LEAST_SPOKEN_SECONDS:
            return kept
        kept = kept[chosen != int(np.argmin(spoken))]
    return kept[:0]


def _are_two_voices(rows: Array, weights: Array, middles: Array, chosen: Groups) -> bool:
    one = float((rows @ unit(weights @ rows)) @ weights)
    two = float((rows @ middles.T)[np.arange(len(rows)), chosen] @ weights)
    return two - one >= TWO_SPEAKERS_GAIN and float(middles[0] @ middles[1]) <= TWO_SPEAKERS_LIKENESS


def _two_groups(rows: Array, weights: Array) -> Groups:
    """Begin with the two rows that are farthest apart, and move the middles until nothing changes."""
    likeness = rows @ rows.T
    first, second = np.unravel_index(int(likeness.argmin()), likeness.shape)
    middles = rows[[first, second]]
    chosen: Groups = (rows @ middles.T).argmax(axis=1)
    for _ in range(ROUNDS):
        again = (rows @ _middles(rows, weights, chosen).T).argmax(axis=1)
        if (again == chosen).all():
            break
        chosen = again
    return chosen


def _middles(rows: Array, weights: Array, chosen: Groups) -> Array:
    return np.stack([unit(weights[chosen == group] @ rows[chosen == group]) for group in (0, 1)])
