"""Prints what was said by turns: when, by whom, in what mood, and what rules look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from daemon.cli.look import FOUND, QUIET, SENTIMENTS, print_wrapped, styled
from daemon.cli.output import GAP, score
from daemon.export.turns import Part, Turn
from daemon.logs import escaped
from daemon.text import joined_words, shorten, shown_clock

if TYPE_CHECKING:
    from rich.console import Console

LOOKED_AT = ">"
WIDEST_SPEAKER = 16


def print_turns(screen: Console, spoken: Sequence[Turn]) -> None:
    """Print a line for each passage of each turn; who speaks is named where that changes."""
    from rich.cells import cell_len, set_cell_size

    names = [shorten(escaped(turn.speaker or ""), WIDEST_SPEAKER) for turn in spoken]
    speakers = max(map(cell_len, names), default=0)
    times = max((len(_clock(part)) for turn in spoken for part in turn.parts), default=0)
    scores = 5 if any(part.score is not None for turn in spoken for part in turn.parts) else 0
    before = None
    for turn, name in zip(spoken, names, strict=True):
        for number, parts in enumerate(_by_passage(turn.parts)):
            shown = name if not number and turn.speaker != before else ""
            start = styled(
                *_cell(f"{_clock(parts[0]):>{times}}", QUIET),
                *_cell(set_cell_size(shown, speakers), "bold"),
                *_cell(f"{score(parts[0].score):>{scores}}", SENTIMENTS.get(parts[0].label or "", "")),
                f"{LOOKED_AT if any(part.rules for part in parts) else ' '} ",
            )
            said = styled(*_said(parts))
            print_wrapped(screen, said, indent=start.cell_len, first=start)
        before = turn.speaker


def rules_looked_at(spoken: Iterable[Turn]) -> list[str]:
    """Return the rules because of which something is marked, in order."""
    return list(dict.fromkeys(rule for turn in spoken for part in turn.parts for rule in part.rules))


def _by_passage(parts: Iterable[Part]) -> Iterator[list[Part]]:
    return (list(group) for _, group in groupby(parts, key=lambda part: part.passage))


def _said(parts: Sequence[Part]) -> Iterator[tuple[str, str]]:
    before = ""
    for part in parts:
        style = SENTIMENTS.get(part.label or "", "")
        text = " ".join(part.text.split())
        # A blank, unless the script has none.
        yield " " if before and " " in joined_words((before[-1], text[:1])) else "", ""
        before = text
        yield text, f"{style} {FOUND}".strip() if part.rules else style


def _cell(text: str, style: str) -> list[tuple[str, str]]:
    return [(text, style), (GAP, "")] if text else []


def _clock(part: Part) -> str:
    return "" if part.start is None else shown_clock(part.start)
