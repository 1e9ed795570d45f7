"""Patterns of file names against names: nothing fails, nothing takes long, and a name that was made fits."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.filenames import FilenamePattern

PATTERN_PARTS = """
    {agent} {caller} {x} {recorded_at:%Y%m%d-%H%M%S} {recorded_at:%d.%m.%y} {recorded_at:%s} {recorded_at:%q}
    {recorded_at:%-d%b%Y} {recorded_at:%Y%m%d%I%p} {recorded_at:%Y-%m-%dT%H%M%S%z} _ - / . .wav ä {{ }} { }
    {0} {a.b} {a!r} {a:>9} {} % \\
"""
NAME_PARTS = """
    20260131-235959 31.01.26 1769900000 99999999999 0000 20261399-999999 1Jan2026 +25:99 anna
    Müller a\u0308 _ - / . .wav {x} %Y ٣
"""
PATTERN_PIECES = st.sampled_from([*PATTERN_PARTS.split(), " "])
NAME_PIECES = st.sampled_from([*NAME_PARTS.split(), *" \x00\udcff\u202e"])
# Of the surrogates only those that stand for bytes, as the os module gives them.
ANY = (st.integers(0, 0xD7FF) | st.integers(0xDC80, 0xDCFF) | st.integers(0xE000, 0x10FFFF)).map(chr)
NAMES = st.lists(NAME_PIECES | ANY, max_size=12).map("".join)
WORD = st.lists(st.sampled_from("abzÄéß09"), min_size=1, max_size=12).map("".join)
SLOW = ("{a}_{b}_{c}_{d}-", "{a}{recorded_at:%Y%m%d}{b}x{c}", "x{a}xx{b}xxx{recorded_at:%s}")


@given(st.lists(PATTERN_PIECES, max_size=7).map("".join), NAMES)
def test_a_pattern_is_refused_in_words_or_reads_any_name(text: str, name: str) -> None:
    try:
        pattern = FilenamePattern(text)
    except ValueError as error:
        assert str(error).startswith(("has ", "may have ", "needs "))
        return
    facts = pattern.facts(name, UTC)
    if facts.stopped_at is not None:
        assert facts.stopped_at.isprintable()
        assert facts.metadata == {}
        assert facts.recorded_at is None
    for value in facts.metadata.values():
        assert value
        assert "/" not in value


@given(st.datetimes(datetime(1970, 1, 2), datetime(2199, 1, 1)), WORD, WORD)  # noqa: DTZ001 - the zone is below
def test_what_was_put_into_a_name_is_read_from_it(moment: datetime, agent: str, caller: str) -> None:
    pattern = FilenamePattern("{recorded_at:%Y%m%d-%H%M%S}_{agent}--{caller}")
    facts = pattern.facts(f"2026/{moment:%Y%m%d-%H%M%S}_{agent}--{caller}.wav", UTC)
    assert facts.stopped_at is None
    assert facts.metadata == {"agent": agent, "caller": caller}
    assert facts.recorded_at is not None
    assert facts.recorded_at.startswith(f"{moment:%Y-%m-%dT%H:%M:%S}")


@pytest.mark.parametrize("text", SLOW)
@pytest.mark.parametrize("piece", ["_", "x", "1", "20260131", "xx1"])
def test_a_long_name_takes_no_longer_than_it_is_long(text: str, piece: str) -> None:
    pattern = FilenamePattern(text)
    started = time.process_time()
    pattern.facts(piece * 20_000, UTC)
    assert time.process_time() - started < 1.0
