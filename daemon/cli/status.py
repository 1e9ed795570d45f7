"""`earshot status`: what the service is doing, at a glance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from daemon.cli.check_state import check_state
from daemon.cli.look import BAD, GOOD, STATES
from daemon.cli.not_taken import listed, longest_incomplete
from daemon.cli.options import Context, configuration_options, duration, json_option, pass_context, say_error
from daemon.cli.output import ago, local_time, plural, print_json, print_line, problem_rows
from daemon.cli.places import not_running, watched_by_others
from daemon.errors import EXIT_UNUSABLE, ConfigError, ConfigProblem
from daemon.logs import escaped
from daemon.models import shown_path
from daemon.status import in_words
from daemon.storage.lock import unready
from daemon.text import shown_usd


@click.command(epilog="Example: earshot status --json | jq .recordings.waiting")
@configuration_options
@click.option("--check", "is_check", is_flag=True, help="One line for a monitor; 1 when not all is well.")
@click.option("--ready", "is_ready", is_flag=True, help="With --check: only whether it runs and watches.")
@click.option("--files", "has_files", is_flag=True, help="List the files that are not taken, and why.")
@click.option(
    "--oldest",
    metavar="DURATION",
    default="1h",
    show_default=True,
    callback=duration,
    help="With --check: how long a recording may wait.",
)
@json_option
@pass_context
def status(
    context: Context, is_check: bool, is_ready: bool, has_files: bool, oldest: timedelta, as_json: bool
) -> None:
    """Show counts, what is paused and why, folders and alerts.

    If the configuration cannot be used, its faults and the last state are shown, and the exit code is 78.

    With --check all is well (0) while the service runs and watches, is not paused, the database can
    be written, no folder is away, the web pages can be served, no alert and no webhook has been stuck for
    an hour, and no recording has waited for longer than --oldest.
    """
    if is_ready and not is_check:
        raise click.UsageError("--ready goes with --check")
    if is_check:
        check_state(context, oldest, only_ready=is_ready, as_json=as_json)
        return
    faults = _faults(context)
    document = _document(context, usable=not faults)
    if has_files or not as_json:
        _add_files(context, document["folders"])
    if as_json:
        print_json(document | ({"problems": problem_rows(faults)} if faults else {}))
    else:
        for fault in faults:
            say_error(str(fault))
        _print_document(document, has_files=has_files)
        if document["daemon"]["running"]:
            _say_unwritable(context)
    if faults:
        click.get_current_context().exit(EXIT_UNUSABLE)


def _say_unwritable(context: Context) -> None:
    """Say when the service can store nothing: it has no pause for that, which would have to be stored."""
    from daemon.storage.health import unwritable

    for reason in unwritable(context.database):
        say_error(f"nothing can be stored now: {reason}")


def _faults(context: Context) -> list[ConfigProblem]:
    """Return the faults of the configuration; ConfigError when not even its database can be found."""
    if context.is_taken_over:
        return []
    try:
        _ = context.config
    except ConfigError as error:
        _ = context.database_file
        return error.problems
    return []


def _document(context: Context, *, usable: bool) -> dict[str, Any]:
    """A missing database counts as an empty one; without a usable configuration its folders are the rows'."""
    from daemon.status import status_document, watched_rows
    from daemon.storage.database import memory_database
    from daemon.storage.views import folder_rows

    db = context.database if context.has_database else memory_database()
    known = folder_rows(db)
    names = [shown_path(each) for each in context.glance.folders] if context.is_taken_over else []
    if not usable:
        folders = list(known.values())
    elif names and all(name in known and known[name]["method"] for name in names):
        folders = [known[name] for name in names]
    else:
        folders = watched_rows(db, context.config)
    return status_document(db, context.database_file, folders, context.glance.zone, datetime.now(UTC))


def _say(*parts: str | tuple[str, str]) -> None:
    print_line(*parts, indent=12)


def _add_files(context: Context, folders: list[dict[str, Any]]) -> None:
    from daemon.storage.not_taken import files_not_taken

    for folder in folders:
        folder["files"] = files_not_taken(context.database, folder["path"]) if context.has_database else []


def _print_document(document: dict[str, Any], *, has_files: bool) -> None:
    _print_daemon(document)
    _print_recordings(document)
    _print_folders(document["folders"], is_running=document["daemon"]["running"], has_files=has_files)
    _print_left("originals", document["originals"], "moved or deleted")
    _print_left("sidecars", document["sidecars"], "written")
    _print_alerts(document["alerts"])
    for name, count in document["webhooks_orphaned"].items():
        _say(f"webhooks    {escaped(orphaned(name, count))}")
    for rule, until in document["snoozed"].items():
        _say(f"            rule {escaped(rule)} is snoozed until {local_time(until)}")


def _print_daemon(document: dict[str, Any]) -> None:
    daemon = document["daemon"]
    if not daemon["running"]:
        _say("service     ", (not_running(Path(document["database"])), BAD))
        for line in watched_by_others([folder["path"] for folder in document["folders"]]):
            _say(f"            {line}")
    elif not daemon["ready"]:
        _say(f"service     {unready(daemon)} (process {daemon['pid']})")
    else:
        _say("service     ", ("running", GOOD), f" (process {daemon['pid']})")
        if document["pages_not_served"]:
            _say("web pages   ", (f"not served: {document['pages_not_served']}", BAD))
    if document["reload_refused"]:
        _say("            ", (document["reload_refused"], BAD))
    paused = document["paused"]
    if paused:
        _say("paused      ", (f"since {local_time(paused['since'])}: {paused['reason']}", BAD))
    owner = document["database_owner"]
    of_whom = f"of {owner}" if owner else "not there yet"
    _say(f"database    {escaped(document['database'])} ({of_whom})")


def _print_recordings(document: dict[str, Any]) -> None:
    _say("recordings  ", *_counts(document["recordings"]))
    oldest = document["oldest_waiting_at"]
    if oldest:
        _say(f"            the oldest has waited since {local_time(oldest)} ({ago(oldest)})")
    if document["recordings"]["failed"]:
        _say("            `earshot list --state failed` says why they failed")
    cost = shown_usd(document["cost_month_usd"])
    _say(f"cost        about {cost} USD this month; `earshot costs` says of what")


def _print_folders(folders: list[dict[str, Any]], *, is_running: bool, has_files: bool) -> None:
    for number, folder in enumerate(folders):
        _say(f"{'' if number else 'folders':<12}{escaped(folder['path'])}: {_folder_facts(folder)}")
        if not_taken := in_words(folder["not_taken"]):
            when = "" if is_running else ", when the service last looked"
            more = "" if has_files else "; `earshot status --files` lists them"
            _say(f"            {not_taken}{when}{more}")
        longest = longest_incomplete(folder["files"], folder["path"])
        for line in listed(folder) if has_files else filter(None, [longest]):
            _say(f"            {escaped(line)}")
    left_alone = sum(folder["left_alone"] for folder in folders)
    if left_alone:
        _say(f"            `earshot scan --existing` takes in the {left_alone} left alone")
    if any(folder["not_taken"]["lists"] for folder in folders):
        _say("            `lists: true` at a folder has its lists of addresses taken, those too")


def _folder_facts(folder: dict[str, Any]) -> str:
    if folder["reason"] is None:
        return "not seen yet"
    reason = escaped(folder["reason"])
    if folder["available"]:
        method = "by events" if folder["method"] == "events" else "by polling"
        facts = [f"{method} ({reason})", f"settle {folder['settle_seconds']:g} s"]
    else:
        facts = [f"not available ({reason})"]
    if folder["last_scan_at"]:
        facts.append(f"last scan {ago(folder['last_scan_at'])}")
    if folder["missed_by_events"]:
        facts.append(f"{plural(folder['missed_by_events'], 'recording')} found by listing only")
    if folder["left_alone"]:
        facts.append(f"{plural(folder['left_alone'], 'recording')} left alone, there before earshot")
    return ", ".join(facts)


def _print_left(name: str, left: dict[str, Any], what: str) -> None:
    if left["waiting"]:
        _say(f"{name:<12}{left['waiting']} still to be {what}")
    if left["error"]:
        _say(f"            {escaped(left['error'])}")


def _print_alerts(counts: dict[str, int]) -> None:
    _say("alerts      ", *_counts(counts))
    if counts["failed"]:
        _say("            `earshot alerts --state failed` says why")


def orphaned(name: str, count: int) -> str:
    """Say that messages wait for a webhook that the configuration does not name, and what to do."""
    return (
        f"{plural(count, 'message')} pending for {name}, but no webhook has this name; give it back to"
        " the webhook (`name`), else they are given up after a week"
    )


def _counts(counts: dict[str, int]) -> list[tuple[str, str]]:
    """Return what to print of counts by state."""
    parts: list[tuple[str, str]] = []
    for state, number in counts.items():
        if number:
            parts += [(", " if parts else "", ""), (f"{number} {state}", STATES.get(state, ""))]
    return parts or [("none", "")]
