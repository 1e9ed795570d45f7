"""`earshot forget`: erase what was said, everywhere that earshot can reach."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.filters import filter_options
from daemon.cli.options import (
    LARGEST_ID,
    Context,
    configuration_options,
    json_option,
    moment,
    pass_context,
    row_id,
    say_error,
)
from daemon.cli.output import local_time, plural, print_json, print_line, print_table
from daemon.cli.patience import within
from daemon.errors import EXIT_FAILED

if TYPE_CHECKING:
    from daemon.storage.connection import Database
    from daemon.storage.filters import Filters

SWEEP_SECONDS = 10.0
"""Time to wait for a reader that keeps erased data in the write-ahead log."""

BACKUP_SECONDS = 5.0
"""Time to see which backups are still there; their disk may not answer."""

MISSING = "is not there"
COUNTED = ("copies", "passages", "replies", "alerts", "webhooks")


@dataclass(slots=True)
class Plan:
    """What to erase, which recordings stay (id: reason) and which files stay (path: reason)."""

    going: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[int, str] = field(default_factory=dict)
    files_kept: dict[str, str] = field(default_factory=dict)


@click.command(epilog="Example: earshot forget --where caller=0151234567 --file   (then with --yes)")
@configuration_options
@click.argument("ids", nargs=-1, type=row_id, metavar="[ID]...")
@filter_options
@click.option(
    "--older-than",
    metavar="WHEN",
    callback=moment,
    help="What earshot first saw longer ago: 90d, or before an ISO date.",
)
@click.option("--file", "with_file", is_flag=True, help="The recordings' files too.")
@click.option(
    "--rewrite",
    is_flag=True,
    help="Rewrite even a large database as a whole; the service waits meanwhile.",
)
@click.option("--yes", is_flag=True, help="Erase them; without it they are only shown.")
@json_option
@pass_context
def forget(
    context: Context,
    ids: tuple[int, ...],
    *,
    filters: Filters,
    older_than: str | None,
    with_file: bool,
    rewrite: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase recordings and every trace of them in the database.

    Transcript, passages, summary, replies, alerts and messages to other programs are erased, and copies
    of the recording too; a file that stays is not taken again. Protected recordings are left out. Without
    IDs and options it finishes an erasure that was interrupted.
    """
    from daemon.storage.filters import Filters

    db = context.database
    if older_than is not None:
        filters = dataclasses.replace(filters, until=min(older_than, filters.until or older_than))
    has_filters = filters != Filters()
    plan = Plan()
    if ids or has_filters:
        plan = _plan(db, ids, filters, has_filters=has_filters)
    elif not (rewrite or _is_unfinished(db)):
        raise click.UsageError(
            "name recordings by their ids, or say which by --where, --older-than or others"
        )
    erased = 0
    if yes:
        erased = _erase(context, db, plan, with_file=with_file, why=_why(ids, filters, older_than))
    if yes:
        _remove_sidecars(context, db, plan)
    is_swept = _sweep(db, rewrite=rewrite) if yes or not (ids or has_filters) else True
    _show(context, plan, erased, as_json=as_json, is_done=yes or not (ids or has_filters))
    if not is_swept:
        say_error(
            f"{context.config.database}-wal: what was erased is still in it, because another program reads"
            " the database; end that program, and `earshot forget` finishes it"
        )
    if not is_swept or plan.files_kept or any(recording_id in plan.kept for recording_id in ids):
        click.get_current_context().exit(EXIT_FAILED)


def _plan(db: Database, ids: tuple[int, ...], filters: Filters, *, has_filters: bool) -> Plan:
    from daemon.storage.filters import matching_ids
    from daemon.storage.purge import described

    wanted = matching_ids(db, dataclasses.replace(filters, ids=ids)) if has_filters else ids
    plan = Plan()
    for recording_id in dict.fromkeys(wanted):
        found = described(db, recording_id)
        if found is None:
            plan.kept[recording_id] = MISSING
        elif found["kept"]:
            plan.kept[recording_id] = found["kept"]
        else:
            plan.going.append(found)
    return plan


def _why(ids: tuple[int, ...], filters: Filters, older_than: str | None) -> str:
    """Name the options used, for the audit table; without their values, which may be personal."""
    if ids:
        return "by id"
    names = ["where" if filters.where else "", "older than" if older_than else ""]
    return "by " + (" and ".join(filter(None, names)) or "filter")


def _is_unfinished(db: Database) -> bool:
    from daemon.storage.purge import is_unswept

    return is_unswept(db)


def _erase(context: Context, db: Database, plan: Plan, *, with_file: bool, why: str) -> int:
    from daemon.storage.database import transaction
    from daemon.storage.purge import batches, erase
    from daemon.storage.recordings import unmark

    now, erased = datetime.now(UTC), 0
    gone = {row["id"]: _delete_files(context, db, row, plan) if with_file else [] for row in plan.going}
    for batch in batches(number for number, paths in gone.items() if paths is not None):
        with transaction(db):
            erased += erase(db, batch, "forget", why, now)
            for path in (path for number in batch for path in gone[number] or []):
                unmark(db, path)
    return erased


def _delete_files(context: Context, db: Database, row: dict[str, Any], plan: Plan) -> list[str] | None:
    """Delete the files of a recording and its copies; return the paths, or None when a file stays."""
    from daemon.originals.originals import NotNowError, delete_file
    from daemon.storage.originals import original_to_delete
    from daemon.storage.purge import copies_of

    folders = {folder.name: folder for folder in context.config.watch}
    gone = []
    for recording_id in (row["id"], *copies_of(db, row["id"])):
        original = original_to_delete(db, recording_id)
        if original is None:
            continue
        try:
            if original.folder not in folders:
                raise NotNowError("it is in no folder of the configuration; delete it by hand")
            if delete_file(db, folders[original.folder], original) != "another's":
                gone.append(original.path)
        except (NotNowError, OSError) as error:
            reason = str(error) if isinstance(error, NotNowError) else error.strerror or type(error).__name__
            plan.files_kept[original.path] = f"the file stays, and its recording with it: {reason}"
            return None
    return gone


def _remove_sidecars(context: Context, db: Database, plan: Plan) -> None:
    from daemon.originals.sidecars import remove_left
    from daemon.storage.sidecars import left_sidecar_gone, left_sidecars

    for folder in context.config.watch:
        plan.files_kept |= remove_left(db, folder)
    names = {folder.name for folder in context.config.watch}
    for path, _, folder_name in left_sidecars(db):
        if folder_name not in names:
            plan.files_kept[path] = "it is in no folder of the configuration; delete it by hand"
            left_sidecar_gone(db, path)


def _sweep(db: Database, *, rewrite: bool) -> bool:
    from daemon.storage.purge import SMALL_BYTES, is_small, swept

    if not (rewrite or is_small(db)):
        print_line(
            "not reached: what SQLite may have left in unused parts of pages, which it seldom does;"
            " `earshot forget --rewrite` writes the whole database anew, for which the service waits",
            err=True,
        )
    size = LARGEST_ID if rewrite else SMALL_BYTES
    return swept(db, datetime.now(UTC), patience_seconds=SWEEP_SECONDS, small_bytes=size)


def _show(context: Context, plan: Plan, erased: int, *, as_json: bool, is_done: bool) -> None:
    copies = _copies(context) if plan.going or is_done else []
    for recording_id, reason in plan.kept.items():
        if reason == MISSING:
            say_error(f"there is no recording {recording_id}; `earshot list` shows them")
        else:
            say_error(f"recording {recording_id} {reason}")
    for path, reason in plan.files_kept.items():
        say_error(f"{path}: {reason}")
    if as_json:
        print_json(
            {
                "recordings": [_document(row) for row in plan.going],
                "left_out": [{"id": number, "reason": reason} for number, reason in plan.kept.items()],
                "erased": erased,
                "not_reached": copies,
            }
        )
        return
    if not is_done:
        _show_going(plan)
    if is_done:
        print_line(f"{plural(erased, 'recording')} erased")
    going = {row["id"] for row in plan.going}
    for row in plan.going:
        if row["duplicate_of"] not in {None, *going}:
            print_line(f"recording {row['id']} is a copy of {row['duplicate_of']}: what was said stays there")
    for path in copies:
        print_line(f"not reached: {path}; delete it when you need it no longer")
    if plan.going:
        print_line("not reached: other copies of the database, and the log, which has file names")


def _document(row: dict[str, Any]) -> dict[str, Any]:
    """Return a recording as `--json` prints it."""
    shown = {name: value for name, value in row.items() if name != "kept"}
    return shown | {name: bool(shown[name]) for name in ("is_url", "protected")}


def _copies(context: Context) -> list[str]:
    """Return the copies of the database that are known and, as far as can be told, still there."""
    from daemon.storage.copies import backup_paths
    from daemon.storage.database import upgrade_copies

    backups = {path: [path] for path in backup_paths(context.database)}
    # What a disk that does not answer has is taken to be there.
    within(BACKUP_SECONDS, lambda: _look_for(backups))
    upgraded = [str(path) for path in upgrade_copies(context.config.database).values()]
    return upgraded + [each for found in backups.values() for each in found]


def _look_for(backups: dict[str, list[str]]) -> None:
    """Set which copies are there for each path: itself, and earlier ones that `backup --keep` numbered."""
    from daemon.backups import numbered_copies

    for path in backups:
        file = Path(path)
        backups[path] = [str(each) for each in (file, *numbered_copies(file)) if each.exists()]


def _show_going(plan: Plan) -> None:
    if plan.going:
        _print_going(plan)
    print_line(
        f"{plural(len(plan.going), 'recording')} would be erased" + "; --yes does it" * bool(plan.going)
    )


def _print_going(plan: Plan) -> None:
    print_table(
        ("id", "state", "first seen", *COUNTED, "name"),
        (
            (
                str(row["id"]),
                row["state"],
                local_time(row["first_seen_at"]),
                *(str(row[name]) for name in COUNTED),
                row["name"],
            )
            for row in plan.going
        ),
        stretch=("name",),
        keeps_end=("name",),
        numbers=("id", *COUNTED),
    )
