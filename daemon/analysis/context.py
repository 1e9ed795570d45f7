"""What every worker needs besides its own database connection."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from daemon.analysis.refusals import Refusals
from daemon.analysis.throttle import Throttle
from daemon.config.models import Config, WatchFolder
from daemon.deepgram.client import ApiClient
from daemon.deepgram.request import Request
from daemon.deepgram.upload import OpenFile
from daemon.models import Analysis, Cost, Recording, utc_now
from daemon.storage.connection import Database


@dataclass(frozen=True, slots=True)
class Context:
    """What a worker needs besides its database connection; the same for all workers of one configuration."""

    config: Config
    client: ApiClient
    requests: Mapping[str | None, Request]
    """By `recordings.folder`; None for what belongs to no folder."""
    throttle: Throttle
    store: Callable[[Database, Recording, Analysis, Callable[[datetime], None]], int]
    """Stores a result with the alerts that it causes, in one transaction, in which it first calls its last
    argument; returns how many alerts are new."""
    expected: Callable[[OpenFile | None, Request], Cost] = lambda _, request: request.expected_cost(None)
    """What analyzing a file will probably cost; None for a hosted one."""
    on_reply: Callable[[], None] = lambda: None
    """Called when a place is free for another recording, while a reply is still to be stored."""
    on_done: Callable[[], None] = lambda: None
    """Called after each recording's turn: it may have caused alerts, its original may be due."""
    clock: Callable[[], datetime] = utc_now
    ended: Callable[[], bool] = lambda: False
    """True when the process waits no longer: a reply that cannot be stored is then given up."""
    retired: Callable[[], bool] = lambda: False
    """True when nothing is claimed here any more: its key and its parameters are nobody else's then."""
    away: Callable[[], frozenset[str]] = frozenset
    """The folders that are not there or do not answer."""
    remote: Callable[[], frozenset[str]] = frozenset
    """The folders on shares."""
    share_done: Callable[[], float | None] = lambda: None
    """How much of what is asked for right now the service has done, 0 to 1; None when it does not say."""
    random: random.Random = field(default_factory=random.Random)
    refusals: Refusals = field(default_factory=Refusals)

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
