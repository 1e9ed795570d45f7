"""The heartbeat: a real service calls a real address while all is well, and tells when it is not."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from daemon.config.models import Heartbeat
from daemon.runtime.heartbeat import RETRY_SECONDS, heartbeat
from daemon.storage.connection import Database
from tests.databases import new_database, wait_at_most
from tests.harness import ScriptedApi, Service, refuse
from tests.servers import Answer, HttpSink, wait_until

SECRET = "a-secret-0123456789abcdef"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with closing(new_database(tmp_path / "earshot.db")) as database:
        yield database


def settings(sink: HttpSink, *, fail: bool = True) -> Heartbeat:
    fail_url = SecretStr(f"{sink.url}/{SECRET}/fail") if fail else None
    return Heartbeat(url=SecretStr(f"{sink.url}/{SECRET}"), fail_url=fail_url, every=300.0)


def test_a_service_calls_while_all_is_well_and_says_when_it_is_not(tmp_path: Path) -> None:
    with ScriptedApi(refuse("e401_key")) as api, HttpSink() as sink:
        beat = {"url": "${BEAT}", "fail_url": "${BEAT}/fail", "every": "0.1s"}
        configuration = {"analyzer": {"base_url": api.url}, "heartbeat": beat}
        with Service(tmp_path, configuration, {"BEAT": f"{sink.url}/{SECRET}"}) as service:
            service.start()
            assert {request.path for request in sink.wait_for(3)} == {f"/{SECRET}"}
            sink.then(default=500)
            service.drop("a.wav")
            wait_until(lambda: sink.requests[-1].path == f"/{SECRET}/fail", what=f"fail_url; {service.log()}")
            assert {request.method for request in sink.requests} == {"GET"}
            wait_until(lambda: "heartbeat not delivered" in service.log(), what="a word on the refusal")
            assert service.stop() == 0
            assert SECRET not in service.log()


def test_an_address_that_hangs_holds_up_neither_work_nor_end(tmp_path: Path) -> None:
    with ScriptedApi() as api, HttpSink(default=Answer(delay=600)) as sink:
        beat = {"url": f"{sink.url}/x"}
        with Service(tmp_path, {"analyzer": {"base_url": api.url}, "heartbeat": beat}) as service:
            service.start()
            sink.wait_for(1)
            service.drop("a.wav")
            service.wait_states(done=1)
            assert service.stop() == 0


def test_the_service_manager_shows_what_is_not_well(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)

        def wait_for(status: str) -> None:
            while f"STATUS={status}" not in manager.recv(4096).decode():
                pass

        with Service(tmp_path / "place", {}, {"NOTIFY_SOCKET": str(tmp_path / "notify")}) as service:
            service.start()
            wait_for("watching 1 folder")
            service.folder.rename(tmp_path / "away")
            wait_for(f"{service.folder} not available (No such file or directory)")
            service.folder.touch()
            wait_for(f"{service.folder} not available (not a directory)")
            service.folder.unlink()
            (tmp_path / "away").rename(service.folder)
            wait_for("watching 1 folder")
            service.config_file.write_text("watch: 7\n")
            service.reload()
            wait_for(
                f"the new configuration was refused, the old one goes on: {service.config_file}:1: watch"
            )
            service.write_config()
            service.reload()
            wait_for("watching 1 folder")


def test_nothing_is_called_before_the_folders_are_watched(db: Database) -> None:
    with HttpSink() as sink:
        assert heartbeat(settings(sink), [], lambda: False)(db) <= 1
        assert not sink.requests


def test_silence_tells_where_there_is_no_address_for_it(db: Database) -> None:
    db.execute("INSERT INTO folders (path, configured_at, reason) VALUES ('/gone', '', 'not there')")
    with HttpSink() as sink:
        assert heartbeat(settings(sink, fail=False), ["/gone"], lambda: True)(db) == 300
        assert not sink.requests
        assert heartbeat(settings(sink), ["/gone"], lambda: True)(db) == 300
        assert heartbeat(settings(sink), ["/other"], lambda: True)(db) == 300
        assert [request.path for request in sink.requests] == [f"/{SECRET}/fail", f"/{SECRET}"]


def test_while_nothing_can_be_stored_not_all_is_well(db: Database, tmp_path: Path) -> None:
    """A pause for this reason could not be stored either."""
    wait_at_most(db, 0.0)
    with HttpSink() as sink, closing(sqlite3.connect(tmp_path / "earshot.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert heartbeat(settings(sink), [], lambda: True)(db) == 300
        other.execute("ROLLBACK")
        assert heartbeat(settings(sink), [], lambda: True)(db) == 300
        assert [request.path for request in sink.requests] == [f"/{SECRET}/fail", f"/{SECRET}"]


def test_no_redirect_is_followed_and_a_call_that_failed_is_made_again_soon(db: Database) -> None:
    with HttpSink() as elsewhere, HttpSink(Answer(302, headers={"Location": elsewhere.url})) as sink:
        assert heartbeat(settings(sink), [], lambda: True)(db) == RETRY_SECONDS
        assert not elsewhere.requests
    assert heartbeat(settings(sink), [], lambda: True)(db) == RETRY_SECONDS
