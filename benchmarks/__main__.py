"""Measure, print a table and write JSON: `python -m benchmarks [--small] [--json FILE] [NAME...]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import commands, standing, storing, throughput, way, web
from benchmarks.figures import Figure, machine, table

BENCHMARKS: dict[str, Callable[..., Iterator[Figure]]] = {
    "throughput": throughput.measure,
    "detection": way.detection,
    "upload": way.upload,
    "backlog": standing.backlog,
    "idle": standing.idle,
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
    chosen = parser.parse_args()
    if unknown := {*chosen.names} - BENCHMARKS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose of {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    for name in chosen.names or BENCHMARKS:
        for figure in BENCHMARKS[name](small=chosen.small):
            print(table([figure]).splitlines()[-1], file=sys.stderr, flush=True)
            figures.append(figure)
    print(table(figures))
    if chosen.json:
        content = {"machine": machine(), "figures": [figure.row() for figure in figures]}
        chosen.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
