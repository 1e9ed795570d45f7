"""How texts are laid out on a terminal: within its width, between words, whatever the script."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from daemon.cli.look import cut, styled, wrapped


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("one two three", 9, ["one two", "  three"]),
        ("", 9, [""]),
        ("a  b", 9, ["a  b"]),
        # A path is copied from the screen: it stays whole.
        ("see /srv/recordings/call.wav now", 12, ["see", "  /srv/recordings/call.wav", "  now"]),
        # There are no blanks in Japanese; each character takes two columns.
        ("返金を求めています", 9, ["返金を", "  求めて", "  います"]),
        ("ab 返金を求め", 8, ["ab", "  返金を", "  求め"]),
    ],
)
def test_lines_break_between_words(text: str, width: int, expected: list[str]) -> None:
    lines = [line.plain for line in wrapped(styled(text), width, indent=2, first=styled())]
    assert [line.rstrip() for line in lines] == expected
    assert all(cell_len(line) <= width or "/" in line for line in lines)


def test_what_comes_from_outside_is_escaped_and_no_markup() -> None:
    assert styled(("[red]\x1b[2J\u202eevil", "bold")).plain == "[red]\\x1b[2J\\u202eevil"


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("wants to cancel", 15, "wants to cancel"),
        ("wants to cancel", 14, "wants to…"),
        ("wants to cancel", 9, "wants to…"),
        ("20261127-010923_tomasz.wav", 19, "20261127-010923_…"),
        # There is no better place in a word without an end.
        ("incomprehensibilities", 9, "incompre…"),
        ("a incomprehensibilities", 9, "a incomp…"),
        ("返金を求めています", 9, "返金を求…"),
    ],
)
def test_cells_are_cut_between_words(text: str, width: int, expected: str) -> None:
    found = cut(styled(text), width)
    assert found.plain == expected
    assert found.cell_len <= width


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("20261127-010923_tomasz_15193381.wav", 19, "…_15193381.wav"),
        ("20261127-010923_tomasz_15193381.wav", 22, "…_tomasz_15193381.wav"),
        ("short.wav", 9, "short.wav"),
        ("incomprehensibilities", 9, "…bilities"),
        ("返金を求めています", 9, "…ています"),
    ],
)
def test_names_are_cut_at_their_beginning(text: str, width: int, expected: str) -> None:
    found = cut(styled(text), width, keeps_end=True)
    assert found.plain == expected
    assert found.cell_len <= width
