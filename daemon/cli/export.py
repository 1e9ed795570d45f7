"""`earshot export`: recordings as files to hand over."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from daemon.cli.columns import columns_option, picked, wanted_columns
from daemon.cli.filters import filter_options
from daemon.cli.options import Context, configuration_options, pass_context, row_id, say_error
from daemon.cli.output import plural
from daemon.errors import EXIT_FAILED, EarshotError

if TYPE_CHECKING:
    from daemon.export.document import Document
    from daemon.storage.filters import Filters

TABLES = ("csv", "jsonl")
"""Formats with a line for each recording, whatever its state; the others are for what was analyzed."""

NAMES = (*TABLES, "txt", "vtt", "srt", "md", "html")
LONGEST_NAME_BYTES = 150


@click.command(epilog="Example: earshot export --format html --intent '*refund*' -o refunds.html")
@configuration_options
@click.argument("ids", nargs=-1, type=row_id, metavar="[ID]...")
@click.option("--format", "format_name", type=click.Choice(NAMES), required=True)
@filter_options
@columns_option
@click.option(
    "-o",
    "--output",
    metavar="FILE_OR_DIR",
    help="A folder (or a path that ends with /) gets a file per recording; default: print.",
)
@pass_context
def export(
    context: Context,
    ids: tuple[int, ...],
    *,
    format_name: str,
    filters: Filters,
    columns: tuple[str, ...],
    output: str | None,
) -> None:
    """Write recordings as csv, jsonl, txt, vtt, srt, md or html.

    All of them, those with the IDs, or those that pass the filters. csv and jsonl have a line for each; the
    other formats show what was analyzed.
    """
    from daemon.storage.filters import matching_ids

    if columns and format_name not in TABLES:
        raise click.UsageError("--columns is for csv and jsonl")
    filters = dataclasses.replace(filters, ids=ids)
    if format_name not in TABLES:
        filters = dataclasses.replace(filters, states=filters.states or ("done",))
    wanted = matching_ids(context.database, filters)
    if ids and (missing := set(ids) - set(wanted)):
        say_error(f"nothing to export of {', '.join(map(str, sorted(missing)))}; `earshot list` says why")
    if not ids or wanted:
        _export(context, format_name, wanted, columns, output)
    if ids and missing:
        click.get_current_context().exit(EXIT_FAILED)


def _export(
    context: Context, name: str, ids: Sequence[int], columns: Sequence[str], output: str | None
) -> None:
    from daemon.export.formats import FORMATS

    into = _directory(output)
    if into is not None and name not in TABLES:
        _write_each(context, name, ids, into)
        return
    if name not in TABLES and not FORMATS[name].is_joinable and len(ids) != 1:
        raise click.UsageError(
            f"{plural(len(ids), 'recording')} cannot be one {name} file; write -o FOLDER/, or name one"
        )
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        output = str(into / f"recordings.{name}")
    parts = _lines(context, name, ids, columns) if name in TABLES else _texts(context, name, ids)
    if output in (None, "-"):
        _print(parts)
    else:
        with _written(Path(str(output))) as stream:
            stream.writelines(part.encode("utf-8", "backslashreplace") for part in parts)


def _lines(context: Context, name: str, ids: Sequence[int], columns: Sequence[str]) -> Iterator[str]:
    from daemon.export.formats import rendered
    from daemon.export.table import csv_lines
    from daemon.storage.views import recordings_by_ids

    chosen = wanted_columns(context.database, columns)
    if name == "csv":
        return csv_lines(recordings_by_ids(context.database, ids), chosen)
    if columns:
        return (_json_line(picked(row, columns)) for row in recordings_by_ids(context.database, ids))
    return (rendered("jsonl", document) for document in _documents(context, ids))


def _json_line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


def _texts(context: Context, name: str, ids: Sequence[int]) -> Iterator[str]:
    from daemon.export.formats import FORMATS

    return FORMATS[name].parts(_documents(context, ids))


def _documents(context: Context, ids: Iterable[int]) -> Iterator[Document]:
    from daemon.documents import document

    for recording_id in ids:
        # Leave out a recording that was deleted meanwhile.
        if found := document(context.database, context.unsent_config, recording_id):
            yield found


def _write_each(context: Context, name: str, ids: Sequence[int], into: Path) -> None:
    from daemon.export.captions import NoTimesError
    from daemon.export.formats import file_name, rendered

    into.mkdir(parents=True, exist_ok=True)
    count, failed = 0, False
    for document in _documents(context, ids):
        try:
            text = rendered(name, document)
        except NoTimesError as error:
            say_error(str(error))
            failed = True
            continue
        with _written(into / file_name(document, name)) as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
        count += 1
    click.echo(f"{plural(count, 'file')} in {into}", err=True)
    if failed:
        click.get_current_context().exit(EXIT_FAILED)


def _directory(output: str | None) -> Path | None:
    """The output if it is or becomes a folder; else None."""
    if output is None:
        return None
    return Path(output) if output.endswith("/") or Path(output).is_dir() else None


def _print(parts: Iterable[str]) -> None:
    stream = sys.stdout.buffer
    for part in parts:
        stream.write(part.encode("utf-8", "backslashreplace"))
    stream.flush()


@contextmanager
def _written(file: Path) -> Iterator[IO[bytes]]:
    """Open a file that gets its name only when complete; it has the usual permissions of new files."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(file.stat().st_mode):
            # /dev/stdout or a pipe: there is no file to replace.
            with file.open("wb") as stream:
                yield stream
            return
    if not file.parent.is_dir():
        raise EarshotError(f"{file.parent}: there is no such folder; make it, or name another one")
    temporary = file.with_name(f".{file.name[:LONGEST_NAME_BYTES]}.{secrets.token_hex(6)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
