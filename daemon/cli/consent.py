"""Ask a person before something is paid for or changed for many recordings, and show what it will cost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from daemon.cli.options import say_error
from daemon.cli.output import plural, print_line
from daemon.errors import EXIT_FAILED
from daemon.logs import escaped
from daemon.text import shown_usd

if TYPE_CHECKING:
    from daemon.costs.estimate import Estimate, Range


def ask(question: str, *, yes: bool, what: str = "sent") -> None:
    """Return once a person agrees; without a yes, end the command: nothing is `what` then.

    With `yes` nobody is asked. Without that and without a terminal there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        say_error(f"nothing is {what} without your word: --yes, or an answer on a terminal")
        click.get_current_context().exit(EXIT_FAILED)
    if not _is_agreed(question):
        print_line(f"nothing was {what}", err=True)
        click.get_current_context().exit(EXIT_FAILED)


def _is_agreed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort as abort:
        # click raises Abort both for Ctrl-C, an interrupt, and for Ctrl-D, which means no.
        if not isinstance(abort.__context__, EOFError):
            raise
        print_line(err=True)
        return False


def say_limits(reasons: Sequence[str]) -> None:
    """Say which limits hold what was just put into the queue."""
    for reason in reasons:
        print_line(f"they wait for now: {escaped(reason)}")


def shown_estimate(total: Estimate) -> str:
    """Return `about 3.0 hours for about 0.80 USD`, and what that is made from."""
    cost = f"for about {_range(total.usd, shown_usd)} USD" if total.usd else "at a price that is not known"
    notes = ["estimated from the files' headers and the price list"]
    if total.guessed:
        notes.append(f"{plural(total.guessed, 'length')} guessed from the size")
    if total.unknown:
        notes.append(f"of {plural(total.unknown, 'hosted recording')} the length is not known")
    return f"about {_length(total.hours)} {cost} ({'; '.join(notes)})"


def _length(hours: Range) -> str:
    if hours.most < 1:
        return f"{_range(hours, lambda value: f'{60 * value:.1f}')} minutes"
    return f"{_range(hours, '{:.1f}'.format)} hours"


def _range(value: Range, shown: Callable[[float], str]) -> str:
    """`3.0`, or `3.0 (2.1 to 6.4)` where a part of it is guessed."""
    usual, least, most = map(shown, (value.usual, value.least, value.most))
    return usual if least == most else f"{usual} ({least} to {most})"
