"""What a person who waits is shown."""

from __future__ import annotations

import pytest

from daemon.cli.progress import waited


@pytest.mark.parametrize(
    ("gone", "about", "filled", "shown"),
    [
        (3.4, None, None, "3 s"),
        (10.0, 40.0, 0.25, "10 of about 40 s"),
        (40.5, 40.0, 1.0, "40 of about 40 s"),
        (60.0, 40.0, None, "60 s, more than expected"),
    ],
)
def test_the_time_gone_is_shown_of_about_how_much(
    gone: float, about: float | None, filled: float | None, shown: str
) -> None:
    assert waited(gone, about) == (filled, shown)
