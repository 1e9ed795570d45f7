"""Measures how far sentiment, intents and topics agree with labels of our own and with Deepgram's examples.

    python benchmarks/language/agreement.py [--half held|tune]

Needs the sentence model: `earshot engine --install sentences`. README.md describes the data.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from daemon.engine.embed import Embedder
from daemon.engine.labels import INTENT, TOPIC, Kind, likeness
from daemon.engine.reply import load_embedder
from daemon.engine.sentences import read_sentences
from daemon.engine.sentiment import LABELS, label, sentiment_scores
from daemon.engine.summary import summarize

HERE = Path(__file__).parent
NONE = "none"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--half", choices=("held", "tune"), default="held")
    half = arguments.parse_args().half
    embedder = load_embedder()
    print(f"half: {half}")
    sentiment(embedder, half)
    for kind, name in ((INTENT, "intents"), (TOPIC, "topics")):
        labels(embedder, kind, rows(name, half), with_examples=False)
        labels(embedder, kind, rows(name, half), with_examples=True)
    summaries(embedder, half)
    documented(embedder)


def rows(name: str, half: str) -> list[dict[str, str]]:
    with (HERE / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
        found = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in found if row.get("half", half) == half]


def summaries(embedder: Embedder, half: str) -> None:
    lines = (HERE / "summaries.txt").read_text("utf-8").splitlines()
    blocks = [list(block) for is_spoken, block in groupby(lines, lambda line: bool(line)) if is_spoken]
    calls = [block for block in blocks if not block[0].startswith("#")]
    chosen = right = wanted = 0
    for call in calls[0::2] if half == "tune" else calls[1::2]:
        keys = {line.removeprefix("* ") for line in call if line.startswith("* ")}
        said = [sentence for line in call for sentence in read_sentences(line.removeprefix("* "))]
        summary = summarize(said, embedder.embed([sentence.text for sentence in said]), embedder)
        picked = {sentence.text for sentence in said if sentence.text in summary}
        chosen, right, wanted = chosen + len(picked), right + len(picked & keys), wanted + len(keys)
    print(
        f"summaries, {len(calls) // 2} conversations: {chosen} sentences, {right} of them wanted, of {wanted}"
    )


def sentiment(embedder: Embedder, half: str) -> None:
    spoken = rows("sentences", half)
    began = time.process_time()
    scores = sentiment_scores(embedder.embed([row["text"] for row in spoken]))
    spent = (time.process_time() - began) / len(spoken)
    pairs = [(row["sentiment"], label(score)) for row, score in zip(spoken, scores, strict=True)]
    print(f"sentiment, {len(pairs)} sentences, {1000 * spent:.1f} ms of processor time a sentence")
    print(f"  agreement {share([truth == found for truth, found in pairs])}")
    for truth in LABELS:
        found = [pairs.count((truth, each)) for each in LABELS]
        print(
            f"  {truth:8} found as " + ", ".join(f"{n} {each}" for n, each in zip(found, LABELS, strict=True))
        )
    flips = sum({truth, found} == {"negative", "positive"} for truth, found in pairs)
    print(f"  {flips} taken for the opposite")


def labels(embedder: Embedder, kind: Kind, spoken: Sequence[dict[str, str]], *, with_examples: bool) -> None:
    names = list(dict.fromkeys(row["label"] for row in spoken if row["label"] != NONE))
    examples = {
        name: [row["text"] for row in spoken if row["label"] == name and row["kind"] == "example"]
        for name in names
    }
    said = [row for row in spoken if row["kind"] == "spoken"]
    texts = [row["text"] for row in said]
    found = likeness(
        kind,
        texts,
        embedder.embed(texts),
        names,
        examples=examples if with_examples else {},
        embedder=embedder,
    )
    best = [names[at] for at in found.argmax(axis=1)]
    is_found = found.max(axis=1) >= kind.threshold
    meant = [row["label"] for row in said]
    some = [at for at, name in enumerate(meant) if name != NONE]
    none = [at for at, name in enumerate(meant) if name == NONE]
    print(f"{kind.name}s, {len(names)} labels {'with' if with_examples else 'without'} example phrases")
    print(f"  nearest label is the right one {share([best[at] == meant[at] for at in some])}")
    print(
        f"  found, and the right one {share([bool(is_found[at]) and best[at] == meant[at] for at in some])}"
    )
    print(f"  found, but another one {share([bool(is_found[at]) and best[at] != meant[at] for at in some])}")
    print(f"  found where there is none {share([bool(is_found[at]) for at in none])}")


def documented(embedder: Embedder) -> None:
    """Compare with the segments in Deepgram's documentation: same sentiment, same label nearest and found."""
    segments = rows("documented", "")
    for row in (row for row in segments if row["kind"] == "sentiment"):
        score = sentiment_scores(embedder.embed([row["text"]]))[0]
        print(
            f"Deepgram {row['answer']:8} {float(row['score']):+.2f}, here {label(score):8} {score:+.2f}: "
            f"{row['text']}"
        )
    for kind, name in ((INTENT, "intents"), (TOPIC, "topics")):
        answers = [row for row in segments if row["kind"] == kind.name]
        others = [
            row["label"] for half in ("held", "tune") for row in rows(name, half) if row["label"] != NONE
        ]
        names = list(dict.fromkeys([row["answer"] for row in answers] + others))
        texts = [row["text"] for row in answers]
        found = likeness(kind, texts, embedder.embed(texts), names, examples={}, embedder=embedder)
        for row, scores in zip(answers, found, strict=True):
            ranked = np.argsort(-scores)
            own = scores[names.index(row["answer"])]
            verdict = "found" if own >= kind.threshold else "missed"
            place = list(ranked).index(names.index(row["answer"])) + 1
            print(
                f"Deepgram {kind.name} {row['answer']}: {verdict}, {own:.2f}, place {place} of {len(names)}: "
                f"{row['text']}"
            )


def share(values: Sequence[bool]) -> str:
    """A share with its 95 % interval by Wilson."""
    count, hits, z = len(values), sum(values), 1.96
    part = hits / count
    middle = (part + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * math.sqrt(part * (1 - part) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return (
        f"{part:.2f} ({hits} of {count}; 95 %: {max(middle - reach, 0):.2f} to {min(middle + reach, 1):.2f})"
    )


if __name__ == "__main__":
    main()
