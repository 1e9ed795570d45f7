"""Progress bars on stderr, when that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

SHOWN_SECONDS = 0.1

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
def about_bar(text: str, about_seconds: float) -> Iterator[Callable[[], None]]:
    """Show how long it has taken of about how long, each time the function that is returned is called.

    Where stderr is no terminal, one line says so beforehand.
    """
    if not sys.stderr.isatty():
        click.echo(f"{text}: about {about_seconds:.0f} s", err=True)
        yield lambda: None
        return
    from rich.progress import BarColumn, TextColumn

    with progress_bar(
        TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[time]}")
    ) as bar:
        task = bar.add_task(text, total=about_seconds, time="")
        began = time.monotonic()

        def show() -> None:
            gone = time.monotonic() - began
            late = gone > about_seconds + 1
            shown = f"{gone:.0f} s, about {about_seconds:.0f} when nothing else runs"
            shown = shown if late else f"{gone:.0f} of about {about_seconds:.0f} s"
            bar.update(task, completed=min(gone, about_seconds), time=shown)

        yield show


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
