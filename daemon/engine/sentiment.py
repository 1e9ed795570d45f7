"""Sentiment by sentence with VADER's lexicon, in Deepgram's shape: a score -1..1 and a label."""

from collections.abc import Sequence
from typing import Any

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from daemon.engine.sentences import Sentence

BREAK_POINT = 1 / 3  # developers.deepgram.com/docs/sentiment-analysis


def find_sentiments(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Score every sentence; the average weighs each by its number of words."""
    analyzer = SentimentIntensityAnalyzer()
    scores = [float(analyzer.polarity_scores(sentence.text)["compound"]) for sentence in sentences]
    words = [len(sentence.words) for sentence in sentences]
    average = sum(score * count for score, count in zip(scores, words, strict=True)) / sum(words)
    segments = [
        {"text": s.text, "start_word": s.first, "end_word": s.last, **_labelled(score)}
        for s, score in zip(sentences, scores, strict=True)
    ]
    return {"segments": segments, "average": _labelled(average)}


def _labelled(score: float) -> dict[str, Any]:
    return {"sentiment": label(score), "sentiment_score": round(score, 6)}


def label(score: float) -> str:
    """Name a score as Deepgram does."""
    if score <= -BREAK_POINT:
        return "negative"
    return "positive" if score >= BREAK_POINT else "neutral"
