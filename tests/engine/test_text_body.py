"""What may stand in the body of `/v1/read`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.engine.text_body import BadBody, TextBody, read_body


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"text": "Hello."}', "application/json", TextBody(text="Hello.")),
        (b'{"text": "Hello.", "url": null}', "", TextBody(text="Hello.")),
        (
            b'{"url": "https://example.com/a.txt"}',
            "application/json",
            TextBody(url="https://example.com/a.txt"),
        ),
        ("Grüß dich.".encode(), "text/plain; charset=utf-8", TextBody(text="Grüß dich.")),
        (b"caf\xe9", "Text/Plain", TextBody(text="caf\ufffd")),
        (b'{"text": "half \\ud83d a pair"}', "application/json", TextBody(text="half \ufffd a pair")),
        (b'{"text": "\\ud83d\\ude00"}', "application/json", TextBody(text="\U0001f600")),
        (b'{"text": ""}', "application/json", TextBody(text="")),
    ],
)
def test_a_text_or_an_address_is_taken(body: bytes, content_type: str, expected: TextBody) -> None:
    assert read_body(body, content_type) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'"text"',
        b'{"text": 1}',
        b'{"text": "a", "url": "b"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_anything_else_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(BadBody, match="Invalid JSON submitted"):
        read_body(body, "application/json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "url", "a"]), inner),
    max_leaves=4,
)


@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_gives_a_text_that_can_be_written_or_a_refusal(body: bytes) -> None:
    try:
        given_body = read_body(body, "application/json")
    except BadBody:
        return
    [value] = [each for each in (given_body.text, given_body.url) if each is not None]
    value.encode()
