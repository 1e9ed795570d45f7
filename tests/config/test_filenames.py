"""`filename_pattern`: what a name says, and where it stops saying it."""

from __future__ import annotations

import os
import time
from zoneinfo import ZoneInfo

import pytest

from daemon.config.filenames import FilenamePattern, facts_reader, is_list, usable_pattern

BERLIN = ZoneInfo("Europe/Berlin")
USUAL = "{recorded_at:%Y%m%d-%H%M%S}_{agent}_{caller}"


def metadata(pattern: str, name: str) -> dict[str, str]:
    facts = FilenamePattern(pattern).facts(name, BERLIN)
    assert facts.stopped_at is None, facts.stopped_at
    return facts.metadata


def stopped(pattern: str, name: str) -> str:
    facts = FilenamePattern(pattern).facts(name, BERLIN)
    assert facts.stopped_at is not None
    assert (facts.recorded_at, facts.metadata) == (None, {})
    return facts.stopped_at


def moment(form: str, text: str) -> str | None:
    return FilenamePattern(f"{{recorded_at:{form}}}").facts(f"{text}.wav", BERLIN).recorded_at


def test_a_name_gives_time_and_fields() -> None:
    facts = FilenamePattern(USUAL).facts("2026/20260131-120000_anna_+49 30 1.wav", BERLIN)
    assert facts.recorded_at == "2026-01-31T11:00:00.000Z"
    assert facts.metadata == {"agent": "anna", "caller": "+49 30 1"}


@pytest.mark.parametrize(
    ("pattern", "name", "hour"),
    [
        ("GMT{recorded_at:%Y%m%d-%H%M%S}_{agent}", "GMT20230214-140001_anna.wav", 14),
        ("{kind}{recorded_at:%Y%m%d-%H%M%S}", "GMT20230214-140001.mp4", 14),
        ("{recorded_at:GMT%Y%m%d-%H%M%S}_Recording", "GMT20230214-140001_Recording.m4a", 14),
        ("{recorded_at:%Y%m%d-%H%M%S}Z", "20230214-140001Z.wav", 14),
        ("{recorded_at:%Y%m%d-%H%M%SZ}_{agent}", "20230214-140001Z_anna.wav", 14),
        ("{recorded_at:%Y-%m-%dT%H%M%S}{rest}", "2023-02-14T140001Z.wav", 14),
        ("{recorded_at:%Y%m%d-%H%M%S}_{rest}", "20230214-140001_UTC.wav", 14),
        ("{recorded_at:%Y%m%d-%H%M%S%z}Z", "20230214-140001+0300Z.wav", 11),
        # Names of people and queues.
        ("{recorded_at:%Y%m%d-%H%M%S}_{agent}", "20230214-140001_Zoe.wav", 13),
        ("{recorded_at:%Y%m%d-%H%M%S}{agent}", "20230214-140001Zoe.wav", 13),
        ("{recorded_at:%Y%m%d-%H%M%S}_{agent}", "20230214-140001_Z.wav", 13),
        ("{agent}{recorded_at:%Y%m%d-%H%M%S}", "Z20230214-140001.wav", 13),
        ("{queue}_{recorded_at:%Y%m%d-%H%M%S}", "AGMT_20230214-140001.wav", 13),
        ("{recorded_at:%Y%m%d-%H%M%S}_{agent}", "20230214-140001_utcher.wav", 13),
    ],
)
def test_a_time_beside_which_utc_is_written_is_in_utc(pattern: str, name: str, hour: int) -> None:
    facts = FilenamePattern(pattern).facts(name, BERLIN)
    assert facts.stopped_at is None
    assert facts.recorded_at == f"2023-02-14T{hour}:00:01.000Z"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("{a}_{b}", "x_y_z.wav", {"a": "x", "b": "y_z"}),
        ("{a}-rec", "x-rec-y-rec.wav", {"a": "x-rec-y"}),
        ("call {{{id}}}", "call {7}.mp3", {"id": "7"}),
        ("{team}/{agent}", "support/anna.wav", {"team": "support", "agent": "anna"}),
        (
            "{year}/{month}/{agent}_{id}",
            "2026/01/anna_7.wav",
            {"year": "2026", "month": "01", "agent": "anna", "id": "7"},
        ),
        ("{a}", "v1.2.wav", {"a": "v1.2"}),
        ("{a}.{b}", "x.y.wav", {"a": "x", "b": "y"}),
        ("{a}.wav", "x.wav", {"a": "x"}),
        ("{a}", "noending", {"a": "noending"}),
        ("größe_{a}", "gro\u0308ße_1.wav", {"a": "1"}),
        ("{a}_x", os.fsdecode(b"caf\xe9_x.wav"), {"a": "caf\\xe9"}),
        ("{recorded_at:%s}{a}", "1700000000anna.wav", {"a": "anna"}),
        ("{a}{recorded_at:%Y%m%d}", "anna20260131.wav", {"a": "anna"}),
    ],
)
def test_fields_end_where_the_text_after_them_begins(
    pattern: str, name: str, expected: dict[str, str]
) -> None:
    assert metadata(pattern, name) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "part"),
    [
        (USUAL, "hello.wav", "a time like %Y%m%d-%H%M%S expected at 'hello'"),
        (USUAL, "20260231-120000_anna_1.wav", "'20260231-120000' is no date and time"),
        (USUAL, "20260131-120000-anna.wav", "'_' expected at '-anna'"),
        (USUAL, "20260131-120000_anna.wav", "{agent} and then '_' expected at 'anna'"),
        (USUAL, "20260131-120000_anna_.wav", "{caller} expected at the end of the name"),
        ("{recorded_at:%Y%m%d}", "20260131-2.wav", "'-2' is left over"),
        ("{team}/{agent}", "anna.wav", "{team} and then '/' expected at 'anna'"),
        ("{team}/{agent}", "a/b/c.wav", "{agent} expected at 'b/c'"),
        ("{a}.wav", "x.mp3", "{a} and then '.wav' expected"),
    ],
)
def test_a_name_that_does_not_fit_says_where_and_gives_nothing(pattern: str, name: str, part: str) -> None:
    assert part in stopped(pattern, name)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("%Y-%m-%d %H.%M", "2026-07-01 12.30", "2026-07-01T10:30:00.000Z"),
        ("%d%b%y %I%M%p", "01Feb26 0130PM", "2026-02-01T12:30:00.000Z"),
        ("%Y%m%dT%H%M%S%z", "20260131T120000+0530", "2026-01-31T06:30:00.000Z"),
        ("%Y%m%dT%H%M%S.%f%z", "20260131T120000.25Z", "2026-01-31T12:00:00.250Z"),
        ("%-d.%-m.%Y", "1.12.2026", "2026-11-30T23:00:00.000Z"),
        ("%s", "1700000000", "2023-11-14T22:13:20.000Z"),
        ("%Y%m%d", "20261301", None),
        ("%Y%m%d%H", "2026010124", None),
        ("%I%p %Y%m%d", "13PM 20260101", None),
        ("%Y%m%d", "00010101", None),
    ],
)
def test_times_are_those_of_the_zone_and_stored_in_utc(form: str, text: str, expected: str | None) -> None:
    assert moment(form, text) == expected


def test_without_a_zone_the_clock_of_this_machine_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        facts = facts_reader("{recorded_at:%Y%m%d-%H%M}", None)("20260701-1200.wav")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert facts.recorded_at == "2026-07-01T16:00:00.000Z"


def test_without_a_pattern_a_name_says_nothing_and_is_no_mismatch() -> None:
    facts = facts_reader(None, None)("anything.wav")
    assert (facts.recorded_at, facts.metadata, facts.stopped_at) == (None, {}, None)


def test_the_longest_hostile_name_takes_no_time() -> None:
    pattern = FilenamePattern("{a}_{b}_{c}_{d}_{e}_{f}_{g}-x")
    started = time.process_time()
    for _ in range(1000):
        assert pattern.facts("_" * 255, BERLIN).stopped_at
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("calls", "has no field"),
        ("{a}{b}", "nothing between {a} and {b}"),
        ("{a}_{a}", "{a} twice"),
        ("{a", "unmatched { or }"),
        ("a}", "unmatched { or }"),
        ("{}", "letters, digits and _"),
        ("{a.b}", "letters, digits and _"),
        ("{a!r}", "letters, digits and _"),
        ("{a:%Y}", "only, not for {a}"),
        ("{recorded_at}", "needs a format"),
        ("{recorded_at:%H%M}", "needs %Y"),
        ("{recorded_at:%Y%d}", "needs %m"),
        ("{recorded_at:%Y-%m}", "needs %d"),
        ("{recorded_at:%Y%m%d%I}", "needs %p"),
        ("{recorded_at:%Y%m%d%Y}", "%Y twice"),
        ("{recorded_at:%Y%m%d%q}", "has %q"),
        ("{recorded_at:%Y%m%d%}", "has %"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_what_to_write(pattern: str, part: str) -> None:
    with pytest.raises(ValueError) as raised:
        usable_pattern(pattern)
    assert part in str(raised.value)


def test_lists_are_known_by_their_ending() -> None:
    assert all(map(is_list, ("a.url", "a.WEBLOC", "b.x.urls", "/d/a.url")))
    assert not any(map(is_list, ("a.wav", ".url", "url", "a.urls.bak")))
