"""`earshot costs` and what `status` says of this month."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from daemon.models import iso
from tests.cli.sites import Site

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def spent(site: Site) -> Site:
    site.add("recordings", id=1, state="done", metadata={"agent": "ann"})
    listed = {"model": "nova-3", "seconds": 60.0, "input_tokens": 300, "output_tokens": 40, "folder": "/a"}
    for at, usd in (
        ("2026-03-31T21:30:00.000Z", 0.5),
        ("2026-03-31T22:30:00.000Z", 1.5),
        (iso(datetime.now(UTC)), 2.0),
    ):
        site.add("costs", recording_id=1, at=at, usd=usd, **listed)
    site.configure(timezone="Europe/Berlin")
    return site


def test_costs_are_shown_by_month_with_bars(run: Run, spent: Site, on_terminal: Callable[..., str]) -> None:
    answer = run("costs", "--by", "month", "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert (found["usd"], found["unpriced"], found["since"]) == (4.0, 0, None)
    assert [(row["month"], row["usd"], row["requests"]) for row in found["rows"][:2]] == [
        ("2026-03", 0.5, 1),
        ("2026-04", 1.5, 1),
    ]
    shown = on_terminal("costs", "--by", "metadata.agent", "--since", "2026-04-01T00:00:00+02:00")
    assert "ann" in shown
    assert "3.50" in shown
    assert "█" in shown


def test_recordings_that_were_deleted_still_count(run: Run, spent: Site) -> None:
    spent.sql("DELETE FROM recordings")
    rows = json.loads(run("costs", "--by", "month", "--json").stdout)["rows"]
    assert [row["recordings"] for row in rows] == [1, 1, 1]


def test_this_month_is_in_status(run: Run, spent: Site) -> None:
    assert json.loads(run("status", "--json").stdout)["cost_month_usd"] == 2.0
    assert "about 2.00 USD this month" in run("status").stdout


def test_a_fraction_of_a_cent_is_not_shown_as_nothing(run: Run, spent: Site) -> None:
    spent.sql("UPDATE costs SET usd = 0.002692 WHERE usd = 2.0")
    assert "about 0.0027 USD this month" in run("status").stdout
    answer = run("costs", "--since", iso(datetime.now(UTC) - timedelta(days=1)))
    assert ("0.0027" in answer.stdout, answer.stderr) == (True, "about 0.0027 USD in all\n")


def test_a_group_that_there_is_not_is_wrong_usage(run: Run, site: Site) -> None:
    answer = run("costs", "--by", "metadata.")
    assert answer.returncode == 2
    assert "metadata.KEY" in answer.stderr
