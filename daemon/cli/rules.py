"""`earshot rules test`: what the rules would have done with what is stored."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.filters import filter_options
from daemon.cli.groups import Group
from daemon.cli.options import Context, configuration_options, json_option, pass_context
from daemon.cli.output import local_time, plural, print_json, print_line, print_paragraph, print_table
from daemon.cli.progress import Advance, count_bar
from daemon.errors import UsageError
from daemon.text import shown_clock

SHOWN_EVERY = 100
"""Recordings from one move of the progress bar to the next."""

QUOTE_LENGTH = 200
"""Characters of a passage shown beside its reasons."""

if TYPE_CHECKING:
    from daemon.config.models import Config, Rule
    from daemon.models import Conversation, Segment
    from daemon.runtime.backtest import Example, Outcome
    from daemon.storage.filters import Filters
    from daemon.storage.verdicts import Verdicts

    Stored = tuple[str, Conversation]


@click.group(cls=Group, epilog="Example: earshot rules test --since 30d")
@configuration_options
def rules() -> None:
    """Try the rules of the configuration."""


@rules.command("test", epilog='Example: earshot rules test --since 30d --rule "unhappy caller"')
@configuration_options
@filter_options
@click.option("--rule", "name", metavar="NAME", help="Only this rule, with its newest recordings and quotes.")
@json_option
@pass_context
def test_rules(context: Context, *, filters: Filters, name: str | None, as_json: bool) -> None:
    """Run the rules over what is stored.

    Says for which recordings each rule would have fired: nothing is sent, stored or paid for. For a rule
    by itself `suppressed` counts what cooldown and burst would have held back, `unknown` the recordings
    without the analysis that it needs, and `precision` the alerts that people found useful.
    """
    from daemon.runtime.backtest import backtest, needed_tables
    from daemon.storage.filters import matching_ids
    from daemon.storage.results import analyzed_among, stored_conversations
    from daemon.storage.verdicts import Verdicts, verdicts_by_rule

    chosen = _chosen(context.unsent_config, name)
    db = context.database
    ids = analyzed_among(db, matching_ids(db, filters))
    tables = needed_tables(chosen, quoted=name is not None)
    with count_bar(quiet=as_json) as show:
        stored = _counted(stored_conversations(db, ids, tables=tables), len(ids), show)
        count, outcomes = backtest(chosen, stored)
    verdicts = verdicts_by_rule(db)
    rows = [_row(each, verdicts.get(each.rule.name, Verdicts()), context.unsent_config) for each in outcomes]
    if as_json:
        with_examples = [
            row | ({"examples": [_example(one) for one in each.examples]} if name else {})
            for row, each in zip(rows, outcomes, strict=True)
        ]
        print_json(with_examples)
        return
    print_line(f"{plural(count, 'recording')} tested")
    if not rows:
        print_line("the configuration has no rules")
        return
    print_table(
        ("rule", "matches", "peak/day", "suppressed", "unknown", "precision"),
        [_cells(row, verdicts.get(row["name"], Verdicts())) for row in rows],
        stretch=("rule",),
        numbers=("matches", "peak/day", "suppressed", "unknown", "precision"),
    )
    for each in outcomes if name else ():
        _print_examples(each)


def _counted(found: Iterable[Stored], total: int, show: Advance) -> Iterator[Stored]:
    for done, each in enumerate(found):
        if not done % SHOWN_EVERY:
            show("testing", done, total)
        yield each


def _chosen(config: Config, name: str | None) -> tuple[Rule, ...]:
    rules = config.alerts.rules
    if name is None:
        return rules
    chosen = tuple(rule for rule in rules if rule.name == name)
    if not chosen:
        names = [rule.name for rule in rules]
        near = difflib.get_close_matches(name, names, n=1)
        known = ", ".join(names) or "none"
        hint = f"did you mean '{near[0]}'?" if near else f"the configuration has: {known}"
        raise UsageError(f"there is no rule '{name}'; {hint}")
    return chosen


def _row(outcome: Outcome, verdicts: Verdicts, config: Config) -> dict[str, Any]:
    from daemon.config.times import zone_of
    from daemon.runtime.backtest import held_back, peak_per_day

    return {
        "name": outcome.rule.name,
        "matches": len(outcome.fired),
        "peak_per_day": peak_per_day(outcome.fired, zone_of(config.timezone)),
        "suppressed": held_back(outcome.fired, outcome.rule, config.alerts),
        "unknown": outcome.unknown,
        "precision": verdicts.precision,
        "recordings": [each.recording_id for each in outcome.fired],
    }


def _cells(row: dict[str, Any], verdicts: Verdicts) -> tuple[str, ...]:
    precision = "" if row["precision"] is None else f"{100 * row['precision']:.0f} % of {verdicts.total}"
    counts = (row["matches"], row["peak_per_day"], row["suppressed"], row["unknown"])
    return (row["name"], *map(str, counts), precision)


def _example(example: Example) -> dict[str, Any]:
    quotes = [
        {
            "text": segment.text,
            "start_seconds": segment.start_seconds,
            "speaker": segment.speaker,
            "kind": segment.kind,
            "label": segment.label,
            "score": segment.score,
        }
        for segment in example.segments
    ]
    return {"recording_id": example.recording_id, "reasons": list(example.reasons), "quotes": quotes}


def _print_examples(outcome: Outcome) -> None:
    """Print the newest first, each with what its alert would have said."""
    shown = sorted(outcome.examples, key=lambda each: (each.at, each.recording_id), reverse=True)
    for each in shown:
        print_line()
        print_line(f"recording {each.recording_id}  {local_time(each.at)}  {each.name}", indent=2)
        print_paragraph("; ".join(each.reasons), indent="  ")
        for segment in each.segments:
            print_paragraph(_quote(segment), indent="  ")
    more = len(outcome.fired) - len(shown)
    if more:
        print_line(f"\nand {plural(more, 'recording')} more; --json has all their ids")


def _quote(segment: Segment) -> str:
    from daemon.text import shorten, shown_meaning

    time = "" if segment.start_seconds is None else f"[{shown_clock(segment.start_seconds)}]"
    meaning = shown_meaning(segment.kind, segment.label, segment.score)
    start = " ".join(filter(None, (time, segment.speaker, f"({meaning})" if meaning else "")))
    text = f'"{shorten(" ".join(segment.text.split()), QUOTE_LENGTH)}"'
    return f"{start}: {text}" if start else text
