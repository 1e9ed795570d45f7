"""`earshot search`: recordings by the words in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from daemon.cli.columns import (
    columns_option,
    csv_option,
    picked,
    print_columns,
    print_csv,
    wanted_columns,
)
from daemon.cli.filters import filter_options
from daemon.cli.look import FOUND, QUIET, SENTIMENTS, console, print_wrapped, styled, text_width
from daemon.cli.options import Context, configuration_options, json_option, pass_context, row_limit
from daemon.cli.output import GAP, local_time, print_json, score

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.storage.filters import Filters

HITS = 20
INDENT = 8
NONE = "nothing found"
MARKS = ("\x02", "\x03")
"""Around what was found, where it is shown in bold: controls are in no stored text."""


@click.command(epilog="""Example: earshot search 'refund* "credit card"'""")
@configuration_options
@click.argument("words", nargs=-1, required=True)
@filter_options
@click.option("--limit", metavar="N", type=row_limit, default=HITS, show_default=True, help="Hits at most.")
@columns_option
@csv_option
@json_option
@pass_context
def search(
    context: Context,
    words: tuple[str, ...],
    *,
    filters: Filters,
    limit: int,
    columns: tuple[str, ...],
    as_csv: bool,
    as_json: bool,
) -> None:
    """Search transcripts, summaries and names for WORDS.

    All of them must be there; the best hits come first, of more than 1,000 the newest.
    word* finds words that begin with it; "two words" in quotes (which your shell must keep) finds a phrase.
    """
    from daemon.storage.views import search as find

    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    if as_csv or as_json or columns:
        chosen = wanted_columns(context.database, columns, "snippet")
        rows = find(context.database, " ".join(words), limit, filters)
        if as_json:
            print_json([picked(row, chosen) for row in rows])
        elif as_csv:
            print_csv(rows, chosen)
        else:
            print_columns(rows, chosen, none=NONE)
        return
    screen = console(width=text_width())
    marks = MARKS if screen.color_system is not None and not screen.no_color else ("[", "]")
    hits = find(context.database, " ".join(words), limit, filters, marks=marks)
    for number, hit in enumerate(hits):
        if number:
            screen.print()
        _print_hit(screen, hit)
    if not hits:
        click.echo(NONE, err=True)


def _print_hit(screen: Console, hit: dict[str, Any]) -> None:
    label = hit["average_sentiment"]
    mood = f"{label} {score(hit['average_sentiment_score'])}" if label else ""
    name = styled((f"{hit['id']:>{INDENT - 2}}  ", QUIET), (hit["name"], "bold"))
    moment = local_time(hit["recorded_at"] or hit["first_seen_at"])
    facts = styled((moment, QUIET), "  " if mood else "", (mood, SENTIMENTS.get(label or "", "")))
    if name.cell_len + len(GAP) + facts.cell_len <= screen.width:
        screen.print(name + styled(GAP) + facts)
    else:
        screen.print(name)
        screen.print(styled(" " * INDENT) + facts)
    parts = " ".join(hit["snippet"].split()).replace(MARKS[1], MARKS[0]).split(MARKS[0])
    said = ((part, FOUND if number % 2 else "") for number, part in enumerate(parts))
    print_wrapped(screen, styled(*said), indent=INDENT)
