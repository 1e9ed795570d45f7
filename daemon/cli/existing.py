"""What `earshot scan --existing` shows and asks before it takes in what `existing: skip` left alone."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.options import Context, say_error
from daemon.cli.output import plural
from daemon.errors import EXIT_FAILED

if TYPE_CHECKING:
    from daemon.costs.estimate import Estimate, Range


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What was put into the queue; with `is_running` a service works on it already."""

    queued: int
    total: Estimate
    is_running: bool

    def document(self) -> dict[str, Any]:
        """As `scan --json` prints it; a range is [least, most]."""
        hours, usd = self.total.hours, self.total.usd
        return {
            "recordings": self.queued,
            "hours": round(hours.usual, 2),
            "hours_range": [round(hours.least, 2), round(hours.most, 2)],
            "estimated_cost_usd": usd and round(usd.usual, 2),
            "estimated_cost_usd_range": usd and [round(usd.least, 2), round(usd.most, 2)],
        }


def take_in_existing(context: Context, *, yes: bool) -> TakenIn:
    """Queue what was left alone once a person agrees to the cost; without a yes, end the command."""
    from daemon.costs.estimate import estimate
    from daemon.runtime.one_pass import list_folders
    from daemon.storage.database import open_existing, transaction
    from daemon.storage.lock import daemon_status
    from daemon.storage.queue import requeue_existing
    from daemon.storage.views import left_alone

    config = context.config
    is_running = bool(daemon_status(config.database)["running"])
    if not is_running:
        # Until a folder is listed, none of its recordings count as left alone.
        list_folders(config)
    folders = [folder.name for folder in config.watch]
    db = open_existing(config.database)
    try:
        total, ids = estimate(left_alone(db, folders), config)
        click.echo(_sentence(total), err=True)
        if ids:
            _ask(yes=yes)
        with transaction(db):
            queued = requeue_existing(db, ids, datetime.now(UTC))
    finally:
        db.close()
    return TakenIn(queued, total, is_running)


def _ask(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        say_error("nothing is sent without your word: --yes, or an answer on a terminal")
        click.get_current_context().exit(EXIT_FAILED)
    if not _is_agreed():
        click.echo("nothing was sent", err=True)
        click.get_current_context().exit(EXIT_FAILED)


def _is_agreed() -> bool:
    try:
        return click.confirm("Take them in?", err=True)
    except click.Abort as abort:
        # click raises Abort both for Ctrl-C, an interrupt, and for Ctrl-D, which means no.
        if not isinstance(abort.__context__, EOFError):
            raise
        click.echo(err=True)
        return False


def _sentence(total: Estimate) -> str:
    if not total.recordings:
        return "nothing was left alone"
    cost = f"for about {_shown(total.usd, 2)} USD" if total.usd else "at a price that is not known"
    notes = ["estimated from the files' headers and the price list"]
    if total.guessed:
        notes.append(f"{plural(total.guessed, 'length')} guessed from the size")
    if total.unknown:
        notes.append(f"of {plural(total.unknown, 'hosted recording')} the length is not known")
    return (
        f"{plural(total.recordings, 'recording')} left alone, about {_shown(total.hours, 1)} hours {cost}"
        f" ({'; '.join(notes)})"
    )


def _shown(value: Range, digits: int) -> str:
    """`3.0`, or `3.0 (2.1 to 6.4)` where a part of it is guessed."""
    usual, least, most = (f"{each:.{digits}f}" for each in (value.usual, value.least, value.most))
    return usual if least == most else f"{usual} ({least} to {most})"
