"""`earshot doctor`: everything that `check` does, and how the service and its database are at this moment."""

from __future__ import annotations

import platform
import sqlite3
from typing import TYPE_CHECKING

import click

from daemon.cli.check import summary
from daemon.cli.options import Context, configuration_options, json_option, pass_context
from daemon.cli.report import print_problems, print_report, print_report_document
from daemon.errors import EXIT_FAILED, EXIT_UNUSABLE, ConfigError, EarshotError
from daemon.version import full_version

if TYPE_CHECKING:
    from daemon.storage.connection import Database


@click.command(epilog="Example: earshot doctor --quick")
@configuration_options
@click.option("--quick", is_flag=True, help="Without reading the whole database: its integrity, its tables.")
@click.option("--offline", is_flag=True, help="Without asking the API.")
@json_option
@pass_context
def doctor(context: Context, quick: bool, offline: bool, as_json: bool) -> None:
    """Check everything, the running service and its database included.

    That is all that `check` looks at, and the present state: whether the service runs, and what holds it up,
    watches and events, the clock, alerts and webhooks that are stuck, backups and other copies, the
    database's size and growth, and whether it is whole. The service may be running or not.

    Exits with 78 when the configuration file is wrong, with 1 when something else is. Warnings are for you to
    judge.
    """
    from daemon.cli.environment import look_at_environment
    from daemon.cli.health import look_at_service

    try:
        config = context.config
    except ConfigError as error:
        if as_json:
            print_report_document(error.problems, [], facts={})
        else:
            print_problems(error.problems)
        click.get_current_context().exit(EXIT_UNUSABLE)
    report = look_at_environment(config, context.config_file, env=context.env, offline=offline)
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    versions = f"earshot {full_version()}, Python {python}, SQLite {sqlite}"
    report.fine[:0] = [versions, summary(config, context.config_file)]
    look_at_service(report, config, _database(context), quick=quick, quiet=as_json)
    if as_json:
        print_report_document([*report.problems, *report.warnings], report.fine, facts=report.facts)
    else:
        print_report(report)
    if report.problems:
        click.get_current_context().exit(EXIT_FAILED)


def _database(context: Context) -> Database | None:
    """Return the database; None where there is none yet, or where `check` has said what is wrong with it."""
    try:
        return context.database if context.has_database else None
    except EarshotError:
        return None
