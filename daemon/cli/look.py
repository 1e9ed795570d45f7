"""How things look on a terminal: colours that everybody can tell apart, wrapping at words, the pager.

Blue and orange differ for colour-blind people too, red and green do not. Nothing is said by colour alone.
There is none in a pipe, with NO_COLOR, and with TERM=dumb: rich sees to that.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from daemon.logs import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

BAD = "bold dark_orange"
GOOD = "dodger_blue1"
QUIET = "dim"
HEADING = "bold"
FOUND = "bold underline"
SENTIMENTS = {"negative": "dark_orange", "positive": GOOD}
STATES = {
    "waiting": GOOD,
    "analyzing": GOOD,
    "pending": GOOD,
    "failed": BAD,
    "duplicate": QUIET,
    "skipped": QUIET,
    "suppressed": QUIET,
}
"""Of recordings and alerts; the others need no colour."""
SEVERITIES = {"critical": BAD, "info": QUIET}
LEVELS = {"ok": GOOD, "warning": "dark_orange", "error": BAD}

NARROWEST = 40
_WORD_ENDS = " _-./"
WIDEST = 100


def console(*, width: int | None = None, stderr: bool = False) -> Console:
    """Return a console for texts from outside: nothing in them is markup."""
    from rich.console import Console

    return Console(width=width, stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def text_width() -> int:
    """Return the columns for running text: the terminal's, within 40 to 100; 80 when piped."""
    import shutil

    return max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST))


@contextmanager
def paged() -> Iterator[Console]:
    """Yield a console; what is printed to it is shown page by page if a terminal is too low for it."""
    import shutil

    from rich.console import Console

    screen = console(width=text_width())
    if not sys.stdout.isatty():
        yield screen
        return
    pages = io.StringIO()
    yield Console(
        file=pages,
        force_terminal=not screen.is_dumb_terminal,
        color_system="auto" if screen.color_system else None,
        no_color=screen.no_color,
        width=screen.width,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )
    text = pages.getvalue()
    if text.count("\n") < shutil.get_terminal_size().lines:
        click.echo(text, nl=False)
    else:
        click.echo_via_pager(text)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Return text for a console, escaped; a part may be a pair with its style."""
    from rich.text import Text

    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((escaped(text), style) for text, style in pairs))


def heading(screen: Console, text: str) -> None:
    """Print the title of a section, after an empty line."""
    screen.print()
    screen.print(styled((text, HEADING)))


def wrapped(text: Text, width: int, *, indent: int = 0, first: Text | None = None) -> list[Text]:
    """Return the lines of a text of at most `width` columns, wrapped between words.

    `first` begins the first line; the others are indented by `indent`. A word that is longer, such as a path,
    stays whole on a line of its own, unless it is in a script without blanks.
    """
    from rich.text import Text

    start = first if first is not None else Text(" " * indent)
    lines, line, is_empty = [], start, True
    for word in _words(text, max(width - indent, 1)):
        gap = 0 if is_empty else 1
        if not is_empty and line.cell_len + gap + word.cell_len > width:
            lines.append(line)
            line, is_empty, gap = Text(" " * indent), True, 0
        line = line + Text(" " * gap) + word
        is_empty = False
    return [*lines, line]


def _words(text: Text, room: int) -> Iterator[Text]:
    for word in text.split(" "):
        if word.cell_len <= room or word.cell_len == len(word):
            yield word
            continue
        piece = 0
        while piece < len(word):
            end, columns = piece, 0
            while end < len(word) and columns + word[end].cell_len <= room:
                columns += word[end].cell_len
                end += 1
            end = max(end, piece + 1)
            yield word[piece:end]
            piece = end


def cut(text: Text, width: int, *, keeps_end: bool = False) -> Text:
    """Return a text on `width` columns, cut after a word or a part of a name that ends in the second half.

    `keeps_end`: what is cut off is its beginning.
    """
    if text.cell_len <= width:
        return text
    if keeps_end:
        return _without_beginning(text, width)
    kept = text.copy()
    kept.truncate(width - 1)
    plain = kept.plain
    end = len(plain) if text.plain[len(plain)] == " " else max(plain.rfind(each) for each in _WORD_ENDS) + 1
    if end > len(plain) // 2:
        kept = kept[:end]
    kept.rstrip()
    return kept.append("…")


def _without_beginning(text: Text, width: int) -> Text:
    from rich.text import Text

    first = next(first for first in range(len(text)) if text[first:].cell_len < width)
    begins = [found for end in _WORD_ENDS if (found := text.plain.find(end, first)) >= 0]
    if begins and (near := min(begins)) - first < (len(text) - first) // 2:
        first = near
    return Text("…") + text[first:]


def print_wrapped(screen: Console, text: Text, *, indent: int = 0, first: Text | None = None) -> None:
    """Print a text wrapped to the console."""
    for line in wrapped(text, screen.width, indent=indent, first=first):
        line.rstrip()
        screen.print(line)
