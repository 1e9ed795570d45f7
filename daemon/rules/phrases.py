"""How rules compare text: phrases in what was said, with `*` for any letters. Nothing is a regex."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from daemon.text import UNSPACED

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
_ENDS = tuple(".?!\u3002\uff01\uff1f")
"""What ends a sentence."""

_UNSPACED = re.compile(f"[{UNSPACED}]")
_TOKENS = re.compile(f"[{UNSPACED}]|[^{UNSPACED}]+")
_STAR = re.compile(r"(?<!\*)\*(?!\*)")
"""Several stand for themselves: a filter of bad words writes `f***`."""
_ACCENTS = re.compile("[\u0300-\u036f]")

_ABBREVIATIONS = (
    # Those that are seldom the last word of a sentence.
    "adm|approx|atty|ave|blvd|capt|col|cpt|dr|drs|esq|ext|fig|gen|gov|inc|incl|jr|lt|ltd|maj|messrs|mr|mrs|ms|mt|mx"
    "|prof|rev|sen|sgt|sr|sra|srta|st|ste|supt|vs|bzw|ca|evtl|frl|geb|ggf|hr|ing|inkl|nr|str|tel|zzgl"
    "|av|bd|dott|dra|mgr|mlle|mme|n\u00fam|pag|sig|tfno|ud|uds"
)
_NO_END = re.compile(rf"\b(?:{_ABBREVIATIONS}|[^\W\d_])\.(?=\s)")
"""An abbreviation, or an initial or the last letter of `p.m.`: its period is no end of a sentence."""


@cache
def _marks() -> str:
    """Return the accents and vowel signs of all scripts, for a class of characters: `\\w` leaves them out."""
    marks = (code for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
    spans: list[list[int]] = []
    for code in marks:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a phrase was said: the index of its first word among the text's words, and those around it."""

    word: int
    snippet: str


@dataclass(slots=True)
class _Token:
    """A word of a phrase, or a character that is one, and whether a sentence ends after it."""

    text: str
    is_end: bool = False


def has_phrase(phrase: str, text: str, *, fold_accents: bool = False) -> bool:
    """True when the words of the phrase are said in the text, one after the other.

    Letter case, the kind of blanks and of quotation marks, and commas between words do not matter; the end
    of a sentence does, unless the phrase has it as well. Only whole words count, unless `*` stands for the
    rest of one or, by itself, for a whole one; in scripts without blanks each character is one. With
    `fold_accents` "cafe" is said where the text has "café".
    """
    folded, word = _prepared(text, fold_accents)
    # Each word of the phrase is in a text that has it: to look for these is far faster than the expression.
    words = _words(phrase, fold_accents)
    return all(each in folded for each in words) and bool(
        _expression(phrase, fold_accents, word).search(folded)
    )


def hits(phrase: str, text: str, *, fold_accents: bool = False) -> Iterator[Hit]:
    """Each place where the phrase is said, in order."""
    folded, word = _prepared(text, fold_accents)
    words = text.split()
    for found in _expression(phrase, fold_accents, word).finditer(folded):
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
def _prepared(text: str, fold_accents: bool) -> tuple[str, str]:
    """Return the text folded, with a comma for each period that ends no sentence; and its words' class."""
    folded = _NO_END.sub(lambda found: found[0][:-1] + ",", _folded(text, fold_accents))
    # Most texts have no marks, and are then searched five times as fast.
    has_marks = not folded.isascii() and re.search(f"[{_marks()}]", folded)
    return folded, r"\w" + _marks() if has_marks else r"\w"


def _folded(text: str, fold_accents: bool) -> str:
    if fold_accents:
        text = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", text).translate(_QUOTES).casefold()


@lru_cache(maxsize=1000)
def _expression(phrase: str, fold_accents: bool, word: str) -> re.Pattern[str]:
    tokens = _tokens(_folded(phrase, fold_accents))
    if not tokens:
        # A phrase without a word in it is in nothing; the configuration refuses it.
        return re.compile(r"(?!)")
    expression = _pattern(tokens[0].text, word)
    for before, after in pairwise(tokens):
        between = f"[^{word}]" if before.is_end else f"[^{word}{''.join(_ENDS)}]"
        is_spaced = not (_UNSPACED.match(before.text) or _UNSPACED.match(after.text))
        expression += between + ("+" if is_spaced else "*") + _pattern(after.text, word)
    # "can" is not said in "can't", but "lawyer" is in "lawyer's". Scripts without blanks have no such edges.
    start = "" if _UNSPACED.match(tokens[0].text) else f"(?<![{word}])(?<![{word}]')"
    end = "" if _UNSPACED.match(tokens[-1].text) else f"(?![{word}]|'(?!s(?![{word}]))[{word}])"
    return re.compile(start + expression + end)


def _pattern(text: str, word: str) -> str:
    """Return the expression for a word with `*` in it, which takes time in proportion to a text's length.

    As fnmatch has it: what was found of it is not looked for again further on.
    """
    first, *others = map(re.escape, _STAR.split(text))
    if not others:
        return first
    *middle, last = others
    between = "".join(f"(?>[{word}*]*?{piece})" for piece in middle)
    return f"{first}{between}[{word}*]*{last}"


@lru_cache(maxsize=1000)
def _words(phrase: str, fold_accents: bool) -> tuple[str, ...]:
    tokens = _tokens(_folded(phrase, fold_accents))
    return tuple(piece for token in tokens for piece in _STAR.split(token.text) if piece)


def _tokens(phrase: str) -> list[_Token]:
    tokens: list[_Token] = []
    for piece in phrase.replace("-", " ").split():
        tokens += map(_Token, _TOKENS.findall(piece.strip(_EDGES)))
        if tokens and piece.endswith(_ENDS):
            tokens[-1].is_end = True
    return tokens
