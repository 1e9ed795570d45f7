"""Phrases in what was said: whole words in order, however they were written down."""

from __future__ import annotations

import time

import pytest

from daemon.rules.phrases import has_phrase, hits


@pytest.mark.parametrize(
    ("phrase", "text", "said"),
    [
        ("credit card", "My Credit  CARD was charged.", True),
        ("credit card", "my credit\n\tcard", True),
        ("credit card", "my credit\u00a0card", True),
        ("credit card", "credit, card", True),
        ("credit card", "credit-card", True),
        ("credit-card", "credit card", True),
        ("credit card", "They gave me credit. Card fees too.", False),
        ("gave me credit. Card", "They gave me credit. Card fees too.", True),
        ("credit card", "credit cards", False),
        ("credit card", "accredit card", False),
        ("card", "discard", False),
        ("card", "(card)", True),
        ("card", "", False),
        ("I can", "I can't help you", False),
        ("I can't", "I can\u2019t help you", True),
        ("can\u2019t", "I CAN'T", True),
        ("can\u00b4t", "I can\u02bct", True),
        ("t help", "I can't help you", False),
        ("lawyer", "my lawyer's office", True),
        ('"so called" help', "your \u201cso called\u201d help", True),
        ("no thank you", "No, thank you!", True),
        ("thank you!", "thank you", True),
        ("3.5 percent", "about 3.5 percent", True),
        ("3.5 percent", "about 315 percent", False),
        ("C++", "we use C++ here", True),
        ("C++", "we use C here", False),
        ("a.*b", "a and b", False),
        ("a.*b", "say a.*b now", True),
        ("(a|b)", "only b", False),
        ("[abc]", "a", False),
        ("stra\u00dfe", "STRASSE", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("...", "...", False),
        # As in the other conditions, * stands for any letters: those of one word.
        ("refund*", "I want two Refunds.", True),
        ("refund*", "a refund", True),
        ("*fund", "a refund", True),
        ("*fund", "refunds", False),
        ("cancel* my contract", "I am cancelling my contract", True),
        ("cancel * contract", "I cancel this contract", True),
        ("cancel * contract", "I cancel this old contract", False),
        ("cancel*", "to can. Cellular", False),
        ("f***", "a f*** word", True),
        ("f***", "a fine word", False),
        ("\u89e3*", "\u5951\u7d04\u3092\u89e3\u7d04", True),
        # Without blanks between words there are no edges to go by.
        ("\u89e3\u7d04", "\u5951\u7d04\u3092\u89e3\u7d04\u3057\u305f\u3044\u3067\u3059", True),
        ("\u89e3\u7d04\u3002", "\u3092\u89e3\u7d04\u3057\u305f\u3044", True),
        ("\u9000\u6b3e", "\u6211\u8981\u6c42\u9000\u94b1", False),
        ("VIP\u9867\u5ba2", "xVIP\u9867\u5ba2\u3067\u3059", False),
        # Some services put blanks there, others none.
        ("取消", "我 想 取 消 订 单", True),
        ("取 消", "我想取消订单", True),
        ("取消", "他来取。消息很好", False),
        ("ยกเลิก", "ฉันต้องการยกเลิกบริการ", True),
        ("ยกเลก", "ยกเลิก", False),
        # Vowel signs belong to the words that they are in.
        ("कर", "यह करें", False),
        ("करें", "यह करें।", True),
        # Not every period ends a sentence.
        ("dr miller", "I saw Dr. Miller today.", True),
        ("dr. miller", "I saw Dr Miller today.", True),
        ("j miller", "It was J. Miller.", True),
        ("p.m. tomorrow", "At 5 p.m. tomorrow.", True),
        ("herr dr schulz", "Guten Tag, Herr Dr. Schulz.", True),
        ("said no card", "I said no. Card fees too.", False),
        ("cafe", "the café", False),
        ("schon", "das ist schön", False),
    ],
)
def test_a_phrase_is_whole_words_in_order(phrase: str, text: str, said: bool) -> None:
    assert has_phrase(phrase, text) is said
    assert bool(list(hits(phrase, text))) is said


@pytest.mark.parametrize(
    ("phrase", "text"),
    [("cafe", "the café"), ("CAFÉ", "the cafe\u0301"), ("Résiliér", "resilier"), ("が", "か\u3099")],
)
def test_accents_do_not_count_where_the_rule_says_so(phrase: str, text: str) -> None:
    assert has_phrase(phrase, text, fold_accents=True)


def test_without_accents_the_marks_of_other_scripts_still_count() -> None:
    assert not has_phrase("か", "が", fold_accents=True)
    assert not has_phrase("ยกเลก", "ยกเลิก", fold_accents=True)


def test_each_place_is_found_with_the_words_around_it() -> None:
    text = " ".join(["one", *["x"] * 20, '"Two', 'three",', *["y"] * 20, "two-three"])
    first, second = hits("two three", text)
    assert first.word == 21
    assert first.snippet == " ".join([*["x"] * 12, '"Two', 'three",', *["y"] * 12])
    assert second.word == 43


def test_around_a_phrase_in_a_text_without_blanks_is_no_more_than_a_line() -> None:
    (hit,) = hits("\u89e3\u7d04", "\u3042" * 5000 + "\u89e3\u7d04" + "\u3044" * 5000)
    assert hit.snippet == "\u3042" * 60 + "\u89e3\u7d04" + "\u3044" * 60


@pytest.mark.timeout(20)
@pytest.mark.parametrize("phrase", ["*a*a*b", "a*a*a*b", "* * * b"])
def test_a_word_without_an_end_takes_no_time_out_of_proportion(phrase: str) -> None:
    assert not has_phrase(phrase, "a" * 300_000 + " b")


def test_a_phrase_takes_no_time_in_a_long_transcript() -> None:
    text = "very, " * 200_000 + "end"
    started = time.process_time()
    assert not has_phrase("very very very very sure", text)
    assert time.process_time() - started < 20, (
        "in proportion it is a second; tried at each place it is minutes"
    )
