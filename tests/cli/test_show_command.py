"""`earshot show` and `earshot search`: one recording in full, and finding it again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from daemon.cli.plot import sentiment_plot
from tests.cli.sites import PUBLIC_COLUMNS, SEEN_AT, Site

Run = Callable[..., subprocess.CompletedProcess[str]]

SEGMENT = {"start_word": 0, "end_word": 3, "start_seconds": 0.0, "end_seconds": 30.0, "speaker": "customer"}


def add_call(site: Site) -> None:
    site.add(
        "recordings",
        id=7,
        state="done",
        analyzed_at=SEEN_AT,
        duration_seconds=94.0,
        transcript="I want my money back. " * 20,
        summary="The customer asks for a refund.",
        average_sentiment="negative",
        average_sentiment_score=-0.52,
        not_analyzed={"topics": "language"},
    )
    site.add(
        "sentiments",
        recording_id=7,
        position=0,
        text="x",
        sentiment="negative",
        sentiment_score=-0.9,
        **SEGMENT,
    )
    site.add(
        "intents", recording_id=7, position=0, text="x", intent="refund", confidence_score=3.4e-6, **SEGMENT
    )
    site.add(
        "intents",
        recording_id=7,
        position=1,
        text="x",
        intent="refund",
        confidence_score=0.5,
        start_seconds=61.0,
    )
    site.add("alerts", id=3, recording_id=7, state="suppressed", reason="age", rules=["unhappy caller"])


def test_json_is_the_row_with_its_parts(run: Run, site: Site) -> None:
    add_call(site)
    found = json.loads(run("show", "7", "--json").stdout)
    assert list(found) == [*PUBLIC_COLUMNS, "sentiments", "topics", "intents", "alerts", "original"]
    assert found["sentiments"] == [
        {"recording_id": 7, "position": 0, "text": "x"}
        | SEGMENT
        | {"sentiment": "negative", "sentiment_score": -0.9}
    ]
    assert found["topics"] == []
    assert [intent["confidence_score"] for intent in found["intents"]] == [3.4e-6, 0.5]
    assert found["alerts"] == [
        {
            "id": 3,
            "recording_id": 7,
            "destination": "team",
            "target": 0,
            "rules": ["unhappy caller"],
            "severity": "warning",
            "state": "suppressed",
            "reason": "age",
            "attempts": 0,
            "not_before": None,
            "created_at": SEEN_AT,
            "sent_at": None,
            "error": None,
            "title": "T",
            "body": "B",
        }
    ]


def test_text_has_everything_a_person_asks_for(run: Run, site: Site) -> None:
    add_call(site)
    text = run("show", "7").stdout
    for expected in (
        "recording     7  call-7.wav",
        "length        01:34",
        "sentiment     negative -0.52 on average",
        "not analyzed  topics (language)",
        "The customer asks for a refund.",
        "refund (50 %) at 00:00, 01:01",
        "3  suppressed (age)  team  unhappy caller",
        "I want my money back.",
    ):
        assert expected in text
    assert max(len(line) for line in text.partition("Summary")[2].splitlines()) <= 80


def test_what_cost_nothing_has_no_cost(run: Run, site: Site) -> None:
    site.add("recordings", id=1, state="done", estimated_cost_usd=0.0)
    site.add("recordings", id=2, state="done", estimated_cost_usd=0.0013)
    assert "USD" not in run("show", "1").stdout
    assert "cost          about 0.0013 USD\n" in run("show", "2").stdout


def test_an_unknown_recording_is_1(run: Run, site: Site) -> None:
    site.sql("SELECT 1")
    answer = run("show", "7")
    assert answer.returncode == 1
    assert answer.stderr == "earshot: there is no recording 7; `earshot list` shows them\n"


def passage(begin: float | None, end: float | None, score: float | None) -> dict[str, object]:
    return {"start_seconds": begin, "end_seconds": end, "sentiment_score": score}


def test_the_plot_rises_and_falls_with_the_score_over_time() -> None:
    plot = sentiment_plot([passage(0, 50, 1.0), passage(50, 75, -0.5), passage(90, 100, 0.0)], 26)
    assert plot[0] == "+1.0  " + "█" * 10
    assert plot[3] == " 0.0  " + "─" * 15 + "···" + "──"
    assert plot[4] == " " * 16 + "█" * 5
    assert plot[5] == " " * 16 + "▀" * 5
    assert plot[6] == "-1.0"
    assert plot[7].split() == ["00:00", "00:50", "01:40"]
    assert len(plot[7]) == 26


def test_without_times_the_plot_counts_passages() -> None:
    plot = sentiment_plot([passage(None, None, 0.5), passage(None, None, -0.5)], 40)
    assert plot[-1].split("  ")[-1].strip() == "passage 2"
    assert "passage 1" in plot[-1]


@pytest.mark.parametrize("segments", [[], [passage(0, 1, None)]])
def test_without_scores_there_is_no_plot(segments: list[dict[str, object]]) -> None:
    assert sentiment_plot(segments, 80) == []


def test_a_plot_of_no_length_is_drawn_all_the_same() -> None:
    assert len(sentiment_plot([passage(0, 0, -1.0)], 80)) == 8


def add_texts(site: Site) -> None:
    site.add("recordings", id=1, state="done", transcript="I lost my credit card and want a refund")
    site.add("recordings", id=2, state="done", transcript="The card gives credit", summary="About refunding")
    site.add("recordings", id=3, state="done", name="refund.wav", transcript="Nothing AND nothing OR NEAR")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["refund"], {1, 3}),
        (["refund*"], {1, 2, 3}),
        (["credit", "card"], {1, 2}),
        (['"credit card"'], {1}),
        (['"credit ca"*'], {1}),
        (["nothing AND"], {3}),
        (["name:refund"], set()),
        (["card", "--"], {1, 2}),
        (['"'], set()),
        (["*"], set()),
        (["(", "NEAR"], {3}),
        (["a'b\"c^d{e}f:g+h"], set()),
    ],
)
def test_search_finds_words_and_never_fails_on_one(
    run: Run, site: Site, words: list[str], expected: set[int]
) -> None:
    add_texts(site)
    answer = run("search", "--json", "--", *words)
    assert answer.returncode == 0, answer.stderr
    assert {hit["id"] for hit in json.loads(answer.stdout)} == expected


def test_hits_have_the_public_columns_and_a_snippet(run: Run, site: Site) -> None:
    add_texts(site)
    (hit,) = json.loads(run("search", '"credit card"', "--json").stdout)
    assert list(hit) == [*PUBLIC_COLUMNS, "snippet"]
    assert hit["snippet"] == "I lost my [credit card] and want a refund"


def test_text_names_the_recording_and_the_words(run: Run, site: Site) -> None:
    add_texts(site)
    assert run("search", "lost").stdout.splitlines() == [
        "     1  call-1.wav",
        "        I [lost] my credit card and want a refund",
    ]


def test_nothing_found_is_no_error(run: Run, site: Site) -> None:
    add_texts(site)
    answer = run("search", "zebra")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "nothing found\n")
