"""`earshot reanalyze`: what was analyzed before, again: by the rules, as text, or from the audio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.consent import ask, say_limits, shown_estimate
from daemon.cli.filters import filter_options_with
from daemon.cli.options import Context, configuration_options, json_option, pass_context, say_error
from daemon.cli.output import plural, print_json, print_line
from daemon.cli.privacy import hide_memory
from daemon.cli.progress import count_bar
from daemon.errors import EXIT_FAILED
from daemon.text import shown_usd

if TYPE_CHECKING:
    from array import array

    from daemon.runtime.reanalysis import Outcome
    from daemon.storage.filters import Filters

BATCH = 200
"""Recordings that are put back in one transaction, so that nobody else waits long for it."""
GONE = "no longer where they were"


@click.command(epilog="Example: earshot reanalyze --text --since 30d --folder /srv/recordings/support")
@configuration_options
@filter_options_with("--search")
@click.option("--rules", is_flag=True, help="Only the rules, over what is stored: free.")
@click.option("--text", "as_text", is_flag=True, help="The stored transcripts, with the present features.")
@click.option("--audio", is_flag=True, help="The recordings themselves, where they are still there.")
@click.option("--alerts", is_flag=True, help="Send the alerts that this causes; else they are held back.")
@click.option(
    "--anew", is_flag=True, help="With --text: also what was analyzed with the present settings already."
)
@click.option("--yes", is_flag=True, help="Without asking.")
@json_option
@pass_context
def reanalyze(
    context: Context,
    *,
    filters: Filters,
    rules: bool,
    as_text: bool,
    audio: bool,
    alerts: bool,
    anew: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Analyze again, by the present rules and settings.

    Say how: --rules, --text or --audio. Count and estimated cost are shown first, and nothing is done without
    a yes. Without filters it means all recordings that are done; a copy stands for its original.

    Alerts are stored as suppressed (`reanalyzed`) unless you add --alerts. Nobody is told of the same rule
    twice for a recording.

    The result of --text replaces the old one once it is there. If it is ended early, the same command goes on
    with the rest. --audio puts recordings back into the queue.
    """
    from daemon.storage.filters import matching_ids
    from daemon.storage.results import analyzed_among

    hide_memory()
    modes = [name for name, is_on in (("rules", rules), ("text", as_text), ("audio", audio)) if is_on]
    if len(modes) != 1:
        raise click.UsageError("say how, by one of --rules, --text and --audio")
    if anew and not as_text:
        raise click.UsageError("--anew goes with --text")
    (mode,) = modes
    ids = analyzed_among(context.database, matching_ids(context.database, filters))
    if rules:
        document = _rules(context, ids, muted=not alerts, yes=yes, quiet=as_json)
    elif as_text:
        document = _text(context, ids, muted=not alerts, anew=anew, yes=yes, quiet=as_json)
    else:
        document = _audio(context, ids, muted=not alerts, yes=yes)
    if as_json:
        print_json({"mode": mode, **document})
    else:
        _print(mode, document)
    if document["failed"] or document["held"]:
        click.get_current_context().exit(EXIT_FAILED)


def _rules(context: Context, ids: array[int], *, muted: bool, yes: bool, quiet: bool) -> dict[str, Any]:
    from daemon.runtime.reanalysis import run_rules

    print_line(f"{plural(len(ids), 'recording')}, free of charge; {_of_alerts(muted)}", err=True)
    if not ids:
        return _document(0, 0.0)
    ask("Apply the rules to them?", yes=yes, what="changed")
    with _bar("rules", len(ids), quiet=quiet) as show:
        outcome = run_rules(context.database, context.config, ids, muted=muted, env=context.env, show=show)
    return _document(len(ids), 0.0, outcome)


def _text(
    context: Context, ids: array[int], *, muted: bool, anew: bool, yes: bool, quiet: bool
) -> dict[str, Any]:
    from daemon.runtime.reanalysis import plan_reading, run_reading

    config = context.config
    plan = plan_reading(context.database, config, ids, anew=anew)
    count, usd = len(plan.ids), plan.usd
    text = f"{plural(count, 'recording')}, {_cost(usd)} ({plan.words:,} words){_left_out(plan.left_out)}"
    print_line(f"{text}; {_of_alerts(muted)}", err=True)
    if not count:
        return _document(0, 0.0, left_out=plan.left_out)
    ask("Analyze them again?", yes=yes)
    # A running service asks for as many at once as it may; together it should not be twice as many.
    most = config.analyzer.concurrency
    concurrency = max(1, most // 2) if _is_running(context) else most
    with _bar("transcripts", count, quiet=quiet) as show:
        outcome = run_reading(
            config, plan.ids, muted=muted, concurrency=concurrency, env=context.env, show=show
        )
    return _document(count, usd, outcome, left_out=plan.left_out)


def _audio(context: Context, ids: array[int], *, muted: bool, yes: bool) -> dict[str, Any]:
    from daemon.costs.estimate import estimate
    from daemon.runtime.reanalysis import Outcome
    from daemon.storage.database import transaction
    from daemon.storage.limits import limits_holding
    from daemon.storage.requeue import requeue_done
    from daemon.storage.views import sources

    total, there = estimate(sources(context.database, ids), context.config)
    left_out = Counter({GONE: len(ids) - len(there)}) if len(there) < len(ids) else Counter()
    text = f"{plural(total.recordings, 'recording')}, {shown_estimate(total)}" if there else "0 recordings"
    print_line(f"{text}{_left_out(left_out)}; {_of_alerts(muted)}", err=True)
    usd = total.usd.usual if total.usd else None
    if not there:
        return _document(0, 0.0, left_out=left_out)
    ask("Analyze them again?", yes=yes)
    queued = 0
    for start in range(0, len(there), BATCH):
        with transaction(context.database) as db:
            queued += requeue_done(db, there[start : start + BATCH], datetime.now(UTC), muted=muted)
    document = _document(len(there), usd, Outcome(done=queued), left_out=left_out)
    limits = limits_holding(context.database, there)
    return document | {"is_running": _is_running(context), "limits": limits}


def _cost(usd: float | None) -> str:
    if usd is None:
        return "at a price that is not known"
    if not usd:
        return "free of charge"
    return f"about {shown_usd(usd)} USD by the price list"


def _of_alerts(muted: bool) -> str:
    return "alerts are held back" if muted else "alerts are sent"


def _left_out(left_out: Counter[str]) -> str:
    return "".join(f"; {count} left out, {reason}" for reason, count in sorted(left_out.items()))


def _is_running(context: Context) -> bool:
    from daemon.storage.lock import daemon_status

    return bool(daemon_status(context.config.database)["running"])


@contextmanager
def _bar(text: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    with count_bar(quiet=quiet) as advance:
        yield lambda done: advance(text, done, total)


def _document(
    count: int, usd: float | None, outcome: Outcome | None = None, *, left_out: Counter[str] | None = None
) -> dict[str, Any]:
    """Return what is printed with --json; `recordings` is how many were meant, without those left out."""
    done = outcome.done if outcome else 0
    failed = outcome.failed if outcome else {}
    return {
        "recordings": count,
        "left_out": dict(left_out or {}),
        "estimated_cost_usd": usd and round(usd, 4),
        "done": done,
        "left": count - done - len(failed) if outcome and outcome.held else 0,
        "failed": [{"id": number, "reason": reason} for number, reason in sorted(failed.items())],
        "held": outcome.held if outcome else None,
        "alerts": dict(outcome.alerts) if outcome else {},
    }


def _print(mode: str, document: dict[str, Any]) -> None:
    if not document["recordings"]:
        return
    done = plural(document["done"], "recording")
    if mode == "audio":
        who = "the running service analyzes" if document["is_running"] else "`earshot run` or `scan` analyzes"
        print_line(f"{done} back in the queue; {who} them")
        say_limits(document["limits"])
        return
    what = "looked at" if mode == "rules" else "analyzed again"
    print_line(f"{done} {what}; {_alerts(document['alerts'])}")
    for each in document["failed"]:
        say_error(f"recording {each['id']} not analyzed: {each['reason']}")
    if document["held"]:
        say_error(
            f"{plural(document['left'], 'recording')} left, because {document['held']};"
            " the same command goes on with them"
        )


def _alerts(alerts: dict[str, int]) -> str:
    """Return `3 alerts to be sent, 2 held back (age 1, cooldown 1)`."""
    pending = alerts.get("pending", 0)
    held = {reason: count for reason, count in sorted(alerts.items()) if reason != "pending"}
    text = f"{plural(pending, 'alert')} to be sent"
    if held:
        reasons = ", ".join(f"{reason} {count}" for reason, count in held.items())
        text += f", {sum(held.values())} held back ({reasons})"
    return text
