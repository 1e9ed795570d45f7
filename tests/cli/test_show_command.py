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


BODY = "average -0.52, negative at -0.33 and below\n\nwhy\n\nearshot alert 3, recording 7"


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
        request_id="req-7",
    )
    site.add(
        "sentiments",
        recording_id=7,
        position=0,
        text="I want my money back. " * 10,
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
    alert = {"state": "suppressed", "reason": "age", "rules": ["unhappy caller"], "body": BODY}
    site.add("alerts", id=3, recording_id=7, **alert)


def test_json_is_the_row_with_its_parts(run: Run, site: Site) -> None:
    add_call(site)
    found = json.loads(run("show", "7", "--json").stdout)
    assert list(found) == [*PUBLIC_COLUMNS, "sentiments", "topics", "intents", "alerts", "original"]
    assert found["sentiments"] == [
        {"recording_id": 7, "position": 0, "text": "I want my money back. " * 10}
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
            "body": BODY,
            "moment_seconds": None,
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
        "3  suppressed (age)  team  unhappy caller\n      average -0.52, negative at",
        "Conversation (time, speaker, sentiment)\n00:00  customer  -0.90    I want my money back. I want",
    ):
        assert expected in text
    assert max(len(line) for line in text.partition("Summary")[2].splitlines()) <= 80
    assert "request" not in text
    full = run("show", "7", "--full").stdout
    assert "\n      why\n" in full
    assert "request       req-7\n" in full


def test_a_recording_is_found_by_id_name_path_and_age(run: Run, site: Site) -> None:
    site.add("recordings", id=1, state="done", name="call.wav", path="/old/call.wav")
    site.add("recordings", id=2, state="done", name="call.wav")
    site.add("recordings", id=3, state="done", name="1")
    for which, expected in (("1", 1), ("call.wav", 2), ("/old/call.wav", 1), ("-1", 3), ("-3", 1)):
        answer = run("show", "--json", which)
        assert json.loads(answer.stdout)["id"] == expected, which
    assert "2 recordings are called call.wav" in run("show", "call.wav").stderr
    for which, code, said in (
        ("cal.wav", 1, "did you mean call.wav?"),
        ("-4", 1, "there are only 3"),
        ("--ful", 2, "No such option '--ful'. Did you mean '--full'?"),
    ):
        answer = run("show", which)
        assert (answer.returncode, said in answer.stderr) == (code, True), answer.stderr


def test_what_a_rule_looks_at_is_marked_in_the_turns(
    run: Run, on_terminal: Callable[..., str], site: Site
) -> None:
    rule = {"name": "churn risk", "when": {"phrase": "money back"}, "notify": ["team"]}
    site.configure(alerts={"destinations": {"team": "json://127.0.0.1:9"}, "rules": [rule]})
    add_call(site)
    fine = {"text": "Fine.", "sentiment": "positive", "sentiment_score": 0.5, "speaker": "customer"}
    site.add("sentiments", recording_id=7, position=1, **fine)
    piped = run("show", "7").stdout
    assert "00:00  customer  -0.90  > I want my money back." in piped
    assert "\n                 +0.50    Fine.\n\n> is what a rule looks at: churn risk\n" in piped
    assert "\x1b[" in on_terminal("show", "7", TERM="xterm-256color", LINES="200")


def test_more_than_a_terminal_holds_goes_to_the_pager(on_terminal: Callable[..., str], site: Site) -> None:
    add_call(site)
    variables = {"PAGER": "head -n 2", "LINES": "5"}
    assert len(on_terminal("show", "7", **variables).splitlines()) == 2
    assert len(on_terminal("show", "7", **variables | {"LINES": "200"}).splitlines()) > 20


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
    chosen = ("search", '"credit card"', "--columns", "id,snippet")
    assert json.loads(run(*chosen, "--json").stdout) == [{"id": 1, "snippet": hit["snippet"]}]
    assert run(*chosen, "--csv").stdout == f"id,snippet\n1,{hit['snippet']}\n"
    assert run(*chosen).stdout == f"id\tsnippet\n1\t{hit['snippet']}\n"


def test_text_names_the_recording_and_the_words(run: Run, site: Site) -> None:
    add_texts(site)
    assert run("search", "lost").stdout.splitlines() == [
        "     1  call-1.wav  2026-03-01 10:00 UTC",
        "        I [lost] my credit card and want a refund",
    ]


def test_nothing_found_is_no_error(run: Run, site: Site) -> None:
    add_texts(site)
    answer = run("search", "zebra")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "nothing found\n")
