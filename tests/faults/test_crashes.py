"""The process dies, hangs, is told to end, or meets itself: nothing is lost and nothing is paid for twice."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.models import NewRecording
from daemon.storage.due import Wanted
from daemon.storage.queue import add, claim, claim_this, recover
from tests.databases import new_database, tables
from tests.faults.crashes import (
    Tally,
    alerting,
    compiled_counter,
    delivered,
    is_bad_news_name,
    is_sent,
    kill_loop,
    mixed_news,
    sending,
    settle,
    tally,
)
from tests.harness import Conversation, ScriptedApi, Service, reply, running, wav
from tests.servers import Answer, HttpSink, stand_still, wait_until
from tests.storage.stores import committed

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(mixed_news(0.01, 0.02)) as server:
        yield server


def negative(conversation: Conversation) -> None:
    conversation.reply(body=reply(average=-0.8))


# P1 to P4: killed at any moment


def test_random_kills_lose_nothing_and_cost_what_was_in_flight(tmp_path: Path) -> None:
    """P1: also while files come in, and with recordings dropped while it is down."""
    found = kill_loop(tmp_path, files=40, kills=6, concurrency=8, seed=7)
    sys.stdout.write(f"{found}\n")
    found.check()


@pytest.mark.soak
@pytest.mark.parametrize("slowest_seconds", [0.1, 2.0])
def test_long_run_of_random_kills(tmp_path: Path, slowest_seconds: float) -> None:
    """P1: a thousand recordings, two hundred kills; with slow replies most kills find ten in flight."""
    found = kill_loop(
        tmp_path, files=1000, kills=200, concurrency=10, seed=2, slowest_seconds=slowest_seconds
    )
    sys.stdout.write(f"{found}\n")
    found.check()


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled_counter(tmp_path_factory)


def killed_at_call(place: Path, library: Path, number: int) -> tuple[Tally, int]:
    """One recording through a process that dies at its `number`-th call (0: at none), then through a new one.

    Returns what was counted and how many calls the first process made.
    """
    calls = place / "calls"
    started = time.monotonic()
    with (
        HttpSink() as sink,
        ScriptedApi(negative) as api,
        Service(place, alerting(sink, base_url=api.url)) as service,
    ):
        service.start()
        service.stop()
        service.drop(is_bad_news_name())
        service.environment = {"LD_PRELOAD": str(library), "KILL_AT": str(number), "CALL_LOG": str(calls)}
        process = service.start(ready=False).process
        assert process is not None
        wait_until(lambda: process.poll() is not None or is_sent(service), what="its death, or the alert")
        is_dead = process.poll() is not None
        service.kill()
        bound = sending(service)
        service.environment = {}
        service.start()
        wait_until(lambda: is_sent(service), what=f"the alert after call {number}: {service.log()[-2000:]}")
        assert service.stop() == 0
        found = tally(service, api, sink, files=1, kills=int(is_dead), bound=bound, started=started)
    return found, len(calls.read_text().splitlines())


def kill_at_calls(place: Path, library: Path, numbers: Iterable[int]) -> int:
    """Let it die at each of these calls; return how many it made until the last."""
    calls = 0
    for number in numbers:
        found, calls = killed_at_call(place / str(number), library, number)
        found.check()
        assert found.extra_billed <= 1, (number, found)
        assert found.extra_alerts <= 1, (number, found)
    return calls


def test_kill_at_any_call_costs_one_request_and_one_message(tmp_path: Path, counter: Path) -> None:
    """P2: two of the 230 points at which a process can die; the long runs take every one."""
    assert kill_at_calls(tmp_path, counter, (60, 170)) >= 170, "it died before it made so many calls"


@pytest.mark.soak
def test_kill_at_every_call(tmp_path: Path, counter: Path) -> None:
    """P2: before each write, sync, send and receive of a recording's whole way."""
    _, calls = killed_at_call(tmp_path / "whole", counter, 0)
    kill_at_calls(tmp_path, counter, range(1, calls + 1))


def test_claim_and_reply_are_on_disk_before_anything_is_sent(tmp_path: Path, counter: Path) -> None:
    """D10: a sync between the claim and the first byte, and one between a reply and the next request."""
    calls = tmp_path / "calls"
    with ScriptedApi() as api, Service(tmp_path, {"analyzer": {"concurrency": 1}}) as service:
        service.write_config(analyzer={"base_url": api.url})
        service.start()
        service.stop()
        for number in range(2):
            service.drop(f"{number}.wav")
        service.environment = {"LD_PRELOAD": str(counter), "CALL_LOG": str(calls)}
        service.start()
        service.wait_states(done=2)
        service.stop()
    names = calls.read_text().splitlines()
    first, second = [at for at, name in enumerate(names) if name == "connect"]
    received = max(at for at in range(first, second) if names[at] == "recv")
    assert "fdatasync" in names[:first]
    assert "fdatasync" in names[received:second]
    assert "send" in names[first:received]
    assert "send" in names[second:]


def test_killed_between_the_answer_and_its_commit_asks_once_more(tmp_path: Path) -> None:
    """P3: the one moment at which a second bill cannot be avoided; it is recorded as possible."""
    with ScriptedApi() as api, running(tmp_path, api) as service:
        process = service.process
        assert process is not None

        def kill_after_the_answer(conversation: Conversation) -> None:
            # Stopped first, so that the answer arrives and is never read.
            stand_still(process.pid)
            conversation.reply()
            process.kill()

        api.then(kill_after_the_answer)
        service.drop("call.wav")
        service.wait_end()
        service.start()
        service.wait_states(done=1)
        assert len(api.listened()) == 2
        assert service.rows("SELECT possibly_billed AS n FROM recordings")[0]["n"] == 2


@pytest.mark.parametrize("delay", [0.0, 30.0], ids=["before it is marked as sent", "before it is answered"])
def test_alert_in_flight_at_a_kill_comes_with_the_same_id(tmp_path: Path, delay: float) -> None:
    """P4: sent twice at most, and the last line says that it is the same alert."""
    with HttpSink(Answer(delay=delay)) as sink, ScriptedApi(negative) as api:
        with running(tmp_path, api, **alerting(sink)) as service:
            with closing(sqlite3.connect(service.database, isolation_level=None)) as other:
                service.wait_states()
                service.drop("call.wav")
                if delay:
                    sink.wait_for(1)
                else:
                    # The mark waits for this lock, taken as soon as there is something to send.
                    service.wait_row("SELECT 1 FROM alerts")
                    other.execute("BEGIN IMMEDIATE")
                    sink.wait_for(1)
                service.kill()
            service.start()
            wait_until(lambda: is_sent(service), what="the alert to be sent")
            service.stop()
        told = delivered(sink)
        assert set(told) == {(1, 1)}
        assert told[1, 1] <= 2
        assert len(api.listened()) == 1


# P6: a recording that takes the process with it


def test_recording_that_kills_the_process_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    """P6: after three deaths with it in flight; those that were in flight with it are analyzed."""
    deaths = 0
    poison = wav("poison", seconds=0.2)

    def script(conversation: Conversation) -> None:
        nonlocal deaths
        if conversation.call.size == len(poison) and service.process is not None:
            deaths += 1
            service.process.kill()
        else:
            conversation.reply(delay=0.2)

    with ScriptedApi(script) as api:
        settings = {"analyzer": {"base_url": api.url, "concurrency": 4}}
        with Service(tmp_path, settings) as service:
            for number in range(4):
                service.drop(f"before-{number}.wav")
            service.drop("poison.wav", poison)
            for number in range(4):
                service.drop(f"{number}.wav")
            service.write_config(
                watch=[{"path": str(service.folder), "settle": "0.1s", "existing": "analyze"}]
            )
            for _ in range(3):
                service.start(ready=False)
                assert service.wait_end() == -signal.SIGKILL
            service.start()
            service.wait_states(done=8, failed=1)
            row = service.wait_row("SELECT * FROM recordings WHERE state = 'failed'")
            assert (row["name"], row["error_code"]) == ("poison.wav", "crashed")
            assert f"earshot retry {row['id']}" in row["error"]
            assert deaths == 3


def test_one_that_was_in_flight_in_two_crashes_is_claimed_apart(tmp_path: Path) -> None:
    """P6: crashes with others in flight are suspicion; only one without company sets it aside."""
    with closing(new_database(tmp_path / "earshot.db")) as db:
        for name in ("a", "b"):
            number = committed(add, db, NewRecording(f"/{name}", False, None), NOW)
            committed(claim_this, db, number, NOW)
        for crash in range(2):
            assert committed(recover, db, NOW) == 2
            if not crash:
                while committed(claim, db, NOW):
                    pass
        assert committed(claim, db, NOW, Wanted(suspects=False)) is None
        alone = committed(claim, db, NOW, Wanted(suspects=True))
        assert alone is not None
        committed(recover, db, NOW)
        states = {row["path"]: (row["state"], row["error_code"]) for row in tables(db)["recordings"].rows}
        assert states == {"/a": ("failed", "crashed"), "/b": ("waiting", None)}


def test_end_in_order_with_requests_in_flight_is_no_crash(tmp_path: Path) -> None:
    """Restarted by a person while the service hangs: possibly billed, but nobody's fault."""
    with (
        ScriptedApi(Conversation.hang) as api,
        running(tmp_path, api, analyzer={"drain": "0.2s"}) as service,
    ):
        service.drop("call.wav")
        api.wait_for_calls(1)
        assert service.stop() == 0
        row = service.rows("SELECT state, crashes, possibly_billed FROM recordings")[0]
        assert row == {"state": "waiting", "crashes": 0, "possibly_billed": 1}
        api.script = negative
        service.start()
        service.wait_states(done=1)


# P5, P12: a process that hangs, or loses a thread


def test_service_manager_hears_ready_once_and_then_signs_of_life(tmp_path: Path, api: ScriptedApi) -> None:
    """P5: WATCHDOG=1 comes far more often than it must, and not at all from a process that stands still."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)

        def heard(seconds: float) -> list[str]:
            found: list[str] = []
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                manager.settimeout(left)
                try:
                    found.append(manager.recv(4096).decode())
                except TimeoutError:
                    break
            return found

        with Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
            service.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
            service.start()
            said: list[str] = []
            while said.count("WATCHDOG=1") < 5 or not any("READY=1" in each for each in said):
                said.append(manager.recv(4096).decode())
            assert sum("READY=1" in each for each in said) == 1
            began = time.monotonic()
            for _ in range(5):
                manager.recv(4096)
            assert time.monotonic() - began < 5 * 2, "the service manager would have ended it"
            service.signal(signal.SIGSTOP)
            heard(0.3)
            assert heard(0.7) == []
            service.signal(signal.SIGCONT)
            manager.settimeout(60)
            manager.recv(4096)
            service.stop()
            assert any("STOPPING=1" in each for each in heard(0.3))


def test_thread_that_dies_ends_the_process(tmp_path: Path, api: ScriptedApi) -> None:
    """P12: never a silent dead thread; a database that breaks while it is open ends the workers' loop."""
    with running(tmp_path, api) as service:
        service.drop("a.wav")
        service.wait_states(done=1)
        with closing(sqlite3.connect(service.database)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = service.database.stat().st_size
        with service.database.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        service.drop("b.wav")
        assert service.wait_end() == 1
        assert "CRITICAL" in service.log()
        assert len(api.listened()) == 1


# P7, P9, P10: told to start again, to end, to read its configuration


def test_second_daemon_says_so_and_sends_nothing(tmp_path: Path, api: ScriptedApi) -> None:
    """P7: exit 1 at once, in one clear line."""
    with running(tmp_path, api) as service:
        second = service.earshot("run")
        assert second.returncode == 1
        assert f"another earshot (process {service.process.pid if service.process else 0})" in second.stderr
        assert "Traceback" not in second.stderr
        service.drop("a.wav")
        service.wait_states(done=1)
        assert len(api.calls) == 1


def test_idle_service_ends_at_once(tmp_path: Path, api: ScriptedApi) -> None:
    """P9: SIGTERM 0, SIGINT 130, without any wait; that for what is in flight would take 75 s."""
    with running(tmp_path, api) as service:
        for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
            assert service.stop(number, seconds=20) == code
            service.start()


def test_second_signal_ends_it_in_the_middle(tmp_path: Path) -> None:
    """SIGTERM twice: no waiting for what is in flight."""
    with ScriptedApi(Conversation.hang) as api, running(tmp_path, api) as service:
        service.drop("call.wav")
        api.wait_for_calls(1)
        service.signal(signal.SIGTERM)
        wait_until(lambda: "stopping in_flight=1" in service.log(), what="the first signal to be heard")
        assert service.stop() == 0


def test_broken_configuration_is_refused_and_the_old_one_kept(tmp_path: Path, api: ScriptedApi) -> None:
    """P9: SIGHUP with a configuration that cannot be used is logged with every problem; work goes on."""
    with running(tmp_path, api) as service:
        good = service.config_file.read_text()
        for bad in ("watch: [", "wach: []\nanalyser: {}\n", good + "database: /elsewhere/earshot.db\n"):
            service.config_file.write_text(bad)
            service.reload()
        other = good.replace(str(service.database), str(tmp_path / "other.db"))
        service.config_file.write_text(other)
        service.reload()
        log = service.log()
        assert "`database` cannot change" in log
        assert "wach" in log
        assert "configuration taken over" not in log
        service.drop("a.wav")
        service.wait_states(done=1)


def test_reload_takes_over_without_losing_or_doubling_what_is_in_flight(tmp_path: Path) -> None:
    """P9: a new folder and a new key; the request under way ends with the old key, once."""
    release = threading.Event()

    def script(conversation: Conversation) -> None:
        if conversation.call.number == 0:
            release.wait(60)
        conversation.reply(body=reply(average=-0.8))

    with HttpSink() as sink, ScriptedApi(script) as api:
        with running(tmp_path, api, **alerting(sink)) as service:
            service.drop("first.wav")
            api.wait_for_calls(1)
            new = tmp_path / "new"
            new.mkdir()
            folders = [{"path": str(folder), "settle": "0.1s"} for folder in (service.folder, new)]
            service.write_config(watch=folders, analyzer={"api_key": "CANARY-second-key"})
            service.reload()
            service.wait_row("SELECT 1 FROM folders WHERE path = ? AND first_seen_at IS NOT NULL", str(new))
            (new / "second.wav").write_bytes(wav("second"))
            service.wait_states(analyzing=1, done=1)
            release.set()
            service.wait_states(done=2)
            sink.wait_for(2)
            settle(service)
            assert service.stop() == 0
        assert len(api.listened()) == 2
        assert api.calls[0].headers["authorization"].endswith("cdef")
        assert api.calls[1].headers["authorization"] == "Token CANARY-second-key"
        assert set(delivered(sink).values()) == {1}


def test_end_waits_for_what_an_earlier_configuration_began(tmp_path: Path) -> None:
    """SIGHUP, then SIGTERM with a request from before in flight: its reply is taken, not paid for again."""
    with ScriptedApi(lambda conversation: conversation.reply(delay=1.5)) as api:
        with running(tmp_path, api) as service:
            service.drop("call.wav")
            api.wait_for_calls(1)
            service.reload()
            assert service.stop() == 0
            assert service.states() == {"done": 1}
        assert len(api.listened()) == 1


def test_restarts_without_work_ask_and_tell_nothing(tmp_path: Path) -> None:
    """P10: done is done, however often it is started."""
    with HttpSink() as sink, ScriptedApi(negative) as api:
        with running(tmp_path, api, **alerting(sink, concurrency=10)) as service:
            for number in range(20):
                service.drop(f"{number}.wav")
            service.wait_states(done=20)
            settle(service)
            for _ in range(2):
                service.kill()
                service.start()
            assert service.stop() == 0
        assert len(api.calls) == 20
        assert len(sink.requests) == 20


# P11: another version's database


def test_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, api: ScriptedApi) -> None:
    """P11: exit 78, so that systemd does not start it again and again."""
    with running(tmp_path, api) as service:
        service.stop()
        with closing(sqlite3.connect(service.database)) as db:
            db.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
                " VALUES ('earshot', 'm999', '')"
            )
            db.commit()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = service.database.read_bytes()
        done = service.earshot("run")
        assert done.returncode == 78
        assert "newer earshot" in done.stderr
        assert service.database.read_bytes() == before
