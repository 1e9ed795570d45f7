"""What a backlog would come to, before anything of it is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.config.models import Config
from daemon.costs.estimate import estimate
from tests.costs.recordings import encoded, mp3_of_constant_rate
from tests.harness import wav


def row(number: int, path: Path | str, *, is_url: bool = False) -> dict[str, object]:
    size = None if is_url else Path(path).stat().st_size
    return {
        "id": number,
        "source": os.fsencode(path),
        "is_url": is_url,
        "size_bytes": size,
        "folder": str(Path(path).parent),
    }


def config(folder: Path, **analyzer: object) -> Config:
    values = {"database": "/x", "watch": [{"path": str(folder)}], "analyzer": analyzer}
    return Config.model_validate(values)


def test_five_hours_at_32_kilobits_are_called_five_hours(tmp_path: Path) -> None:
    """They were called three: by the rate that is usual for the ending."""
    for name in ("a.mp3", "b.mp3", "c.mp3", "d.opus", "e.opus"):
        (tmp_path / name).write_bytes(mp3_of_constant_rate(hours=1))
    total, _ = estimate([row(n, path) for n, path in enumerate(tmp_path.iterdir())], config(tmp_path))
    assert (total.recordings, total.guessed) == (5, 0)
    assert total.hours.usual == pytest.approx(5.0, abs=0.01)
    assert total.hours.least == total.hours.most == total.hours.usual


def test_the_sum_has_count_hours_and_cost_and_leaves_out_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a", seconds=60))
    rows = [
        row(1, tmp_path / "a.wav"),
        row(2, tmp_path / "a.wav"),
        row(3, "https://example.com/a.mp3", is_url=True),
        row(4, tmp_path / "a.wav") | {"source": os.fsencode(tmp_path / "gone.wav")},
    ]
    total, ids = estimate(rows, config(tmp_path))
    assert ids == [1, 2, 3]
    assert (total.recordings, total.unknown, total.guessed) == (3, 1, 0)
    assert total.hours.usual == pytest.approx(2 / 60, abs=0.001)
    assert total.usd is not None
    # Two minutes of nova-3, and something for the words that are analyzed.
    assert 2 * 0.0043 < total.usd.usual < 2 * 0.0060


def test_what_is_guessed_has_a_range(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a", seconds=3600 / 10))
    (tmp_path / "b.mp3").write_bytes(b"no header at all" * 45_000)
    total, _ = estimate([row(n, path) for n, path in enumerate(tmp_path.iterdir())], config(tmp_path))
    assert (total.recordings, total.guessed) == (2, 1)
    assert total.usd is not None
    for found in (total.hours, total.usd):
        assert 0 < found.least < found.usual < found.most


def test_a_link_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "watched", tmp_path / "secret.wav"
    folder.mkdir()
    outside.write_bytes(encoded("wav", seconds=5))
    (folder / "a.wav").symlink_to(outside)
    assert estimate([row(1, folder / "a.wav")], config(folder))[1] == []


def test_a_model_without_a_known_price_makes_the_cost_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a"))
    total, _ = estimate([row(1, tmp_path / "a.wav")], config(tmp_path, model="some-model"))
    assert total.usd is None


def test_the_embedded_engine_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a"))
    total, _ = estimate([row(1, tmp_path / "a.wav")], config(tmp_path, base_url="embedded"))
    assert total.usd is not None
    assert total.usd.usual == 0.0
