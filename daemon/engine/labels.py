"""Finds the intents and topics that the user named, by how like a sentence is to a label or its examples.

Nothing is found that nobody named: a likeness can choose between labels, it cannot make one up.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.engine.embed import Embedder, Vectors
from daemon.engine.sentences import Sentence

MAX_LABELS = 3  # of one sentence
NEGATION = re.compile(r"\b(?:not|no|never|nothing|cannot|\w+n['\u2019]t)\b", re.IGNORECASE)
# A sentence with a negation in it is refused when it is more like a denial of the label than like the label,
# and about as like as to anything: else it speaks of something else.
DENIAL_AHEAD = 0.02
DENIAL_NEAR = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a kind of label is looked for: the sentence that a label stands for, and how alike is alike enough.

    `threshold` is a cosine; an example counts for `example_discount` less than the label's own sentence: it
    also holds what is beside the point. Both were chosen on one half of benchmarks/language.
    """

    name: str
    sentence: str
    denials: tuple[str, ...]
    threshold: float
    example_discount: float


INTENT = Kind(
    name="intent",
    sentence="I want to {}.",
    denials=("I do not want to {}.", "There is no need to {}.", "I did not {}."),
    threshold=0.40,
    example_discount=0.10,
)
TOPIC = Kind(name="topic", sentence="This is about {}.", denials=(), threshold=0.35, example_discount=0.0)


def find_labels(
    kind: Kind,
    sentences: Sequence[Sentence],
    vectors: Vectors,
    labels: Sequence[str],
    *,
    examples: Mapping[str, Sequence[str]],
    embedder: Embedder,
) -> dict[str, Any]:
    """Make the section: a segment for each sentence with a label in it, the likeliest label first."""
    found = likeness(kind, [s.text for s in sentences], vectors, labels, examples=examples, embedder=embedder)
    segments = []
    for sentence, scores in zip(sentences, found, strict=True):
        best = [at for at in np.argsort(-scores, kind="stable")[:MAX_LABELS] if scores[at] >= kind.threshold]
        if best:
            named = [{kind.name: labels[at], "confidence_score": round(float(scores[at]), 4)} for at in best]
            segments.append(
                {
                    "text": sentence.text,
                    "start_word": sentence.first,
                    "end_word": sentence.last,
                    f"{kind.name}s": named,
                }
            )
    return {"segments": segments}


def likeness(
    kind: Kind,
    texts: Sequence[str],
    vectors: Vectors,
    labels: Sequence[str],
    *,
    examples: Mapping[str, Sequence[str]],
    embedder: Embedder,
) -> npt.NDArray[np.float64]:
    """Say how alike each text (row) is to each label (column), 0..1; 0 where the text denies it."""
    denies = np.array([NEGATION.search(text) is not None for text in texts], bool)
    columns = [
        _likeness_to_one(kind, vectors, label, phrases_of(label, examples), denies, embedder)
        for label in labels
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((len(texts), 0))


def phrases_of(label: str, examples: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Find a label's example phrases; its name counts in any letter case."""
    return tuple(
        phrase
        for name, phrases in examples.items()
        if name.strip().casefold() == label.strip().casefold()
        for phrase in phrases
    )


def _likeness_to_one(
    kind: Kind,
    vectors: Vectors,
    label: str,
    phrases: Sequence[str],
    denies: npt.NDArray[np.bool_],
    embedder: Embedder,
) -> npt.NDArray[np.float64]:
    to_label = (vectors @ embedder.embed([kind.sentence.format(label)])[0]).astype(float)
    best = discounted = to_label
    if phrases:
        to_examples = (vectors @ embedder.embed(phrases).T).max(axis=1)
        best = np.maximum(to_label, to_examples)
        discounted = np.maximum(to_label, to_examples - kind.example_discount)
    if kind.denials:
        denials = embedder.embed([denial.format(label) for denial in kind.denials])
        to_denial = (vectors @ denials.T).max(axis=1)
        refused = denies & (to_denial - to_label > DENIAL_AHEAD) & (to_denial > best - DENIAL_NEAR)
        discounted = np.where(refused, 0.0, discounted)
    likely: npt.NDArray[np.float64] = np.clip(discounted, 0.0, 1.0)
    return likely
