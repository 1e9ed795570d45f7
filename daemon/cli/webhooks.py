"""`earshot webhooks`: what other programs were told, and telling them again."""

from __future__ import annotations

import sys
from typing import Any

import click

from daemon.cli.alerts import retry_each
from daemon.cli.groups import Group
from daemon.cli.options import (
    Context,
    configuration_options,
    json_option,
    limit_option,
    pass_context,
    row_id,
)
from daemon.cli.output import ON_TERMINAL_ROWS, local_time, print_json_rows, print_table


@click.group(cls=Group, invoke_without_command=True, epilog="Example: earshot webhooks --state failed")
@configuration_options
@click.option(
    "--state", "states", type=click.Choice(["pending", "sent", "failed"]), multiple=True, help="Repeatable."
)
@limit_option
@json_option
@pass_context
def webhooks(context: Context, states: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """List messages to other programs, and why some did not arrive."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    from daemon.storage.views import alerts_list

    if limit is None and not as_json and sys.stdout.isatty():
        limit = ON_TERMINAL_ROWS
    found = alerts_list(context.database, states=states, limit=limit, table="webhooks")
    if as_json:
        print_json_rows(found)
        return
    print_table(
        ("id", "state", "event", "to", "rec", "created", "tries", "error"),
        (_cells(row) for row in found),
        stretch=("error",),
        numbers=("id", "rec", "tries"),
        none="there are no such messages",
    )


@webhooks.command("retry", epilog="Example: earshot webhooks retry 5 6")
@configuration_options
@click.argument("ids", type=row_id, metavar="ID...", nargs=-1, required=True)
@pass_context
def retry_webhooks(context: Context, ids: tuple[int, ...]) -> None:
    """Send messages again, also those that arrived, with the same ids."""
    retry_each(context, ids, "webhooks")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row["id"]),
        row["state"],
        row["event"],
        row["destination"],
        str(row["recording_id"] or ""),
        local_time(row["created_at"]),
        str(row["attempts"]),
        row["error"] or "",
    )
