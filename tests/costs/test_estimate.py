"""What a backlog would come to, before anything of it is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.config.models import Config
from daemon.costs.estimate import estimate, seconds_of
from daemon.deepgram.request import requests_by_folder
from tests.harness import wav


def row(number: int, path: Path | str, *, is_url: bool = False) -> dict[str, object]:
    size = None if is_url else Path(path).stat().st_size
    return {
        "id": number,
        "source": os.fsencode(path),
        "is_url": is_url,
        "size_bytes": size,
        "folder": "/srv/a",
    }


def config(**analyzer: object) -> Config:
    values = {"database": "/x", "watch": [{"path": "/srv/a"}], "analyzer": analyzer}
    return Config.model_validate(values)


def test_a_wav_file_says_its_length_itself(tmp_path: Path) -> None:
    content = wav("a", seconds=30)
    (tmp_path / "a.wav").write_bytes(content)
    assert seconds_of(str(tmp_path / "a.wav"), len(content)) == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize(
    ("name", "size", "seconds"),
    [
        ("a.mp3", 720_000, 60),
        ("a.opus", 240_000, 60),
        ("a.unknown", 720_000, 60),
        ("noheader.wav", 32_000, 1),
    ],
)
def test_of_other_files_it_is_guessed_from_size_and_ending(
    tmp_path: Path, name: str, size: int, seconds: float
) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert seconds_of(str(tmp_path / name), size) == pytest.approx(seconds)


def test_the_sum_has_count_hours_and_cost_and_leaves_out_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a", seconds=60))
    rows = [
        row(1, tmp_path / "a.wav"),
        row(2, tmp_path / "a.wav"),
        row(3, "https://example.com/a.mp3", is_url=True),
        row(4, tmp_path / "a.wav") | {"source": b"/gone"},
    ]
    total, ids = estimate(rows, requests_by_folder(config()))
    assert ids == [1, 2, 3]
    assert (total.recordings, total.unknown) == (3, 1)
    assert total.hours == pytest.approx(2 / 60, abs=0.001)
    assert total.cost_usd is not None
    # Two minutes of nova-3, and something for the words that are analyzed.
    assert 2 * 0.0043 < total.cost_usd < 2 * 0.0060


def test_a_model_without_a_known_price_makes_the_cost_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a"))
    total, _ = estimate([row(1, tmp_path / "a.wav")], requests_by_folder(config(model="some-model")))
    assert total.cost_usd is None


def test_the_embedded_engine_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a"))
    total, _ = estimate([row(1, tmp_path / "a.wav")], requests_by_folder(config(base_url="embedded")))
    assert total.cost_usd == 0.0
