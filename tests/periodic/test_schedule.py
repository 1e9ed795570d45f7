"""How often the schedule looks: what ends by the clock is not to wait for the next row."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from daemon.config.models import Config
from daemon.models import RecordingState
from daemon.periodic.schedule import LOOK_SECONDS, QUIET_LOOK_SECONDS, schedule
from daemon.storage.connection import Database
from daemon.storage.operations import begin_trouble
from daemon.storage.volume import begin_window
from tests.databases import new_database
from tests.storage.stores import NOW, add


@pytest.mark.parametrize(
    ("clock", "happens", "seconds"),
    [
        ("12:00:00", lambda _: None, QUIET_LOOK_SECONDS),
        ("12:59:55", lambda _: None, LOOK_SECONDS),
        ("12:00:00", lambda db: begin_trouble(db, "credit", "", "402", NOW), LOOK_SECONDS),
        ("12:00:00", lambda db: begin_window(db, "ops", 0, 60.0, NOW), LOOK_SECONDS),
        ("12:00:00", lambda db: add(db, state=RecordingState.FAILED), LOOK_SECONDS),
    ],
)
def test_it_looks_seldom_only_while_nothing_ends_by_the_clock(
    tmp_path: Path, clock: str, happens: Callable[[Database], object], seconds: float
) -> None:
    digest = {"at": "13:00", "notify": ("ops",)}
    config = Config.model_validate(
        {"database": "-", "watch": [{"path": "/r"}], "timezone": "UTC", "alerts": {"digest": digest}}
    )
    now = datetime.fromisoformat(f"2026-08-01T{clock}+00:00")
    step = schedule(config, (), end_bursts=lambda *_: False, clock=lambda: now)
    with closing(new_database(tmp_path / "earshot.db")) as db:
        step(db)
        happens(db)
        assert step(db) == seconds
