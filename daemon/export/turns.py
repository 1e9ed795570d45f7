"""A conversation by turns: who said what, when, in what mood, and which rules look at it. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, groupby
from typing import Any

from daemon.export.document import Document
from daemon.models import Match, Segment, Word
from daemon.text import joined_words

PAUSE_SECONDS = 1.0
"""A silence that ends a phrase: somebody else may have spoken meanwhile."""

LONG_TURN_SECONDS = 45.0
"""A longer turn is split at the end of a sentence, as a text is into paragraphs."""

SENTENCE_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
"""The last three as Chinese and Japanese write them."""

WINDOW_CHARACTERS = 100_000
"""A passage is looked for so far behind the one before it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a turn that lies in one passage of the sentiment analysis, or in none.

    `passage` is that passage's position, `label` its sentiment; `rules` are those that fired because of what
    is said here. Seconds from the start, None where they are not known. `words` are those of the text, where
    they are stored.
    """

    text: str
    start: float | None = None
    end: float | None = None
    passage: int | None = None
    label: str | None = None
    score: float | None = None
    rules: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says without a break; seconds from the start, None where they are not known."""

    speaker: str | None
    start: float | None
    end: float | None
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """Return all that is said in it."""
        return joined_words(part.text for part in self.parts)


def turns(document: Document) -> list[Turn]:
    """Return the conversation by turns: from its words, else its passages, else its transcript by lines."""
    if document.words:
        spoken = _spoken(document)
    elif any(row["text"] for row in document.recording["sentiments"]):
        spoken = list(passages(document))
    else:
        lines = (document.recording["transcript"] or "").splitlines()
        return [Turn(None, None, None, (Part(line),)) for line in lines if line.strip()]
    return list(_joined(spoken))


def passages(document: Document) -> Iterator[Turn]:
    """Yield the sentiment analysis's passages in order; together they are the whole conversation."""
    for row in document.recording["sentiments"]:
        text = " ".join((row["text"] or "").split())
        if text:
            start, end = row["start_seconds"], row["end_seconds"]
            part = _scored(Part(text, start, end), row, _rules_of(row, document.matches))
            yield Turn(row["speaker"], start, end, (part,))


def phrases(words: Sequence[Word]) -> list[list[Word]]:
    """Return the words by phrases, in the order in which these begin.

    A phrase is what a speaker says up to a pause: two who speak at once are not cut into single words.
    """
    return [[words[number] for number in phrase] for phrase in _phrases(words)]


def _phrases(words: Sequence[Word]) -> list[list[int]]:
    """Return the same as indexes."""
    by_channel: dict[int, list[int]] = {}
    for number, word in enumerate(words):
        by_channel.setdefault(word.channel, []).append(number)
    found = list(chain.from_iterable(_phrases_of_channel(words, each) for each in by_channel.values()))
    return sorted(found, key=lambda phrase: words[phrase[0]].start)


def _phrases_of_channel(words: Sequence[Word], numbers: Iterable[int]) -> Iterator[list[int]]:
    phrase: list[int] = []
    for number in numbers:
        before = words[phrase[-1]] if phrase else None
        if before and (
            words[number].speaker != before.speaker or words[number].start - before.end >= PAUSE_SECONDS
        ):
            yield phrase
            phrase = []
        phrase.append(number)
    if phrase:
        yield phrase


def _spoken(document: Document) -> list[Turn]:
    """Return a turn for each phrase, cut into parts by the passages in which its words lie."""
    rows, words = document.recording["sentiments"], document.words
    scores: dict[int, Mapping[str, Any]] = {}
    texts = _Texts(words)
    for row in rows:
        place = texts.place(row["text"] or "", row["start_word"], row["end_word"])
        scores |= dict.fromkeys(place, row)
    rules: dict[int, tuple[str, ...]] = {}
    for match in document.matches:
        for place in _places(words, match.segments):
            rules |= {number: (*rules.get(number, ()), match.rule) for number in place}
    return [_turn([words[n] for n in phrase], phrase, scores, rules) for phrase in _phrases(words)]


def _turn(
    said: Sequence[Word],
    numbers: Sequence[int],
    scores: Mapping[int, Mapping[str, Any]],
    rules: Mapping[int, tuple[str, ...]],
) -> Turn:
    def key(each: tuple[int, Word]) -> tuple[Any, ...]:
        row = scores.get(each[0])
        return (None if row is None else row["position"], rules.get(each[0], ()))

    parts = []
    for (_, because_of), group in groupby(zip(numbers, said, strict=True), key):
        these = list(group)
        text = joined_words(word.text for _, word in these)
        part = Part(text, these[0][1].start, these[-1][1].end, words=tuple(word for _, word in these))
        parts.append(_scored(part, scores.get(these[0][0]), because_of))
    return Turn(said[0].speaker, said[0].start, said[-1].end, tuple(parts))


def _scored(part: Part, row: Mapping[str, Any] | None, rules: Iterable[str]) -> Part:
    known = replace(part, rules=tuple(dict.fromkeys(rules)))
    if row is None:
        return known
    return replace(known, passage=row["position"], label=row["sentiment"], score=row["sentiment_score"])


def _places(words: Sequence[Word], segments: Iterable[Segment]) -> Iterator[range]:
    """Yield where these passages are among the words; those of each kind are looked for in their order."""
    ordered = sorted(segments, key=lambda segment: (segment.kind, segment.position))
    for _, same in groupby(ordered, key=lambda segment: segment.kind):
        texts = _Texts(words)
        yield from (texts.place(each.text, each.start_word, each.end_word) for each in same)


class _Texts:
    """What was said on each channel as one text without blanks, to look for passages from the start on.

    The API's indexes count words that may be missing here, and of several channels nobody knows which one
    they count: so a passage is found by what is said in it, by the indexes only where that is not found.
    """

    def __init__(self, words: Sequence[Word]) -> None:
        self._count = len(words)
        self._channels: dict[int, tuple[str, list[int], int]] = {}
        """The text, where each word begins in it and where the last one ends, the first word's index."""
        self._looked_up_to: dict[int, int] = {}
        start = 0
        for channel, group in groupby(words, key=lambda word: word.channel):
            folded = [_folded(word.text) for word in group]
            self._channels[channel] = "".join(folded), list(accumulate(map(len, folded), initial=0)), start
            start += len(folded)

    def place(self, text: str, first: int | None, last: int | None) -> range:
        """Return the words that say this text: those with these indexes, else the next ones that do."""
        wanted = _folded(text)
        counted = range(0)
        if len(self._channels) == 1 and first is not None and last is not None:
            counted = range(min(first, self._count), min(last + 1, self._count))
        found = (self._found(channel, wanted, counted) for channel in self._channels if wanted)
        nearest = min(filter(None, found), default=None)
        if nearest is None:
            return counted
        _, channel, place = nearest
        self._looked_up_to[channel] = place.stop
        return place

    def _found(self, channel: int, wanted: str, counted: range) -> tuple[int, int, range] | None:
        """Return how far behind the last passage the text is said on this channel, channel and words."""
        text, begins, start = self._channels[channel]
        if counted and text[begins[counted.start] : begins[counted.stop]] == wanted:
            return 0, channel, counted
        looked = self._looked_up_to.get(channel, start) - start
        at = text.find(wanted, begins[looked], begins[looked] + len(wanted) + WINDOW_CHARACTERS)
        first, last = bisect_left(begins, at), bisect_left(begins, at + len(wanted))
        if at < 0 or begins[first] != at or begins[last] != at + len(wanted):
            return None
        return first - looked, channel, range(start + first, start + last)


def _folded(text: str) -> str:
    return "".join(text.split()).casefold()


def _rules_of(row: Mapping[str, Any], matches: Iterable[Match]) -> Iterator[str]:
    """Yield the rules that fired because of something in this passage."""
    for match in matches:
        if any(_overlap(row, segment) for segment in match.segments):
            yield match.rule


def _overlap(row: Mapping[str, Any], segment: Segment) -> bool:
    if segment.kind == "sentiment":
        return bool(segment.position == row["position"])
    first, last = segment.start_word, segment.end_word
    if None not in (first, last, row["start_word"], row["end_word"]):
        return bool(first <= row["end_word"] and last >= row["start_word"])
    said = _folded(segment.text)
    return bool(said) and said in _folded(row["text"])


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
    parts: list[Part] = []
    for part in chain.from_iterable(turn.parts for turn in pending):
        before = parts[-1] if parts else None
        if before and (before.passage, before.rules) == (part.passage, part.rules):
            words = (*before.words, *part.words)
            text = joined_words((before.text, part.text))
            parts[-1] = replace(before, text=text, end=part.end, words=words)
        else:
            parts.append(part)
    return Turn(pending[0].speaker, pending[0].start, pending[-1].end, tuple(parts))
