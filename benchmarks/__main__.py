"""Measure, print a table and write JSON: `python -m benchmarks [--small] [--json FILE] [NAME...]`.

With `--report` it makes the page of what was measured instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from benchmarks import commands, report, rescan, standing, storing, throughput, way, web
from benchmarks.figures import Figure, load, machine, table

BENCHMARKS: dict[str, Callable[..., Iterator[Figure]]] = {
    "throughput": throughput.measure,
    "detection": way.detection,
    "upload": way.upload,
    "backlog": standing.backlog,
    "idle": standing.idle,
    "listing": rescan.measure,
    "commit": storing.commit,
    "long-reply": storing.long_reply,
    "alerts": way.alerts,
    "commands": commands.measure,
    "web": web.measure,
}
"""Each yields figures; with `small` they only show that it works."""


def main() -> None:
    """Measure what is named on the command line, or all."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure earshot beside baselines.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; without, all")
    parser.add_argument("--small", action="store_true", help="show that each works, in seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--report",
        action="store_true",
        help="only write benchmarks/README.md and its pictures from benchmarks/results/*.json",
    )
    chosen = parser.parse_args()
    if unknown := {*chosen.names} - BENCHMARKS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose of {', '.join(BENCHMARKS)}")
    if chosen.report:
        report.write()
    else:
        measure(chosen.names or [*BENCHMARKS], small=chosen.small, into=chosen.json)


def measure(names: list[str], *, small: bool, into: Path | None) -> None:
    """Print a line of each figure as it comes, at the end the table; write JSON where that is wanted."""
    on = machine()
    figures: dict[str, list[Figure]] = {name: [] for name in names}
    for name in names:
        for figure in BENCHMARKS[name](small=small):
            print(table([figure]).splitlines()[-1], file=sys.stderr, flush=True)
            figures[name].append(figure)
    print(table(chain.from_iterable(figures.values())))
    if into:
        found = {name: [asdict(each) for each in figures[name]] for name in names}
        content = {"machine": on | {"load_at_end": load()}, "figures": found}
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
