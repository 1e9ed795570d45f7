"""What the log may say: no secret in any spelling, and no line that a file name forged."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote, quote_plus

import apprise
import pytest

from daemon import logs

KEY = "CANARY0key/+ä?9"
WEBHOOK = "json://canary-user:Canary%2FPass%20word@example.org:8443/hook/CANARYpath77?+X-Token=CANARYheader88"

ours = logging.getLogger("daemon.somewhere")


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The log of a service; loggers are as they were afterwards."""
    names = ["", "daemon", *logs.TALKATIVE]
    levels = {name: logging.getLogger(name or None).level for name in names}
    handlers = list(logging.getLogger().handlers)
    # A sender silences it for good.
    monkeypatch.setattr(logging.getLogger("apprise"), "propagate", True)
    stream = io.StringIO()
    logs.set_up("debug", stream=stream, env={})
    yield stream
    logs.arrange("text", nameless_below=None)
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)


def test_secret_is_hidden_in_message_and_arguments(log: io.StringIO) -> None:
    logs.register_secret(KEY)
    ours.info("key %s refused", KEY)
    ours.info(f"key {KEY} refused")
    ours.info("key %(key)s refused", {"key": KEY})
    ours.info("keys %s", [KEY, {"key": KEY}])
    assert "CANARY" not in log.getvalue()
    assert log.getvalue().count("***") == 5


@pytest.mark.parametrize(
    "spell",
    [quote, quote_plus, lambda text: quote(text, safe=""), lambda text: quote(text).lower(), str.upper, repr],
)
def test_secret_is_hidden_in_every_spelling(log: io.StringIO, spell: Callable[[str], str]) -> None:
    logs.register_secret(KEY)
    ours.warning("request failed url=https://example.org/?token=%s&more=1", spell(KEY))
    assert "canary" not in log.getvalue().lower()
    assert "&more=1" in log.getvalue()


def test_secret_is_hidden_in_an_exception_its_cause_and_the_stack(log: io.StringIO) -> None:
    logs.register_secret(KEY)
    try:
        try:
            raise ValueError(f"Illegal header value b'Token {KEY}'")
        except ValueError as error:
            raise RuntimeError(f"cannot use {KEY}") from error
    except RuntimeError:
        ours.exception("request failed", stack_info=True)
    assert "CANARY" not in log.getvalue()
    assert "Token ***" in log.getvalue()
    assert "cannot use ***" in log.getvalue()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("call.wav", "call.wav"),
        ("Gespräch-1.wav", "Gespräch-1.wav"),
        ("a.wav code=ok alerts=0.wav", '"a.wav code=ok alerts=0.wav"'),
        ("a.wav' code=\"ok", '"a.wav\' code=\\"ok"'),
        ("x=1", '"x=1"'),
        ("", '""'),
        (OSError("no such file"), '"no such file"'),
        (["unhappy caller", 'a"b'], '["unhappy caller", "a\\"b"]'),
        ('["a"]', '"[\\"a\\"]"'),
        (None, "None"),
        (7, "7"),
    ],
)
def test_a_value_stays_one_value_whatever_a_name_or_an_answer_says(
    log: io.StringIO, value: object, written: str
) -> None:
    ours.info("recording done 100%% id=%d name=%s seconds=%.1f path=%s at %s", 7, value, 1.04, "a b", "c d")

    assert log.getvalue().endswith(f'recording done 100% id=7 name={written} seconds=1.0 path="a b" at c d\n')


def test_every_message_is_an_event_and_then_a_value_after_each_key() -> None:
    shape = re.compile(r"(%s|[^=%:])+( [a-z_]+=%(s|d|\.[0-9]f))+")
    for file in sorted(Path(logs.__file__).parent.rglob("*.py")):
        source = file.read_text("utf-8")
        for node in ast.walk(ast.parse(source)) if "%" in source else ():
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            text = node.value
            if "\n" not in text and re.search(r"[a-z]=%[a-z0-9.]", text):
                assert shape.fullmatch(text), f"{file}:{node.lineno}: {text}"


JSON_VALUES = {
    "recording": 7,
    "name": 'Gespräch "1"\\.wav',
    "folder": "/srv/Aufnahmen hier",
    "duration": 3.1,
    "rules": ["unhappy caller", "b"],
    "alerts": None,
}


def test_in_json_each_line_is_an_object_with_the_values_as_they_are(log: io.StringIO) -> None:
    logs.arrange("json", nameless_below=None)
    text = "recording done recording=%d name=%s folder=%s duration=%.1f rules=%s alerts=%s"
    ours.info(text, *({**JSON_VALUES, "duration": 3.14}).values())
    logs.register_secret(KEY)
    try:
        raise ValueError(f"bad {KEY}\n<0>forged")
    except ValueError:
        ours.exception("%s failed", "alert")
    logging.getLogger("apprise").warning("cannot send %s", "a\nb")

    done, failed, foreign = map(json.loads, log.getvalue().splitlines())
    assert datetime.fromisoformat(done.pop("time")).utcoffset() == timedelta(0)
    head = {"level": "info", "logger": "daemon.somewhere", "event": "recording done"}
    assert done == head | JSON_VALUES
    assert failed["event"] == "alert failed"
    assert failed["exception"].splitlines()[-2:] == ["ValueError: bad ***", "<0>forged"]
    assert foreign["event"] == r"cannot send a\x0ab"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_without_names_no_file_is_named_by_a_value_an_error_or_a_traceback(
    log: io.StringIO, log_format: str
) -> None:
    logs.arrange(log_format, nameless_below=["/srv/calls", "/srv/done/"])
    name = "CANARY (1)'s.wav"
    path = f"/srv/calls/team CANARY/{name}"
    ours.info("recording found recording=%d path=%s folder=%s", 1, path, "/srv/calls")
    ours.info("original moved recording=%d path=%s to=%s", 1, path, f"/srv/done/{name}")
    ours.error("recording failed recording=%d name=%s error=%s", 1, name, f"{name}: it is empty; {path}")
    ours.warning("loop failed error=%s", FileNotFoundError(2, "No such file", path))
    ours.warning(f"the library says {path}")
    ours.error(
        "queue paused cause=%s reason=%s", "request", 'cannot decode "a CANARY b.WAV", nor CANARY.mp3.'
    )
    other = "/elsewhere/CANARY dir/x.wav"
    ours.error("sidecar not written recording=%d path=%s error=%s", 1, other, f"{other}: Permission denied")
    try:
        raise OSError(5, "Input/output error", path)
    except OSError:
        ours.exception("loop interrupted loop=%s", "folder /srv/calls")

    assert "CANARY" not in log.getvalue()
    assert "/srv/calls" in log.getvalue()
    assert ": it is empty" in log.getvalue()
    assert "***: Permission denied" in log.getvalue()
    assert "cannot decode ***, nor ***." in log.getvalue()


def test_a_secret_is_hidden_in_quotes_and_lists(log: io.StringIO) -> None:
    secret = 'it\'s a "CANARY" \\ key'
    logs.register_secret(secret)
    ours.info("rules=%s name=%s", [secret, "b"], secret)

    assert "CANARY" not in log.getvalue()


def test_secret_with_a_line_break_at_its_end_is_hidden_without_it(log: io.StringIO) -> None:
    logs.register_secret("CANARY-from-a-file\n")
    ours.info("Token CANARY-from-a-file")
    assert "CANARY" not in log.getvalue()


def test_short_string_is_not_taken_for_a_secret(log: io.StringIO) -> None:
    logs.register_secret("")
    logs.register_secret("done")
    ours.info("recording done")
    assert "recording done" in log.getvalue()


@pytest.mark.parametrize(
    "part",
    [
        WEBHOOK,
        "canary-user:Canary%2FPass%20word",
        "Canary%2FPass%20word",
        "Canary/Pass word",
        "Canary%2FPass+word",
        "Y2FuYXJ5LXVzZXI6Q2FuYXJ5L1Bhc3Mgd29yZA==",
        "/hook/CANARYpath77",
        "CANARYheader88",
        "canaryheader88",
    ],
)
def test_every_secret_part_of_a_destination_is_hidden(log: io.StringIO, part: str) -> None:
    logs.register_secret(WEBHOOK)
    ours.error("cannot reach example.org part=%s end", part)
    assert "***" in log.getvalue()
    assert "cannot reach example.org part=" in log.getvalue()
    assert log.getvalue().endswith(" end\n")
    assert "canary" not in log.getvalue().lower()


def test_plain_words_of_a_destination_are_hidden_in_urls_alone(log: io.StringIO) -> None:
    logs.register_secret("https://hooks.example.org/services/T0CANARY/alerts")
    ours.info("3 services up, alerts=2")
    ours.info("url https://hooks.example.org/v2/services/alerts?x=1")
    assert "3 services up, alerts=2" in log.getvalue()
    assert "url https://hooks.example.org/v2/***/***?x=1" in log.getvalue()


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1CANARY2/A1CANARYX",
        "slack://botname@T1CANARY2/#general",
        "tgram://CANARY:456:CANARYtoken/777",
        "mailto://CANARYuser:CANARYpass@",
        "discord://CANARY1",
        "nosuchscheme://CANARYtoken/CANARY1",
        "json://CANARYuser:CANARY1pass@[::bad/CANARYpath",
    ],
)
def test_what_apprise_says_about_an_address_it_refuses_is_hidden(log: io.StringIO, url: str) -> None:
    logs.register_secret(url)
    assert not apprise.Apprise(asset=apprise.AppriseAsset(secure_logging=False)).add(url)
    assert "apprise: " in log.getvalue(), "apprise said nothing: the test proves nothing"
    assert "canary" not in log.getvalue().lower()


def test_delivery_that_fails_leaves_nothing_of_the_address(log: io.StringIO) -> None:
    # Port 9 of this host: refused at once. A capture inside apprise lowers the level of its logger.
    url = "json://CANARYuser:CANARYpass@127.0.0.1:9/CANARYpath/CANARYmore"
    logs.register_secret(url)
    with apprise.LogCapture(level=logging.DEBUG):  # type: ignore[no-untyped-call]
        assert not apprise.Apprise(url).notify(body="CANARY")
    assert "CANARY" not in log.getvalue()


@pytest.mark.parametrize(
    "name", ["apprise", "urllib3", "httpx", "httpcore", "watchdog", "asyncio", "anything"]
)
def test_libraries_are_heard_from_warnings_up_only(log: io.StringIO, name: str) -> None:
    library = logging.getLogger(f"{name}.part")
    library.debug("chatter")
    library.info("chatter")
    library.warning("trouble")
    ours.debug("detail")
    assert "chatter" not in log.getvalue()
    assert "trouble" in log.getvalue()
    assert "detail" in log.getvalue()


def test_level_holds_for_libraries_too(log: io.StringIO) -> None:
    logs.set_up("error", stream=log, env={})
    ours.warning("quiet")
    logging.getLogger("apprise").warning("quiet")
    ours.error("loud")
    assert "quiet" not in log.getvalue()
    assert "loud" in log.getvalue()


HOSTILE = [
    "a\n2026-01-01 00:00:00,000 CRITICAL daemon: forged.wav",
    "a\r\x1b[2J.wav",
    "a\x00\x07\x7f\x85\x9b.wav",
    "a\u2028\u2029.wav",
    "a\u202evaw.exe\u2066\u200f\u061c",
    os.fsdecode(b"a\xff\xfe.wav"),
    "a\ud800.wav",
    "a\U000e0041.wav",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_name_stays_on_its_line(log: io.StringIO, name: str) -> None:
    ours.info("recording found file=%s", name)
    text = log.getvalue()
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    text.encode("utf-8")


def test_escapes_show_bytes_and_code_points() -> None:
    assert logs.escaped(os.fsdecode(b"b\xc3\xbc\xff\n")) == r"bü\xff\x0a"
    assert logs.escaped("\u202e\U000e0041\ud800") == r"\u202e\U000e0041\ud800"
    assert logs.escaped("Grüße 🎧 100% C:\\x") == "Grüße 🎧 100% C:\\x"


def test_line_of_a_traceback_cannot_pass_for_a_line_of_the_log(log: io.StringIO) -> None:
    try:
        raise ValueError("bad name a\n2026-01-01 00:00:00,000 CRITICAL daemon: forged\x1b[2J")
    except ValueError:
        ours.exception("scan failed")
    first, *rest = log.getvalue().splitlines()
    assert first.endswith("ERROR daemon.somewhere: scan failed")
    assert len(rest) > 2
    assert all(line.startswith("    ") for line in rest)
    assert r"forged\x1b[2J" in rest[-1]


def test_arguments_that_do_not_fit_are_logged_without_their_secrets(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.register_secret(KEY)
    ours.error("two %s %s", KEY)
    assert "two %s %s (arguments do not fit: ('***',))" in log.getvalue()
    assert capsys.readouterr().err == ""


def test_terminal_lines_carry_time_and_level(log: io.StringIO) -> None:
    ours.warning("folder gone path=%s", "/srv/a")
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING daemon\.somewhere: folder gone path=/srv/a\n"
    assert re.fullmatch(line, log.getvalue())


def test_journal_lines_carry_their_priority_and_no_time(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        logs.set_up("debug", stream=stream, env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        ours.info("started")
        try:
            raise ValueError("<0>forged\n<0>forged")
        except ValueError:
            ours.exception("failed")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert lines[:2] == ["<6>daemon.somewhere: started", "<3>daemon.somewhere: failed"]
    assert all(line.startswith("<3>    ") for line in lines[2:])


def test_stream_that_is_not_the_journal_gets_no_priorities() -> None:
    stream = io.StringIO()
    logs.set_up("info", stream=stream, env={"JOURNAL_STREAM": "1:2"})
    ours.info("started")
    assert stream.getvalue() == "daemon.somewhere: started\n"


def test_set_up_again_replaces_the_first(log: io.StringIO) -> None:
    second = io.StringIO()
    logs.set_up("info", stream=second, env={})
    ours.info("once")
    assert log.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_end_of_a_thread_by_an_exception_is_logged_without_secrets(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Both are put back by monkeypatch: pytest watches threads by the same hook.
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    logs.register_secret(KEY)
    logs.log_uncaught()

    def fail() -> None:
        raise RuntimeError(f"cannot use {KEY}")

    thread = threading.Thread(target=fail, name="worker 1")
    thread.start()
    thread.join(60)
    assert 'uncaught exception thread="worker 1"' in log.getvalue()
    assert "cannot use ***" in log.getvalue()
    assert capsys.readouterr().err == ""


def test_text_for_the_database_can_be_redacted_too() -> None:
    logs.register_secret(WEBHOOK)
    assert logs.redacted(f"no answer from {WEBHOOK}") == "no answer from ***"


def test_secrets_may_be_registered_while_others_log(log: io.StringIO) -> None:
    def register() -> None:
        for number in range(50):
            logs.register_secret(f"CANARY-{number:04}")

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(200):
        ours.info("line %s", number)
    for thread in threads:
        thread.join(60)
    ours.info("CANARY-0000 CANARY-0049")
    assert log.getvalue().endswith("*** ***\n")


def test_a_long_word_takes_no_time_out_of_proportion(log: io.StringIO) -> None:
    logs.register_secret(WEBHOOK)
    began = time.process_time()
    ours.info("name=%s", "a" * 200_000)
    assert time.process_time() - began < 5
    assert len(log.getvalue()) > 200_000
