"""A new configuration or key that cannot be used: said once, and the old one goes on working."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from daemon.files import file_version
from daemon.storage.lock import taken_file
from tests.harness import CANARY_KEY, Conversation, ScriptedApi, Service, answer, merged, reply, running
from tests.servers import Answer, HttpSink, wait_until

REFUSED = "configuration not taken over"
RULE = {"name": "unhappy caller", "when": {"average_sentiment": "negative"}, "notify": ["slow", "quick"]}


def settings_with_key_file(place: Path, api: ScriptedApi) -> dict[str, object]:
    key = place / "key"
    key.write_text(CANARY_KEY, encoding="ascii")
    key.chmod(0o600)
    return {"analyzer": {"base_url": api.url, "api_key": None, "api_key_file": str(key)}}


def test_a_key_file_that_was_emptied_is_refused_once_and_the_old_key_stays(tmp_path: Path) -> None:
    with (
        ScriptedApi() as api,
        Service(tmp_path / "place", settings_with_key_file(tmp_path, api)) as service,
    ):
        service.start()
        (tmp_path / "key").write_text("", encoding="ascii")
        wait_until(lambda: REFUSED in service.log(), what="the empty key to be refused")
        service.drop("a.wav")
        service.wait_states(done=1)

        assert service.log().count(REFUSED) == 1
        assert api.calls[-1].headers["authorization"] == f"Token {CANARY_KEY}"


def test_a_new_key_is_used_without_a_word_to_the_service(tmp_path: Path) -> None:
    with (
        ScriptedApi() as api,
        Service(tmp_path / "place", settings_with_key_file(tmp_path, api)) as service,
    ):
        service.start()
        (tmp_path / "key").write_text("another-key-0123456789", encoding="ascii")
        wait_until(lambda: "configuration taken over" in service.log(), what="the new key to be read")
        service.wait_ready()
        service.drop("a.wav")
        service.wait_states(done=1)

        assert api.calls[-1].headers["authorization"] == "Token another-key-0123456789"


def test_a_configuration_whose_engine_does_not_start_gives_way_to_the_old_one(tmp_path: Path) -> None:
    broken = tmp_path / "packages" / "starlette"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ModuleNotFoundError('starlette', name='starlette')\n")
    with ScriptedApi() as api:
        settings = merged({"analyzer": {"base_url": api.url}}, {})
        with Service(tmp_path / "place", settings, {"PYTHONPATH": str(broken.parent)}) as service:
            service.start()
            service.write_config(analyzer={"base_url": "embedded"}, engine={"model": "tiny.en"})
            service.reload()
            wait_until(lambda: "going back to the old one" in service.log(), what="the engine to fail")
            service.drop("a.wav")
            service.wait_states(done=1)

            assert service.stop() == 0


def test_a_refused_reload_leaves_the_service_ready(tmp_path: Path) -> None:
    with ScriptedApi() as api, running(tmp_path, api) as service:
        service.config_file.write_text("watch: 7\n", encoding="utf-8")
        service.reload()
        wait_until(lambda: REFUSED in service.log(), what="the configuration to be refused")
        service.drop("a.wav")
        service.wait_states(done=1)

        assert service.log().count("ready folders=") == 1


def reading_its_configuration(service: Service) -> tuple[int, bytes]:
    """Start the service with a pipe for a configuration: the pipe, once it waits there, and what to write."""
    content = service.config_file.read_bytes()
    service.config_file.unlink()
    os.mkfifo(service.config_file)
    service.start(ready=False)
    found: list[int] = []

    def opened() -> bool:
        # Refused as long as nobody has the other end.
        with suppress(OSError):
            found.append(os.open(service.config_file, os.O_WRONLY | os.O_NONBLOCK))
        return bool(found)

    wait_until(opened, what="the configuration to be opened")
    return found[0], content


def test_a_reload_that_comes_before_the_service_listens_does_not_end_it(tmp_path: Path) -> None:
    with ScriptedApi() as api, Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        pipe, content = reading_its_configuration(service)
        service.signal(signal.SIGHUP)
        os.write(pipe, content)
        os.close(pipe)
        service.wait_ready()
        assert service.stop() == 0


def test_an_end_that_comes_before_the_service_listens_is_an_end_in_order(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        pipe, content = reading_its_configuration(service)
        service.signal(signal.SIGTERM)
        with suppress(BrokenPipeError):
            # Should the signal come just before the read of the pipe, that still waits.
            os.write(pipe, content)
        os.close(pipe)
        assert service.wait_end() == 0


def test_a_delivery_that_hangs_holds_up_no_reload_and_is_not_sent_twice(tmp_path: Path) -> None:
    """All else goes on at once with the new configuration, and the service manager hears of it as ever."""
    go_on = Event()
    with (
        ScriptedApi(answer(200, reply(average=-0.8))) as api,
        HttpSink(Answer(until=go_on)) as slow,
        HttpSink() as quick,
        manager(tmp_path / "notify") as said,
    ):
        alerts = {
            "destinations": {"slow": f"json://{slow.address}", "quick": f"json://{quick.address}"},
            "rules": [RULE],
        }
        settings = {"analyzer": {"base_url": api.url}, "alerts": alerts}
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with Service(tmp_path / "place", settings, environment) as service:
            service.start()
            service.drop("a.wav")
            slow.wait_for(1)
            service.reload()
            service.reload()
            service.drop("b.wav")
            quick.wait_for(2)
            before = len(said)
            wait_until(lambda: len(said) > before + 2, what="further signs of life")
            assert len(slow.requests) == 1
            go_on.set()
            slow.wait_for(2)
            wait_until(lambda: sent(service) == 4, what="all alerts to be sent")
            assert service.stop() == 0
            bodies = [request.json()["message"] for sink in (slow, quick) for request in sink.requests]
            assert len(bodies) == len(set(bodies)) == 4


def test_what_finishes_after_a_reload_is_told_at_once(tmp_path: Path) -> None:
    go_on = Event()

    def late(conversation: Conversation) -> None:
        go_on.wait(60)
        conversation.reply(body=reply(average=-0.8))

    with ScriptedApi(late) as api, HttpSink() as slow, HttpSink() as quick:
        destinations = {"slow": f"json://{slow.address}", "quick": f"json://{quick.address}"}
        alerts = {"destinations": destinations, "rules": [RULE]}
        with running(tmp_path, api, alerts=alerts) as service:
            service.drop("a.wav")
            api.wait_for_calls(1)
            service.reload()
            service.reload()
            service.wait_ready()
            released = time.monotonic()
            go_on.set()
            (request,) = quick.wait_for(1)
            # Else by the next look, five seconds after the one that followed the reload.
            assert request.at - released < 4


@contextmanager
def manager(place: Path) -> Iterator[list[bytes]]:
    """A service manager that listens there: each time that it heard that all is well."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(place))

        def listen() -> None:
            while said := listening.recv(4096):
                if said == b"WATCHDOG=1":
                    heard.append(said)

        thread = Thread(target=listen, daemon=True)
        thread.start()
        yield heard
        listening.sendto(b"", str(place))
        thread.join()


def sent(service: Service) -> int:
    count: int = service.rows("SELECT count(*) AS n FROM alerts WHERE state = 'sent'")[0]["n"]
    return count


def test_the_reload_command_waits_until_the_configuration_is_taken_over(tmp_path: Path) -> None:
    with ScriptedApi() as api, running(tmp_path, api) as service:
        for key in ("a-second-key-0123456789", "a-third-key-0123456789"):
            service.write_config(analyzer={"api_key": key})
            done = service.earshot("reload")
            assert (done.returncode, done.stdout) == (0, "configuration taken over\n"), done.stderr
        service.wait_ready()
        service.drop("a.wav")
        service.wait_states(done=1)

        assert api.calls[-1].headers["authorization"] == "Token a-third-key-0123456789"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("database: {database}\nwatch: 7\n", ":2: watch: "),
        ("database: {database}\nwatch: [\n", ":3: "),
        ("database: {database}\nwatch: [/srv]\nanalyzer: {{base_url: embedded, api_key: ''}}\n", "api_key"),
    ],
)
def test_the_reload_command_says_why_a_configuration_is_refused(
    tmp_path: Path, content: str, problem: str
) -> None:
    with ScriptedApi() as api, running(tmp_path, api) as service:
        taken = file_version(service.config_file)
        service.config_file.write_text(content.format(database=service.database), encoding="utf-8")
        done = service.earshot("reload")
        assert done.returncode == 1
        assert taken_file(service.database) == taken != file_version(service.config_file)
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"earshot: {service.config_file}") and problem in line
        assert service.stop() == 0


def test_a_reload_that_is_asked_of_nobody_says_so(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        done = service.earshot("reload")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "not running" in done.stderr


def test_a_request_to_an_earlier_process_is_not_answered_by_its_answer(tmp_path: Path) -> None:
    with ScriptedApi() as api, running(tmp_path, api) as service:
        service.config_file.touch()
        assert service.earshot("reload").returncode == 0
        assert taken_file(service.database) == file_version(service.config_file)
        service.stop()
        service.start()
        service.config_file.write_text(f"database: {service.database}\nwatch: 7\n", encoding="utf-8")
        assert service.earshot("reload").returncode == 1
