"""Where the marks of a recording's drawing stand."""

from __future__ import annotations

from markupsafe import Markup

from daemon.web.timeline import COLUMNS, drawing_of
from daemon.web.transcript import Say, Talk


def test_hours_are_drawn_by_what_can_be_told_apart_and_nothing_bad_is_lost() -> None:
    scores = [-0.9 if number == 777 else 0.01 for number in range(5_000)]
    says = [
        Say(number * 2.0, number * 2.0 + 1.9, "a", Markup("x"), "x", score)
        for number, score in enumerate(scores)
    ]
    drawing = drawing_of(Talk((("a", tuple(says)),), ("a",)), 10_000.0)
    assert drawing is not None
    assert (drawing.passages, len(drawing.bars), drawing.negative) == (5_000, COLUMNS, 1)
    assert [bar.say.start for bar in drawing.bars if bar.kind == "n"] == [1_554.0]
