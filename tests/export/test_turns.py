"""The turns of a conversation: who, when, what, in what mood, and what rules look at."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.export.document import Document
from daemon.export.turns import turns
from daemon.models import Match, Segment
from tests.export.documents import document, passage, words


def test_turns_follow_the_speakers() -> None:
    said = [*words("how are you", speaker="agent"), *words("fine", start=3, speaker="caller")]
    assert [(turn.speaker, turn.start, turn.text) for turn in turns(document(*said))] == [
        ("agent", 0.0, "how are you"),
        ("caller", 3.0, "fine"),
    ]


def test_two_who_speak_at_once_are_not_cut_into_words() -> None:
    said = [
        *words("one two three", speaker="agent", channel=0),
        *words("four five", start=0.7, speaker="caller", channel=1),
        *words("six", start=6.0, speaker="agent", channel=0),
    ]
    assert [turn.text for turn in turns(document(*said))] == ["one two three", "four five", "six"]


def test_without_words_the_passages_are_the_conversation_and_else_the_transcript() -> None:
    passages = [passage("one", 0.0, 1.0, speaker="a"), passage("two", 1.0, 2.0, speaker="a")]
    assert [turn.text for turn in turns(document(sentiments=passages))] == ["one two"]
    assert [turn.text for turn in turns(document(transcript="a: one\nb: two"))] == ["a: one", "b: two"]


def scored(text: str, position: int, score: float, first: int | None = None, **more: Any) -> dict[str, Any]:
    last = None if first is None else first + len(text.split()) - 1
    return passage(text, position=position, start_word=first, end_word=last, sentiment_score=score, **more)


def looked_at(text: str, kind: str, first: int | None = None, position: int = 0) -> Match:
    last = None if first is None else first + len(text.split()) - 1
    segment = Segment(position, text, first, last, None, None, None, "label", 0.5, kind)
    return Match("churn", "warning", (), ("why",), (segment,))


def parts(found: Document) -> list[tuple[str, float | None, tuple[str, ...]]]:
    return [(part.text, part.score, part.rules) for turn in turns(found) for part in turn.parts]


def test_a_turn_is_cut_where_another_passage_or_what_a_rule_looks_at_begins() -> None:
    said = words("Hello. I am angry. I want to cancel. Bye.")
    rows = [scored("Hello. I am angry.", 0, -0.5, 0), scored("I want to cancel. Bye.", 1, 0.1, 4)]
    found = Document(
        document(sentiments=rows).recording, tuple(said), (looked_at("to cancel.", "intent", 6),)
    )
    assert parts(found) == [
        ("Hello. I am angry.", -0.5, ()),
        ("I want", 0.1, ()),
        ("to cancel.", 0.1, ("churn",)),
        ("Bye.", 0.1, ()),
    ]
    (turn,) = turns(found)
    assert (turn.text, turn.parts[1].start, turn.parts[1].end) == (" ".join(w.text for w in said), 4.0, 5.5)


def test_passages_of_several_channels_are_found_by_what_is_said_in_them() -> None:
    said = [
        *words("Yes. I am angry.", speaker="caller", channel=0),
        *words("I see. Yes.", start=5.0, speaker="agent", channel=1),
    ]
    # The API counts the words of one channel, and does not say which one.
    rows = [scored("I am angry.", 0, -0.8, 0), scored("I see. Yes.", 1, 0.4, 0)]
    assert parts(document(*said, sentiments=rows)) == [
        ("Yes.", None, ()),
        ("I am angry.", -0.8, ()),
        ("I see. Yes.", 0.4, ()),
    ]


@pytest.mark.parametrize(
    ("said", "text", "expected"),
    [
        ("one two one two", "one two", ["one two", "one two"]),  # as counted, not the first one
        ("\u8fd4\u91d1 \u3092 \u304a", "\u8fd4\u91d1\u3092", ["\u8fd4\u91d1\u3092", "\u304a"]),
        ("one two three", "gone", ["one two three"]),  # its text was not kept
    ],
)
def test_a_passage_is_found_by_its_words(said: str, text: str, expected: list[str]) -> None:
    first = 2 if expected[0] == expected[-1] and len(expected) > 1 else None
    found = document(*words(said), sentiments=[scored(text, 0, -0.8, first)])
    assert [part.text for turn in turns(found) for part in turn.parts] == expected
    scores = [part.score for turn in turns(found) for part in turn.parts]
    assert scores == ([None, -0.8] if first else [-0.8, None] if len(expected) > 1 else [None])


def test_without_words_the_passages_are_marked() -> None:
    rows = [scored("I want to cancel.", 0, -0.5, 0), scored("Fine.", 1, 0.5, 4)]
    for match in (looked_at("to cancel", "phrase"), looked_at("x", "sentiment"), looked_at("x", "topic", 3)):
        found = Document(document(sentiments=rows).recording, (), (match,))
        assert parts(found) == [("I want to cancel.", -0.5, ("churn",)), ("Fine.", 0.5, ())]
