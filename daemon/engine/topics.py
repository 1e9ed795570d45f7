"""Topics: the user's own, found by their words' stems, and what a recording speaks of repeatedly."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from daemon.engine.sentences import Sentence
from daemon.engine.stems import STOP_WORDS, content_words, find_phrase, stem

MAX_FREQUENT = 8
MIN_LETTERS = 4
MIN_MENTIONS = 2
# These words stand before nouns; a word that never follows one of them is no topic.
_DETERMINERS = "a an the my your our his her their this that these those some any no another new"
NOUNS_IN_LY = frozenset(
    {"anomaly", "assembly", "family", "monopoly", "reply", "supply"}
)  # others are adverbs
DETERMINERS = frozenset(_DETERMINERS.split())


def find_topics(sentences: Sequence[Sentence], custom: Sequence[str], *, strict: bool) -> dict[str, Any]:
    """Find topics by sentence: `custom` as the user wrote them, and unless `strict` frequent nouns and pairs.

    A custom topic's confidence is the share of its words found, a frequent one's that of sentences with it.
    """
    known = {stem(word) for name in custom for word in content_words(name)}
    frequent = {} if strict else _frequent(sentences, known)
    segments = []
    for sentence in sentences:
        words = [word.text for word in sentence.words]
        found = [(name, match.share) for name in custom if (match := find_phrase(name, words))]
        found += [frequent[term] for term in dict.fromkeys(_terms(words)) if term in frequent]
        if found:
            topics = [{"topic": name, "confidence_score": round(score, 4)} for name, score in found]
            segments.append(
                {
                    "text": sentence.text,
                    "start_word": sentence.first,
                    "end_word": sentence.last,
                    "topics": topics,
                }
            )
    return {"segments": segments}


def _frequent(sentences: Sequence[Sentence], known: set[str]) -> dict[str, tuple[str, float]]:
    """Frequent terms by stem: (the form spoken most often, share of sentences); a pair outdoes its parts."""
    mentions: Counter[str] = Counter()
    forms: dict[str, Counter[str]] = {}
    nouns: set[str] = set()
    for sentence in sentences:
        words = [word.text for word in sentence.words]
        nouns |= {stem(word) for before, word in pairwise(words) if before in DETERMINERS}
        terms = _terms(words)
        mentions.update(terms.keys())
        for term, form in terms.items():
            forms.setdefault(term, Counter())[form] += 1
    often = [
        term
        for term, count in mentions.most_common()
        if count >= MIN_MENTIONS and not known & set(term.split()) and nouns & set(term.split())
    ]
    pairs = [term for term in often if " " in term]
    inside = {part for pair in pairs for part in pair.split() if mentions[part] <= mentions[pair]}
    chosen = [term for term in often if term not in inside][:MAX_FREQUENT]
    return {
        term: (forms[term].most_common(1)[0][0].capitalize(), mentions[term] / len(sentences))
        for term in chosen
    }


def _terms(words: Sequence[str]) -> dict[str, str]:
    """A sentence's content words and pairs of neighbours, stem to spoken form."""
    terms = {stem(word): word for word in words if _is_content(word)}
    for first, second in pairwise(words):
        if _is_content(first) and _is_content(second):
            terms[f"{stem(first)} {stem(second)}"] = f"{first} {second}"
    return terms


def _is_content(word: str) -> bool:
    return (
        len(word) >= MIN_LETTERS
        and word not in STOP_WORDS
        and (word in NOUNS_IN_LY or not word.endswith("ly"))
    )
