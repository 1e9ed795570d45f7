"""`earshot check`: everything that would keep earshot from working, before it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from daemon.cli.options import Context, configuration_options, json_option, pass_context, say_error
from daemon.cli.output import plural, print_json
from daemon.cli.report import print_problems, print_report, print_report_document
from daemon.errors import EXIT_FAILED, EXIT_UNUSABLE, ConfigError
from daemon.models import shown_path

if TYPE_CHECKING:
    from pathlib import Path

    from daemon.config.models import Config


@click.command(epilog="Example: earshot check -c /etc/earshot/config.yaml --offline")
@configuration_options
@click.option("--offline", is_flag=True, help="Without asking the API.")
@click.option("--file", "name", metavar="NAME", help="Only show what filename_pattern makes of this name.")
@json_option
@pass_context
def check(context: Context, offline: bool, name: str | None, as_json: bool) -> None:
    """Check the configuration and everything that it names.

    Folders, database, key, API and destinations are looked at; no recording and no alert is sent.
    Exits with 78 when the configuration file is wrong, with 1 when what it points to is. A warning stops
    nothing now, but may matter one day.
    """
    from daemon.cli.environment import look_at_environment

    try:
        config = context.config
    except ConfigError as error:
        if as_json:
            print_report_document(error.problems, [])
        else:
            print_problems(error.problems)
        click.get_current_context().exit(EXIT_UNUSABLE)
    if name is not None:
        _check_name(config, name, as_json=as_json)
        return
    report = look_at_environment(config, context.config_file, env=context.env, offline=offline)
    report.fine.insert(0, summary(config, context.config_file))
    if as_json:
        print_report_document([*report.problems, *report.warnings], report.fine)
    else:
        print_report(report)
    if report.problems:
        click.get_current_context().exit(EXIT_FAILED)


def summary(config: Config, file: Path) -> str:
    """Say that the configuration is valid, and what is in it."""
    counts = (
        plural(len(config.watch), "folder"),
        plural(len(config.alerts.rules), "rule"),
        plural(len(config.alerts.destinations), "destination"),
    )
    return f"configuration {file} is valid: {', '.join(counts)}"


def _check_name(config: Config, name: str, *, as_json: bool) -> None:
    from daemon.cli.names import print_readings, readings_of

    readings = readings_of(config, name)
    if as_json:
        print_json({"problems": [], "file": shown_path(name), "readings": readings})
    else:
        print_readings(readings)
    if not any(reading["fits"] for reading in readings):
        say_error("no filename_pattern fits this name")
        click.get_current_context().exit(EXIT_FAILED)
