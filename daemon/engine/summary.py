"""A summary out of the recording's own key sentences; nothing is rephrased, so nothing is invented."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from daemon.engine.sentences import Sentence
from daemon.engine.stems import STOP_WORDS, stem

SHORT_WORDS = 50  # up to here Deepgram gives the transcript itself
MAX_WORDS = 60
MAX_SENTENCES = 3
MIN_SENTENCE_WORDS = 6  # "Okay. Excellent." says nothing
EARLINESS = 0.15  # of the score, for the first sentence: callers say early why they call
WISH = 0.5  # of the score: what somebody wants is what a reader looks for
WISHES = frozenset({("i", "want"), ("we", "want"), ("i", "need"), ("we", "need"), ("would", "like")})


def summarize(sentences: Sequence[Sentence]) -> str:
    """Pick the sentences whose words are the most central to the recording, in the order they were spoken."""
    if sum(len(sentence.words) for sentence in sentences) <= SHORT_WORDS:
        return " ".join(sentence.text for sentence in sentences)
    stems = [_stems(sentence) for sentence in sentences]
    weights = Counter(term for terms in stems for term in terms)
    candidates = [i for i, s in enumerate(sentences) if len(s.words) >= MIN_SENTENCE_WORDS] or list(
        range(len(sentences))
    )

    def score(index: int) -> float:
        terms = stems[index]
        centrality = sum(weights[term] for term in terms) / (len(terms) + 3)
        earliness = EARLINESS * (1 - index / len(sentences))
        return centrality * (1 + earliness + (WISH if _has_wish(sentences[index]) else 0))

    chosen: list[int] = []
    words = 0
    for index in sorted(candidates, key=score, reverse=True):
        length = len(sentences[index].words)
        if chosen and words + length > MAX_WORDS:
            continue
        chosen.append(index)
        words += length
        if len(chosen) == MAX_SENTENCES:
            break
    return " ".join(sentences[index].text for index in sorted(chosen))


def _has_wish(sentence: Sentence) -> bool:
    return any((a.text, b.text) in WISHES for a, b in pairwise(sentence.words))


def _stems(sentence: Sentence) -> set[str]:
    return {stem(word.text) for word in sentence.words if word.text not in STOP_WORDS}
