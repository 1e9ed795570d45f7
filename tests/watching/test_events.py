"""The adapter to the kernel's events: either hints come from it, or it says that they do not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from daemon.watching.events import Events, Hint, HintKind
from tests.servers import wait_until


def test_a_hint_that_fails_ends_nothing_and_is_made_up_for(tmp_path: Path) -> None:
    """An exception would end watchdog's thread while all of it still says that it is alive."""
    hints: list[Hint] = []

    def put(hint: Hint) -> None:
        if hint.path.endswith("first.wav"):
            raise RuntimeError("no room")
        hints.append(hint)

    with closing(Events(str(tmp_path), recursive=True, put=put)) as events:
        (tmp_path / "first.wav").write_bytes(b"x")
        wait_until(lambda: Hint(HintKind.LOST) in hints, what="the loss to be told")
        (tmp_path / "second.wav").write_bytes(b"x")
        wait_until(lambda: Hint(HintKind.CLOSED, str(tmp_path / "second.wav")) in hints, what="the next hint")
        assert events.is_alive
