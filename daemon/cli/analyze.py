"""`earshot analyze`: recordings named on the command line, analyzed now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.look import console, text_width
from daemon.cli.options import Context, configuration_options, json_option, pass_context, say_error
from daemon.cli.output import print_json
from daemon.cli.privacy import hide_memory
from daemon.cli.show import print_document
from daemon.cli.waiting import analysis_bar
from daemon.errors import EXIT_FAILED, EarshotError
from daemon.models import iso

if TYPE_CHECKING:
    from daemon.analysis.context import Context as AnalysisContext
    from daemon.config.models import Config, WatchFolder
    from daemon.models import NewRecording
    from daemon.storage.connection import Database

_BEFORE = "was analyzed before, as recording {}, whose result is shown"


@click.command(epilog="Example: earshot analyze --json call.wav https://example.com/call.mp3")
@configuration_options
@click.argument("inputs", metavar="FILE_OR_URL...", nargs=-1, required=True)
@click.option("--save", is_flag=True, help="Store the results, and the alerts that the rules ask for.")
@click.option("--anew", is_flag=True, help="Also what was analyzed before: it is paid for again.")
@click.option("--over-limit", is_flag=True, help="Send it even where `limits` allow nothing more.")
@json_option
@pass_context
def analyze(
    context: Context, inputs: Sequence[str], *, save: bool, anew: bool, over_limit: bool, as_json: bool
) -> None:
    """Analyze files and hosted recordings now and print the result.

    Without --save nothing is stored except what it cost (where there is a database), and no alert is sent:
    `alerts` shows which would be. With --save a file in a watched folder is stored as the service would
    store it. What was analyzed before (the same bytes or address, in the same way) is shown and not paid
    for again.
    """
    from daemon.documents import document

    if save and anew:
        raise click.UsageError("--anew stores nothing; `earshot reanalyze ID --audio` stores a new result")
    hide_memory()
    for source in inputs:
        _refuse_unusable(source, context.config)
    # What the stages would log is printed below, once for each input.
    context.start_logging("CRITICAL")
    shown: list[dict[str, Any]] = []
    failed = False
    with _analysis(context, save) as (db, analysis), _ledger(context, db, save) as ledger:
        for source in inputs:
            before = None if anew or save else _analyzed_before(ledger, analysis, source)
            if not before and not over_limit and (reason := _limit(ledger, analysis, source)):
                failed = True
                say_error(f"{source}: not sent: {reason}; --over-limit sends it all the same")
                continue
            began_at = iso(analysis.clock())
            origin, number = ledger, before
            if origin is None or number is None:
                origin, number = db, _counted(ledger, db, analysis, source)
            found = document(origin, context.config, number, rules=context.config.alerts.rules)
            if found is None:
                continue
            # What is not stored has no id.
            result = {**found.recording, "id": number if origin is ledger else None}
            shown.append(result)
            if result["id"] and (result["analyzed_at"] or began_at) < began_at:
                _say_known(source, number, save)
            if result["state"] not in ("done", "duplicate"):
                failed = True
                say_error(_trouble(result))
            elif not as_json:
                if len(shown) > 1:
                    click.echo()
                print_document(console(width=text_width()), found, result)
    if as_json:
        print_json(shown)
    if failed:
        click.get_current_context().exit(EXIT_FAILED)


def _say_known(source: str, number: int, save: bool) -> None:
    again = "`earshot reanalyze --audio` pays" if save else "--anew pays"
    say_error(f"{source} {_BEFORE.format(number)}; {again} for it again")


def _analyzed_before(ledger: Database | None, analysis: AnalysisContext, source: str) -> int | None:
    """Return the stored recording that was analyzed from the same bytes or address, in the same way."""
    from daemon.files import content_hash, stamp
    from daemon.storage.requests import analyzed_before

    if ledger is None:
        return None
    if _is_address(source):
        request = analysis.requests[None]
        return analyzed_before(ledger, _address(source, analysis.config), None, request.key)
    path = _path_of(source)
    folder = _folder_of(analysis, path)
    request = (folder and analysis.requests.get(folder.name)) or analysis.requests[None]
    real = path.resolve()
    found = stamp(str(real))
    sha256 = found and content_hash(str(real.parent), found)
    return analyzed_before(ledger, None, sha256, request.key) if sha256 else None


def _refuse_unusable(source: str, config: Config) -> None:
    """Raise UsageError for an address that no recording is fetched from, before anything is paid.

    And for a file with addresses, which would be sent as if it were a recording.
    """
    from daemon.config.addresses import BadAddressError
    from daemon.config.filenames import LIST_ENDINGS, ending_of

    if "://" not in source or os.path.lexists(source):
        if ending_of(source) in LIST_ENDINGS:
            text = f"{source} has addresses in it, and is no recording; name an address itself"
            raise click.UsageError(text)
        return
    try:
        _address(source, config)
    except BadAddressError as error:
        text = f"the address {error}; write one such as https://example.com/call.mp3"
        raise click.UsageError(text) from error


def _address(source: str, config: Config) -> str:
    """Return the address as it is sent: to a public host, or to one that any `hosts` names."""
    from daemon.config.addresses import BadAddressError, host_and_port, usable_address

    named = [host for folder in config.watch for host in folder.hosts]
    named += [host_and_port(each)[0] for each in config.engine.hosts]
    with suppress(BadAddressError):
        return usable_address(source, named)
    return usable_address(source, ())


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


@contextmanager
def _ledger(context: Context, db: Database, save: bool) -> Iterator[Database | None]:
    """Open the database in which costs and limits are counted; None, with a warning, where it cannot be used.

    Without --save none is created where there is none.
    """
    from daemon.storage.database import open_existing

    if save:
        yield db
        return
    found = None
    try:
        found = open_existing(context.config.database) if context.has_database else None
    except EarshotError as error:
        say_error(f"warning: what this costs is not counted, and no limit looked at: {error}")
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def _limit(ledger: Database | None, analysis: AnalysisContext, source: str) -> str | None:
    from daemon.analysis.limits import limit_reached

    if ledger is None:
        return None
    folder = None if _is_address(source) else _folder_of(analysis, _path_of(source))
    name = folder.name if folder else None
    return limit_reached(ledger, analysis.config, analysis.requests, name, analysis.clock())


def _counted(ledger: Database | None, db: Database, analysis: AnalysisContext, source: str) -> int:
    """Analyze one input, and count what it cost where that is counted; returns its id in `db`."""
    from daemon.storage.costs import take_over_costs
    from daemon.storage.database import transaction

    is_saved = ledger is db
    path = None if _is_address(source) else _path_of(source)
    try:
        with analysis_bar(ledger, analysis, source.rpartition("/")[2], path):
            return _analyze(db, analysis, source, save=is_saved)
    finally:
        if ledger is not None and not is_saved:
            with transaction(ledger):
                take_over_costs(ledger, db)


def _analyze(db: Database, analysis: AnalysisContext, source: str, *, save: bool) -> int:
    """Add one input as a recording and take it through the analysis; returns its id."""
    from daemon.analysis.analyze import analyze as analyze_recording
    from daemon.storage.database import transaction
    from daemon.storage.pauses import held_scopes
    from daemon.storage.queue import add, claim_this
    from daemon.storage.requeue import requeue

    known = _stored(db, analysis, source) if save else None
    with transaction(db):
        if known is None:
            number = add(db, _new_recording(analysis, source), analysis.clock())
        else:
            number = known
            # Also what failed or was left alone: a person asks for it. What is done stays so.
            requeue(db, [number], analysis.clock())
        recording = claim_this(db, number, analysis.clock())
    while recording:
        analyze_recording(db, recording, analysis)
        # Go on while it needs another request at once, as when a transcript is analyzed in parts.
        now = analysis.clock()
        if held_scopes(db, now):
            break
        with transaction(db):
            recording = claim_this(db, number, now)
    (of,) = db.execute("SELECT duplicate_of FROM recordings WHERE id = ?", (number,)).fetchone()
    # What was analyzed before is shown, not paid for again.
    return int(of or number)


def _stored(db: Database, analysis: AnalysisContext, source: str) -> int | None:
    """Return the recording that this input has already: of the service, or saved before."""
    if not _is_address(source) and (known := _taken_in(db, analysis, _path_of(source))):
        return known
    before = _analyzed_before(db, analysis, source)
    name = _address(source, analysis.config) if _is_address(source) else str(_path_of(source))
    named = db.execute("SELECT 1 FROM recordings WHERE id = ? AND source = ?", (before, os.fsencode(name)))
    return before if named.fetchone() else None


def _taken_in(db: Database, analysis: AnalysisContext, path: Path) -> int | None:
    """Take a file of a watched folder in as the service would, and return the id of its recording.

    None for a file in no watched folder, for one whose recording was deleted, and for what is no file.
    """
    from daemon.config.filenames import facts_reader
    from daemon.config.times import zone_of
    from daemon.files import fresh_stamp
    from daemon.intake.arrivals import Arrival, Place
    from daemon.intake.intake import take_in
    from daemon.storage.recordings import known_files, split_path

    folder = _folder_of(analysis, path)
    stamp = fresh_stamp(folder.root, str(path)) if folder else None
    if folder is None or stamp is None or not stamp.size_bytes:
        return None
    facts_of = facts_reader(folder.filename_pattern, zone_of(folder.timezone or analysis.config.timezone))
    take_in(db, Place(folder, analysis.clock(), facts_of), [Arrival(stamp)])
    directory, name = split_path(str(path))
    known = known_files(db, directory, [name]).get(name)
    return known.recording_id if known else None


def _new_recording(analysis: AnalysisContext, source: str) -> NewRecording:
    from daemon.models import NewRecording

    if _is_address(source):
        return NewRecording(source=_address(source, analysis.config), is_url=True, folder=None)
    path = _path_of(source)
    size_bytes, modified_at = _size_and_time(path)
    folder = _folder_of(analysis, path)
    return NewRecording(
        source=str(path),
        is_url=False,
        folder=folder.name if folder else None,
        size_bytes=size_bytes,
        modified_at=modified_at,
    )


def _is_address(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _path_of(source: str) -> Path:
    """Return the absolute path of a file, without `..` where that leads to the same file."""
    given, plain = Path(source).absolute(), os.path.abspath(source)  # noqa: PTH100 - without `..`
    with suppress(OSError):
        if os.path.samefile(given, plain):  # noqa: PTH121 - one of them is no Path
            return Path(plain)
    return given


def _size_and_time(path: Path) -> tuple[int | None, str | None]:
    from daemon.models import iso

    try:
        status = path.lstat()
        return status.st_size, iso(datetime.fromtimestamp(status.st_mtime, UTC))
    except (OSError, OverflowError, ValueError):
        return None, None


def _folder_of(analysis: AnalysisContext, path: Path) -> WatchFolder | None:
    above = [
        folder
        for folder in analysis.config.watch
        if folder.path == path.parent or (folder.recursive and folder.path in path.parents)
    ]
    # Of nested folders the innermost one counts, as when watching.
    return max(above, key=lambda folder: len(folder.path.parts), default=None)
