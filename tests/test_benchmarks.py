"""Each benchmark works; how fast anything is, is looked at by people (`scripts/bench`)."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import report
from benchmarks.__main__ import BENCHMARKS
from benchmarks.figures import Figure, machine, table
from benchmarks.picture import svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_measures_something(name: str) -> None:
    figures = list(BENCHMARKS[name](small=True))
    assert figures
    assert table(figures).count("\n") == len(figures) + 1


def test_a_figure_is_shown_beside_its_baseline() -> None:
    lines = table([Figure("work", 12.0, "/s", "ideal", 16.0), Figure("other", 0.5, "ms")]).splitlines()
    assert lines[2:] == ["| work | 12 /s | ideal: 16 /s | 0.75 |", "| other | 0.5 ms |  |  |"]


def test_a_picture_has_a_bar_for_each_figure_its_unit_and_words_for_who_does_not_see_it() -> None:
    figures = [Figure(f"10 at once: {who}", 40.0 - n, "/s", "ideal", 40.0) for n, who in enumerate("ab")]
    title, groups = report.pictures({"throughput": figures})["throughput"]
    drawn = ElementTree.fromstring(svg(title, groups))  # noqa: S314 - our own
    texts = [each.text for each in drawn.iter(f"{SVG}text")]
    assert len(list(drawn.iter(f"{SVG}rect"))) == 1 + len(figures), "the paper, and the bars"
    assert {"10 at once", "a", "b", "40", "39", "/s", "ideal", "0"} <= {*texts}
    assert drawn.findtext(f"{SVG}desc") == "10 at once: a 40 /s, b 39 /s."
    assert "prefers-color-scheme: dark" in (drawn.findtext(f"{SVG}style") or "")


def test_of_several_runs_the_last_counts_and_each_is_said_with_its_machine() -> None:
    runs = [
        {"machine": machine() | {"began_at": at, "load_at_end": 0.5}, "figures": figures}
        for at, figures in (
            ("2026-02-01", {"idle": [asdict(Figure("idle", 2.0, "%"))]}),
            (
                "2026-01-01",
                {"idle": [asdict(Figure("idle", 9.0, "%"))], "web": [asdict(Figure("web", 7.0, "s"))]},
            ),
            ("2026-01-02", {"web": [asdict(Figure("web", 8.0, "s"))]}),
        )
    ]
    said = report.section(report.counted(runs))
    assert "| idle | 2 % |  |  |" in said
    assert "| idle | 9 % |" not in said
    assert [line.partition(",")[0] for line in said.splitlines() if line.startswith("- ")] == [
        "- web: 2026-01-02",
        "- idle: 2026-02-01",
    ]


def test_the_page_is_what_the_results_say(tmp_path: Path) -> None:
    shutil.copy(report.HERE / "README.md", tmp_path)
    report.write(tmp_path)
    for made in tmp_path.iterdir():
        assert made.read_text("utf-8") == (report.HERE / made.name).read_text("utf-8"), (
            "scripts/bench --report"
        )
