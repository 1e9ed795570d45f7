"""Text from outside in messages: no service finds a mention, markup or a link in it, decoded or not."""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5

from hypothesis import example, given
from hypothesis import strategies as st

from daemon.text import BREAK, NAME_LENGTH, harmless, harmless_name, shorten

MARKUP = """
    @ < > & ` * _ ~ | [ ] ( ) ! # : ; / \\ ' " - = . &# &#x &#64; &#x40 &commat &amp; &lt &AMP :// ]( || __
    everyone here channel U123 a commat lt gt 64 x40 lbrack www. evil.example
"""
BLANKS = " \n\r\t\x00\u202e\u2066\u200b\u00ad\ud800\u2028\x85"
REFERENCES = ["&" + name for name in list(html5)[::40]]
PIECES = st.sampled_from([*MARKUP.split(), *BLANKS, "\x1b[31m", *REFERENCES])
TEXTS = st.lists(PIECES | st.integers(0, 0x10FFFF).map(chr), max_size=14).map("".join)
# A mention goes on after its sign: one that was cut off behind it reaches nobody.
ACTIVE = re.compile(r"@(?![\u200b…])|[<>`*~]|\]\(|\]\[|://|\|\||__|www\.(?=\w)", re.IGNORECASE)


def assert_harmless(text: str) -> None:
    assert text == " ".join(text.split())
    kinds = {unicodedata.category(character) for character in text.replace(BREAK, "")}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    text.encode("utf-8")
    # What a service decodes before it looks for mentions, and the program that shows it, once more.
    for seen in (text, html.unescape(text), html.unescape(html.unescape(text))):
        assert not ACTIVE.search(seen), (ACTIVE.search(seen), seen)


@given(TEXTS)
@example("&commat;channel &#64;everyone <!here>")
def test_nothing_in_a_text_acts_on_anybody(text: str) -> None:
    made = harmless(text)
    assert_harmless(made)
    assert html.unescape(made) == made
    assert_harmless(harmless_name(text))


@given(TEXTS, TEXTS)
def test_nothing_acts_on_anybody_where_two_texts_meet(first: str, second: str) -> None:
    made = harmless(first), harmless(second)
    for between in (" ", ": ", '": "', "; ", " · "):
        assert_harmless(between.join(made).strip())


@given(TEXTS, st.integers(0, 80))
def test_a_text_that_is_cut_is_as_harmless_and_as_short_as_said(text: str, limit: int) -> None:
    made = shorten(harmless(text), limit)
    assert len(made) <= limit
    assert_harmless(made.strip())
    assert len(harmless_name(text)) <= NAME_LENGTH


@given(TEXTS)
def test_a_text_that_is_made_harmless_twice_stays_so(text: str) -> None:
    assert_harmless(harmless(harmless(text)))
