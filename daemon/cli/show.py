"""`earshot show`: everything about one recording."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli.options import Context, configuration_options, json_option, pass_context, row_id
from daemon.cli.output import local_time, print_json, print_paragraph, score, text_width
from daemon.cli.plot import sentiment_plot
from daemon.errors import UsageError
from daemon.export.facts import labels
from daemon.logs import escaped
from daemon.text import shown_clock


@click.command(epilog="Example: earshot show 17 | less")
@configuration_options
@click.argument("recording_id", type=row_id, metavar="ID")
@json_option
@pass_context
def show(context: Context, recording_id: int, as_json: bool) -> None:
    """Show one recording with everything found in it.

    Facts, summary, sentiment over time, intents, topics, alerts and transcript.
    """
    from daemon.storage.originals import original_of_recording
    from daemon.storage.views import recording

    found = recording(context.database, recording_id)
    if found is None:
        raise UsageError(f"there is no recording {recording_id}; `earshot list` shows them")
    found["original"] = original_of_recording(context.database, recording_id)
    if as_json:
        print_json(found)
    else:
        print_recording(found)


def print_recording(found: dict[str, Any]) -> None:
    """Print a recording with its parts, as `storage.views.recording` returns it."""
    for name, value in _facts(found):
        click.echo(f"{name:<14}{escaped(value)}")
    if found["summary"]:
        _heading("Summary")
        print_paragraph(found["summary"])
    plot = sentiment_plot(found["sentiments"], min(text_width(), 80), found["duration_seconds"])
    if plot:
        _heading("Sentiment over time")
        click.echo("\n".join(plot))
    for title, rows, label in (("Intents", "intents", "intent"), ("Topics", "topics", "topic")):
        if found[rows]:
            _heading(title)
            for line in labels(found[rows], label):
                click.echo(f"  {escaped(line)}")
    if found["alerts"]:
        _heading("Alerts")
        for alert in found["alerts"]:
            click.echo(f"  {escaped(_alert(alert))}")
    if found["transcript"]:
        _heading("Transcript")
        print_paragraph(found["transcript"])


def _heading(text: str) -> None:
    click.echo(f"\n{text}")


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known, as (name, value), most important first."""
    state = found["state"]
    if found["duplicate_of"] is not None:
        state += f" of {found['duplicate_of']}"
    if found["error_code"]:
        state += f" ({found['error_code']})"
    facts: list[tuple[str, Any]] = [
        ("recording", "-" if found["id"] is None else f"{found['id']}  {found['name']}"),
        ("path", found["path"]),
        ("state", state),
        ("error", found["error"]),
        ("due", found["not_before"] and local_time(found["not_before"])),
        ("recorded", found["recorded_at"] and local_time(found["recorded_at"])),
        ("first seen", local_time(found["first_seen_at"])),
        ("analyzed", found["analyzed_at"] and local_time(found["analyzed_at"])),
        ("length", found["duration_seconds"] is not None and shown_clock(found["duration_seconds"])),
        ("model", " ".join(part for part in (found["model"], found["language"]) if part)),
        ("channels", found["channels"] is not None and str(found["channels"])),
        ("sentiment", _average(found)),
        ("confidence", found["confidence"] is not None and f"{found['confidence']:.2f}"),
        ("not analyzed", ", ".join(f"{name} ({why})" for name, why in found["not_analyzed"].items())),
        ("tags", ", ".join(found["tags"])),
        ("metadata", ", ".join(f"{key}: {value}" for key, value in found["metadata"].items())),
        # Nothing for the embedded engine, which costs nothing.
        ("cost", found["estimated_cost_usd"] and f"about {found['estimated_cost_usd']:.4f} USD"),
        ("request", found["request_id"]),
        ("original", _original(found.get("original"))),
    ]
    return [(name, value) for name, value in facts if value]


def _average(found: dict[str, Any]) -> str:
    if found["average_sentiment"] is None:
        return ""
    return f"{found['average_sentiment']} {score(found['average_sentiment_score'])} on average"


def _original(original: dict[str, Any] | None) -> str:
    """Say what is still to be done with the file, and why."""
    if original is None:
        return ""
    return f"still to be moved or deleted{': ' + original['error'] if original['error'] else ''}"


def _alert(alert: dict[str, Any]) -> str:
    held = f" ({alert['reason']})" if alert["reason"] else ""
    return f"{alert['id']}  {alert['state']}{held}  {alert['destination']}  {', '.join(alert['rules'])}"
