"""Where sentences begin and end, and which words they count."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.engine.sentences import build_sentences, joined, read_sentences, utterances
from tests.engine.spoken import conversation, spoken


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("I saw Dr. Smith and Mr. Jones.", ["I saw Dr. Smith and Mr. Jones."]),
        ("It costs 3.50 per unit, e.g. here.", ["It costs 3.50 per unit, e.g. here."]),
        ("Come at 9 a.m. on Monday.", ["Come at 9 a.m. on Monday."]),
        ("Come at 9 a.m. We open then.", ["Come at 9 a.m.", "We open then."]),
        ("That was J. Miller. Not I. Sorry.", ["That was J. Miller.", "Not I.", "Sorry."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("no punctuation at all", ["no punctuation at all"]),
        ("你好。 再见。", ["你好。", "再见。"]),
    ],
)
def test_a_sentence_ends_at_its_punctuation_and_not_at_an_abbreviation(
    text: str, expected: list[str]
) -> None:
    assert [sentence.text for sentence in build_sentences(spoken(text))] == expected


def test_another_speaker_and_a_long_silence_begin_a_sentence() -> None:
    words = conversation("so I thought", "yes but").words
    assert [(s.text, s.speaker) for s in build_sentences(words)] == [("so I thought", 0), ("yes but", 1)]
    later = [*spoken("so I thought"), *spoken("and then", start=10.0)]
    assert [s.text for s in build_sentences(later)] == ["so I thought", "and then"]


def test_a_run_without_an_end_is_cut_at_its_longest_pause_and_no_word_is_lost() -> None:
    words = spoken("so " * 100)
    words = words[:37] + [replace(w, start=w.start + 0.4, end=w.end + 0.4) for w in words[37:]]
    found = build_sentences(words)
    assert len(found[0].words) == 37
    assert all(len(sentence.words) <= 40 for sentence in found)
    assert [word for sentence in found for word in sentence.words] == words
    assert [s.first for s in found[1:]] == [s.last + 1 for s in found[:-1]]


def test_without_a_pause_it_is_cut_at_a_comma() -> None:
    found = read_sentences("so " * 15 + "well, " + "and " * 30)
    assert [len(sentence.words) for sentence in found] == [16, 30]


@given(st.text(st.sampled_from("aB1.?!,;:\"' \n\r\t\u2026\u2028"), max_size=400))
def test_no_word_of_a_text_is_lost_whatever_it_is(text: str) -> None:
    found = read_sentences(text)
    assert [word.punctuated for sentence in found for word in sentence.words] == text.split()
    assert [sentence.first for sentence in found] == list(accumulate([0, *(len(s.words) for s in found)]))[
        :-1
    ]


def test_channels_are_joined_in_order_of_time_with_one_count_of_words() -> None:
    left = build_sentences(spoken("Hello there. Good, and you?"), 0)
    right = build_sentences(spoken("How are you?", start=0.6), 1)
    whole = joined([left, right])
    assert [(s.text, s.channel, s.first) for s in whole] == [
        ("Hello there.", 0, 0),
        ("Good, and you?", 0, 2),
        ("How are you?", 1, 5),
    ]


def test_an_utterance_ends_with_a_pause_or_with_its_speaker() -> None:
    words = [*spoken("Hello. It is me."), *spoken("Are you there?", start=5.0)]
    words += spoken("Yes.", start=words[-1].end, speaker=1)
    runs = utterances(build_sentences(words), 0.8)
    assert [" ".join(s.text for s in run) for run in runs] == ["Hello. It is me.", "Are you there?", "Yes."]


def test_a_written_text_is_cut_at_sentences_and_lines_and_counts_its_words_by_blanks() -> None:
    text = "Speaker 0: Hello there.\n\n  How are you? Fine\nBye."
    found = read_sentences(text)
    assert [(s.text, s.first, s.last) for s in found] == [
        ("Speaker 0: Hello there.", 0, 3),
        ("How are you?", 4, 6),
        ("Fine", 7, 7),
        ("Bye.", 8, 8),
    ]
    assert read_sentences(" \n\t") == []
