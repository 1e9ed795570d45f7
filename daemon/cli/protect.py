"""`earshot protect`: recordings that retention and `forget` leave alone."""

from __future__ import annotations

import click

from daemon.cli.options import Context, configuration_options, pass_context, row_id, say_error
from daemon.cli.output import print_line
from daemon.errors import EXIT_FAILED


@click.command(epilog="Example: earshot protect 17   or: earshot protect --off 17")
@configuration_options
@click.argument("ids", nargs=-1, type=row_id, metavar="ID...", required=True)
@click.option("--off", is_flag=True, help="Protect them no longer.")
@pass_context
def protect(context: Context, ids: tuple[int, ...], *, off: bool) -> None:
    """Keep recordings from retention and `earshot forget`.

    A copy and its original are separate rows: protect both if both are to stay.
    """
    from daemon.storage import purge
    from daemon.storage.database import transaction

    with transaction(context.database) as db:
        done = {recording_id: purge.protect(db, recording_id, on=not off) for recording_id in ids}
    for recording_id, is_known in done.items():
        if is_known:
            print_line(f"recording {recording_id} is {'no longer protected' if off else 'protected'}")
        else:
            say_error(f"there is no recording {recording_id}; `earshot list` shows them")
    if not all(done.values()):
        click.get_current_context().exit(EXIT_FAILED)
