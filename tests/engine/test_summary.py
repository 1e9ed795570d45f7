"""Summaries out of what was said."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxruntime")

from daemon.engine.embed import Embedder
from daemon.engine.summary import summarize
from tests.engine.spoken import sentences

CALL = (
    "Parker Scarves, how may I help you today?",
    "I bought a scarf online for my wife, and it turns out they shipped the wrong color.",
    "Oh, I am so sorry, sir.",
    "I got it for her birthday, which is tonight, and now I'm not sure what I need to do.",
    "Okay.",
    "Let me see if I can help.",
    "Do you have the item number of the scarf?",
    "Let me see.",
    "Yes, I do, it is one two three four five six.",
    "We have a store in your town, and they can have the right color there for you in an hour.",
    "Excellent.",
    "Thank you very much, have a nice day.",
)


def test_a_summary_is_the_key_sentences_in_the_order_in_which_they_were_said(embedder: Embedder) -> None:
    said = sentences(*CALL)
    summary = summarize(said, embedder.embed([sentence.text for sentence in said]), embedder)
    quoted = [text for text in CALL if text in summary]
    assert " ".join(quoted) == summary
    assert CALL[1] in quoted
    assert 1 < len(quoted) < 5


def test_a_summary_says_what_is_wrong_what_is_wanted_and_what_was_agreed(embedder: Embedder) -> None:
    said = sentences(
        "Good morning, this is customer support, how can I help you?",
        "Hello, I ordered a printer three weeks ago, and it still has not arrived.",
        "One moment please, I will look at your order.",
        "Can you tell me the number of your order, please?",
        "Yes, I can see it here, your printer has not left us yet.",
        "I want to cancel my subscription today, and I want a refund.",
        "Of course, I have done that for you, and the money will be on your card on Monday.",
        "All right, thank you very much for your patience, and goodbye.",
    )
    summary = summarize(said, embedder.embed([sentence.text for sentence in said]), embedder)
    assert all(said[at].text in summary for at in (1, 5, 6))
    assert not any(said[at].text in summary for at in (0, 2, 3, 7))


def test_what_is_short_is_its_own_summary(embedder: Embedder) -> None:
    said = sentences("Call me back.", "Bye.")
    assert summarize(said, embedder.embed([s.text for s in said]), embedder) == "Call me back. Bye."


def test_a_recording_of_short_words_only_has_a_summary_all_the_same(embedder: Embedder) -> None:
    said = sentences(*["Yes, I do."] * 30, "No.")
    assert summarize(said, embedder.embed([s.text for s in said]), embedder) == "Yes, I do. No."
