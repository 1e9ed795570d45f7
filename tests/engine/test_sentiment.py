"""How a sentence sounds, against labels of our own that no training has seen."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from daemon.engine.embed import Embedder
from daemon.engine.sentiment import (
    label,
    sentiment_scores,
    sentiment_section,
    weighted_mean,
)
from tests.engine.spoken import sentences

OWN = Path(__file__).parents[2] / "benchmarks/language/sentences.tsv"
EVERY = 4  # one in so many of the sentences is enough to see that the head is the trained one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("This is the worst service I have ever had.", "negative"),
        ("I have been waiting for three weeks and nobody calls me back.", "negative"),
        ("You charged me twice for the same thing.", "negative"),
        ("The office is open from nine to five.", "neutral"),
        ("What is your account number?", "neutral"),
        ("I want to cancel my subscription.", "neutral"),
        ("Thank you so much, you were wonderful.", "positive"),
        ("It works perfectly and we are very happy with it.", "positive"),
    ],
)
def test_what_everybody_would_call_it_is_called_so(embedder: Embedder, text: str, expected: str) -> None:
    assert label(sentiment_scores(embedder.embed([text]))[0]) == expected


def test_sentences_kept_out_of_training_are_mostly_called_what_we_call_them(embedder: Embedder) -> None:
    with OWN.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    held = [row for row in rows if row["half"] == "held"][::EVERY]
    found = [label(score) for score in sentiment_scores(embedder.embed([row["text"] for row in held]))]
    pairs = list(zip(found, (row["sentiment"] for row in held), strict=True))
    assert sum(one == other for one, other in pairs) >= 0.75 * len(pairs)
    assert sum("neutral" not in pair and pair[0] != pair[1] for pair in pairs) <= 0.05 * len(pairs)


@pytest.mark.parametrize(
    ("score", "expected"),
    [(-1.0, "negative"), (-1 / 3, "negative"), (-0.33, "neutral"), (0.33, "neutral"), (1 / 3, "positive")],
)
def test_the_break_points_are_deepgrams(score: float, expected: str) -> None:
    assert label(score) == expected


def test_the_average_weighs_each_sentence_by_its_tokens() -> None:
    section = sentiment_section(sentences("One two three.", "Four."), [0.9, -0.6], [4, 2])
    assert section["average"] == {"sentiment": "positive", "sentiment_score": 0.4}
    assert [(s["text"], s["start_word"], s["end_word"]) for s in section["segments"]] == [
        ("One two three.", 0, 2),
        ("Four.", 3, 3),
    ]
    assert weighted_mean([0.5, 0.7], [0, 0]) == pytest.approx(0.6)
