"""Intents: the user's own, found by their words' stems, and plain wishes ("I would like to renew")."""

from collections.abc import Iterator, Sequence
from typing import Any

from daemon.engine.recognize import mean_confidence
from daemon.engine.sentences import Sentence
from daemon.engine.stems import STOP_WORDS, content_words, find_phrase, stem

MAX_GENERIC = 5
MAX_PHRASE_WORDS = 5
WISHES = (("want", "to"), ("like", "to"), ("need", "to"), ("wish", "to"), ("trying", "to"))
SKIPPED = frozenset(
    {"a", "an", "the", "my", "your", "our", "this", "that", "these", "those", "all", "of", "some"}
)
ENDS = frozenset(
    {"and", "or", "but", "because", "so", "if", "when", "for", "with", "to", "today", "now", "please"}
)


def find_intents(sentences: Sequence[Sentence], custom: Sequence[str], *, strict: bool) -> dict[str, Any]:
    """Find intents by sentence: `custom` as the user wrote them, and unless `strict` a few spoken wishes.

    A custom intent's confidence is the share of its words found; a wish has the mean confidence of its words.
    """
    generic_left = 0 if strict else MAX_GENERIC
    segments = []
    for sentence in sentences:
        found = _custom_intents(sentence, custom)
        if generic_left:
            wishes = list(_wishes(sentence, found))[:generic_left]
            generic_left -= len(wishes)
            found += wishes
        if found:
            intents = [{"intent": name, "confidence_score": round(score, 4)} for name, score in found]
            segments.append(
                {
                    "text": sentence.text,
                    "start_word": sentence.first,
                    "end_word": sentence.last,
                    "intents": intents,
                }
            )
    return {"segments": segments}


def _custom_intents(sentence: Sentence, custom: Sequence[str]) -> list[tuple[str, float]]:
    words = [word.text for word in sentence.words]
    matches = ((name, find_phrase(name, words)) for name in custom)
    return [(name, match.share) for name, match in matches if match]


def _wishes(sentence: Sentence, known: Sequence[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield verb phrases after "want to" and the like, unless a known intent says the same."""
    words = [word.text for word in sentence.words]
    known_stems = [{stem(word) for word in content_words(name)} for name, _ in known]
    for at in range(2, len(words)):
        if (words[at - 2], words[at - 1]) not in WISHES or _is_negated(words, at - 2):
            continue
        indices = _phrase(words, at)
        phrase = [words[i] for i in indices]
        stems = {stem(word) for word in phrase}
        if len(phrase) >= 2 and not any(stems & known for known in known_stems):
            yield " ".join(phrase).capitalize(), mean_confidence(sentence.words[i] for i in indices)


def _phrase(words: Sequence[str], start: int) -> list[int]:
    """Indices of a verb phrase's content words, up to where the next thought begins."""
    if words[start] in STOP_WORDS:
        return []  # "want to be", "like to get": no verb to name an intent by
    taken: list[int] = []
    for at in range(start, len(words)):
        if words[at] in ENDS or len(taken) == MAX_PHRASE_WORDS:
            break
        if words[at] in SKIPPED:
            continue
        if words[at] in STOP_WORDS:
            break
        taken.append(at)
    return taken


def _is_negated(words: Sequence[str], at: int) -> bool:
    return bool({"not", "don't", "didn't", "never"} & set(words[max(at - 2, 0) : at]))
