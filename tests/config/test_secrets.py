"""The API key and the alert URLs: where they are looked for, and what is refused and how."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from daemon.config.destinations import service_name, service_problem
from daemon.config.models import Alerts, Analyzer, Config, Destination, WatchFolder
from daemon.config.secrets import api_key, destination_urls, known_secrets
from daemon.errors import ConfigError

TOKEN = "TIiajkdnlazkcOXrIdevi7FQ"
SLACK = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}/#general"


def config_with(destinations: dict[str, Destination] | None = None, **analyzer: Any) -> Config:
    return Config(
        database=Path("/state/earshot.db"),
        watch=(WatchFolder(path=Path("/srv/a")),),
        analyzer=Analyzer(**analyzer),
        alerts=Alerts(destinations=destinations or {}),
    )


def secret_file(path: Path, content: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, "utf-8")
    path.chmod(mode)
    return path


def test_the_key_is_looked_for_in_the_promised_order(tmp_path: Path) -> None:
    file = secret_file(tmp_path / "key", "from-file\n")
    secret_file(tmp_path / "credentials" / "deepgram_api_key", " from-systemd\r\n", 0o440)
    env = {"DEEPGRAM_API_KEY": "from-env\n"}
    both = {**env, "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert api_key(config_with(api_key=SecretStr(" given ")), env=both) == "given"
    assert api_key(config_with(api_key_file=file), env=both) == "from-file"
    assert api_key(config_with(), env=both) == "from-systemd"
    assert api_key(config_with(), env={**env, "CREDENTIALS_DIRECTORY": str(tmp_path)}) == "from-env"
    assert api_key(config_with(), env=env) == "from-env"


def test_only_deepgrams_own_hosts_need_a_key(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert api_key(config_with(base_url="embedded", api_key_file=missing), env={}) is None
    assert api_key(config_with(base_url="http://stt:8080"), env={}) is None
    for address in ("https://api.deepgram.com", "https://api.eu.deepgram.com"):
        with pytest.raises(ConfigError, match="there is no API key; write api_key_file"):
            api_key(config_with(base_url=address), env={})
    secret_file(tmp_path / "deepgram_api_key", "\n")
    with pytest.raises(ConfigError, match="write it into /etc/earshot/credentials/deepgram_api_key"):
        api_key(config_with(), env={"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize(
    ("content", "mode", "part"),
    [
        ("\n \n", 0o600, "is empty"),
        ("abc\ndef", 0o600, "blanks, control characters"),
        ("abc\x07", 0o600, "blanks, control characters"),
        ("schlüssel", 0o600, "outside ASCII"),
        ("a" * 70_000, 0o600, "too large"),
    ],
)
def test_a_key_file_that_cannot_be_right_is_refused(
    tmp_path: Path, content: str, mode: int, part: str
) -> None:
    file = secret_file(tmp_path / "key", content, mode)
    with pytest.raises(ConfigError) as raised:
        api_key(config_with(api_key_file=file), env={})
    (problem,) = raised.value.problems
    assert (problem.file, problem.key) == (str(file), "analyzer.api_key_file")
    assert part in problem.problem
    assert content.strip() == "" or content.strip() not in problem.problem


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_may_read_is_used_and_warned_of_once(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = secret_file(tmp_path / "key", "abc", mode)
    config = config_with(api_key_file=file)

    assert [api_key(config, env={}) for _ in range(3)] == ["abc"] * 3
    (record,) = caplog.records
    assert str(file) in record.getMessage()
    assert "chmod 600" in record.getMessage()


def test_a_key_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, part in (
        (tmp_path / "none", "no such file"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
    ):
        with pytest.raises(ConfigError, match=part):
            api_key(config_with(api_key_file=path), env={})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_file_of_someone_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no permission to read it"):
        api_key(config_with(api_key_file=secret_file(tmp_path / "key", "abc", 0o000)), env={})


def test_a_broken_key_in_the_environment_is_refused() -> None:
    with pytest.raises(ConfigError, match="environment: DEEPGRAM_API_KEY: has blanks"):
        api_key(config_with(), env={"DEEPGRAM_API_KEY": "a b"})


def test_the_urls_of_the_file_follow_those_of_the_configuration(tmp_path: Path) -> None:
    file = secret_file(tmp_path / "urls", f"# people\n\n  json://two/\n{SLACK}\n")
    destination = Destination(urls=(SecretStr("json://one/"),), urls_file=file)
    assert destination_urls(destination, env={}) == ["json://one/", "json://two/", SLACK]


def test_a_urls_file_may_be_a_systemd_credential(tmp_path: Path) -> None:
    secret_file(tmp_path / "team", "json://two/\n", 0o440)
    destination = Destination(urls_file=Path("credential:team"))
    assert destination_urls(destination, env={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == ["json://two/"]
    with pytest.raises(ConfigError, match="LoadCredential=team:FILE"):
        destination_urls(destination, env={})


@pytest.mark.parametrize(
    ("content", "mode", "line", "part"),
    [
        ("# nothing\n", 0o600, None, "has no alert URL"),
        (f"json://one/\n\nslak://{TOKEN}/\n", 0o600, 3, "did you mean slack://?"),
    ],
)
def test_a_urls_file_that_cannot_be_right_is_refused(
    tmp_path: Path, content: str, mode: int, line: int | None, part: str
) -> None:
    file = secret_file(tmp_path / "urls", content, mode)
    with pytest.raises(ConfigError) as raised:
        destination_urls(Destination(urls_file=file), env={})
    (problem,) = raised.value.problems
    assert (problem.file, problem.line) == (str(file), line)
    assert part in problem.problem
    assert TOKEN not in problem.problem


def test_every_secret_and_the_secret_parts_of_urls_are_known(tmp_path: Path) -> None:
    destinations = {
        "chat": Destination(urls=(SecretStr(SLACK),)),
        "mail": Destination(urls_file=secret_file(tmp_path / "urls", "mailto://me:p%40ss@example.com\n")),
        "gone": Destination(urls_file=tmp_path / "none"),
    }
    config = config_with(destinations, api_key=SecretStr("the-key"))
    secrets = known_secrets(config, {"DEEPGRAM_API_KEY": "other-key"})
    assert {"the-key", "other-key", SLACK, TOKEN, "p%40ss", "p@ss"} <= set(secrets)
    assert "example.com" not in secrets
    assert "" not in secrets
    assert secrets == sorted(secrets, key=len, reverse=True)


def test_known_secrets_never_raise(tmp_path: Path) -> None:
    assert known_secrets(config_with(api_key_file=tmp_path / "none"), {}) == []


@pytest.mark.parametrize(
    ("url", "part"),
    [
        (f"slak://{TOKEN}/b/c", "no service slak://; did you mean slack://?"),
        (f"qqqqqqqqqqqq://{TOKEN}", "no service qqqqqqqqqqqq://"),
        (f"slack://{TOKEN}", "cannot use this slack:// URL"),
        (f"msteams://{TOKEN}/b/c", "use workflows://"),
        (f"https://example.com/{TOKEN}", "write jsons://"),
        (TOKEN, "is no alert URL"),
        ("json://", "cannot use this json:// URL"),
        ("gnome://[", "gnome://"),
        ("", "is no alert URL"),
    ],
)
def test_what_is_wrong_with_an_alert_url_is_said_without_its_secrets(
    url: str, part: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG - 5)
    problem = service_problem(url)
    assert problem is not None
    assert part in problem
    assert TOKEN not in problem + caplog.text + "".join(capfd.readouterr())


def test_apprise_logs_again_after_a_url_was_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    service_problem("slak://x")
    logging.getLogger("apprise").error("as usual")
    assert caplog.messages == ["as usual"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (SLACK, "Slack"),
        ("json://localhost:8008/x", "JSON"),
        (f"https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/{TOKEN}", "Slack"),
        ("nonsense", "unknown service"),
    ],
)
def test_a_service_has_a_name_for_people(url: str, name: str) -> None:
    assert service_name(url) == name
    assert (service_problem(url) is None) == (name != "unknown service")


@pytest.mark.parametrize(
    "written", ["8d1c4f0a7b2e9c6d3f5a8b1e4d7c0a9f2b6e3d5c", "json:/bob:s3cr3t@host/path", "x" * 300]
)
def test_a_secret_written_where_its_file_belongs_is_not_repeated(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        api_key(config_with(api_key_file=tmp_path / written), env={})
    assert written not in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(ConfigError, match="deepgram-key-2026-01-31"):
        api_key(config_with(api_key_file=tmp_path / "deepgram-key-2026-01-31.txt"), env={})
