"""`earshot alerts` (the outbox and its history) and `earshot test-alert`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.groups import Group
from daemon.cli.look import HEADING, SEVERITIES, STATES
from daemon.cli.options import (
    Context,
    configuration_options,
    json_option,
    limit_option,
    pass_context,
    row_id,
    say_error,
)
from daemon.cli.output import (
    ON_TERMINAL_ROWS,
    Cell,
    local_time,
    print_json,
    print_json_rows,
    print_line,
    print_table,
)
from daemon.config.units import parse_duration
from daemon.errors import EXIT_FAILED, UsageError
from daemon.logs import escaped, redacted
from daemon.models import AlertState, iso

if TYPE_CHECKING:
    from daemon.storage.outbox import Table

USUAL_SEVERITY = "warning"


@click.group(cls=Group, invoke_without_command=True, epilog="Example: earshot alerts --state suppressed")
@configuration_options
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in AlertState]),
    multiple=True,
    help="Repeatable.",
)
@limit_option
@json_option
@pass_context
def alerts(context: Context, states: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """List alerts, those held back or given up with the reason."""
    command = click.get_current_context()
    if command.invoked_subcommand is not None:
        # `alerts --json show 5` means what `alerts show --json 5` does.
        command.default_map = {name: {"as_json": as_json} for name in ("show", "retry", "snooze")}
        return
    from daemon.storage.views import alerts_list

    if limit is None and not as_json and sys.stdout.isatty():
        limit = ON_TERMINAL_ROWS
    found = alerts_list(context.database, states=states, limit=limit)
    if as_json:
        print_json_rows(found)
        return
    print_table(
        ("id", "state", "severity", "to", "rec", "created", "rules", "reason"),
        (_cells(row) for row in found),
        stretch=("reason", "rules"),
        droppable=("severity", "reason"),
        numbers=("id", "rec"),
        none="there are no such alerts",
    )


@alerts.command("show", epilog="Example: earshot alerts show 5")
@configuration_options
@click.argument("alert_id", type=row_id, metavar="ID")
@json_option
@pass_context
def show_alert(context: Context, alert_id: int, as_json: bool) -> None:
    """Show one alert with its text."""
    from daemon.storage.verdicts import verdict_of
    from daemon.storage.views import alert

    found = alert(context.database, alert_id)
    if found is None:
        raise UsageError(f"there is no alert {alert_id}; `earshot alerts` lists them")
    found["verdict"] = verdict_of(context.database, alert_id)
    if as_json:
        print_json(found)
        return
    for name, value in _facts(found):
        print_line(f"{name:<12}", (value, STATES.get(value, "") if name == "state" else ""), indent=12)
    print_line()
    print_line((found["title"], HEADING))
    print_line()
    for line in found["body"].splitlines():
        print_line(line)


@alerts.command("retry", epilog="Example: earshot alerts retry 5 6")
@configuration_options
@click.argument("alert_ids", type=row_id, metavar="ID...", nargs=-1, required=True)
@json_option
@pass_context
def retry_alerts(context: Context, alert_ids: tuple[int, ...], as_json: bool) -> None:
    """Send failed or suppressed alerts after all, pending ones now."""
    retry_each(context, alert_ids, "alerts", as_json=as_json)


def retry_each(context: Context, ids: tuple[int, ...], table: Table, *, as_json: bool = False) -> None:
    """Make these messages of an outbox pending again; exit with 1 when one cannot be."""
    from daemon.storage.database import transaction
    from daemon.storage.outbox import retry_alert

    now = datetime.now(UTC)
    refused: dict[int, str] = {}
    for row in dict.fromkeys(ids):
        try:
            with transaction(context.database) as db:
                retry_alert(db, row, now, table=table)
        except UsageError as error:
            say_error(str(error))
            refused[row] = str(error)
        else:
            if not as_json:
                print_line(f"{table[:-1]} {row} is pending, due now")
    if as_json:
        due = [row for row in dict.fromkeys(ids) if row not in refused]
        print_json({"due": due, "refused": [{"id": row, "reason": why} for row, why in refused.items()]})
    if refused:
        click.get_current_context().exit(EXIT_FAILED)


@alerts.command("snooze", epilog='Example: earshot alerts snooze "unhappy caller" 2h')
@configuration_options
@click.argument("rule")
@click.argument("duration")
@json_option
@pass_context
def snooze_rule(context: Context, rule: str, duration: str, as_json: bool) -> None:
    """Hold the alerts of RULE back for a while; 0s ends that.

    They stay in the outbox as suppressed, with the reason snooze.
    """
    from daemon.storage.database import transaction
    from daemon.storage.volume import snooze

    names = [each.name for each in context.unsent_config.alerts.rules]
    if rule not in names:
        raise UsageError(f"there is no rule {rule}; {_nearest(rule, names)}")
    try:
        seconds = parse_duration(duration)
        now = datetime.now(UTC)
        until = now + timedelta(seconds=seconds)
    except (ValueError, OverflowError) as error:
        text = str(error) if isinstance(error, ValueError) else "is too long"
        raise click.BadParameter(text, param_hint="DURATION") from None
    with transaction(context.database) as db:
        snooze(db, rule, until, now)
    if as_json:
        print_json({"rule": rule, "until": iso(until) if seconds else None})
    elif seconds:
        print_line(escaped(f"rule {rule} is held back until {local_time(iso(until))}"))
    else:
        print_line(escaped(f"rule {rule} is not held back any longer"))


@click.command("test-alert", epilog="Example: earshot test-alert team")
@configuration_options
@click.argument("destination")
@json_option
@pass_context
def test_alert(context: Context, destination: str, as_json: bool) -> None:
    """Send a sample alert to every URL of DESTINATION."""
    destinations = context.config.alerts.destinations
    if destination not in destinations:
        raise UsageError(f"there is no destination {destination}; {_nearest(destination, destinations)}")

    from daemon.alerts.trial import try_destination

    results = []
    for number, (place, error) in enumerate(try_destination(context.config, destination, context.env)):
        results.append({"target": number, "place": place, "error": error and redacted(error)})
        if error is not None:
            say_error(f"{place}: {error}")
        elif not as_json:
            print_line(escaped(f"{place}: ok"))
    if as_json:
        print_json({"destination": destination, "targets": results})
    if any(result["error"] for result in results):
        click.get_current_context().exit(EXIT_FAILED)


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"the configuration has: {', '.join(known) or 'none'}"


def _cells(row: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        str(row["id"]),
        (row["state"], STATES.get(row["state"], "")),
        # The usual one is worth no column on a terminal.
        ("", "")
        if row["severity"] == USUAL_SEVERITY and sys.stdout.isatty()
        else (row["severity"], SEVERITIES.get(row["severity"], "")),
        row["destination"],
        "" if row["recording_id"] is None else str(row["recording_id"]),
        local_time(row["created_at"]),
        ", ".join(row["rules"]) or row["title"].partition("] ")[2],
        row["reason"] or row["error"] or "",
    )


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    target = f", URL {found['target'] + 1}" if found["target"] else ""
    recording = found["recording_id"]
    facts = [
        ("alert", str(found["id"])),
        ("state", found["state"]),
        ("reason", found["reason"]),
        ("error", found["error"]),
        ("severity", found["severity"]),
        ("destination", found["destination"] + target),
        ("recording", "" if recording is None else str(recording)),
        ("rules", ", ".join(found["rules"])),
        ("attempts", str(found["attempts"])),
        ("created", local_time(found["created_at"])),
        ("due", found["not_before"] and local_time(found["not_before"])),
        ("sent", found["sent_at"] and local_time(found["sent_at"])),
        ("verdict", found["verdict"]),
    ]
    return [(name, value) for name, value in facts if value]
