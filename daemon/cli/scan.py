"""`earshot scan`: one pass over everything that is waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.existing import take_in_existing
from daemon.cli.options import Context, configuration_options, json_option, pass_context, say_error
from daemon.cli.output import plural, print_json, print_line
from daemon.cli.privacy import hide_memory
from daemon.cli.progress import count_bar
from daemon.errors import EXIT_FAILED

if TYPE_CHECKING:
    from daemon.config.models import Config
    from daemon.runtime.one_pass import Progress

OUTCOMES = ("done", "failed", "duplicate", "skipped")


@click.command(epilog="Example: earshot scan -c /etc/earshot/config.yaml --json")
@configuration_options
@click.option("--existing", is_flag=True, help="Also what `existing: skip` left alone, after asking.")
@click.option("--yes", is_flag=True, help="With --existing: without asking.")
@json_option
@pass_context
def scan(context: Context, existing: bool, yes: bool, as_json: bool) -> None:
    """Find and analyze what is waiting, send alerts, then exit.

    With --existing, count, hours and estimated cost are shown first, and nothing is sent without a yes.
    A running service then takes them in itself.

    Exits with 1 when a recording failed or is left waiting, when an alert is not delivered yet, and when a
    folder could not be looked at.
    """
    from daemon.runtime.one_pass import run_once
    from daemon.storage.database import open_existing
    from daemon.storage.outbox import undelivered_alerts
    from daemon.storage.views import folder_rows, pause_row

    hide_memory()
    if yes and not existing:
        raise click.UsageError("--yes goes with --existing")
    context.warn_of_another_database()
    taken_in = take_in_existing(context, yes=yes) if existing else None
    if taken_in and taken_in.is_running:
        if as_json:
            print_json({"existing": taken_in.document()})
        else:
            print_line(f"{plural(taken_in.queued, 'recording')} queued; the running service analyzes them")
        return
    with _bar(quiet=as_json) as show:
        before, after = run_once(context.config, env=context.env, show=show)
    db = open_existing(context.config.database)
    try:
        paused = pause_row(db)
        undelivered = undelivered_alerts(db)
        folders = folder_rows(db)
    finally:
        db.close()
    # A list of addresses that was corrected is no failure any more.
    counts = {state: max(after.recordings[state] - before.recordings[state], 0) for state in OUTCOMES}
    counts["waiting"] = after.recordings["waiting"]
    alerts = {state: after.alerts[state] - before.alerts[state] for state in ("sent", "failed", "suppressed")}
    alerts["pending"] = after.alerts["pending"]
    if as_json:
        more = {"existing": taken_in.document()} if taken_in else {}
        print_json({**counts, "alerts": alerts, "paused": paused, **more})
    else:
        _print_counts(counts, alerts, sum(row["left_alone"] for row in folders.values()))
    troubles = _not_listed(context.config, folders) + _troubles(
        counts, undelivered, paused["reason"] if paused else None
    )
    for trouble in troubles:
        say_error(trouble)
    if troubles:
        click.get_current_context().exit(EXIT_FAILED)


def _print_counts(counts: dict[str, int], alerts: dict[str, int], left_alone: int) -> None:
    print_line(", ".join(f"{count} {state}" for state, count in counts.items()))
    print_line("alerts: " + ", ".join(f"{count} {state}" for state, count in alerts.items()))
    if left_alone > 0:
        print_line(
            f"{plural(left_alone, 'recording')} left alone, there before earshot first saw the folder "
            "(existing: skip); `earshot scan --existing` takes them in"
        )


def _not_listed(config: Config, folders: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each folder that is gone or cannot be read."""
    return [
        f"{folder.name}: the folder is not there or cannot be read; `earshot check` says why"
        for folder in config.watch
        if folder.name not in folders or not folders[folder.name]["available"]
    ]


def _troubles(counts: dict[str, int], undelivered: int, paused: str | None) -> list[str]:
    """Return a line for each trouble, with what to do."""
    troubles = [f"paused: {paused}"] if paused else []
    if counts["failed"] > 0:
        troubles.append(
            f"{plural(counts['failed'], 'recording')} failed; `earshot list --state failed` says why"
        )
    if counts["waiting"] > 0 and not paused:
        left = plural(counts["waiting"], "recording")
        troubles.append(f"{left} left waiting; `earshot list --state waiting` says why")
    if undelivered:
        troubles.append(
            f"{plural(undelivered, 'alert')} not delivered yet, kept in the outbox for the service or the"
            " next scan; `earshot alerts` says why"
        )
    return troubles


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    with count_bar(quiet=quiet) as advance:
        first: list[int] = []

        def show(progress: Progress) -> None:
            ended = sum(progress.recordings[state] for state in OUTCOMES)
            first.append(ended) if not first else None
            done = ended - first[0]
            total = done + progress.recordings["waiting"] + progress.recordings["analyzing"]
            advance(f"{progress.in_flight} in work", done, total or None)

        yield show
