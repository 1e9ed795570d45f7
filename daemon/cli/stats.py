"""`earshot stats`: what the conversations were like, as a whole and compared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.filters import filter_options
from daemon.cli.look import text_width
from daemon.cli.options import Context, configuration_options, json_option, known_group, pass_context
from daemon.cli.output import plural, print_json, print_line, print_table, score
from daemon.cli.plot import sparkline
from daemon.text import shown_clock

if TYPE_CHECKING:
    from daemon.storage.filters import Filters

SPARK_COLUMNS = 8
LONG_SPARK_COLUMNS = 60
SPARK_TEXT_COLUMNS = 38
"""What stands beside a long one."""
SHOWN_LABELS = 2
NUMBERS = ("recordings", "hours", "average", "negative", "alerts", "useful")

Row = dict[str, Any]
Span = tuple[int, int]


def _group(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from daemon.storage.stats import GROUPS

    return None if value is None else known_group(value, GROUPS)


@click.command(
    epilog="Example: earshot stats --by metadata.agent --recorded-since 30d   or: earshot stats --by week"
)
@configuration_options
@click.option(
    "--by",
    callback=_group,
    metavar="GROUP",
    help="folder, day, week, or metadata.KEY; without it everything together.",
)
@filter_options
@json_option
@pass_context
def stats(context: Context, by: str | None, *, filters: Filters, as_json: bool) -> None:
    """Show in figures how conversations went, and about what.

    Days and weeks are those of `timezone` in the configuration, by when a recording was made. `negative` is
    the share of recordings whose average is negative, `useful` the share of judged alerts that were worth it.
    Without --state only recordings that are done count.
    """
    from daemon.storage.stats import IN_ORDER_OF_TIME, stats_by

    found = stats_by(context.database, by, filters, context.glance.zone)
    if as_json:
        rows = [({by: row["key"]} if by else {}) | {k: row[k] for k in row if k != "key"} for row in found]
        print_json({"by": by, "rows": rows})
    elif by is None:
        _print_all(found[0])
    elif not found:
        print_line("there are no such recordings", err=True)
    else:
        _print_groups(by, found, in_order_of_time=by in IN_ORDER_OF_TIME)


def _print_all(row: Row) -> None:
    print_line(f"recordings  {row['recordings']}, {shown_clock(row['seconds'])} of audio")
    if row["scored"]:
        share = f", {_share(row['negative_share'])} negative" if row["negative_share"] is not None else ""
        print_line(f"average     sentiment {score(row['average'])}{share}, of {row['scored']} with a score")
    judged = f", {row['useful']} of {row['judged']} judged were useful" if row["judged"] else ""
    print_line(f"alerts      {row['alerts']}{judged}")
    for name in ("intents", "topics"):
        if row[name]:
            print_line(f"{name:<12}{_labels(row[name], len(row[name]))}", indent=12)
    _print_sparklines(row["days"])


def _print_sparklines(days: Sequence[Row]) -> None:
    """Print how many recordings there were and how they went, from the first day to the last one."""
    if not days:
        return
    span = _span(days)
    columns = min(LONG_SPARK_COLUMNS, text_width() - SPARK_TEXT_COLUMNS)
    print_line(f"per day     {_volume(days, span, columns)}  {days[0]['day']} to {days[-1]['day']}")
    print_line(f"sentiment   {_scores(days, span, columns)}  from -1 to 1")


def _print_groups(by: str, found: list[Row], *, in_order_of_time: bool) -> None:
    span = _span([day for row in found for day in row["days"]])
    most = max(row["recordings"] for row in found)
    volumes = [
        _bar(row["recordings"], most) if in_order_of_time else _volume(row["days"], span, SPARK_COLUMNS)
        for row in found
    ]
    scores = [() if in_order_of_time else (_scores(row["days"], span, SPARK_COLUMNS),) for row in found]
    print_table(
        (by, *NUMBERS, "" if in_order_of_time else "per day"),
        [(*_cells(row), volume) for row, volume in zip(found, volumes, strict=True)],
        stretch=(by,),
        numbers=NUMBERS,
    )
    print_line()
    print_table(
        (by, *(() if in_order_of_time else ("score",)), "intents", "topics"),
        [(_name(row), *line, *_subjects(row)) for row, line in zip(found, scores, strict=True)],
        stretch=("topics", "intents", by),
    )
    seconds = sum(row["seconds"] for row in found)
    count = plural(sum(row["recordings"] for row in found), "recording")
    print_line(f"{count}, {shown_clock(seconds)} of audio in all", err=True)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        _name(row),
        str(row["recordings"]),
        f"{row['seconds'] / 3600:.1f}",
        score(row["average"]),
        _share(row["negative_share"]),
        str(row["alerts"]),
        _share(row["precision"]),
    )


def _bar(count: int, most: int) -> str:
    return "█" * round(SPARK_COLUMNS * count / most)


def _name(row: Row) -> str:
    return str(row["key"] or "-")


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _subjects(row: Row) -> tuple[str, ...]:
    return tuple(_labels(row[name], SHOWN_LABELS) for name in ("intents", "topics"))


def _labels(labels: Sequence[Row], most: int) -> str:
    """The most frequent intents or topics, each behind its number of recordings."""
    shown = [[*label.values()] for label in labels[:most]]
    return ", ".join(f"{count} {text}" for text, count in shown)


def _span(days: Sequence[Row]) -> Span:
    """The first and the last day, as numbers."""
    numbers = [_number(row) for row in days]
    return min(numbers), max(numbers)


def _number(day: Row) -> int:
    return date.fromisoformat(day["day"]).toordinal()


def _volume(days: Sequence[Row], span: Span, columns: int) -> str:
    parts = _parts(days, span, columns)
    return sparkline([sum(row["recordings"] for row in part) or None for part in parts], low=0.0)


def _scores(days: Sequence[Row], span: Span, columns: int) -> str:
    means: list[float | None] = []
    for part in _parts(days, span, columns):
        scores = [row["average"] for row in part if row["average"] is not None]
        means.append(sum(scores) / len(scores) if scores else None)
    return sparkline(means, low=-1.0, high=1.0)


def _parts(days: Sequence[Row], span: Span, columns: int) -> list[list[Row]]:
    """The days in at most `columns` parts of about the same length."""
    first, last = span
    length = last - first + 1
    parts: list[list[Row]] = [[] for _ in range(min(columns, length))]
    for row in days:
        parts[(_number(row) - first) * len(parts) // length].append(row)
    return parts
