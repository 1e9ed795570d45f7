"""Progress bars on stderr, when that is a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

SHOWN_SECONDS = 0.1
LOOK_SECONDS = 0.5
LEAST_SHARE = 0.02
"""Less than this says nothing about what is left."""

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


def progress_bar(*columns: ProgressColumn) -> Progress:
    """Return a bar of these columns, to be used as a context manager."""
    from rich.console import Console
    from rich.progress import Progress

    class VisibleCursor(Console):
        """Keeps the cursor: a second Ctrl-C ends the process and would leave it hidden."""

        def show_cursor(self, show: bool = True) -> bool:
            return False

    return Progress(*columns, console=VisibleCursor(stderr=True), transient=True)


@contextmanager
def bytes_bar(text: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how many bytes are done of about how many, as the function that is returned is told."""
    if quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with progress_bar(*columns) as bar:
        task = bar.add_task(text, total=None)
        shown_at = 0.0

        def show(done: int, total: int) -> None:
            nonlocal shown_at
            # Called far more often than anybody can see.
            if time.monotonic() - shown_at > SHOWN_SECONDS:
                shown_at = time.monotonic()
                bar.update(task, completed=min(done, total), total=total)

        yield show


@contextmanager
def busy_bar(text: str, *, quiet: bool) -> Iterator[None]:
    """Show that something goes on, and for how long, where nobody knows how much is left."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    with progress_bar(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()) as bar:
        bar.add_task(text, total=None)
        yield


@contextmanager
def waiting_bar(
    text: str, *, share: Callable[[], float | None] = lambda: None, about_seconds: float | None = None
) -> Iterator[None]:
    """Show how long it has taken and about how long it still takes; nothing where stderr is no terminal.

    `share` is asked how much of it is done, 0 to 1; where that is not known (None), the estimate is what
    `about_seconds` leaves, if that is known.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.progress import BarColumn, TextColumn

    text_column = TextColumn("{task.description}", markup=False)
    with progress_bar(text_column, BarColumn(20), TextColumn("{task.fields[time]}")) as bar:
        task, over = bar.add_task(text, total=None, time=""), threading.Event()
        follow = partial(_follow, partial(bar.update, task), over, share, about_seconds)
        follower = threading.Thread(target=follow, name="progress", daemon=True)
        follower.start()
        try:
            yield
        finally:
            over.set()
            follower.join()


def _follow(
    show: Callable[..., None],
    over: threading.Event,
    share: Callable[[], float | None],
    about_seconds: float | None,
) -> None:
    began, before = time.monotonic(), None
    while not over.wait(LOOK_SECONDS):
        done, gone = share(), time.monotonic() - began
        if done is not None and done >= LEAST_SHARE and done != before:
            before, about_seconds = done, gone / done
        filled, shown = waited(gone, about_seconds)
        show(completed=filled or 0, total=None if filled is None else 1, time=shown)


def waited(gone: float, about: float | None) -> tuple[float | None, str]:
    """Return how much of a bar is full after `gone` of about so many seconds, and what to show beside it.

    None: nobody knows, or it is overdue.
    """
    if about is None:
        return None, f"{gone:.0f} s"
    if gone > about + 1:
        return None, f"{gone:.0f} s, more than expected"
    return min(gone / about, 1.0), f"{gone:.0f} of about {about:.0f} s"


Advance = Callable[[str, int, int | None], None]
"""Shows a text, how much is done, and of how much (None: not known yet)."""


@contextmanager
def count_bar(*, quiet: bool) -> Iterator[Advance]:
    """Show how many are done of how many, as the function that is returned is told."""
    if quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with progress_bar(*columns) as bar:
        task = bar.add_task("looking", total=None)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)
