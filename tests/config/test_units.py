"""Durations and sizes in the configuration."""

from __future__ import annotations

import pytest

from daemon.config.units import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2s", 2),
        ("0.5s", 0.5),
        ("15m", 900),
        ("24h", 86400),
        ("30d", 2592000),
        ("500ms", 0.5),
        (7, 7),
        ("7", 7),
    ],
)
def test_durations_are_seconds(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [True, None, "", "2 weeks", "-2s", -1, float("nan"), float("inf"), "inf", "1e3", 10**400, [], "٣s"],
)
def test_what_is_no_duration_is_refused_with_what_to_write(value: object) -> None:
    with pytest.raises(ValueError, match=r"write 0\.5s, 2s, 15m, 24h, 30d"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "size"),
    [("64MB", 64_000_000), ("2GB", 2_000_000_000), ("512KiB", 524_288), ("1.5kb", 1500), (10, 10), ("0", 0)],
)
def test_sizes_are_bytes(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", [True, None, "", "64 XB", -1, "-1MB", float("nan"), []])
def test_what_is_no_size_is_refused_with_what_to_write(value: object) -> None:
    with pytest.raises(ValueError, match="write 64MB, 2GB, 512KiB"):
        parse_size(value)


@pytest.mark.parametrize("text", ["0s", "500ms", "2s", "1.5s", "90s", "15m", "25h", "30d"])
def test_a_formatted_duration_reads_as_itself(text: str) -> None:
    assert format_duration(parse_duration(text)) == text
