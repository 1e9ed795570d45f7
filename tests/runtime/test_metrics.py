"""Metrics: what they say, and the file that the real service writes for node_exporter."""

from __future__ import annotations

import inspect
import math
import re
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from daemon import errors
from daemon.config.load import load_config
from daemon.config.models import Config
from daemon.metrics import OUTCOMES, render
from daemon.models import Cost, RecordingState, iso
from daemon.runtime.metrics_file import EVERY_SECONDS, RETRY_SECONDS, metrics_file
from daemon.storage.connection import Database
from daemon.storage.costs import add_cost
from daemon.storage.database import open_database, transaction
from daemon.storage.pauses import begin_pause
from daemon.storage.purge import erase
from daemon.storage.queue import recover
from daemon.storage.requests import begin_part, end_request
from daemon.storage.results import store_result
from tests.alerts.examples import analysis
from tests.harness import ScriptedApi, Service, refuse
from tests.servers import wait_until
from tests.storage.stores import NOW, add, later

ROOT = Path(__file__).parents[2]
RULES = ROOT / "examples" / "prometheus-rules.yaml"

Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with closing(open_database(tmp_path / "earshot.db")) as database:
        yield database


def configured(place: Path, *folders: str, destinations: dict[str, Any] | None = None) -> Config:
    file = place / "config.yaml"
    alerts = {"destinations": destinations or {}}
    file.write_text(yaml.safe_dump({"database": "earshot.db", "watch": [*folders], "alerts": alerts}))
    return load_config(file, env={"HOME": str(place)})


def read(text: bytes) -> Samples:
    """Every sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def rendered(db: Database, config: Config, *, seconds: float = 0.0) -> Samples:
    return read(render(db, config, ready=True, now=later(seconds)))


def asked(db: Database, recording_id: int, outcome: str, seconds: float) -> None:
    """A request that took so long and ended so."""
    with transaction(db):
        request = begin_part(db, recording_id, None, NOW)
        end_request(db, request, outcome=outcome, now=later(seconds))


def test_a_service_writes_its_metrics_for_others_to_read_and_counts_on_after_a_restart(
    tmp_path: Path,
) -> None:
    place = tmp_path / "textfiles"
    place.mkdir()
    file = place / "earshot.prom"
    with ScriptedApi() as api:
        configuration = {"analyzer": {"base_url": api.url}, "metrics_file": str(file)}
        with Service(tmp_path, configuration) as service:
            service.start()
            wait_until(file.exists, what="the metrics")
            service.drop("a.wav")
            service.wait_states(done=1)
            api.then(refuse("e400_audio"))
            service.drop("b.wav", b"other bytes" * 1000)
            service.wait_states(done=1, failed=1)
            assert service.stop() == 0
            service.start()
            analyzed = ("earshot_recordings_analyzed_total", (str(service.folder),))
            wait_until(lambda: read(file.read_bytes())[analyzed] == 1, what="the count of before")
            assert service.stop() == 0
            found = read(file.read_bytes())
    assert found["earshot_requests_total", ("received",)] == 1
    assert found["earshot_requests_total", ("recording_refused",)] == 1
    assert found["earshot_recordings", (str(service.folder), "failed")] == 1
    assert found["earshot_cost_usd_total", (str(service.folder),)] > 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in place.iterdir()] == ["earshot.prom"]


def test_every_state_folder_destination_and_cause_has_a_series(db: Database, tmp_path: Path) -> None:
    config = configured(tmp_path, "/r", "/empty", destinations={"team": "json://localhost"})
    for state in RecordingState:
        add(db, 2 if state == RecordingState.FAILED else 1, state=state)
    with transaction(db):
        begin_pause(db, "key", "refused", probe_seconds=60, shared=True, now=NOW)
    db.execute("INSERT INTO folders (path, configured_at, available) VALUES ('/r', '', 1)")
    db.execute(
        "INSERT INTO alerts (destination, target, state, created_at, title, body)"
        " VALUES ('team', 0, 'pending', ?, '', ''), ('gone', 0, 'sent', ?, '', '')",
        (iso(NOW), iso(NOW)),
    )
    found = rendered(db, config, seconds=90)
    assert {state: found["earshot_recordings", ("/r", state)] for state in RecordingState} == {
        state: 2 if state == RecordingState.FAILED else 1 for state in RecordingState
    }
    assert found["earshot_recordings", ("/empty", "waiting")] == 0
    assert found["earshot_queue_oldest_seconds", ()] == 90
    assert found["earshot_paused", ("key",)] == 1
    assert found["earshot_paused", ("limit",)] == 0
    assert found["earshot_folder_available", ("/r",)] == 1
    assert found["earshot_folder_available", ("/empty",)] == 0
    assert found["earshot_alerts", ("team", "pending")] == 1
    assert found["earshot_alerts", ("other", "sent")] == 1
    assert found["earshot_alerts_oldest_seconds", ("team",)] == 90
    assert found["earshot_written_timestamp_seconds", ()] == later(90).timestamp()
    assert found["earshot_ready", ()] == 1


def test_requests_are_counted_by_outcome_and_how_long_an_answer_took(db: Database, tmp_path: Path) -> None:
    (number,) = add(db, state=RecordingState.ANALYZING)
    for seconds in (0.4, 2.0, 2.5, 4000.0):
        asked(db, number, "received", seconds)
    for outcome in OUTCOMES:
        asked(db, number, outcome, 1.0)
    asked(db, number, "NewKindOfError", -5.0)
    with transaction(db):
        begin_part(db, number, None, NOW)
        recover(db, later(10))
    found = rendered(db, configured(tmp_path, "/r"))
    requests = {
        labels[0]: value for (name, labels), value in found.items() if name == "earshot_requests_total"
    }
    assert requests == Counter(OUTCOMES.values()) + Counter(received=4, unknown=1, other=1)
    name = "earshot_request_duration_seconds"
    buckets = {labels[0]: value for (key, labels), value in found.items() if key == f"{name}_bucket"}
    assert [buckets[bound] for bound in ("1.0", "2.0", "5.0", "600.0", "+Inf")] == [2, 3, 4, 4, 5]
    assert found[f"{name}_count", ()] == 5
    assert math.isclose(found[f"{name}_sum", ()], 4005.9)


def test_every_error_that_ends_a_request_has_an_outcome_of_its_own() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    ends = {kind.__name__ for kind in kinds if issubclass(kind, errors.AnalysisError | errors.FileTrouble)}
    assert ends - {"AnalysisError"} <= OUTCOMES.keys()


def test_what_was_counted_does_not_fall_when_recordings_are_deleted(db: Database, tmp_path: Path) -> None:
    config = configured(tmp_path, "/r")
    numbers = add(db, 2, state=RecordingState.ANALYZING)
    for number in numbers:
        asked(db, number, "received", 3.0)
        with transaction(db):
            store_result(db, number, analysis(), now=NOW)
            add_cost(db, number, Cost("nova-3", 60.0, 1, 0, 0, 0.25, None), NOW)
    before = rendered(db, config)
    with transaction(db):
        assert erase(db, numbers, "retention", "", NOW) == 2
    after = rendered(db, config)
    changed = {name for (name, _), value in before.items() if after[name, _] != value}
    assert changed == {"earshot_recordings"}
    assert after["earshot_recordings_analyzed_total", ("/r",)] == 2
    assert after["earshot_audio_seconds_total", ("/r",)] == 2 * (analysis().duration_seconds or 0)
    assert after["earshot_cost_usd_total", ("/r",)] == 0.5
    assert after["earshot_last_success_timestamp_seconds", ("/r",)] == NOW.timestamp()


def test_names_from_outside_neither_add_series_nor_break_the_format(db: Database, tmp_path: Path) -> None:
    evil = '/r/"} 1\nearshot_ready 0\n# \\\u2028\r\x1b[31m'
    config = configured(tmp_path, evil)
    few = len(rendered(db, config))
    for number in range(30):
        add(db, folder=f"/analyzed/{number}", state=RecordingState.DONE)
    add(db, folder=evil)
    found = rendered(db, config)
    assert found["earshot_recordings", (evil, "waiting")] == 1
    assert found["earshot_recordings", ("other", "done")] == 30
    assert found["earshot_ready", ()] == 1
    assert len(found) == few + 1


def test_a_file_that_cannot_be_written_is_told_and_tried_again(
    db: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "not-there" / "earshot.prom"
    step = metrics_file(configured(tmp_path, "/r"), file, lambda: True)
    assert step(db) == RETRY_SECONDS
    assert f"metrics not written file={file} error=No such file or directory" in caplog.text
    file.parent.mkdir()
    assert step(db) == EVERY_SECONDS
    assert read(file.read_bytes())["earshot_ready", ()] == 1


def test_a_service_that_starts_says_soon_that_it_is_ready(db: Database, tmp_path: Path) -> None:
    file = tmp_path / "earshot.prom"
    step = metrics_file(configured(tmp_path, "/r"), file, lambda: False)
    assert 0 < step(db) < EVERY_SECONDS
    assert read(file.read_bytes())["earshot_ready", ()] == 0


def test_a_single_pass_leaves_the_metrics_of_its_end(tmp_path: Path) -> None:
    file = tmp_path / "earshot.prom"
    with ScriptedApi() as api:
        configuration = {"analyzer": {"base_url": api.url}, "metrics_file": str(file)}
        with Service(tmp_path, configuration) as service:
            service.drop("a.wav")
            answer = service.earshot("scan", "--existing", "--yes")
            assert answer.returncode == 0, answer.stderr
            assert read(file.read_bytes())["earshot_recordings_analyzed_total", (str(service.folder),)] == 1


def test_readers_see_the_metrics_whole_while_they_are_written(db: Database, tmp_path: Path) -> None:
    file = tmp_path / "earshot.prom"
    step = metrics_file(configured(tmp_path, "/r"), file, lambda: True)
    step(db)
    whole = {len(file.read_bytes())}
    ended = threading.Event()
    seen: set[int] = set()

    def look() -> None:
        while not ended.is_set():
            seen.add(len(file.read_bytes()))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(30):
        step(db)
        whole.add(len(file.read_bytes()))
    ended.set()
    reader.join()
    assert seen <= whole


def test_the_alert_rules_and_the_documentation_name_the_metrics_that_there_are(
    db: Database, tmp_path: Path
) -> None:
    config = configured(tmp_path, "/r", destinations={"team": "json://localhost"})
    (number,) = add(db, state=RecordingState.ANALYZING)
    with transaction(db):
        store_result(db, number, analysis(), now=NOW)
    families = list(text_string_to_metric_families(render(db, config, ready=True, now=NOW).decode()))
    samples = {sample.name for family in families for sample in family.samples}
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        used = set(re.findall(r"\bearshot_\w+", rule["expr"]))
        assert used, rule
        assert used <= samples, rule["alert"]
        assert {"summary"} == rule["annotations"].keys()
    shown = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `(earshot_\w+)", shown, re.MULTILINE))
    histogram = "earshot_request_duration_seconds"
    assert documented == {name for name in samples if not name.startswith(histogram)} | {histogram}
    for outcome in (*OUTCOMES.values(), "other"):
        assert f"`{outcome}`" in shown
