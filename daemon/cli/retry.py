"""`earshot retry`: recordings back in the queue, and an end of pauses."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from daemon.cli.consent import say_limits
from daemon.cli.options import (
    Context,
    configuration_options,
    json_option,
    pass_context,
    row_id,
    say_error,
)
from daemon.cli.output import plural, print_json, print_line
from daemon.errors import EXIT_FAILED


@click.command(epilog="Example: earshot retry 17 18   or: earshot retry --failed   or: earshot retry")
@configuration_options
@click.argument("ids", nargs=-1, type=row_id, metavar="[ID]...")
@click.option("--failed", is_flag=True, help="All failed recordings.")
@click.option(
    "--anew",
    is_flag=True,
    help="Also what was analyzed before, and duplicates of it: it is paid for again, without alerts for what"
    " is done.",
)
@json_option
@pass_context
def retry(context: Context, ids: tuple[int, ...], *, failed: bool, anew: bool, as_json: bool) -> None:
    """Put failed or skipped recordings back in the queue.

    A paused queue tries again at once. Alone, without an id or --failed, it also frees what a limit holds,
    until the limit's hour, day or month ends.
    """
    if ids and failed:
        raise click.UsageError("name recordings by their ids, or all failed ones by --failed")
    if anew and not ids:
        raise click.UsageError("--anew is for recordings that you name by their ids")
    now = datetime.now(UTC)
    if ids or failed:
        refused = _requeue(context, ids, now, anew=anew, as_json=as_json)
        for reason in refused.values():
            say_error(reason)
        if refused:
            click.get_current_context().exit(EXIT_FAILED)
    else:
        _end_pauses(context, now, as_json=as_json)


def _requeue(
    context: Context, ids: tuple[int, ...], now: datetime, *, anew: bool, as_json: bool
) -> dict[int, str]:
    """Put these recordings, or all failed ones, back; returns why some could not be."""
    from daemon.storage.database import transaction
    from daemon.storage.limits import limits_holding
    from daemon.storage.requeue import requeue, requeue_failed

    refused: dict[int, str] = {}
    with transaction(context.database) as db:
        if ids:
            refused = requeue(db, ids, now, anew=anew)
        count = len(set(ids)) - len(refused) if ids else requeue_failed(db, now)
    queued = set(ids) - refused.keys()
    held = limits_holding(context.database, queued) if queued else []
    if as_json:
        reasons = [{"id": row, "reason": why} for row, why in refused.items()]
        print_json({"queued": count, "refused": reasons, "limits": held})
    elif count or not ids:
        print_line(f"{plural(count, 'recording')} back in the queue")
        say_limits(held)
    return refused


def _end_pauses(context: Context, now: datetime, *, as_json: bool) -> None:
    from daemon.storage.database import transaction
    from daemon.storage.limits import lift_limits
    from daemon.storage.pauses import pauses, probe_now

    with transaction(context.database) as db:
        lifted = lift_limits(db, now)
        probe_now(db, now)
        left = len(pauses(db))
    if as_json:
        print_json({"queued": 0, "refused": [], "limits": [], "limits_lifted": lifted, "pauses_tried": left})
        return
    if lifted:
        print_line(f"{plural(lifted, 'limit')} let go until the next hour, day or month that it counts by")
    if left:
        print_line("the paused queue tries a recording at once")
    if not lifted and not left:
        print_line("nothing is paused; `earshot retry --failed` tries what failed again")
