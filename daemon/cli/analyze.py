"""`earshot analyze`: recordings named on the command line, analyzed now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.options import Context, configuration_options, json_option, pass_context, say_error
from daemon.cli.output import print_json
from daemon.cli.privacy import hide_memory
from daemon.cli.show import print_recording
from daemon.errors import EXIT_FAILED

if TYPE_CHECKING:
    from sqlite_utils import Database

    from daemon.analysis.context import Context as AnalysisContext
    from daemon.models import NewRecording


@click.command(epilog="Example: earshot analyze --json call.wav https://example.com/call.mp3")
@configuration_options
@click.argument("inputs", metavar="FILE_OR_URL...", nargs=-1, required=True)
@click.option("--save", is_flag=True, help="Store the results, and the alerts that the rules ask for.")
@json_option
@pass_context
def analyze(context: Context, inputs: Sequence[str], save: bool, as_json: bool) -> None:
    """Analyze files and hosted recordings now and print what was found.

    Nothing is stored without --save, and no alert is sent: `alerts` shows what would be sent.
    """
    from daemon.storage.views import recording

    hide_memory()
    for source in inputs:
        _refuse_unusable(source)
    # What the stages would log is printed below, once for each input.
    context.start_logging("CRITICAL")
    shown: list[dict[str, Any]] = []
    failed = False
    with _analysis(context, save) as (db, analysis):
        for source in inputs:
            found = recording(db, _analyze(db, analysis, source))
            if found is None:
                continue
            shown.append(found)
            if found["state"] not in ("done", "duplicate"):
                failed = True
                say_error(_trouble(found))
            if not as_json and found["state"] in ("done", "duplicate"):
                if len(shown) > 1:
                    click.echo()
                print_recording(found)
    if as_json:
        print_json(shown)
    if failed:
        click.get_current_context().exit(EXIT_FAILED)


def _refuse_unusable(source: str) -> None:
    """Raise UsageError for an address that no recording can be fetched from, before anything is paid."""
    from daemon.config.addresses import BadAddressError, usable_address

    if "://" not in source or os.path.lexists(source):
        return
    try:
        usable_address(source, None)
    except BadAddressError as error:
        text = f"the address {error}; write one such as https://example.com/call.mp3"
        raise click.UsageError(text) from error


def _trouble(found: dict[str, Any]) -> str:
    if found["error_code"] == "gone" and not os.path.lexists(found["path"]):
        return f"{found['path']}: there is no such file; check its name"
    error: str = found["error"] or "the running service has it in work right now"
    # The error of a file names the file already.
    return error if error.startswith(found["path"]) else f"{found['path']}: {error}"


@contextmanager
def _analysis(context: Context, save: bool) -> Iterator[tuple[Database, AnalysisContext]]:
    from daemon.runtime.foreground import asking
    from daemon.storage.database import memory_database, open_database

    config = context.config
    with (
        asking(config, context.env) as (analysis, _),
        closing(open_database(config.database) if save else memory_database()) as db,
    ):
        yield db, analysis


def _analyze(db: Database, analysis: AnalysisContext, source: str) -> int:
    """Add one input as a recording and take it through the analysis; returns its id."""
    from daemon.analysis.analyze import analyze as analyze_recording
    from daemon.storage.database import transaction
    from daemon.storage.pauses import held_scopes
    from daemon.storage.queue import add, claim_this

    new = _new_recording(analysis, source)
    with transaction(db):
        added = add(db, new, analysis.clock())
        recording = claim_this(db, added, analysis.clock())
    while recording:
        analyze_recording(db, recording, analysis)
        # Go on while it needs another request at once, as when a transcript is analyzed in parts.
        now = analysis.clock()
        if held_scopes(db, now):
            break
        with transaction(db):
            recording = claim_this(db, added, now)
    found = next(iter(db.query("SELECT duplicate_of FROM recordings WHERE id = ?", (added,))))
    # What was analyzed before is shown, not paid for again.
    return found["duplicate_of"] or added


def _new_recording(analysis: AnalysisContext, source: str) -> NewRecording:
    from daemon.config.addresses import usable_address
    from daemon.models import NewRecording

    if source.lower().startswith(("http://", "https://")):
        return NewRecording(source=usable_address(source, None), is_url=True, folder=None)
    path = Path(source).absolute()
    size_bytes, modified_at = _size_and_time(path)
    return NewRecording(
        source=str(path),
        is_url=False,
        folder=_folder_of(analysis, path),
        size_bytes=size_bytes,
        modified_at=modified_at,
    )


def _size_and_time(path: Path) -> tuple[int | None, str | None]:
    from daemon.models import iso

    try:
        status = path.lstat()
        return status.st_size, iso(datetime.fromtimestamp(status.st_mtime, UTC))
    except (OSError, OverflowError, ValueError):
        return None, None


def _folder_of(analysis: AnalysisContext, path: Path) -> str | None:
    from daemon.models import shown_path

    above = [
        folder.path
        for folder in analysis.config.watch
        if folder.path == path.parent or (folder.recursive and folder.path in path.parents)
    ]
    # Of nested folders the innermost one counts, as when watching.
    return shown_path(str(max(above, key=lambda folder: len(folder.parts)))) if above else None
