"""A summary out of the recording's own key sentences; nothing is rephrased, so nothing is invented."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from daemon.engine.embed import Embedder, Vectors
from daemon.engine.sentences import Sentence

Scores = npt.NDArray[np.float64]

SHORT_WORDS = 50  # up to here Deepgram gives the transcript itself
MIN_SENTENCE_WORDS = 6  # "Okay. Excellent." says nothing
MIN_SENTENCES, MAX_SENTENCES = 4, 8
WORDS_PER_SENTENCE = 16  # a summary of n sentences has at most 16 n words
WORDS_FOR_ANOTHER = 1000  # so many words more are worth another sentence
TOO_ALIKE = 0.8  # the same said again
# What a reader looks for first; what is left of the room goes to the best of the rest. Words and weights
# were chosen on half of benchmarks/language/summaries.txt.
WRONG = (
    "I am calling because there is a problem.",
    "What I ordered has not arrived, or it is the wrong thing.",
    "It does not work any more.",
    "I was charged for something that I did not buy.",
)
WANTED = (
    "I want you to do something about it.",
    "I want to cancel it and get my money back.",
    "I would like to change my appointment.",
    "Please call me back.",
)
AGREED = (
    "We agreed to do this until next week.",
    "This is how we are going to solve it.",
    "I have done that for you, and you will have it on Monday.",
    "I will send it to you by email.",
)
KEYS = (WRONG, WANTED, AGREED)
# What every call has, and what says nothing about this one.
FILLERS = (
    "Good morning, this is customer support, how can I help you?",
    "Hello, my name is Peter.",
    "One moment please, let me have a look at that.",
    "Can you give me your customer number, please?",
    "It is four four seven one nine.",
    "Is there anything else I can do for you?",
    "Oh, I am sorry to hear that.",
    "Thank you very much, have a nice day.",
    "Okay, that sounds good to me.",
)
KEY_WEIGHT, FILLER_WEIGHT = 1.0, 0.7
LEAST_OF_KEY = 0.25  # the likeness from which on a sentence may stand for one of KEYS
EARLINESS = 0.1  # callers say early why they call
QUESTION = -0.2


def is_short(sentences: Sequence[Sentence]) -> bool:
    """Whether a transcript is its own summary."""
    return sum(len(sentence.words) for sentence in sentences) <= SHORT_WORDS


def summarize(sentences: Sequence[Sentence], vectors: Vectors, embedder: Embedder) -> str:
    """Pick what is wrong, wanted and agreed, then the best of the rest, in the order they were spoken."""
    if is_short(sentences):
        return " ".join(sentence.text for sentence in sentences)
    candidates = [at for at, s in enumerate(sentences) if len(s.words) >= MIN_SENTENCE_WORDS]
    if not candidates:
        candidates = list(range(len(sentences)))
    likeness = [_likeness(vectors, embedder.embed(phrases)) for phrases in KEYS]
    filler = _likeness(vectors, embedder.embed(FILLERS))
    central = _central(vectors, candidates)
    scores = _scores(sentences, central, likeness, filler)
    words = sum(len(sentence.words) for sentence in sentences)
    most = min(MIN_SENTENCES + words // WORDS_FOR_ANOTHER, MAX_SENTENCES)
    telling = np.max(likeness, axis=0)
    proper = [at for at in candidates if filler[at] < telling[at]] or candidates
    first = [at for like in likeness if (at := _best(proper, like, scores)) is not None]
    ranked = [*first, *sorted(proper, key=lambda at: -scores[at])]
    return " ".join(sentences[at].text for at in sorted(_choose(ranked, sentences, vectors, most)))


def _likeness(vectors: Vectors, phrases: Vectors) -> Scores:
    found: Scores = (vectors @ phrases.T).max(axis=1).astype(np.float64)
    return found


def _central(vectors: Vectors, candidates: Sequence[int]) -> Scores:
    middle = vectors[candidates].mean(axis=0)
    found: Scores = (vectors @ (middle / (np.linalg.norm(middle) or 1.0))).astype(np.float64)
    return found


def _best(candidates: Sequence[int], likeness: Scores, scores: Scores) -> int | None:
    """Return the sentence that stands for a key, None when nothing is like it."""
    like = [at for at in candidates if likeness[at] >= LEAST_OF_KEY]
    return max(like, key=lambda at: likeness[at] + scores[at], default=None)


def _scores(
    sentences: Sequence[Sentence],
    central: Scores,
    likeness: Sequence[Scores],
    filler: Scores,
) -> Scores:
    early = 1 - np.arange(len(sentences)) / len(sentences)
    asks = np.array([sentence.text.endswith("?") for sentence in sentences])
    scores: Scores = (
        central
        + KEY_WEIGHT * np.max(likeness, axis=0)
        - FILLER_WEIGHT * filler
        + EARLINESS * early
        + QUESTION * asks
    )
    return scores


def _choose(ranked: Sequence[int], sentences: Sequence[Sentence], vectors: Vectors, most: int) -> list[int]:
    chosen: list[int] = []
    words = 0
    for at in ranked:
        length = len(sentences[at].words)
        if at in chosen:
            continue
        if chosen and words + length > most * WORDS_PER_SENTENCE:
            continue
        if chosen and float((vectors[chosen] @ vectors[at]).max()) > TOO_ALIKE:
            continue
        chosen.append(at)
        words += length
        if len(chosen) == most:
            break
    return chosen
