"""`earshot status --check`: one line, as Nagios, Zabbix and monit read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from daemon.cli.options import Context
from daemon.cli.output import print_json, shown_zone
from daemon.cli.places import not_running
from daemon.errors import EXIT_FAILED, EXIT_UNUSABLE, ConfigError, StoreError
from daemon.logs import escaped, redacted
from daemon.models import shown_path


def check_state(context: Context, oldest: timedelta, *, only_ready: bool, as_json: bool) -> None:
    """Print if all is well (`only_ready`: if the service runs and watches), and exit accordingly."""
    unusable: list[str] = []
    folders: Sequence[str] = ()
    if not only_ready:
        try:
            folders = watched_names(context)
        except ConfigError as error:
            unusable = [f"the configuration cannot be used: {error.problems[0]}"]
    troubles = unusable or _not_ready(context)
    if not troubles and not only_ready:
        troubles = _troubles(context, folders, oldest)
    _print(troubles, as_json=as_json)
    if troubles:
        click.get_current_context().exit(EXIT_UNUSABLE if unusable else EXIT_FAILED)


def watched_names(context: Context) -> list[str]:
    """Return the names of the watched folders; ConfigError where the configuration has a fault."""
    if context.is_taken_over:
        # Judging it again would take most of the time of this command.
        return [shown_path(folder) for folder in context.glance.folders]
    return [folder.name for folder in context.config.watch]


def _not_ready(context: Context) -> list[str]:
    from daemon.storage.lock import daemon_status, unready

    try:
        # Without a right to look, the service would seem not to run.
        _ = context.has_database
    except StoreError as error:
        return [str(error)]
    service = daemon_status(context.database_file)
    if not service["running"]:
        return [not_running(context.database_file)]
    return [] if service["ready"] else [unready(service)]


def _troubles(context: Context, folders: Sequence[str], oldest: timedelta) -> list[str]:
    from daemon.storage.health import old_waiting, troubles_now, unwritable

    db, now = context.database, datetime.now(UTC)
    zone = shown_zone()
    found = unwritable(db) + troubles_now(db, folders, now, zone)
    return found + old_waiting(db, now, oldest, zone)


def _print(troubles: Sequence[str], *, as_json: bool) -> None:
    clean = [escaped(redacted(each)) for each in troubles]
    if as_json:
        print_json({"ok": not clean, "problems": clean})
    elif clean:
        # A monitor reads what follows a | as numbers.
        click.echo(f"earshot WARNING: {'; '.join(clean)}".replace("|", "/"))
    else:
        click.echo("earshot OK: running and watching")
