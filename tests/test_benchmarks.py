"""Each benchmark works; how fast anything is, is looked at by people (`scripts/bench`)."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.figures import Figure, table


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_measures_something(name: str) -> None:
    figures = list(BENCHMARKS[name](small=True))
    assert figures
    assert table(figures).count("\n") == len(figures) + 1


def test_a_figure_is_shown_beside_its_baseline() -> None:
    lines = table([Figure("work", 12.0, "/s", "ideal", 16.0), Figure("other", 0.5, "ms")]).splitlines()
    assert lines[2:] == ["| work | 12 /s | ideal: 16 /s | 0.75 |", "| other | 0.5 ms |  |  |"]
