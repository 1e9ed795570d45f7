"""Keys, alert URLs and what was said stay where they belong, whatever goes wrong around them."""

from __future__ import annotations

import base64
import itertools
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from tests.harness import Conversation, ScriptedApi, Service, answer, refuse, reply
from tests.servers import HttpSink, free_port, wait_until

KEY = "CANARYkey0123456789abcdef"
ALERT_SECRETS = (
    "CANARYuser77",
    "CANARYpass77",
    "CANARYpath77",
    "CANARYquery77",
    "CANARYheader77",
    "CANARYdown77",
)
BAD_SECRETS = ("CANARYtoken88", "CANARYtoken99")
SAID = "CANARYsentence the customer said"

SPEECH_TABLES = {
    "recordings": {"transcript", "summary"},
    "sentiments": {"text"},
    "topics": {"text", "topic"},
    "intents": {"text", "intent"},
    "alerts": {"body"},
}
"""Where what was said belongs; the full-text index and the stored replies are made of it as well."""


def spoken() -> dict[str, object]:
    """A reply in which every text that a person said is the canary."""
    text = json.dumps(reply(average=-0.8))
    content = json.loads(text)
    alternative = content["results"]["channels"][0]["alternatives"][0]
    alternative["transcript"] = SAID
    content["results"]["summary"] = {"result": "success", "short": SAID}
    for segment in content["results"]["sentiments"]["segments"]:
        segment["text"] = SAID
    return dict(content)


def secret_settings(place: Path, api: ScriptedApi, sink: HttpSink) -> dict[str, object]:
    """A key from a file, and destinations with a secret in every part of a URL that may hold one."""
    key_file = place / "deepgram.key"
    key_file.write_text(f"{KEY}\n")
    key_file.chmod(0o600)
    good = (
        f"json://CANARYuser77:CANARYpass77@{sink.address}/CANARYpath77"
        "?-token=CANARYquery77&+X-Secret=CANARYheader77"
    )
    down = f"json://127.0.0.1:{free_port()}/CANARYdown"
    return {
        "log_format": "json",
        "log_names": False,
        "analyzer": {
            "base_url": api.url,
            "api_key": None,
            "api_key_file": str(key_file),
            "timeout": "1s",
            "probe": "0.25s",
        },
        "alerts": {
            "destinations": {"team": good, "down": down},
            "operations": ["team"],
            "rules": [
                {
                    "name": "unhappy",
                    "when": {"average_sentiment": "negative"},
                    "notify": ["team", "down"],
                }
            ],
        },
    }


def through_many_faults(service: Service, api: ScriptedApi, sink: HttpSink) -> list[str]:
    """Run into a fault after the other; returns what other commands printed."""
    said: list[str] = []
    cut = json.dumps(spoken()).encode()
    api.then(
        refuse("e401_key"),
        answer(500, b"<html>down</html>"),
        Conversation.reset,
        Conversation.close,
        lambda conversation: conversation.reply(body=cut[:-20]),
        Conversation.hang,
    )
    api.script = lambda conversation: conversation.reply(body=spoken())
    for number in range(6):
        service.drop(f"{number}.wav")
    service.wait_states(done=6)
    service.wait_row("SELECT 1 FROM alerts WHERE destination = 'down' AND attempts >= 2")
    sink.wait_for(1)
    good = service.config_file.read_text()
    for bad in BAD_SECRETS:
        # A URL that Apprise cannot load, and a file that is no YAML, right behind the secret.
        broken = good.replace("json://CANARYuser77", f"slack://{bad}/x;json://CANARYuser77")
        service.config_file.write_text(broken if bad == BAD_SECRETS[0] else f"{good}\n  api_key: {bad}: [")
        service.reload()
        done = service.earshot("check", "--offline", "--debug")
        said += [done.stdout, done.stderr]
    service.config_file.write_text(good)
    for command in (["status", "--json"], ["alerts", "--json"], ["check"], ["list", "--json"]):
        done = service.earshot(*command, "--debug")
        said += [done.stdout, done.stderr] if command[0] != "list" else [done.stderr]
    service.kill()
    service.start("--debug")
    return said


def spellings(secret: str) -> set[bytes]:
    """A secret as bytes, also URL-encoded and in base64."""
    plain = secret.encode()
    return {plain, quote(secret).encode(), base64.b64encode(plain).rstrip(b"=")[:-1]}


def assert_absent(secrets: tuple[str, ...], content: bytes, where: str) -> None:
    for secret, spelling in itertools.chain.from_iterable(
        ((secret, spelling) for spelling in spellings(secret)) for secret in secrets
    ):
        assert spelling.lower() not in content.lower(), f"{secret} in {where}"


def test_no_secret_leaves_its_place_under_faults(tmp_path: Path, sink: HttpSink) -> None:
    """S1, S2, S9: not in the log, the tables, the errors, the process list, or what commands print."""
    with ScriptedApi() as api, Service(tmp_path, secret_settings(tmp_path, api, sink)) as service:
        # With a prefix it is a new process, whose command line is its own.
        service.start("--debug", prefix=("env",))
        assert service.process is not None
        commandline = Path(f"/proc/{service.process.pid}/cmdline").read_bytes()
        printed = through_many_faults(service, api, sink)
        wait_until(lambda: service.status()["daemon"]["ready"], what="it to run again")
        service.stop()
        log = service.log()
        assert_absent((KEY, *ALERT_SECRETS, *BAD_SECRETS, SAID, "CANARY"), log.encode(), "the log")
        assert_absent(tuple(f"{number}.wav" for number in range(6)), log.encode(), "the log without names")
        lines = [json.loads(line) for line in log.splitlines()]
        assert {"recording done", "recording waits"} <= {line["event"] for line in lines}
        for done in (line for line in lines if line["event"] == "recording done"):
            assert {"recording", "folder", "duration", "time", "level"} <= done.keys()
        assert_absent((KEY, *ALERT_SECRETS, *BAD_SECRETS), "".join(printed).encode(), "what commands print")
        assert_absent((KEY, *ALERT_SECRETS), commandline, "the process list")
        with closing(sqlite3.connect(service.database)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert_absent((KEY, *ALERT_SECRETS), service.database.read_bytes(), "the database file")
            assert_speech_in_its_tables(db)
        # The faults took place, and the key and the secrets were used.
        assert {call.headers["authorization"] for call in api.calls} == {f"Token {KEY}"}
        assert all("CANARYpath77" in request.path for request in sink.requests)
        for word in ("401", "500", "connection", "reply", "not taken over"):
            assert word in log, word


def assert_speech_in_its_tables(db: sqlite3.Connection) -> None:
    db.row_factory = sqlite3.Row
    names = [row["name"] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = set()
    for name in (name for name in names if not name.startswith("recordings_fts")):
        for row in db.execute(f"SELECT * FROM {name}"):  # noqa: S608 - from the schema
            for column in row.keys():  # noqa: SIM118 - a Row iterates over values
                if SAID in str(row[column]):
                    found.add((name, column))
    assert found
    for name, column in found:
        assert column in SPEECH_TABLES.get(name, set()), f"what was said is in {name}.{column}"


def test_what_is_written_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """S9: the database with its journal, the lock, and the folder that earshot makes for them."""
    with ScriptedApi() as api, Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        service.start()
        service.drop("call.wav")
        service.wait_states(done=1)
        folder = service.database.parent
        modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
        assert len(modes) >= 3
        assert set(modes.values()) == {0o600}, modes
        assert folder.stat().st_mode & 0o777 == 0o700
