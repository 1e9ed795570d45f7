"""Builds punctuated sentences out of words: the recognizer knows no punctuation, but people pause."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from daemon.engine.recognize import Word

SENTENCE_PAUSE_SECONDS = 0.5
COMMA_PAUSE_SECONDS = 0.15  # read speech pauses .2 to .3 at a comma
MAX_SENTENCE_WORDS = 40


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words between two pauses; `first` is the index of its first word in the whole transcript."""

    words: tuple[Word, ...]
    first: int
    channel: int = 0

    @property
    def last(self) -> int:
        """Index of the last word, inclusive, as Deepgram counts."""
        return self.first + len(self.words) - 1

    @property
    def text(self) -> str:
        """The sentence with a capital, commas where the speaker paused, and a full stop."""
        return " ".join(punctuated(self))


def build_sentences(words: Sequence[Word], channel: int = 0) -> list[Sentence]:
    """Split one channel's words at pauses; what is still too long is split at its longest pause."""
    sentences: list[Sentence] = []
    first = 0
    for group in _groups(words, SENTENCE_PAUSE_SECONDS):
        for part in _short_parts(group):
            sentences.append(Sentence(tuple(part), first, channel))
            first += len(part)
    return sentences


def joined(channels: Sequence[Sequence[Sentence]]) -> list[Sentence]:
    """All channels as one conversation in order of time, with one count of words."""
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
    """Group one channel's sentences; a pause of this length starts a new group."""
    runs: list[list[Sentence]] = []
    for sentence in sentences:
        if runs and sentence.words[0].start - runs[-1][-1].words[-1].end < pause_seconds:
            runs[-1].append(sentence)
        else:
            runs.append([sentence])
    return runs


def punctuated(sentence: Sentence) -> list[str]:
    """Each word as it stands in the transcript; joined by spaces they are the sentence's text."""
    words = sentence.words
    shown = [w.text.capitalize() if w.text == "i" or w.text.startswith("i'") else w.text for w in words]
    for at, (before, after) in enumerate(pairwise(words)):
        if after.start - before.end >= COMMA_PAUSE_SECONDS:
            shown[at] += ","
    shown[0] = shown[0][:1].upper() + shown[0][1:]
    shown[-1] += "."
    return shown


def _groups(words: Sequence[Word], pause_seconds: float) -> Iterator[list[Word]]:
    group: list[Word] = []
    for word in words:
        if group and word.start - group[-1].end >= pause_seconds:
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _short_parts(words: list[Word]) -> Iterator[list[Word]]:
    pending = [words]
    while pending:
        part = pending.pop()
        if len(part) <= MAX_SENTENCE_WORDS:
            yield part
            continue
        gaps = [after.start - before.end for before, after in pairwise(part)]
        # no very short parts: never cut in the first or last tenth; without any pause, cut in the middle
        low, high = len(gaps) // 10, len(gaps) - len(gaps) // 10
        middle = len(gaps) / 2
        cut = max(range(low, high), key=lambda at: (gaps[at], -abs(at - middle))) + 1
        pending += [part[cut:], part[:cut]]
