"""examples/: what is shipped for other programs fits today's database."""

from __future__ import annotations

import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import yaml

from daemon.models import RecordingState
from daemon.storage.database import open_database
from daemon.storage.verdicts import Verdict, give_verdict
from tests.alerts.examples import passage
from tests.alerts.stage import stage
from tests.servers import wait_until
from tests.storage.stores import NOW, add

ROOT = Path(__file__).parent.parent
DATASETTE = ROOT / "examples" / "datasette.yaml"
PARAMETERS = {"field": "agent", "pattern": "*CANCEL*", "words": "refund"}


def shown() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DATASETTE.read_text("utf-8"))["databases"]["earshot"]
    return found


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """With recordings, passages, alerts, metadata and costs."""
    with stage(tmp_path, {"destinations": {"team": "json://localhost"}}) as here:
        intents = (passage("please cancel", "cancel subscription", 0.9),)
        here.record(NOW, metadata={"agent": "ann"}, intents=intents, topics=intents)
        here.record(NOW, metadata={"agent": "bob"}, score=0.4, not_analyzed={"topics": "language"})
        here.fail(now=NOW)
        here.spend(0.5, NOW)
        give_verdict(here.db, here.alerts()[0]["id"], Verdict.USEFUL, NOW)
        here.db.execute("UPDATE recordings SET transcript = 'I want a refund'")
        return Path(here.config.database)


@contextmanager
def read_only(database: Path) -> Iterator[sqlite3.Connection]:
    """As another program opens it: without earshot's functions, and without the right to write."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        yield connection


def objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Tables and views by name, without those that SQLite and sqlite-utils keep for themselves."""
    found = dict(connection.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"))
    own = re.compile(r"sqlite_.*|_sqlite_.*|recordings_fts(_.*)?")
    return {name: kind for name, kind in found.items() if not own.fullmatch(name)}


def test_each_query_for_datasette_finds_something_in_a_database_that_it_may_only_read(database: Path) -> None:
    with read_only(database) as connection:
        for name, query in shown()["queries"].items():
            rows = connection.execute(query["sql"], PARAMETERS).fetchall()
            assert rows or name == "worst_of_a_week", name


def test_each_table_for_datasette_is_there_and_every_other_one_is_hidden_or_public(database: Path) -> None:
    tables = shown()["tables"]
    public = {"sentiments", "topics", "intents", "responses", "verdicts", "costs", "erasures", "webhooks"}
    with read_only(database) as connection:
        assert tables.keys() | public == objects(connection).keys()
        for name, about in tables.items():
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            named = [about.get(key) for key in ("sort", "sort_desc", "label_column")]
            named += [*about.get("facets", ()), *about.get("columns", ())]
            assert {each for each in named if each} <= columns, name


def test_the_documentation_names_each_view_and_its_queries_run(database: Path) -> None:
    text = (ROOT / "docs" / "tables.md").read_text("utf-8")
    section = text.partition("## Views\n")[2].partition("\n## ")[0]
    shown_queries = text.partition("## Queries in SQL\n")[2].partition("\n## ")[0]
    queries = re.findall(r"```sql\n(.*?)```", shown_queries, re.DOTALL)
    assert queries
    with read_only(database) as connection:
        views = {name for name, kind in objects(connection).items() if kind == "view"}
        assert {name for name in re.findall(r"^\| `(\w+)`", section, re.MULTILINE)} == views
        for row in re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE):
            columns = [each[1] for each in connection.execute(f"PRAGMA table_info({row[0]})")]
            assert re.findall(r"`(\w+)`", row[1]) == columns, row[0]
        for query in queries:
            assert connection.execute(query).fetchall(), query


def test_views_say_what_is_in_the_tables(database: Path) -> None:
    with read_only(database) as connection:

        def found(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        assert found("SELECT name, average_sentiment, alerts FROM conversations ORDER BY id") == [
            ("call-1.wav", "negative", 1),
            ("call-2.wav", "neutral", 0),
        ]
        assert found("SELECT day, recordings, average_score, negative_share FROM daily_figures") == [
            ("2026-08-01", 2, pytest.approx(-0.06), 0.5)
        ]
        assert found("SELECT value, count(*) FROM recording_metadata WHERE key = 'agent' GROUP BY value") == [
            ("ann", 1),
            ("bob", 1),
        ]
        assert found("SELECT intent, recordings FROM intent_counts") == [("cancel subscription", 1)]
        assert found("SELECT topic, recordings FROM topic_counts") == [("cancel subscription", 1)]
        assert found("SELECT count(DISTINCT recording_id) FROM negative_passages") == [(2,)]
        assert found("SELECT rule, alerts, useful, noise, precision FROM rule_alerts") == [
            ("unhappy caller", 1, 1, 0, 1.0)
        ]
        assert found("SELECT month, requests, usd, unpriced FROM monthly_costs") == [("2026-08", 1, 0.5, 0)]


def test_a_view_that_a_person_made_before_stays_and_stops_no_start(tmp_path: Path) -> None:
    path = tmp_path / "earshot.db"
    with closing(open_database(path)) as db:
        db.execute("DROP VIEW daily_figures")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm020_views'")
        db.execute("CREATE VIEW daily_figures AS SELECT 1 AS mine")
        add(db, state=RecordingState.DONE)
    with closing(open_database(path)) as db:
        assert db.execute("SELECT mine FROM daily_figures").fetchall() == [(1,)]
        assert db.execute("SELECT count(*) FROM conversations").fetchall() == [(1,)]


@pytest.mark.soak
def test_the_real_datasette_shows_every_page_and_answers_every_query(database: Path, tmp_path: Path) -> None:
    """It has an environment of its own, as for those who use it: it asks for other versions than earshot."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    program = tmp_path / "venv" / "bin"
    subprocess.run([program / "pip", "install", "-qq", "datasette>=0.65,<1"], check=True)
    served = tmp_path / "served"
    served.mkdir()
    shutil.copy(database, served / "earshot.db")
    before = (served / "earshot.db").read_bytes()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command: list[Path | str] = [
        program / "datasette",
        "serve",
        served / "earshot.db",
        "-m",
        DATASETTE,
        "-p",
        str(port),
    ]
    with (
        subprocess.Popen(command) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        try:
            wait_until(lambda: _answers(client), seconds=60, what="Datasette")
            for name in (*shown()["queries"], *shown()["tables"]):
                for form in ("", ".json"):
                    answer = client.get(f"/earshot/{name}{form}?{urlencode(PARAMETERS)}")
                    assert answer.status_code == 200, (name, answer.text)
            assert "loud_rules" in client.get("/earshot").text
        finally:
            process.terminate()
    assert (served / "earshot.db").read_bytes() == before


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/-/versions.json").is_success
    except httpx.TransportError:
        return False
