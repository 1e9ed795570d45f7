"""Who may use the engine."""

from __future__ import annotations

import pytest

from daemon.engine.access import BAD_HOST, BAD_KEY, BAD_ORIGIN, Access, Denial, denial

OPEN = Access(checks_host=True)
KEYED = Access(key="s3cret")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.8.9.1"])
def test_without_a_key_this_host_may_be_asked_by_its_names(host: str) -> None:
    assert denial(OPEN, {"host": host}) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "", "["]
)
def test_a_name_that_somebody_pointed_to_this_host_is_refused(host: str) -> None:
    assert denial(OPEN, {"host": host}) is BAD_HOST


@pytest.mark.parametrize("access", [OPEN, KEYED])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:8080"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_in_browsers_are_refused(access: Access, headers: dict[str, str]) -> None:
    asked = {"host": "localhost", "authorization": "Token s3cret"} | headers
    assert denial(access, asked) is BAD_ORIGIN


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Token s3cret", None),
        ("token s3cret", None),
        ("Bearer s3cret", None),
        ("bearer  s3cret ", None),
        ("Basic s3cret", BAD_KEY),
        ("s3cret", BAD_KEY),
        ("Token s3crets", BAD_KEY),
        ("Token s3cre\u0301t", BAD_KEY),
        ("Token", BAD_KEY),
        ("", BAD_KEY),
    ],
)
def test_a_key_is_asked_for_as_deepgram_does(header: str, expected: Denial | None) -> None:
    assert denial(KEYED, {"host": "engine.example.com", "authorization": header}) is expected
