"""A summary out of the recording's own key sentences; nothing is rephrased, so nothing is invented."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from daemon.engine.embed import Embedder, Vectors
from daemon.engine.sentences import Sentence

SHORT_WORDS = 50  # up to here Deepgram gives the transcript itself
MIN_SENTENCE_WORDS = 6  # "Okay. Excellent." says nothing
MIN_SENTENCES, MAX_SENTENCES = 3, 8
WORDS_PER_SENTENCE = 20  # a summary of n sentences has at most 20 n words
WORDS_FOR_ANOTHER = 1000  # so many words more are worth another sentence
TOO_ALIKE = 0.8  # the same said again
# What a reader looks for: why somebody calls, what went wrong, what was agreed.
KEYS = (
    "I am calling because there is a problem.",
    "Something is wrong with my order.",
    "I want you to do something about it.",
    "We agreed to do this until next week.",
    "This is how we are going to solve it.",
)
KEY_WEIGHT = 0.6
EARLINESS = 0.1  # callers say early why they call
QUESTION = -0.1


def is_short(sentences: Sequence[Sentence]) -> bool:
    """Whether a transcript is its own summary."""
    return sum(len(sentence.words) for sentence in sentences) <= SHORT_WORDS


def summarize(sentences: Sequence[Sentence], vectors: Vectors, embedder: Embedder) -> str:
    """Pick the key sentences, in the order they were spoken: near to what is spoken of, and to KEYS."""
    if is_short(sentences):
        return " ".join(sentence.text for sentence in sentences)
    candidates = [at for at, s in enumerate(sentences) if len(s.words) >= MIN_SENTENCE_WORDS]
    if not candidates:
        candidates = list(range(len(sentences)))
    scores = _scores(sentences, vectors, candidates, embedder.embed(KEYS))
    words = sum(len(sentence.words) for sentence in sentences)
    most = min(MIN_SENTENCES + words // WORDS_FOR_ANOTHER, MAX_SENTENCES)
    ranked = sorted(candidates, key=lambda at: -scores[at])
    return " ".join(sentences[at].text for at in sorted(_choose(ranked, sentences, vectors, most)))


def _scores(
    sentences: Sequence[Sentence], vectors: Vectors, candidates: Sequence[int], keys: Vectors
) -> npt.NDArray[np.float64]:
    middle = vectors[candidates].mean(axis=0)
    central = vectors @ (middle / (np.linalg.norm(middle) or 1.0))
    key = (vectors @ keys.T).max(axis=1)
    early = 1 - np.arange(len(sentences)) / len(sentences)
    asks = np.array([sentence.text.endswith("?") for sentence in sentences])
    scores: npt.NDArray[np.float64] = central + KEY_WEIGHT * key + EARLINESS * early + QUESTION * asks
    return scores


def _choose(ranked: Sequence[int], sentences: Sequence[Sentence], vectors: Vectors, most: int) -> list[int]:
    chosen: list[int] = []
    words = 0
    for at in ranked:
        length = len(sentences[at].words)
        if chosen and words + length > most * WORDS_PER_SENTENCE:
            continue
        if chosen and float((vectors[chosen] @ vectors[at]).max()) > TOO_ALIKE:
            continue
        chosen.append(at)
        words += length
        if len(chosen) == most:
            break
    return chosen
