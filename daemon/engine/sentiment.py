"""Sentiment by sentence, in Deepgram's shape: a score -1..1 and a label.

A logistic head on the sentence's vector gives each label's probability; the score is that of positive
less that of negative. `benchmarks/language/train_sentiment.py` trains it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from daemon.engine.embed import Vectors
from daemon.engine.sentences import Sentence

BREAK_POINT = 1 / 3  # developers.deepgram.com/docs/sentiment-analysis
LABELS = ("negative", "neutral", "positive")
HEAD = Path(__file__).parent / "data" / "sentiment-head.json"


def sentiment_scores(vectors: Vectors, head: Path = HEAD) -> list[float]:
    """Score each vector -1..1."""
    trained = json.loads(head.read_text("utf-8"))
    weights = np.array([trained["weights"][label] for label in LABELS])
    logits = vectors @ weights.T + np.array([trained["bias"][label] for label in LABELS])
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    return [round(float(score), 6) for score in likely[:, 2] - likely[:, 0]]


def sentiment_section(
    sentences: Sequence[Sentence], scores: Sequence[float], tokens: Sequence[int]
) -> dict[str, Any]:
    """Put the scores into a segment a sentence; the average weighs each by its tokens, as Deepgram's does."""
    segments = [
        {"text": s.text, "start_word": s.first, "end_word": s.last, **labelled(score)}
        for s, score in zip(sentences, scores, strict=True)
    ]
    return {"segments": segments, "average": labelled(weighted_mean(scores, tokens))}


def weighted_mean(scores: Sequence[float], weights: Sequence[int]) -> float:
    """Mean of the scores by weight; weights of 0 alone count alike."""
    if not any(weights):
        weights = [1] * len(scores)
    return sum(score * weight for score, weight in zip(scores, weights, strict=True)) / sum(weights)


def labelled(score: float) -> dict[str, Any]:
    """Make the two values of a score, as they stand in a reply."""
    return {"sentiment": label(score), "sentiment_score": round(score, 6)}


def label(score: float) -> str:
    """Name a score as Deepgram does."""
    if score <= -BREAK_POINT:
        return "negative"
    return "positive" if score >= BREAK_POINT else "neutral"
