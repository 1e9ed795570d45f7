"""Finds a phrase's content words in a sentence, whatever their endings: cancel, cancelled, cancellation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import snowballstemmer

_STOP_WORDS = """
a about above after again against all almost also although always am an and another any anybody anyone
anything are aren't around as at away back be because been before being below between both but by came
can can't cannot come comes could couldn't did didn't do does doesn't doing don't done down during each
eight either else ever every everybody everyone everything few five for four from further get gets
getting give go goes going gone got had has hasn't have haven't having he he's hello her here hers
herself hi him himself his how however i i'd i'll i'm i've if in into is isn't it it's its itself just
kind know last least let let's like little look lot lots made make makes making many may maybe me mean
might mine more most much must my myself need needs never next nine no nobody none nor not nothing now of
off often oh okay on once one ones only onto or other others our ours ourselves out over own per perhaps
please put quite rather really right said same say says see seem seen seven she should shouldn't since
six so some somebody someone something sometimes soon still such sure take ten than thank thanks that
that's the their theirs them themselves then there there's these they they're thing things think this
those though three through till to today together told tomorrow tonight too took toward twice two under
until up upon us use used very want wanted wants was wasn't way we we'd we'll we're we've well went were
weren't what what's whatever when where which while who whole whom whose why will with within without
won't would wouldn't yeah yes yesterday yet you you'd you'll you're you've your yours yourself
"""
WISHES = frozenset(
    {"ask", "claim", "demand", "get", "need", "request", "want"}
)  # "request refund": "I want a refund"
NEGATIONS = frozenset({"didn't", "don't", "never", "not", "won't", "wouldn't"})
INABILITIES = frozenset(
    {"can", "can't", "cannot", "could", "couldn't", "why"}
)  # "I could not cancel" still speaks of cancelling
STOP_WORDS = frozenset(_STOP_WORDS.split())


@dataclass(frozen=True, slots=True)
class Match:
    """Where a phrase was found: indices into the sentence's words, and the share of its words found."""

    start: int
    end: int
    share: float


@cache
def _stemmer() -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer("english")


@cache
def stem(word: str) -> str:
    """The stem of a lower-case word."""
    return str(_stemmer().stemWord(word.removesuffix("'s")))


def content_words(phrase: str) -> list[str]:
    """The words of a user's phrase that carry its meaning; all of them if none would be left."""
    words = [word.strip('.,;:!?"()').lower() for word in phrase.replace("-", " ").replace("_", " ").split()]
    words = [word for word in words if word]
    return [word for word in words if word not in STOP_WORDS or word in WISHES] or words


def find_phrase(phrase: str, words: Sequence[str]) -> Match | None:
    """Find a phrase's content words close together in a sentence's lower-case words, in any order.

    Of one or two words all must be there, of more at least two thirds; a negated phrase is not found.
    """
    wanted = list(dict.fromkeys(content_words(phrase)))
    if not wanted:
        return None
    needed = len(wanted) if len(wanted) <= 2 else ceil(len(wanted) * 2 / 3)
    reach = 6 + 2 * len(wanted)
    hits = [[i for i, word in enumerate(wanted) if _same(word, spoken)] for spoken in words]
    best: Match | None = None
    for start, first in enumerate(hits):
        if not first:
            continue
        found: set[int] = set()
        for end in range(start, min(start + reach, len(hits))):
            # a spoken word stands for one wanted word only
            free = [i for i in hits[end] if i not in found]
            if not free:
                continue
            found.add(free[0])
            if len(found) >= needed and not _is_denied(words, start):
                match = Match(start, end, len(found) / len(wanted))
                best = _better(best, match)
    return best


def _better(old: Match | None, new: Match) -> Match:
    if old is None or (new.share, old.end - old.start) > (old.share, new.end - new.start):
        return new
    return old


def _is_denied(words: Sequence[str], start: int) -> bool:
    before = list(words[max(start - 3, 0) : start])
    return bool(NEGATIONS & set(before[-2:])) and not INABILITIES & set(before)


def _same(wanted: str, spoken: str) -> bool:
    if wanted == "request" and spoken in WISHES:
        return True
    a, b = stem(wanted), stem(spoken)
    return a == b or _are_related(a, b)


def _are_related(a: str, b: str) -> bool:
    """Whether unequal stems match: subscript(ion) and subscrib(e), deliver(y) and deliver."""
    shorter, longer = sorted((a, b), key=len)
    common = next((i for i, letter in enumerate(shorter) if letter != longer[i]), len(shorter))
    return common >= 5 and len(shorter) - common <= 1 and len(longer) - common <= 2
