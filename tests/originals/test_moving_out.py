"""Originals that are moved out of a watched folder do not hold up what the kernel says of new files."""

from __future__ import annotations

import os
import time
from pathlib import Path

from daemon.files import directory_below, open_in
from daemon.originals.move import put_in_place
from daemon.watching.events import Events, HintKind, Hints
from tests.servers import wait_until

LATE_SECONDS = 0.35
"""A rename out of the folder would hold back everything for half a second."""


def test_a_new_file_is_noticed_at_once_while_another_is_moved_out(tmp_path: Path) -> None:
    watched, target = tmp_path / "calls", tmp_path / "done"
    watched.mkdir()
    target.mkdir()
    for number in range(5):
        (watched / f"{number}.wav").write_bytes(b"x")
    hints = Hints()
    events = Events(str(watched), recursive=True, put=hints.put)
    waits = []
    source, into = (directory_below(str(each), str(each)) for each in (watched, target))
    try:
        for number in range(5):
            path = watched / f"{number}.wav"
            descriptor = open_in(source, path.name)
            put_in_place(descriptor, into, path.name, str(number))
            os.unlink(path.name, dir_fd=source)
            os.close(descriptor)
            new = watched / f"new-{number}.wav"
            started = time.monotonic()
            new.write_bytes(b"y")
            wait_until(
                lambda new=new: any(  # type: ignore[misc]
                    hint.kind == HintKind.CLOSED and hint.path == str(new) for hint in hints.drain()
                ),
                what="the new file to be noticed",
            )
            waits.append(time.monotonic() - started)
    finally:
        events.close()
        os.close(source)
        os.close(into)
    assert min(waits) < LATE_SECONDS, waits
