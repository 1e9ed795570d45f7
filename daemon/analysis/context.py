"""What every worker needs besides its own database connection."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from daemon.analysis.refusals import Refusals
from daemon.analysis.throttle import Throttle
from daemon.config.models import Config, WatchFolder
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import Request
from daemon.models import Recording, Target


def utc_now() -> datetime:
    """The time, as every stage counts it."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """What a worker needs besides its database connection; the same for all workers.

    `on_alerts` is called when there are new rows in the outbox; `requests` is keyed by `recordings.folder`,
    None for what belongs to no folder. `ended` says that the process will not wait any longer, so a reply
    that cannot be stored is given up. `away` names the folders that are not there or do not answer, `remote`
    those on shares. `retired` is set once nothing is claimed here any more: what its key and its parameters
    meet from then on concerns nobody else.
    """

    config: Config
    client: ApiClient
    requests: Mapping[str | None, Request]
    targets: Sequence[Target]
    throttle: Throttle
    on_alerts: Callable[[], None] = lambda: None
    clock: Callable[[], datetime] = utc_now
    ended: Callable[[], bool] = lambda: False
    away: Callable[[], frozenset[str]] = frozenset
    remote: Callable[[], frozenset[str]] = frozenset
    random: random.Random = field(default_factory=random.Random)
    refusals: Refusals = field(default_factory=Refusals)
    retired: threading.Event = field(default_factory=threading.Event)

    @property
    def operations(self) -> list[tuple[str, int]]:
        """Where messages about the service itself go: destination and target of each."""
        named = set(self.config.alerts.operations)
        return [(target.destination, target.index) for target in self.targets if target.destination in named]

    @property
    def scopes(self) -> dict[str | None, str]:
        """For each folder the key of its request, by which a refused request holds only its own."""
        return {folder: request.key for folder, request in self.requests.items()}

    def folder_of(self, recording: Recording) -> WatchFolder | None:
        """The watched folder that this one belongs to; None when it belongs to none that is configured."""
        return next((folder for folder in self.config.watch if folder.name == recording.folder), None)

    def request_for(self, recording: Recording) -> Request:
        """The request for recordings of this one's folder."""
        return self.requests.get(recording.folder) or self.requests[None]
