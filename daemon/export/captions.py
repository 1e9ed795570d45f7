"""WebVTT and SubRip: what was said, cut into captions with their times.

https://www.w3.org/TR/webvtt1/ · SubRip has no standard: what players agree on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from daemon.errors import EarshotError
from daemon.export.document import Document
from daemon.export.turns import SENTENCE_ENDS, passages, phrases
from daemon.models import Word
from daemon.text import joined_words

LONGEST_CUE = 84
"""Characters: two lines of a screen."""
LONGEST_CUE_SECONDS = 7.0
SHORT_SENTENCE = 30
"""Characters; shorter sentences share a caption."""
LEAST_CUE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Cue:
    """A caption: who says what, from when to when, in seconds from the start."""

    speaker: str | None
    start: float
    end: float
    text: str


class NoTimesError(EarshotError):
    """A recording has a transcript, but no times of its words."""


def vtt(document: Document) -> str:
    """Return a recording as WebVTT; NoTimesError where no times are stored."""
    lines = ["WEBVTT", ""]
    for cue in cues(document):
        voice = "" if cue.speaker is None else f"<v {_vtt_text(cue.speaker)}>"
        lines += [_span(cue, "."), voice + _vtt_text(cue.text), ""]
    return "\n".join(lines)


def srt(document: Document) -> str:
    """Return a recording as SubRip; NoTimesError where no times are stored."""
    lines = []
    for number, cue in enumerate(cues(document), 1):
        speaker = "" if cue.speaker is None else f"{_srt_text(cue.speaker)}: "
        lines += [str(number), _span(cue, ","), speaker + _srt_text(cue.text), ""]
    return "\n".join(lines)


def cues(document: Document) -> list[Cue]:
    """Return the captions in the order of time: cut by words, else one for each passage with times."""
    if document.words:
        found = [cue for phrase in phrases(document.words) for cue in _cut(phrase)]
        return sorted(found, key=lambda cue: cue.start)
    found = [
        Cue(turn.speaker, turn.start, turn.end, turn.text)
        for turn in passages(document)
        if turn.start is not None and turn.end is not None
    ]
    if not found and (document.recording["transcript"] or "").strip():
        raise NoTimesError(
            f"recording {document.recording['id']}: neither its reply nor times of its passages are stored;"
            " txt, md and html need none"
        )
    return found


def _cut(phrase: Sequence[Word]) -> Iterator[Cue]:
    cue: list[Word] = []
    length = 0
    for word in phrase:
        if cue and _is_full(cue, length, word):
            yield _cue(cue)
            cue, length = [], 0
        cue.append(word)
        length += len(word.text) + 1
    if cue:
        yield _cue(cue)


def _is_full(cue: Sequence[Word], length: int, word: Word) -> bool:
    if length + len(word.text) > LONGEST_CUE or word.end - cue[0].start > LONGEST_CUE_SECONDS:
        return True
    return length >= SHORT_SENTENCE and cue[-1].text.endswith(SENTENCE_ENDS)


def _cue(words: Sequence[Word]) -> Cue:
    return Cue(words[0].speaker, words[0].start, words[-1].end, joined_words(word.text for word in words))


def _span(cue: Cue, point: str) -> str:
    end = max(cue.end, cue.start + LEAST_CUE_SECONDS)
    return f"{_time(cue.start, point)} --> {_time(end, point)}"


def _time(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{thousandths:03}"


def _vtt_text(text: str) -> str:
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _srt_text(text: str) -> str:
    # Players act on tags and arrows, and SubRip has no way to escape them.
    line = " ".join(text.split()).replace("-->", "->")
    return line.replace("<", "\u2039").replace(">", "\u203a").replace("{", "(").replace("}", ")")
