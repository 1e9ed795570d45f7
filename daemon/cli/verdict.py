"""`earshot verdict`: what a person thinks of an alert."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from daemon.cli.options import Context, configuration_options, json_option, pass_context, row_id
from daemon.cli.output import print_json


@click.command(epilog="Example: earshot verdict 17 noise")
@configuration_options
@click.argument("alert_id", type=row_id, metavar="ID")
@click.argument("verdict", type=click.Choice(["useful", "noise"]), metavar="useful|noise")
@json_option
@pass_context
def verdict(context: Context, alert_id: int, verdict: str, as_json: bool) -> None:
    """Say whether an alert was worth it.

    ID is the alert's, which its last line names. A later verdict takes the place of an earlier one;
    `earshot rules test` and the digest show how many of a rule's alerts were useful.
    """
    from daemon.storage.database import transaction
    from daemon.storage.verdicts import Verdict, give_verdict

    with transaction(context.database) as db:
        give_verdict(db, alert_id, Verdict(verdict), datetime.now(UTC))
    if as_json:
        print_json({"alert_id": alert_id, "verdict": verdict})
    else:
        click.echo(f"alert {alert_id}: {verdict}")
