"""`earshot list`: filters, columns, and what reaches a terminal."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.models import iso
from tests.cli.sites import PUBLIC_COLUMNS, SEEN_AT, Site

Run = Callable[..., subprocess.CompletedProcess[str]]


def ids(answer: subprocess.CompletedProcess[str]) -> list[int]:
    assert answer.returncode == 0, answer.stderr
    return [row["id"] for row in json.loads(answer.stdout)]


def test_json_rows_have_exactly_the_public_columns(run: Run, site: Site) -> None:
    site.add(
        "recordings",
        id=1,
        state="done",
        tags=["a"],
        metadata={"agent": "Kim"},
        not_analyzed={"topics": "language"},
    )
    (row,) = json.loads(run("list", "--json").stdout)
    assert list(row) == PUBLIC_COLUMNS
    assert (row["tags"], row["metadata"], row["not_analyzed"]) == (
        ["a"],
        {"agent": "Kim"},
        {"topics": "language"},
    )
    assert row["first_seen_at"] == SEEN_AT


def test_an_empty_database_is_an_empty_list(run: Run, site: Site) -> None:
    site.sql("SELECT 1")
    assert run("list", "--json").stdout == "[]\n"
    assert len(run("list").stdout.splitlines()) == 1


def filled(site: Site) -> None:
    recently = iso(datetime.now(UTC) - timedelta(hours=1))
    site.add("recordings", id=1, state="done", average_sentiment="negative")
    site.add(
        "recordings",
        id=2,
        state="failed",
        folder="/srv/a",
        path="/srv/a/x.wav",
        error_code="corrupt_audio",
        metadata={"agent": "Kim"},
    )
    site.add(
        "recordings", id=3, state="skipped", folder="/srv/a", path="/srv/a/sub/y.wav", first_seen_at=recently
    )
    site.add(
        "recordings", id=4, state="done", average_sentiment="positive", folder="/srv/ab", path="/srv/ab/z.wav"
    )
    for number, intent in enumerate(("Cancel subscription", "Ask for [a] refund")):
        site.add("intents", recording_id=1 if number else 4, position=number, intent=intent)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), [4, 3, 2, 1]),
        (("--state", "failed"), [2]),
        (("--state", "failed", "--state", "skipped"), [3, 2]),
        (("--folder", "/srv/a"), [3, 2]),
        (("--folder", "/srv/a/../a/sub/"), [3]),
        (("--folder", "//srv/a/sub"), [3]),
        (("--since", "2h"), [3]),
        (("--since", "2026-03-01"), [4, 3, 2, 1]),
        (("--since", "2026-03-01T11:00+00:00"), [3]),
        (("--sentiment", "negative"), [1]),
        (("--intent", "cancel*"), [4]),
        (("--intent", "*[a] REFUND"), [1]),
        (("--intent", "cancel"), []),
        (("--intent", "cancel*", "--intent", "*refund"), [4, 1]),
        (("--until", "2026-03-01T11:00+00:00", "--topic", "*"), []),
        (("--text", "call*", "--where", "agent=k*"), [2]),
        (("--alerted",), []),
        (("--not-analyzed",), []),
        (("--recorded-since", "2026-01-01", "--recorded-until", "1h"), []),
        (("--limit", "2"), [4, 3]),
        (("--state", "done", "--sentiment", "positive", "--intent", "*"), [4]),
    ],
)
def test_filters(run: Run, site: Site, arguments: tuple[str, ...], expected: list[int]) -> None:
    filled(site)
    assert ids(run("list", "--json", *arguments)) == expected


@pytest.mark.parametrize("since", ["yesterday", "24 parsecs", "2026-13-01", "99999999999999d"])
def test_a_time_that_is_none_is_wrong_usage(run: Run, since: str) -> None:
    answer = run("list", "--since", since)
    assert answer.returncode == 2
    assert "2026-01-31" in answer.stderr


def test_a_pair_without_an_equals_sign_is_wrong_usage(run: Run) -> None:
    answer = run("list", "--where", "caller")
    assert answer.returncode == 2
    assert "caller=0151*" in answer.stderr


def test_more_rows_than_one_batch_come_complete(run: Run, site: Site) -> None:
    site.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450)"
        " INSERT INTO recordings (id, path, name, state, source, first_seen_at)"
        " SELECT i, i, i, 'waiting', x'00', ? FROM n",
        SEEN_AT,
    )
    assert ids(run("list", "--json")) == list(range(450, 0, -1))
    assert ids(run("list", "--json", "--limit", "201")) == list(range(450, 249, -1))


def test_piped_the_table_is_lines_with_tabs(run: Run, site: Site) -> None:
    filled(site)
    header, *lines = run("list").stdout.splitlines()
    columns = ["id", "state", "recorded", "result", "length", "folder", "name"]
    assert header.split("\t") == columns
    moment = "2026-03-01 10:00 UTC"
    assert lines[2].split("\t") == ["2", "failed", moment, "corrupt_audio", "", "a", "call-2.wav"]


def test_the_columns_of_the_filename_pattern_and_the_configured_zone_are_shown(
    run: Run, on_terminal: Callable[..., str], site: Site
) -> None:
    pattern = "{recorded_at:%Y%m%d-%H%M%S}_{agent}_{caller}"
    watched = {"path": str(site.watched), "filename_pattern": pattern}
    site.configure(timezone="Europe/Berlin", watch=[watched])
    known = {"recorded_at": "2026-07-01T10:00:00.000Z", "metadata": {"agent": "佐藤"}}
    site.add("recordings", id=1, state="waiting", **known)
    header, line = run("list").stdout.splitlines()
    assert header.split("\t")[5:] == ["folder", "agent", "caller", "name"]
    assert line.split("\t")[2:] == ["2026-07-01 12:00 CEST", "", "", "calls", "佐藤", "", "call-1.wav"]
    assert "recorded (Berlin)" in on_terminal("list")
    # What is typed is in the same zone: noon there is ten o'clock.
    assert ids(run("list", "--json", "--recorded-since", "2026-07-01T12:00")) == [1]
    assert ids(run("list", "--json", "--recorded-since", "2026-07-01T12:01")) == []


def test_colours_are_for_terminals_that_want_them(
    run: Run, on_terminal: Callable[..., str], site: Site
) -> None:
    filled(site)
    site.add("alerts", id=1, recording_id=1, state="failed", rules=["r"])
    for command in (("list",), ("search", "call"), ("show", "2"), ("alerts",)):
        assert "\x1b[" in on_terminal(*command, TERM="xterm-256color"), command
        for shown in (
            run(*command).stdout,
            on_terminal(*command),
            on_terminal(*command, TERM="xterm-256color", NO_COLOR="1"),
        ):
            assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown), command
            assert "38;" not in shown, command


def test_the_table_fits_the_terminal(on_terminal: Callable[..., str], site: Site) -> None:
    site.add("recordings", id=1, state="done", name="very-" * 40 + "long.wav", duration_seconds=3700.0)
    for columns in (80, 120):
        lines = on_terminal("list", columns=columns).splitlines()
        assert len(lines) == 2
        assert max(len(line) for line in lines) <= columns
        assert "1:01:40" in lines[1]


def test_a_terminal_gets_the_newest_and_is_told_so(on_terminal: Callable[..., str], site: Site) -> None:
    for number in range(60):
        site.add("recordings", id=number + 1, state="waiting")
    lines = on_terminal("list").splitlines()
    assert len(lines) == 52
    assert lines[-1] == "the first 50 of 60; --limit shows more"


HOSTILE = "a\x1b[2Jb\nc\u202ed\x07\x9b[red]\\xff"


def hostile(site: Site) -> None:
    text: dict[str, Any] = dict.fromkeys(
        ("name", "path", "error", "summary", "transcript", "model", "request_id", "average_sentiment"),
        HOSTILE,
    )
    site.add(
        "recordings",
        id=1,
        state="failed",
        error_code=HOSTILE,
        tags=[HOSTILE],
        metadata={HOSTILE: HOSTILE},
        **text,
    )
    site.add("intents", recording_id=1, position=0, intent=HOSTILE)
    site.add(
        "alerts",
        id=1,
        recording_id=1,
        state="suppressed",
        rules=[HOSTILE],
        title=HOSTILE,
        body=HOSTILE,
        reason=HOSTILE,
    )
    site.add("pauses", cause="key", reason=HOSTILE, since=SEEN_AT, next_probe_at=SEEN_AT, probe_seconds=1)


@pytest.mark.parametrize("command", ["status", "list", "show 1", "search c", "alerts", "alerts show 1"])
@pytest.mark.parametrize("json_too", [False, True])
def test_nothing_from_outside_acts_on_the_terminal(
    on_terminal: Callable[..., str], run: Run, site: Site, command: str, json_too: bool
) -> None:
    hostile(site)
    arguments = [*command.split(), *(["--json"] if json_too else [])]
    for shown in (run(*arguments).stdout, on_terminal(*arguments, columns=200)):
        assert shown
        raw = {character for character in shown if character < " " or "\x7f" <= character <= "\x9f"} - {
            "\n",
            "\t",
        }
        assert not raw
        assert "\u202e" not in shown
        assert "earshot:" not in shown
