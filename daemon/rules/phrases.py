"""How rules compare text: whole values with `*` and `?`, and phrases in what was said. Nothing is a regex."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

SNIPPET_WORDS = 12
"""Words shown before and after a phrase where no passage of the analysis has it."""

SNIPPET_CHARACTERS = 60
"""The same for languages without blanks, where half a transcript may be a single word."""

_LONGEST_SNIPPET = 400

# Whatever the keyboard or the API made of an apostrophe or a quotation mark.
_QUOTES = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u2032\u00b4\u0060\uff07", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02", '"')
)
_EDGES = "'\"()[]{}.,;:!?\u2026\u00a1\u00bf-\u2013\u2014\u3001\u3002\uff01\uff1f\uff0c\u300c\u300d"
_BETWEEN = r"[^\w.?!]+"
"""Between two words: blanks, and the commas and hyphens of which nobody knows whether they were said."""

# Thai, Lao, Burmese, Khmer, Japanese and Chinese are written without blanks: words have no edges there.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_EDGELESS_START = re.compile(f"[{_UNSPACED}]")
_EDGELESS_END = re.compile(f"[{_UNSPACED}]$")

_START = r"(?<!\w)(?<!\w')"
_END = r"(?!\w|'(?!s\b)\w)"
"""Where a word ends: "can" is not said in "can't", but "lawyer" is in "lawyer's"."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a phrase was said: the index of its first word among the text's words, and those around it."""

    word: int
    snippet: str


def has_phrase(phrase: str, text: str) -> bool:
    """True when the words of the phrase are said in the text, one after the other.

    Letter case, the kind of blanks and of quotation marks, and commas between words do not matter; the end
    of a sentence does, unless the phrase has it as well. Only whole words count.
    """
    return bool(_expression(phrase).search(_folded(text)))


def hits(phrase: str, text: str) -> Iterator[Hit]:
    """Each place where the phrase is said, in order."""
    folded, words = _folded(text), text.split()
    for found in _expression(phrase).finditer(folded):
        # Folding changes letters, never where words begin.
        first = max(len((folded[: found.start()] + "x").split()) - 1, 0)
        count = len(found[0].split())
        start, end = max(first - SNIPPET_WORDS, 0), first + count + SNIPPET_WORDS
        snippet = " ".join(words[start:end])
        if len(snippet) > _LONGEST_SNIPPET:
            around = max(found.start() - SNIPPET_CHARACTERS, 0), found.end() + SNIPPET_CHARACTERS
            snippet = folded[slice(*around)]
        yield Hit(first, snippet)


@lru_cache(maxsize=8)
def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).translate(_QUOTES).casefold()


@lru_cache(maxsize=1000)
def _expression(phrase: str) -> re.Pattern[str]:
    pieces = _folded(phrase).replace("-", " ").split()
    expression, sentence_ends = "", False
    for piece in pieces:
        word = piece.strip(_EDGES)
        if word and expression:
            expression += r"\W+" if sentence_ends else _BETWEEN
            sentence_ends = False
        expression += re.escape(word)
        sentence_ends = sentence_ends or piece.endswith((".", "?", "!"))
    if not expression:
        # A phrase without a word in it is in nothing; the configuration refuses it.
        return re.compile(r"(?!)")
    words = _folded(phrase).strip(_EDGES + " ")
    start = "" if _EDGELESS_START.match(words) else _START
    return re.compile(start + expression + ("" if _EDGELESS_END.search(words) else _END))
