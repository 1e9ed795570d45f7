"""What was said, for the page of a recording: passages by turns, with the times of their words. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from daemon.export.document import Document
from daemon.export.turns import Part, turns

_WORD = re.compile(r"\w+")
HUNDREDTHS = 100


@dataclass(frozen=True, slots=True)
class Say:
    """A part of a turn: when it begins (None: not known), what was said, its score.

    `words` are the starts of its words in hundredths of a second after `start`, one for each word as a
    browser counts them; empty where not known. `lane` is the channel, `anchor` the place in the page.
    """

    start: float | None
    end: float | None
    speaker: str | None
    text: Markup
    plain: str
    score: float | None = None
    words: str = ""
    lane: int = 0
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """A whole conversation by turns. `in_lanes`: several channels; `has_words`: a click can find one."""

    turns: tuple[tuple[str | None, tuple[Say, ...]], ...]
    speakers: tuple[str, ...]
    in_lanes: bool = False
    has_words: bool = False

    @property
    def says(self) -> list[Say]:
        """Everything that was said, in order."""
        return [say for _, says in self.turns for say in says]


def talk_of(document: Document, hits: Sequence[str] = ()) -> Talk:
    """Return the conversation; `hits` are words to mark."""
    seen: set[int] = set()
    found = [
        (turn.speaker, tuple(_say(turn.speaker, part, hits, seen) for part in turn.parts))
        for turn in turns(document)
    ]
    speakers = tuple(dict.fromkeys(speaker for speaker, _ in found if speaker))
    in_lanes = any(word.channel for word in document.words)
    return Talk(tuple(found), speakers, in_lanes, bool(document.words))


def without_anchors(talk: Talk, seconds: Collection[int]) -> Talk:
    """Return the conversation without the places for these seconds, for which the page has others."""
    taken = {f"t={second}" for second in seconds}
    turns = (
        (speaker, tuple(replace(say, anchor=None) if say.anchor in taken else say for say in says))
        for speaker, says in talk.turns
    )
    return replace(talk, turns=tuple(turns))


def marked(text: str, hits: Sequence[str]) -> Markup:
    """Return the text, escaped, with the words that a search would find marked."""
    if not hits:
        return escape(text)
    parts, last = [], 0
    for found in _hits_in(text, hits):
        parts += [escape(text[last : found.start()]), Markup("<mark>%s</mark>") % found[0]]
        last = found.end()
    return Markup("").join([*parts, escape(text[last:])])


def hits_of(words: str | None) -> list[str]:
    """Return the single words of a search, as `marked` compares them; one that ends in `*` is a beginning."""
    if not words:
        return []
    return [_plain(found[1]) + found[2] for found in re.finditer(r"(\w+)(\*?)", words)]


def first_hit(texts: Iterable[str | None], hits: Sequence[str]) -> int | None:
    """Return the index of the first text with a hit."""
    return next((number for number, text in enumerate(texts) if next(_hits_in(text or "", hits), None)), None)


def _hits_in(text: str, hits: Sequence[str]) -> Iterator[re.Match[str]]:
    if text.isascii() and not any(hit.removesuffix("*") in text.lower() for hit in hits):
        # Most texts have none: no need to take them to pieces.
        return iter(())
    return (found for found in _WORD.finditer(text) if any(_is_hit(_plain(found[0]), hit) for hit in hits))


def _is_hit(word: str, hit: str) -> bool:
    return word.startswith(hit[:-1]) if hit.endswith("*") else word == hit


def _plain(word: str) -> str:
    """Return a word in the form of the search index: small letters without accents."""
    if word.isascii():
        return word.lower()
    split = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in split if not unicodedata.combining(letter))


def _say(speaker: str | None, part: Part, hits: Sequence[str], seen: set[int]) -> Say:
    """Return a part; the first one that begins in a second is what a link to that second leads to."""
    start = part.start or 0.0
    offsets = [round((word.start - start) * HUNDREDTHS) for word in part.words for _ in word.text.split()]
    second = None if part.start is None else int(part.start)
    anchor = None if second is None or second in seen else f"t={second}"
    if second is not None:
        seen.add(second)
    return Say(
        start=part.start,
        end=part.end,
        speaker=speaker,
        text=marked(part.text, hits),
        plain=part.text,
        score=part.score,
        words=" ".join(map(str, offsets)),
        lane=part.words[0].channel if part.words else 0,
        anchor=anchor,
    )
