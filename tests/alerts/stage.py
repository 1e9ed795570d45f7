"""Everything between a result and a delivered message, in one thread and with a clock that tests set."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.alerts.deliver import step
from daemon.alerts.draft import wanted_alerts
from daemon.alerts.sender import AppriseSender
from daemon.alerts.targets import open_targets
from daemon.alerts.volume import end_bursts, store_alerts
from daemon.config.load import load_config
from daemon.models import Conversation, Cost, Ending, RecordingState, Segment, iso
from daemon.periodic import schedule
from daemon.rules.match import matches
from daemon.storage.connection import Database
from daemon.storage.costs import add_cost
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.queue import end
from daemon.storage.results import store_result
from tests.alerts.examples import analysis, passage
from tests.databases import new_database

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
UNHAPPY = {"name": "unhappy caller", "when": {"average_sentiment": "negative"}, "notify": "team"}
CHURN = {"name": "churn risk", "when": {"intent": "*cancel*"}, "notify": "team"}


class Stage:
    """A configuration with its database. `alerts` is as in the file; `settings` are top-level keys."""

    def __init__(self, place: Path, alerts: dict[str, Any], **settings: Any) -> None:
        self.place = place
        self.configure(alerts, **settings)
        self.db = new_database(self.config.database)
        self._numbers = itertools.count(1)

    def configure(self, alerts: dict[str, Any], **settings: Any) -> None:
        """Read the configuration anew."""
        self.folder = str(self.place / "calls")
        base = {"database": "earshot.db", "timezone": "UTC", "watch": [self.folder]}
        file = self.place / "config.yaml"
        file.write_text(json.dumps(base | {"alerts": {"rules": [UNHAPPY]} | alerts} | settings))
        self.config = load_config(file, env={"HOME": str(self.place)})
        self.targets = open_targets(self.config, {})

    def restart(self) -> None:
        """Forget everything but the file."""
        self.db.close()
        self.db = open_database(self.config.database)

    def record(
        self,
        now: datetime = NOW,
        *,
        folder: str | None = None,
        metadata: dict[str, str] | None = None,
        score: float = -0.52,
        intents: tuple[Segment, ...] = (),
        name: str = "",
        topics: tuple[Segment, ...] = (),
        recorded_at: datetime | None = None,
        not_analyzed: dict[str, str] | None = None,
        summary: str = "The customer wants to cancel.",
        sentiments: tuple[Segment, ...] = (passage(),),
    ) -> int:
        """Analyze a recording with the real functions; returns its id."""
        label = "negative" if score <= -1 / 3 else "neutral"
        found = analysis(average=label, score=score, intents=_placed(intents), not_analyzed=not_analyzed)
        found = replace(found, topics=_placed(topics), summary=summary, sentiments=_placed(sentiments))
        name, folder = name or f"call-{next(self._numbers)}.wav", folder or self.folder
        recording_id = add_waiting(self.db, f"{folder}/{name}", folder, metadata or {}, now)
        conversation = Conversation(
            recording_id=recording_id,
            name=name,
            path=f"{folder}/{name}",
            folder=folder,
            recorded_at=iso(recorded_at or now),
            modified_at=None,
            analysis=found,
            metadata=metadata or {},
        )
        alerts = self.config.alerts
        fired = matches(alerts.rules, conversation)
        wanted = wanted_alerts(alerts, self.targets, conversation, fired, now)
        with transaction(self.db):
            store_result(self.db, recording_id, found, now=now)
            store_alerts(self.db, alerts, wanted, recording_id, now)
        return recording_id

    def fail(self, name: str = "broken.wav", code: str = "corrupt_audio", *, now: datetime = NOW) -> int:
        """A recording that cannot be analyzed."""
        recording_id = add_waiting(self.db, f"{self.folder}/{name}", self.folder, {}, now)
        with transaction(self.db):
            end(self.db, recording_id, Ending(RecordingState.FAILED, code, "it is broken"), now)
        return recording_id

    def spend(self, usd: float, now: datetime) -> None:
        """A request that cost so much."""
        recording_id = add_waiting(self.db, f"{self.folder}/paid.wav", self.folder, {}, now)
        with transaction(self.db):
            add_cost(self.db, recording_id, Cost("nova-3", 60.0, 1, 0, 0, usd, None), now)

    def tick(self, now: datetime) -> bool:
        """What the service does by the clock."""
        summed_up = end_bursts(self.db, self.config.alerts, self.targets, now)
        return schedule.step(self.db, self.config, self.targets, now) or summed_up

    def deliver(self, now: datetime = NOW) -> int:
        """Send everything that is due; returns how many messages that were."""
        sent = 0
        for target in self.targets:
            # A sender of its own for each message: Apprise pauses 5.5 s between two mails of one sender.
            while step(self.db, target, AppriseSender(target.url), now):
                sent += 1
        return sent

    def alerts(self, **wanted: Any) -> list[dict[str, Any]]:
        """The rows of the outbox with these values, by id."""
        found = rows(self.db, "SELECT * FROM alerts ORDER BY id")
        return [row for row in found if all(row[key] == value for key, value in wanted.items())]

    def states(self) -> list[tuple[str, str | None]]:
        """State and reason of every alert, by id."""
        return [(row["state"], row["reason"]) for row in self.alerts()]


def _placed(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    return tuple(replace(segment, position=number) for number, segment in enumerate(segments))


def add_waiting(db: Database, path: str, folder: str, metadata: dict[str, str], now: datetime) -> int:
    """A recording in the queue."""
    with transaction(db):
        stored = rows(
            db,
            "INSERT INTO recordings (path, name, folder, metadata, state, first_seen_at, source)"
            " VALUES (?, ?, ?, ?, 'waiting', ?, x'00') RETURNING id",
            (path, Path(path).name, folder, json.dumps(metadata), iso(now)),
        )
    return int(stored[0]["id"])


@contextmanager
def stage(place: Path, alerts: dict[str, Any], **settings: Any) -> Iterator[Stage]:
    """A stage that is closed at the end."""
    made = Stage(place, alerts, **settings)
    try:
        yield made
    finally:
        made.db.close()
