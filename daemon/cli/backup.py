"""`earshot backup`: a checked copy of the database, beside the running service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.options import Context, configuration_options, json_option, pass_context
from daemon.cli.output import plural, print_json, print_line
from daemon.cli.progress import bytes_bar
from daemon.errors import ConfigError
from daemon.logs import escaped
from daemon.models import shown_path
from daemon.text import shown_size

if TYPE_CHECKING:
    from daemon.backups import Backup


@click.command(epilog="Example: earshot backup /var/backups/earshot/ --keep 14")
@configuration_options
@click.argument("file", type=click.Path())
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many backups stay; older ones are deleted.",
)
@json_option
@pass_context
def backup(context: Context, file: str, keep: int | None, as_json: bool) -> None:
    """Copy the database to FILE while the service goes on.

    The copy is checked before it gets its name.

    FILE may be a folder: the copy is then named after the time, as earshot-20260131-023000Z.db, and --keep N
    leaves the newest N there. Else an earlier backup in its place is replaced, or with --keep N becomes
    FILE.1, that one FILE.2, and so on. What earshot did not make is never replaced and never deleted.

    The copy is readable by its owner alone, and holds nothing of what was erased. The configuration, the
    files with keys and addresses, and the recordings themselves are not in it.
    """
    from daemon.backups import back_up

    with bytes_bar("copying", quiet=as_json) as show:
        made = back_up(
            context.database,
            context.database_file,
            file,
            keep=keep,
            min_free=_min_free(context),
            on_progress=show,
        )
    if as_json:
        print_json(_document(made))
        return
    counts = ", ".join(plural(number, table.removesuffix("s")) for table, number in made.rows.items())
    print_line(f"{_shown(made.file)}: {shown_size(made.size_bytes)}, checked; {counts}")
    for path in made.deleted:
        print_line(f"{_shown(path)}: deleted")


def _min_free(context: Context) -> int:
    try:
        return context.unsent_config.min_free
    except ConfigError:
        # The database was found all the same; a backup is wanted most when something is wrong.
        return 0


def _document(made: Backup) -> dict[str, Any]:
    return {
        "file": shown_path(str(made.file)),
        "at": made.at,
        "size_bytes": made.size_bytes,
        "seconds": round(made.seconds, 3),
        "rows": made.rows,
        "deleted": [shown_path(str(path)) for path in made.deleted],
    }


def _shown(path: Path) -> str:
    return escaped(shown_path(str(path)))
