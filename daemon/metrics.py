"""Show what the database says as metrics in Prometheus' text format.

For the file that node_exporter reads and for the page `/metrics`: everything comes from rows, so any process
shows the same numbers. Labels are words of the configuration and of a few fixed lists; whatever else is in
the database is `other`, so nobody can add series without end.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from daemon import __version__
from daemon.config.models import Config
from daemon.models import AlertState, RecordingState, from_iso
from daemon.storage.connection import Database
from daemon.storage.counters import BOUNDS, folder_counters, request_counters
from daemon.storage.operations import waiting_targets
from daemon.storage.pauses import CAUSES, pauses
from daemon.storage.views import alert_numbers, available_folders, recording_numbers, waiting_since

OTHER = "other"
"""Label of a folder or destination that is not in the configuration, and of a recording without a folder."""

OUTCOMES = {
    "received": "received",
    "discarded": "discarded",
    "unknown": "unknown",
    "TemporaryError": "service_down",
    "ServiceDownError": "service_down",
    "RateLimitedError": "rate_limited",
    "DoubtfulReplyError": "reply_lost",
    "RecordingError": "recording_refused",
    "AccountError": "account_refused",
    "FileTrouble": "file_trouble",
    "FileGoneError": "file_trouble",
    "FileReplacedError": "file_trouble",
    "FileUnmountedError": "file_trouble",
    "FileChangedError": "file_trouble",
    "FileUnreadableError": "file_trouble",
}
"""What `requests.outcome` is called in the metrics."""

Values = Iterable[tuple[tuple[str, ...], float]]


def render(db: Database, config: Config, *, ready: bool, now: datetime) -> bytes:
    """Return all metrics as UTF-8 text; `ready` says that the service runs and watches its folders."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(_families(db, config, ready=ready, now=now)))
    return generate_latest(registry)


class _Families(Collector):
    """The metrics in the form in which the library takes them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def _families(db: Database, config: Config, *, ready: bool, now: datetime) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "earshot_build",
        "Version of earshot and of the Python it runs on.",
        {"version": __version__, "python": platform.python_version()},
    )
    yield _gauge("ready", "1 while the service runs and watches its folders, else 0.", float(ready))
    yield _gauge("written_timestamp_seconds", "When these metrics were made, in Unix time.", now.timestamp())
    folders = [folder.name for folder in config.watch]
    yield from _recordings(db, folders)
    yield from _counted(db, folders)
    yield from _requests(db)
    yield from _queue(db, folders, now)
    yield from _alerts(db, list(config.alerts.destinations), now)


def _recordings(db: Database, folders: Collection[str]) -> Iterator[Metric]:
    numbers = Counter({(folder, state.value): 0 for folder in folders for state in RecordingState})
    for row in recording_numbers(db):
        numbers[_known(row["folder"], folders), row["state"]] += row["count"]
    yield _labelled(
        GaugeMetricFamily("earshot_recordings", "Recordings by state.", labels=("folder", "state")),
        numbers.items(),
    )


def _counted(db: Database, folders: Collection[str]) -> Iterator[Metric]:
    sums = {name: Counter[str](dict.fromkeys(folders, 0)) for name in ("analyzed", "seconds", "usd")}
    last: dict[str, float] = {}
    for row in folder_counters(db):
        folder = _known(row["folder"], folders)
        for name, values in sums.items():
            values[folder] += row[name]
        if row["last_at"] is not None:
            last[folder] = max(last.get(folder, 0.0), from_iso(row["last_at"]).timestamp())
    for name, documentation, values in (
        ("recordings_analyzed", "Recordings that were analyzed.", sums["analyzed"]),
        ("audio_seconds", "Length of what was analyzed.", sums["seconds"]),
        ("cost_usd", "Estimated cost in USD, lost replies included.", sums["usd"]),
    ):
        yield _by(CounterMetricFamily, name, documentation, "folder", values)
    yield _by(
        GaugeMetricFamily,
        "last_success_timestamp_seconds",
        "When the last result was stored, in Unix time.",
        "folder",
        last,
    )


def _requests(db: Database) -> Iterator[Metric]:
    counted = request_counters(db)
    outcomes = Counter[str](dict.fromkeys((*OUTCOMES.values(), OTHER), 0))
    for row in counted:
        outcomes[OUTCOMES.get(row["outcome"], OTHER)] += row["requests"]
    documentation = "Requests to the API that have ended, by how they ended."
    yield _by(CounterMetricFamily, "requests", documentation, "outcome", outcomes)
    answered = [row for row in counted if row["outcome"] == "received"]
    histogram = HistogramMetricFamily(
        "earshot_request_duration_seconds",
        "How long answered requests took, from the first byte sent to the end of the reply.",
    )
    buckets = [
        (_bound(bound), float(sum(row["requests"] for row in answered if row["up_to"] <= bound)))
        for bound in BOUNDS
    ]
    histogram.add_metric((), buckets, sum_value=sum(row["seconds"] for row in answered))
    yield histogram


def _queue(db: Database, folders: Collection[str], now: datetime) -> Iterator[Metric]:
    yield _gauge(
        "queue_oldest_seconds",
        "How long the oldest waiting recording has waited, 0 when none waits.",
        _age(waiting_since(db), now),
    )
    held = {pause.cause for pause in pauses(db)}
    # Every cause is always there: an alert rule on a series that comes and goes is easily wrong.
    causes = {cause: float(cause in held) for cause in CAUSES}
    yield _by(GaugeMetricFamily, "paused", "1 while this cause holds recordings, else 0.", "cause", causes)
    readable = available_folders(db)
    available = {name: float(name in readable) for name in folders}
    documentation = "1 while the folder can be read, else 0."
    yield _by(GaugeMetricFamily, "folder_available", documentation, "folder", available)


def _alerts(db: Database, destinations: Collection[str], now: datetime) -> Iterator[Metric]:
    numbers = Counter({(name, state.value): 0 for name in destinations for state in AlertState})
    for row in alert_numbers(db):
        numbers[_known(row["destination"], destinations), row["state"]] += row["count"]
    labels = ("destination", "state")
    yield _labelled(GaugeMetricFamily("earshot_alerts", "Alerts by state.", labels=labels), numbers.items())
    oldest = dict.fromkeys(destinations, 0.0)
    for row in waiting_targets(db):
        name = _known(row["destination"], destinations)
        oldest[name] = max(oldest.get(name, 0.0), _age(row["oldest"], now))
    documentation = "How long the oldest alert that is due has waited, 0 when none waits."
    yield _by(GaugeMetricFamily, "alerts_oldest_seconds", documentation, "destination", oldest)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"earshot_{name}", documentation, value=value)


def _by(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    documentation: str,
    label: str,
    values: dict[str, float] | Counter[str],
) -> Metric:
    family = kind(f"earshot_{name}", documentation, labels=(label,))
    return _labelled(family, (((key,), value) for key, value in values.items()))


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, values: Values) -> Metric:
    for labels, value in sorted(values):
        family.add_metric([_text(label) for label in labels], value)
    return family


def _known(name: str | None, names: Collection[str]) -> str:
    return name if name in names and name is not None else OTHER


def _text(label: str) -> str:
    # YAML can hold half of a character; as UTF-8 it cannot be written.
    return label.encode("utf-8", "replace").decode()


def _bound(seconds: float) -> str:
    return "+Inf" if math.isinf(seconds) else f"{seconds:.1f}"


def _age(since: str | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - from_iso(since)).total_seconds())
