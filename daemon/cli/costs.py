"""`earshot costs`: what was spent, by estimate."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli.options import Context, configuration_options, json_option, known_group, moment, pass_context
from daemon.cli.output import plural, print_json, print_line, print_table
from daemon.text import shown_clock, shown_usd

BAR_COLUMNS = 24


def _group(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    from daemon.storage.costs import GROUPS

    return known_group(value, GROUPS)


@click.command(
    epilog="Example: earshot costs --by folder --since 30d   or: earshot costs --by metadata.agent --json"
)
@configuration_options
@click.option(
    "--by",
    default="month",
    show_default=True,
    callback=_group,
    metavar="GROUP",
    help="folder, day, month, model, or metadata.KEY.",
)
@click.option("--since", callback=moment, metavar="TIME", help="Only since then: 30d, or 2026-01-31.")
@json_option
@pass_context
def costs(context: Context, by: str, since: str | None, as_json: bool) -> None:
    """Show what was spent on recordings, by estimate.

    It goes by list prices and includes what was paid for replies that got lost. Days and months are those of
    `timezone` in the configuration. The invoice is Deepgram's.
    """
    from daemon.storage.costs import costs_by

    found = costs_by(context.database, by, since, context.glance.zone)
    usd, unpriced = sum(row["usd"] for row in found), sum(row["unpriced"] for row in found)
    if as_json:
        rows = [{by: row.pop("key"), **row} for row in found]
        print_json({"by": by, "since": since, "usd": usd, "unpriced": unpriced, "rows": rows})
        return
    most = max((row["usd"] for row in found), default=0.0)
    print_table(
        (by, "recordings", "length", "USD", ""),
        (_cells(row, most) for row in found),
        stretch=(by,),
        numbers=("recordings", "length", "USD"),
    )
    print_line(f"about {shown_usd(usd)} USD in all" if found else "nothing was spent", err=True)
    if unpriced:
        print_line(
            f"the price of {plural(unpriced, 'request')} is not known; write it under `prices:` in the file",
            err=True,
        )


def _cells(row: dict[str, Any], most: float) -> tuple[str, ...]:
    bar = "█" * round(BAR_COLUMNS * row["usd"] / most) if most else ""
    length, usd = shown_clock(row["seconds"]), shown_usd(row["usd"])
    return str(row["key"] or "-"), str(row["recordings"]), length, usd, bar
