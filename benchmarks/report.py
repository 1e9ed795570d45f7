"""The tables and pictures of benchmarks/README.md, made from the files that `scripts/bench --json` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, table
from benchmarks.picture import Bar, Group, svg

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BEGIN = "<!-- From here on by scripts/bench --report. -->"
PICTURES = {
    "throughput": ("throughput", "/s", "Files a second"),
    "processor-time": ("throughput", "ms", "Processor time of a file"),
    "commands": ("commands", "ms CPU", "Processor time of commands"),
    "web": ("web", "ms", "Processor time of a web page"),
}
"""By name of the file: the benchmark and the unit of the figures that are drawn, and the title."""

Run = dict[str, Any]
Drawn = dict[str, tuple[str, list[Group]]]
"""By name of the file: title and bars."""


def write(folder: Path = HERE, results: Path = RESULTS) -> None:
    """Write what was measured into the folder's README.md, and the pictures beside it."""
    runs = counted(json.loads(path.read_text("utf-8")) for path in results.glob("*.json"))
    page = folder / "README.md"
    written = page.read_text("utf-8").partition(BEGIN)[0]
    page.write_text(written + BEGIN + "\n" + section(runs), encoding="utf-8")
    for name, (title, groups) in pictures(by_benchmark(runs)).items():
        (folder / f"{name}.svg").write_text(svg(title, groups), encoding="utf-8")


def counted(runs: Iterable[Run]) -> list[Run]:
    """Return the runs in order of time, each with the figures of the benchmarks that no later one has."""
    ordered = sorted(runs, key=lambda run: str(run["machine"]["began_at"]))
    last = {name: run for run in ordered for name in run["figures"]}
    return [
        run | {"figures": {name: each for name, each in run["figures"].items() if last[name] is run}}
        for run in ordered
        if run in last.values()
    ]


def by_benchmark(runs: Iterable[Run]) -> dict[str, list[Figure]]:
    """Return the figures of each benchmark."""
    return {
        name: [Figure(**each) for each in figures] for run in runs for name, figures in run["figures"].items()
    }


def section(runs: list[Run]) -> str:
    """Return the part of the page that says where the figures are from, shows and lists them."""
    figures = by_benchmark(runs)
    drawn = pictures(figures)
    lines = ["", *map(_machine, runs), ""]
    for name, each in figures.items():
        lines += [f"### {name[0].upper()}{name[1:]}", ""]
        for file, (benchmark, _, _) in PICTURES.items():
            if benchmark == name and file in drawn:
                title, _ = drawn[file]
                lines += [f"![{title}; the table below has the figures]({file}.svg)", ""]
        lines += [table(each), ""]
    return "\n".join(lines)


def _machine(run: Run) -> str:
    on = run["machine"]
    return (
        f"- {', '.join(run['figures'])}: {on['began_at'][:10]}, {on['processors']} processors"
        f" ({on['processor']}), {on['system']}, Python {on['python']}, SQLite {on['sqlite']}."
        f" Load {on['load_at_begin']:g} as it began and {on['load_at_end']:g} as it ended."
    )


def pictures(figures: dict[str, list[Figure]]) -> Drawn:
    """Return what is drawn: a bar for each figure, those together whose work begins alike."""
    drawn: Drawn = {}
    for name, (benchmark, unit, title) in PICTURES.items():
        shown = [each for each in figures.get(benchmark, ()) if each.unit == unit]
        groups = [_group(work, list(each)) for work, each in groupby(shown, _before_the_colon)]
        if groups:
            drawn[name] = title, groups
    return drawn


def _before_the_colon(figure: Figure) -> str:
    return figure.work.partition(": ")[0]


def _group(work: str, figures: list[Figure]) -> Group:
    labels = [each.work.removeprefix(f"{work}: ") for each in figures]
    bars = tuple(
        Bar(label, each.value, each.baseline, is_ours=label.startswith("earshot") or "earshot" not in labels)
        for label, each in zip(labels, figures, strict=True)
    )
    return Group(work, figures[0].unit, bars, figures[0].beside)
