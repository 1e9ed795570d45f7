"""`earshot show`: one recording, as people read it: what is known of it, and the conversation by turns."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.conversation import print_turns, rules_looked_at
from daemon.cli.look import QUIET, SENTIMENTS, STATES, heading, paged, print_wrapped, styled
from daemon.cli.options import Context, configuration_options, json_option, pass_context, say_error
from daemon.cli.output import GAP, local_time, print_json, score
from daemon.cli.plot import sentiment_plot
from daemon.errors import ConfigError, UsageError
from daemon.export.facts import labels
from daemon.export.turns import Turn, turns
from daemon.models import shown_path
from daemon.text import shown_clock

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.export.document import Document
    from daemon.storage.connection import Database

NAME_COLUMNS = 14
MOST_LABELS = 6
"""Intents and topics, unless everything is asked for."""


# `-1` is not an option here, but the newest recording.
@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: earshot show 17   or: earshot show call.wav   or: earshot show -1",
)
@configuration_options
@click.argument("which", metavar="ID|NAME|PATH|-1")
@click.option("--full", is_flag=True, help="Everything: all intents and topics, whole alerts, all facts.")
@json_option
@pass_context
def show(context: Context, which: str, full: bool, as_json: bool) -> None:
    """Show what was found in a recording, and who said what.

    A number is an id; otherwise it may be a name, a path, or -1 for the newest recording (-2 for the one
    before). Passages marked with > are those that a rule of the configuration matches.
    """
    from daemon.documents import document
    from daemon.storage.originals import original_of_recording

    config = None
    with suppress(ConfigError):
        config = context.unsent_config
    recording_id = _chosen(context.database, which)
    found = document(context.database, config, recording_id, rules=config.alerts.rules if config else ())
    if found is None:
        raise UsageError(f"there is no recording {recording_id}; `earshot list` shows them")
    whole = {**found.recording, "original": original_of_recording(context.database, recording_id)}
    if as_json:
        print_json(whole)
        return
    with paged() as screen:
        print_document(screen, found, whole, full=full)


def print_document(
    screen: Console, found: Document, recording: dict[str, Any], *, full: bool = False
) -> None:
    """Print a recording with its parts, as `storage.views.recording` returns it."""
    for name, value, style in _facts(recording, full=full):
        first, shown = styled(f"{name:<{NAME_COLUMNS}}"), styled((value, style))
        if name == "path":
            # In one piece, to be copied.
            screen.print(first + shown)
        else:
            print_wrapped(screen, shown, indent=NAME_COLUMNS, first=first)
    if recording["summary"]:
        heading(screen, "Summary")
        print_wrapped(screen, styled(_line(recording["summary"])))
    _print_plot(screen, recording)
    for title, rows, label in (("Intents", "intents", "intent"), ("Topics", "topics", "topic")):
        _print_labels(screen, title, labels(recording[rows], label), full=full)
    _print_alerts(screen, recording, full=full)
    _print_conversation(screen, found)


def _chosen(db: Database, which: str) -> int:
    """Return the id of the recording that is meant; UsageError when there is none."""
    from daemon.storage.views import nearest_name, newest_recordings, recordings_named

    if which.startswith("-") and not which[1:].isdecimal():
        command = click.get_current_context().command
        options = [name for option in command.params for name in option.opts if name.startswith("-")]
        raise click.NoSuchOption(which, possibilities=difflib.get_close_matches(which, options))
    if which.startswith("-"):
        number = int(which[1:])
        ids = newest_recordings(db, number) if number < 10**9 else []
        if number < 1 or len(ids) < number:
            raise UsageError("there are no recordings so far" if not ids else f"there are only {len(ids)}")
        return ids[-1]
    which = shown_path(which)
    path = shown_path(os.path.abspath(which))  # noqa: PTH100 - without `..`
    ids = recordings_named(db, which, path)
    if not ids:
        if which.isdecimal():
            raise UsageError(f"there is no recording {which}; `earshot list` shows them")
        near = nearest_name(db, which)
        hint = f"did you mean {near}?" if near else "`earshot list` shows them"
        raise UsageError(f"there is no recording of the name or path {which}; {hint}")
    if len(ids) > 1:
        others = ", ".join(map(str, ids[1:4])) + (", …" if len(ids) > 4 else "")
        say_error(f"{len(ids)} recordings are called {which}; this is the newest, the others are {others}")
    return ids[0]


def _facts(found: dict[str, Any], *, full: bool) -> Iterator[tuple[str, str, str]]:
    """Yield what is known, as name, value and style, most important first."""
    state = found["state"]
    if found["duplicate_of"] is not None:
        state += f" of {found['duplicate_of']}; `earshot show {found['duplicate_of']}` has what was found"
    if found["error_code"]:
        state += f" ({found['error_code']})"
    sentiment = found["average_sentiment"]
    cost = found["estimated_cost_usd"]
    facts: list[tuple[str, Any, str]] = [
        (
            "recording",
            f"{found['name']} (not stored)" if found["id"] is None else f"{found['id']}  {found['name']}",
            "bold",
        ),
        ("path", found["path"], ""),
        ("state", state, STATES.get(found["state"], "")),
        ("error", found["error"], ""),
        ("due", found["not_before"] and local_time(found["not_before"]), ""),
        ("recorded", found["recorded_at"] and local_time(found["recorded_at"]), ""),
        ("received", local_time(found["first_seen_at"]), ""),
        ("analyzed", found["analyzed_at"] and local_time(found["analyzed_at"]), ""),
        ("length", found["duration_seconds"] is not None and shown_clock(found["duration_seconds"]), ""),
        ("sentiment", _average(found), SENTIMENTS.get(sentiment or "", "")),
        ("not analyzed", ", ".join(f"{name} ({why})" for name, why in found["not_analyzed"].items()), ""),
        ("tags", ", ".join(found["tags"]), ""),
        ("metadata", ", ".join(f"{key}: {value}" for key, value in found["metadata"].items()), ""),
        # Nothing for the embedded engine, which costs nothing.
        ("cost", cost and f"about {cost:.4f} USD", ""),
        ("original", _original(found.get("original")), ""),
    ]
    if full:
        channels, confidence = found["channels"], found["confidence"]
        facts += [
            ("model", " ".join(part for part in (found["model"], found["language"]) if part), ""),
            ("channels", channels is not None and str(channels), ""),
            ("confidence", confidence is not None and f"{100 * confidence:.0f} % of the transcript", ""),
            ("request", found["request_id"], ""),
            ("sha256", found["sha256"], ""),
        ]
    return ((name, value, style) for name, value, style in facts if value)


def _average(found: dict[str, Any]) -> str:
    if found["average_sentiment"] is None:
        return ""
    return f"{found['average_sentiment']} {score(found['average_sentiment_score'])} on average"


def _original(original: dict[str, Any] | None) -> str:
    """Say what is still to be done with the file, and why."""
    if original is None:
        return ""
    return f"still to be moved or deleted{': ' + original['error'] if original['error'] else ''}"


def _print_plot(screen: Console, recording: dict[str, Any]) -> None:
    plot = sentiment_plot(recording["sentiments"], min(screen.width, 80), recording["duration_seconds"])
    if plot:
        heading(screen, "Sentiment over time")
        for line in plot:
            screen.print(styled(line))


def _print_labels(screen: Console, title: str, lines: list[str], *, full: bool) -> None:
    if not lines:
        return
    heading(screen, title)
    for line in lines if full else lines[:MOST_LABELS]:
        print_wrapped(screen, styled(line), indent=4, first=styled("  "))
    if len(lines) > MOST_LABELS and not full:
        screen.print(styled((f"  and {len(lines) - MOST_LABELS} more; --full shows them", QUIET)))


def _print_alerts(screen: Console, recording: dict[str, Any], *, full: bool) -> None:
    """Print each alert, and what it says: why it fired, or all of it; once for several that say the same."""
    alerts = recording["alerts"]
    if not alerts:
        return
    heading(screen, "Alerts")
    said = set()
    for alert in alerts:
        held = f" ({alert['reason']})" if alert["reason"] else ""
        # Without an id the recording is not stored, and neither is the alert.
        state = f"{alert['id']}{GAP}{alert['state']}{held}" if recording["id"] else f"not sent{held}"
        line = styled(
            (state, STATES.get(alert["state"], "")),
            f"{GAP}{alert['destination']}{GAP}{', '.join(alert['rules'])}",
        )
        print_wrapped(screen, line, indent=6, first=styled("  "))
        text = (alert["body"] if full else alert["body"].partition("\n\n")[0]).splitlines()
        if tuple(text) in said:
            continue
        said.add(tuple(text))
        for each in text:
            print_wrapped(screen, styled(_line(each)), indent=6)


def _print_conversation(screen: Console, found: Document) -> None:
    spoken = turns(found)
    if not spoken:
        return
    heading(screen, f"Conversation{_columns_of(spoken)}")
    print_turns(screen, spoken)
    if rules := rules_looked_at(spoken):
        screen.print()
        print_wrapped(
            screen,
            styled((f"> is what a rule looks at: {', '.join(rules)}", QUIET)),
            indent=2,
            first=styled(),
        )


def _columns_of(spoken: list[Turn]) -> str:
    """Say what stands before the words."""
    known = {
        "time": any(turn.start is not None for turn in spoken),
        "speaker": any(turn.speaker for turn in spoken),
        "sentiment": any(part.score is not None for turn in spoken for part in turn.parts),
    }
    shown = ", ".join(name for name, is_known in known.items() if is_known)
    return f" ({shown})" if shown else ""


def _line(text: str) -> str:
    return " ".join(text.split())
