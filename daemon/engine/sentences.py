"""Cuts words into sentences: at the punctuation, where another one begins to speak, and at long silences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from daemon.engine.words import Word

SENTENCE_ENDS = (".", "?", "!", "\u2026", "\u3002", "\uff1f", "\uff01", "\u0964", "\u061f")  # of all scripts
CLAUSE_ENDS = (",", ";", ":")
CLOSING = "\"')]\u201d\u2019\u00bb"
ABBREVIATIONS = frozenset({"dr.", "etc.", "inc.", "mr.", "mrs.", "ms.", "mx.", "prof.", "st.", "vs."})
SILENCE_SECONDS = 2.0  # whoever goes on after this begins anew, whatever the recognizer wrote
MAX_SENTENCE_WORDS = 40


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words of one speaker; `first` is the index of its first word in the whole transcript.

    `score` is its sentiment, where that was asked for.
    """

    words: tuple[Word, ...]
    first: int
    channel: int = 0
    score: float | None = None

    @property
    def last(self) -> int:
        """Index of the last word, inclusive, as Deepgram counts."""
        return self.first + len(self.words) - 1

    @property
    def text(self) -> str:
        """The sentence as it stands in the transcript."""
        return " ".join(word.punctuated for word in self.words)

    @property
    def speaker(self) -> int | None:
        """Who says it, where that was asked for."""
        return self.words[0].speaker


def build_sentences(words: Sequence[Word], channel: int = 0) -> list[Sentence]:
    """Cut one channel's words into sentences; what is still too long is cut at its longest pause."""
    sentences: list[Sentence] = []
    first = 0
    for group in _groups(words):
        for part in _short_parts(group):
            sentences.append(Sentence(tuple(part), first, channel))
            first += len(part)
    return sentences


def read_sentences(text: str) -> list[Sentence]:
    """Cut a written text into sentences, none across the end of a line; its words have no times."""
    sentences: list[Sentence] = []
    first = 0
    for line in text.splitlines():
        for sentence in build_sentences([_read_word(each) for each in line.split()]):
            sentences.append(Sentence(sentence.words, first + sentence.first))
        first += len(line.split())
    return sentences


def joined(channels: Sequence[Sequence[Sentence]]) -> list[Sentence]:
    """All channels as one conversation in order of time, with one count of words."""
    if len(channels) == 1:
        return list(channels[0])
    ordered = sorted(
        (s for sentences in channels for s in sentences), key=lambda s: (s.words[0].start, s.channel)
    )
    conversation: list[Sentence] = []
    first = 0
    for sentence in ordered:
        conversation.append(Sentence(sentence.words, first, sentence.channel))
        first += len(sentence.words)
    return conversation


def utterances(sentences: Sequence[Sentence], pause_seconds: float) -> list[list[Sentence]]:
    """Group one channel's sentences; a pause of this length or another speaker starts a new group."""
    runs: list[list[Sentence]] = []
    for sentence in sentences:
        before = runs[-1][-1] if runs else None
        if before and before.speaker == sentence.speaker and _pause(before, sentence) < pause_seconds:
            runs[-1].append(sentence)
        else:
            runs.append([sentence])
    return runs


def _pause(before: Sentence, after: Sentence) -> float:
    return after.words[0].start - before.words[-1].end


def _read_word(text: str) -> Word:
    return Word(text=text, punctuated=text, start=0.0, end=0.0, confidence=1.0)


def _groups(words: Sequence[Word]) -> Iterator[list[Word]]:
    group: list[Word] = []
    for word in words:
        if group and _is_end(group[-1], word):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _is_end(word: Word, following: Word) -> bool:
    if word.speaker != following.speaker or following.start - word.end >= SILENCE_SECONDS:
        return True
    shown = word.punctuated.rstrip(CLOSING)
    if not shown.endswith(SENTENCE_ENDS) or shown.lower() in ABBREVIATIONS:
        return False
    # "e.g. this", "J. Smith", "9 a.m. on Monday" (but "… at 9 a.m. We …")
    is_short_form = "." in shown[:-1] or (len(shown) == 2 and shown[0].isupper() and shown != "I.")
    return not is_short_form or (len(shown) > 2 and following.punctuated[:1].isupper())


def _short_parts(words: list[Word]) -> Iterator[list[Word]]:
    pending = [words]
    while pending:
        part = pending.pop()
        if len(part) <= MAX_SENTENCE_WORDS:
            yield part
            continue
        gaps = [after.start - before.end for before, after in pairwise(part)]
        marks = [word.punctuated.endswith(CLAUSE_ENDS) for word in part]
        # no very short parts: never cut in the first or last tenth; without pause or comma, in the middle
        low, high = len(gaps) // 10, len(gaps) - len(gaps) // 10
        middle = len(gaps) / 2
        cut = max(range(low, high), key=lambda at: (gaps[at], marks[at], -abs(at - middle))) + 1
        pending += [part[cut:], part[:cut]]
