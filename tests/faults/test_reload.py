"""A new configuration or key that cannot be used: said once, and the old one goes on working."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.harness import CANARY_KEY, ScriptedApi, Service, merged, running
from tests.servers import wait_until

REFUSED = "configuration not taken over"


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
            service.write_config(analyzer={"base_url": "embedded"})
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
        pipe, _ = reading_its_configuration(service)
        assert service.stop() == 0
        os.close(pipe)
