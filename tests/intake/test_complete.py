"""Complete or not: markers and containers, with real files and a clock that the test holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import WatchFolder
from daemon.costs.length import read_seconds
from daemon.files import stamp
from daemon.intake.arrivals import Arrival, Kind, early_ending
from daemon.intake.complete import INCOMPLETE_GRACE_SECONDS, SIBLING_SECONDS, Readiness
from daemon.intake.settle import MAX_PENDING, Settler
from daemon.models import Ending, RecordingState
from daemon.sightings import Sighting
from tests.harness import wav

SETTLE = 2.0
CUT = wav("a", seconds=1)[:10_000]

Look = Callable[[float], Arrival | None]


@pytest.fixture
def looker(tmp_path: Path) -> Callable[..., Look]:
    """Makes a function that looks at `a.wav` at a moment; first seen at moment 0."""

    def make(**settings: Any) -> Look:
        folder = WatchFolder.model_validate({"path": tmp_path, "settle": SETTLE, **settings})
        settler = Settler(folder.settle, folder.empty_after)
        ready = Readiness(folder, settler, seconds_of=read_seconds)
        path = str(tmp_path / "a.wav")
        found = stamp(path)
        assert found
        settler.observe(Sighting(found), 0.0)

        def look(now: float) -> Arrival | None:
            return ready.arrival(path, now, 60.0)

        return look

    return make


def test_a_whole_file_is_complete_once_it_is_quiet(tmp_path: Path, looker: Callable[..., Look]) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a"))
    look = looker()
    assert look(1.0) is None
    arrival = look(SETTLE)
    assert arrival
    assert arrival.kind == Kind.COMPLETE


def test_a_file_that_looks_cut_off_is_waited_for_and_then_called_incomplete(
    tmp_path: Path, looker: Callable[..., Look]
) -> None:
    (tmp_path / "a.wav").write_bytes(CUT)
    look = looker()
    assert look(SETTLE) is None
    assert look(SETTLE + INCOMPLETE_GRACE_SECONDS - 1) is None
    arrival = look(SETTLE + INCOMPLETE_GRACE_SECONDS)
    assert arrival
    assert arrival.kind == Kind.INCOMPLETE
    assert "announces 32044 bytes and there are 10000" in arrival.flaw


def test_a_copy_that_goes_on_within_the_grace_time_is_complete_as_any_other(
    tmp_path: Path, looker: Callable[..., Look]
) -> None:
    (tmp_path / "a.wav").write_bytes(CUT)
    look = looker()
    assert look(SETTLE) is None
    (tmp_path / "a.wav").write_bytes(wav("a", seconds=1))
    assert look(50.0) is None
    arrival = look(50.0 + SETTLE)
    assert arrival
    assert arrival.kind == Kind.COMPLETE


def test_a_copy_that_grows_slowly_has_its_grace_time_after_the_last_byte(
    tmp_path: Path, looker: Callable[..., Look]
) -> None:
    (tmp_path / "a.wav").write_bytes(CUT)
    look = looker()
    assert look(SETTLE) is None
    (tmp_path / "a.wav").write_bytes(wav("a", seconds=1)[:20_000])
    assert look(50.0) is None
    assert look(50.0 + SETTLE) is None
    assert look(SETTLE + INCOMPLETE_GRACE_SECONDS) is None
    arrival = look(50.0 + SETTLE + INCOMPLETE_GRACE_SECONDS)
    assert arrival
    assert arrival.kind == Kind.INCOMPLETE


def test_a_stream_without_an_end_is_taken_after_the_grace_time(
    tmp_path: Path, looker: Callable[..., Look]
) -> None:
    (tmp_path / "a.wav").write_bytes(b"OggS\0\0" + bytes(20) + b"\x01\x05hello")
    look = looker()
    assert look(SETTLE) is None
    arrival = look(SETTLE + INCOMPLETE_GRACE_SECONDS)
    assert arrival
    assert arrival.kind == Kind.COMPLETE


@pytest.mark.parametrize(
    ("template", "marker"),
    [("{name}.done", "a.wav.done"), ("{stem}.ok", "a.ok"), ("done-{name}", "done-a.wav")],
)
def test_with_a_marker_a_file_is_complete_when_that_is_there(
    tmp_path: Path, looker: Callable[..., Look], template: str, marker: str
) -> None:
    (tmp_path / "a.wav").write_bytes(CUT)
    look = looker(done_marker=template)
    assert look(1000.0) is None
    (tmp_path / marker).touch()
    arrival = look(1000.1)
    assert arrival, "its sender says it is complete: no quiet time, no doubts about its length"
    assert arrival.kind == Kind.COMPLETE


def test_a_marker_does_not_make_an_empty_or_open_file_complete(
    tmp_path: Path, looker: Callable[..., Look]
) -> None:
    (tmp_path / "a.wav.done").touch()
    with (tmp_path / "a.wav").open("wb") as writer:
        look = looker(done_marker="{name}.done", empty_after=600)
        assert look(10.0) is None
        writer.write(wav("a"))
        writer.flush()
        assert look(20.0) is None
    assert look(30.0)


def test_only_a_file_is_a_marker(tmp_path: Path, looker: Callable[..., Look]) -> None:
    (tmp_path / "a.wav").write_bytes(wav("a"))
    (tmp_path / "a.wav.done").mkdir()
    look = looker(done_marker="{name}.done")
    assert look(10.0) is None


def test_a_file_whose_folder_becomes_a_link_while_it_settles_is_gone(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "calls"
    for folder in (outside, root / "sub"):
        folder.mkdir(parents=True)
        (folder / "a.wav").write_bytes(wav("a"))
    watched = WatchFolder.model_validate({"path": root, "settle": SETTLE})
    settler = Settler(watched.settle, watched.empty_after)
    path = str(root / "sub/a.wav")
    found = stamp(path)
    assert found
    settler.observe(Sighting(found), 0.0)
    (root / "sub").rename(tmp_path / "away")
    (root / "sub").symlink_to(outside)
    assert [Readiness(watched, settler).arrival(path, now, 60.0) for now in (1.0, 4.0)] == [None, None]
    assert settler.room == MAX_PENDING


HEADER_ALONE = b"RIFF" + (36).to_bytes(4, "little") + wav("a")[8:40] + bytes(4)


@pytest.mark.parametrize(
    ("content", "settings", "flaw"),
    [
        (wav("a", seconds=1), {"min_duration": "2s"}, "plays 1.0 s, and `min_duration` is 2s"),
        (wav("a", seconds=1), {"min_duration": "1s"}, None),
        (HEADER_ALONE, {"min_duration": "1s"}, "plays 0.0 s, and `min_duration` is 1s"),
        (HEADER_ALONE, {"min_size": "1KB"}, "has 44 bytes, and `min_size` is 1000"),
        (
            HEADER_ALONE,
            {"min_size": "1KB", "done_marker": "{name}.done"},
            "has 44 bytes, and `min_size` is 1000",
        ),
        (b"\x00" * 3000, {"min_duration": "1h"}, None),
        (b"\x00" * 3000, {"min_size": "3KB"}, None),
        # A length that is not true is no length.
        (CUT, {"check_container": False}, None),
        (HEADER_ALONE, {"check_container": False}, None),
        (CUT, {"check_container": False, "min_size": "1MB"}, "has 10000 bytes, and `min_size` is 1000000"),
    ],
)
def test_what_is_too_short_for_its_folder_is_set_aside_at_once(
    tmp_path: Path, looker: Callable[..., Look], content: bytes, settings: dict[str, Any], flaw: str | None
) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    (tmp_path / "a.wav.done").touch()
    arrival = looker(**settings)(SETTLE)
    assert arrival
    assert (arrival.kind, arrival.flaw) == ((Kind.SHORT, flaw) if flaw else (Kind.COMPLETE, ""))


def test_a_copy_that_stalls_is_not_too_short_but_waited_for(
    tmp_path: Path, looker: Callable[..., Look]
) -> None:
    (tmp_path / "a.wav").write_bytes(CUT)
    look = looker(min_size="1MB", min_duration="1h")
    assert look(SETTLE) is None
    arrival = look(SETTLE + INCOMPLETE_GRACE_SECONDS)
    assert arrival
    assert arrival.kind == Kind.INCOMPLETE


def test_what_is_too_short_is_skipped_without_a_word_to_operations() -> None:
    ending = early_ending(Kind.SHORT, "plays 0.0 s, and `min_duration` is 3s")
    assert ending == Ending(
        RecordingState.SKIPPED,
        "short",
        "plays 0.0 s, and `min_duration` is 3s; it is taken up when it grows",
    )


def test_a_file_waits_a_while_for_one_that_is_preferred_and_not_complete_yet(tmp_path: Path) -> None:
    folder = WatchFolder(path=tmp_path, settle=SETTLE, prefer=("wav", "WAV"))
    settler = Settler(folder.settle, folder.empty_after)
    ready = Readiness(folder, settler)
    for name in ("a.wav", "a.WAV"):
        (tmp_path / name).write_bytes(wav("a"))
        found = stamp(str(tmp_path / name))
        assert found
        settler.observe(Sighting(found), 0.0)

    def kind(name: str, now: float) -> Kind | None:
        arrival = ready.arrival(str(tmp_path / name), now, 60.0)
        return arrival.kind if arrival else None

    assert kind("a.WAV", SETTLE) is None
    assert kind("a.wav", SETTLE) == Kind.COMPLETE
    assert kind("a.WAV", SIBLING_SECONDS) == Kind.COMPLETE
    settler.forget(str(tmp_path / "a.wav"))
    assert kind("a.WAV", SETTLE) == Kind.COMPLETE
