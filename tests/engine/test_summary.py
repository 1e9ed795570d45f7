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


def test_what_is_short_is_its_own_summary(embedder: Embedder) -> None:
    said = sentences("Call me back.", "Bye.")
    assert summarize(said, embedder.embed([s.text for s in said]), embedder) == "Call me back. Bye."


def test_a_recording_of_short_words_only_has_a_summary_all_the_same(embedder: Embedder) -> None:
    said = sentences(*["Yes, I do."] * 30, "No.")
    assert summarize(said, embedder.embed([s.text for s in said]), embedder) == "Yes, I do. No."
