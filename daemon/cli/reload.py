"""`earshot reload`: have the running service read its configuration and key again."""

from __future__ import annotations

import time
from pathlib import Path

import click

from daemon.cli.options import Context, configuration_options, pass_context, say_error
from daemon.cli.output import print_line
from daemon.cli.places import not_running
from daemon.errors import EXIT_FAILED, EarshotError

PATIENCE_SECONDS = 60.0
"""Less than systemd waits (TimeoutStartSec=); an embedded engine may need half of it to start."""
LOOK_SECONDS = 0.1


@click.command(epilog="Example: earshot reload -c /etc/earshot/config.yaml")
@configuration_options
@pass_context
def reload(context: Context) -> None:
    """Have the running service read its configuration and key again.

    Waits for its answer. Exits with 1 and says why when the service refuses the configuration; it then keeps
    the old one.
    """
    from daemon.storage.lock import ask_to_reload, daemon_status

    database = context.database_file
    # Raises where this user has no access, for whom the service would seem not to run.
    _ = context.has_database
    service = daemon_status(database)
    if not service["running"]:
        # Of a faulty file the service may be another one's: then its faults are what is said.
        _ = context.config
        raise EarshotError(f"the service is {not_running(database)}")
    faults = _answer(database, service["pid"], ask_to_reload(database))
    for fault in faults:
        say_error(fault)
    if faults:
        click.get_current_context().exit(EXIT_FAILED)
    print_line("configuration taken over")


def _answer(database: Path, pid: int, number: int) -> list[str]:
    from daemon.storage.lock import daemon_status, reload_faults

    deadline = time.monotonic() + PATIENCE_SECONDS
    while (faults := reload_faults(database, number)) is None:
        if daemon_status(database)["pid"] != pid:
            raise EarshotError("the service ended before it answered; `earshot status` says how it is")
        if time.monotonic() > deadline:
            raise EarshotError(
                f"the service (process {pid}) has not answered for {PATIENCE_SECONDS:.0f} s; "
                "its log says what it waits for"
            )
        time.sleep(LOOK_SECONDS)
    return faults
