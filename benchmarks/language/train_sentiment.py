"""Trains the head for sentiment, daemon/engine/data/sentiment-head.json: the same file each time.

    python benchmarks/language/train_sentiment.py --ratings hutto_ICWSM_2014.tar.gz [--check]

The ratings are fetched by hand: README.md beside this file says from where and under which licence. Of our
own sentences only the half `tune` is used. --check writes nothing: the exit code is 1 if the head differs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.engine.reply import load_embedder
from daemon.engine.sentiment import HEAD, LABELS

RATINGS_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
RATED = ("amazonReviewSnippets", "tweets", "nytEditorialSnippets")
OWN = Path(__file__).parent / "sentences.tsv"
# Chosen by five-fold cross-validation on our own sentences of the half `tune`, out of: bounds .3 and .5 of
# the rating, which goes from -4 to 4; weights 5 and 20; penalties .3, 1 and 3.
RATING_BOUND = 0.3
OWN_WEIGHT = 20.0
PENALTY = 1.0
DECIMALS = 3
STEPS = 30

Matrix = npt.NDArray[np.float64]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--ratings", type=Path, required=True)
    arguments.add_argument("--check", action="store_true")
    chosen = arguments.parse_args()
    text = trained(chosen.ratings)
    if not chosen.check:
        HEAD.write_text(text, "utf-8")
    sys.exit(HEAD.read_text("utf-8") != text)


def trained(ratings: Path) -> str:
    """Train on the public ratings and on our own sentences; return the head's file."""
    texts, labels = rated_sentences(ratings)
    own = [row for row in own_sentences() if row["half"] == "tune"]
    texts += [row["text"] for row in own]
    labels += [LABELS.index(row["sentiment"]) for row in own]
    print(f"{len(texts)} sentences, {len(own)} of them our own")
    weights = np.concatenate([np.ones(len(texts) - len(own)), np.full(len(own), OWN_WEIGHT)])
    vectors = load_embedder().embed(texts).astype(float)
    head = fit(vectors, np.array(labels), weights)
    return (
        json.dumps(
            {
                "weights": {label: rounded(head[:-1, at]) for at, label in enumerate(LABELS)},
                "bias": {label: rounded(head[-1:, at])[0] for at, label in enumerate(LABELS)},
            }
        )
        + "\n"
    )


def rated_sentences(archive: Path) -> tuple[list[str], list[int]]:
    """Read the texts of the archive and their labels, by the mean of some twenty people's ratings."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != RATINGS_SHA256:
        sys.exit(
            f"{archive}: SHA-256 is {found}, not {RATINGS_SHA256}; README.md says where the ratings are from"
        )
    texts: list[str] = []
    labels: list[int] = []
    with tarfile.open(archive) as files:
        for name in RATED:
            member = files.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            assert member is not None
            for line in member.read().decode("utf-8", "replace").splitlines():
                _, rating, text = line.split("\t", 2)
                texts.append(text.strip())
                labels.append(1 + int(float(rating) > RATING_BOUND) - int(float(rating) < -RATING_BOUND))
    return texts, labels


def own_sentences() -> list[dict[str, str]]:
    """Read our own sentences: half, sentiment, text."""
    with OWN.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def fit(vectors: Matrix, labels: npt.NDArray[np.int64], weights: Matrix) -> Matrix:
    """Fit a logistic regression by Newton's method; a column a label, the bias last. Labels weigh alike."""
    features = np.hstack([vectors, np.ones((len(vectors), 1))])
    target = np.eye(len(LABELS))[labels]
    weights = np.asarray(weights) * (weights.sum() / len(LABELS) / (weights @ target))[labels]
    penalty = np.full(features.shape[1], PENALTY)
    penalty[-1] = 1e-6
    head = np.zeros((features.shape[1], len(LABELS)))
    for _ in range(STEPS):
        step = newton_step(features, target, weights, penalty, head)
        head -= step
        if np.abs(step).max() < 10.0 ** -(DECIMALS + 5):
            return head
    sys.exit("the fit does not converge")


def newton_step(features: Matrix, target: Matrix, weights: Matrix, penalty: Matrix, head: Matrix) -> Matrix:
    likely = probabilities(features @ head)
    gradient = features.T @ ((likely - target) * weights[:, None]) + penalty[:, None] * head
    size, count = head.shape
    hessian = np.zeros((count, size, count, size))
    for one in range(count):
        for other in range(count):
            curve = weights * likely[:, one] * ((one == other) - likely[:, other])
            hessian[one, :, other, :] = (features.T * curve) @ features
    square = hessian.reshape(count * size, count * size)
    square += np.diag(np.tile(penalty, count))
    return np.asarray(np.linalg.solve(square, gradient.T.reshape(-1)).reshape(count, size).T, float)


def probabilities(logits: Matrix) -> Matrix:
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(likely / likely.sum(axis=1, keepdims=True), float)


def rounded(values: Matrix) -> list[float]:
    """Round so that the order of additions, which differs between processors, does not show."""
    return [round(float(value), DECIMALS) + 0.0 for value in values]


if __name__ == "__main__":
    main()
