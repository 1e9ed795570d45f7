"""Intents and topics that the user named, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

pytest.importorskip("onnxruntime")

from daemon.engine.embed import Embedder
from daemon.engine.labels import INTENT, TOPIC, Kind, find_labels
from tests.engine.spoken import sentences

INTENTS = ("cancel subscription", "request refund", "speak to manager")


def found(
    embedder: Embedder,
    kind: Kind,
    labels: Sequence[str],
    *texts: str,
    examples: Mapping[str, Sequence[str]] | None = None,
) -> list[tuple[str, list[str]]]:
    """The sentences in which a label was found, with these labels."""
    said = sentences(*texts)
    vectors = embedder.embed([sentence.text for sentence in said])
    section = find_labels(kind, said, vectors, labels, examples=examples or {}, embedder=embedder)
    for segment in section["segments"]:
        assert all(0 < each["confidence_score"] <= 1 for each in segment[f"{kind.name}s"])
    return [
        (segment["text"], [each[kind.name] for each in segment[f"{kind.name}s"]])
        for segment in section["segments"]
    ]


def test_an_intent_is_found_where_it_is_said_in_other_words(embedder: Embedder) -> None:
    said = (
        "Good morning.",
        "I'd like to stop my monthly plan.",
        "How do I get my money back for the shoes?",
        "Please put me through to your supervisor.",
        "The office is on the third floor.",
    )
    assert found(embedder, INTENT, INTENTS, *said) == [
        (said[1], ["cancel subscription"]),
        (said[2], ["request refund"]),
        (said[3], ["speak to manager"]),
    ]


def test_example_phrases_find_what_the_name_alone_does_not(embedder: Embedder) -> None:
    said = ("Then please close my account.", "The weather is nice.")
    examples = {" Cancel Subscription": ["please close my account"]}
    assert found(embedder, INTENT, INTENTS, *said) == []
    assert found(embedder, INTENT, INTENTS, *said, examples=examples) == [(said[0], ["cancel subscription"])]
    assert found(embedder, INTENT, INTENTS[1:], *said, examples=examples) == []


@pytest.mark.parametrize(
    "text",
    [
        "I don't want to cancel my subscription.",
        "No, I do not need to speak to the manager.",
        "I'm not asking for a refund.",
    ],
)
def test_what_is_denied_is_no_intent(embedder: Embedder, text: str) -> None:
    assert found(embedder, INTENT, INTENTS, text) == []


def test_a_wish_with_a_negation_elsewhere_in_it_is_one(embedder: Embedder) -> None:
    text = "I don't want to argue, I want to cancel my subscription."
    assert found(embedder, INTENT, INTENTS, text) == [(text, ["cancel subscription"])]


def test_a_topic_is_found_where_it_is_spoken_of(embedder: Embedder) -> None:
    said = ("The parcel was shipped on Monday.", "There is a wrong charge on my bill.", "My name is Ann.")
    assert found(embedder, TOPIC, ("billing", "delivery"), *said) == [
        (said[0], ["delivery"]),
        (said[1], ["billing"]),
    ]


def test_without_a_label_nothing_is_found(embedder: Embedder) -> None:
    assert found(embedder, TOPIC, (), "The parcel was shipped on Monday.") == []
