"""The main job, from a file dropped into a folder to an alert that arrives, with the real process.

The API is scripted, everything else is what users have: files, SQLite, an HTTP service and a mail server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import (
    CANARY_KEY,
    Conversation,
    Script,
    ScriptedApi,
    Service,
    answer,
    merged,
    refuse,
    reply,
    running,
    sample,
    wav,
)
from tests.programs import restricted
from tests.servers import HttpSink, SmtpSink, wait_until


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as server:
        yield server


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with HttpSink() as server:
        yield server


def calm() -> dict[str, Any]:
    """A reply in which nobody is unhappy and nothing was wanted."""
    content = reply(average=0.5)
    content["results"]["intents"]["segments"] = []
    return content


def by_content(replies: dict[bytes, Script], otherwise: Script | None = None) -> Script:
    """Answers each file by what is in it."""
    by_hash = {hashlib.sha256(content).hexdigest(): script for content, script in replies.items()}
    default = otherwise or answer()
    return lambda conversation: by_hash.get(conversation.call.sha256, default)(conversation)


def unhappy(*destinations: str) -> dict[str, Any]:
    return {
        "name": "unhappy caller",
        "when": {"average_sentiment": "negative"},
        "notify": list(destinations),
    }


# Every way of arriving


def append_slowly(path: Path, content: bytes) -> None:
    """As a recorder writes: one handle, pauses that are longer than the settle time."""
    pause = threading.Event()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), len(content) // 3 + 1):
            file.write(content[start : start + len(content) // 3 + 1])
            pause.wait(0.4)


def test_each_way_of_arriving_ends_in_one_result(tmp_path: Path, api: ScriptedApi) -> None:
    """Copied, moved, written slowly, synchronized, in new folders: once each, and never in part."""
    names = [
        *("copied.wav", "moved.wav", "slow.wav", "synced.wav"),
        *("new/a.wav", "new/deep/b.wav", "new/deep/er/c.wav"),
    ]
    contents = {name: wav(name) for name in names}
    outside = tmp_path / "outside"
    for name, content in contents.items():
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_bytes(content)
    with running(tmp_path, api) as service:
        writer = threading.Thread(
            target=append_slowly, args=(service.folder / "slow.wav", contents["slow.wav"])
        )
        writer.start()
        shutil.copy(outside / "copied.wav", service.folder)
        (outside / "moved.wav").rename(service.folder / "moved.wav")
        temporary = service.folder / ".synced.wav.Ab12Cd"
        temporary.write_bytes(contents["synced.wav"])
        temporary.rename(service.folder / "synced.wav")
        subprocess.run(["cp", "-r", outside / "new", service.folder], check=True)
        writer.join()
        service.wait_states(done=len(names))
        rows = {row["path"]: row for row in service.rows("SELECT * FROM recordings")}
        # Another look at everything finds nothing new.
        service.signal(signal.SIGHUP)
        shutil.copy(outside / "copied.wav", service.folder / "last.wav")
        service.wait_states(done=len(names), duplicate=1)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert {path: row["sha256"] for path, row in rows.items()} == {
        str(service.folder / name): sha256 for name, sha256 in hashes.items()
    }
    assert sorted(call.sha256 for call in api.calls) == sorted(hashes.values())
    assert {(row["attempts"], row["possibly_billed"]) for row in rows.values()} == {(1, 1)}


def test_what_the_reply_says_is_what_the_tables_hold(tmp_path: Path, api: ScriptedApi) -> None:
    """Every segment with its words, its seconds and its speaker; scores as Deepgram gives them."""
    body = sample("full_diarized")
    api.script = answer(200, body)
    with running(tmp_path, api) as service:
        service.drop("call.wav")
        service.wait_states(done=1)
        row = service.rows("SELECT * FROM recordings")[0]
        stored = {
            table: service.rows(f"SELECT * FROM {table} ORDER BY position")  # noqa: S608
            for table in ("sentiments", "topics", "intents")
        }
    results = body["results"]
    alternative = results["channels"][0]["alternatives"][0]
    words = alternative["words"]

    def expected(section: str, label: str, score: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for segment in results[section]["segments"]:
            for said in [segment] if section == "sentiments" else segment[section]:
                first, last = segment["start_word"], segment["end_word"]
                speakers = [word["speaker"] for word in words[first : last + 1]]
                found.append(
                    {
                        "recording_id": row["id"],
                        "position": len(found),
                        "text": segment["text"],
                        "start_word": first,
                        "end_word": last,
                        "start_seconds": words[first]["start"],
                        "end_seconds": words[last]["end"],
                        "speaker": f"speaker {max(speakers, key=speakers.count)}",
                        label: said[label],
                        score: said[score],
                    }
                )
        return found

    assert stored["sentiments"] == expected("sentiments", "sentiment", "sentiment_score")
    assert stored["topics"] == expected("topics", "topic", "confidence_score")
    assert stored["intents"] == expected("intents", "intent", "confidence_score")
    assert len(stored["sentiments"]) == 2
    assert row["transcript"] == alternative["transcript"]
    assert row["confidence"] == alternative["confidence"]
    assert row["summary"] == results["summary"]["short"]
    average = results["sentiments"]["average"]
    assert (row["average_sentiment"], row["average_sentiment_score"]) == (
        average["sentiment"],
        average["sentiment_score"],
    )
    assert row["request_id"] == body["metadata"]["request_id"]
    assert (row["duration_seconds"], row["channels"]) == (16.44, 1)
    assert row["not_analyzed"] == "{}"


def test_what_rules_ask_for_arrives_and_nothing_else(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """One message per recording and destination, however many rules; the commands then show it all."""
    elsewhere = tmp_path / "elsewhere"
    watch = [{"path": str(path), "settle": "0.2s"} for path in (tmp_path / "recordings", elsewhere)]
    rules = [
        unhappy("chat", "mail"),
        {"name": "scarf trouble", "when": {"intent": "*SCARF*"}, "notify": ["chat"], "severity": "critical"},
        {"name": "elsewhere", "when": {"intent": "*"}, "notify": ["chat"], "folders": [str(elsewhere)]},
    ]
    api.script = by_content({wav("calm.wav"): answer(200, calm())})
    with SmtpSink() as mail:
        destinations = {"chat": f"json://{sink.address}/chat", "mail": mail.mailto()}
        elsewhere.mkdir()
        alerts = {"destinations": destinations, "rules": rules}
        with running(tmp_path, api, watch=watch, alerts=alerts) as service:
            service.drop("calm.wav")
            service.drop("angry.wav")
            service.wait_states(done=2)
            wait_until(lambda: service.status()["alerts"]["sent"] == 2, what="both alerts sent")
            angry = service.rows("SELECT * FROM recordings WHERE name = 'angry.wav'")[0]
            stored = service.rows("SELECT * FROM alerts ORDER BY destination")
            look_around(service, angry)
        assert len(sink.requests) == len(mail.messages) == 1
        content, message = sink.requests[0].json(), mail.messages[0]
    assert [(row["destination"], row["recording_id"]) for row in stored] == [
        ("chat", angry["id"]),
        ("mail", angry["id"]),
    ]
    assert [json.loads(row["rules"]) for row in stored] == [
        ["unhappy caller", "scarf trouble"],
        ["unhappy caller"],
    ]
    assert [row["severity"] for row in stored] == ["critical", "warning"]
    assert "angry.wav" in content["title"]
    assert "unhappy caller" in content["title"]
    text = content["message"]
    assert "-0.41" in text
    assert "negative at -0.33 and below" in text
    assert "Resolve scarf order issue" in text
    assert text.rstrip().splitlines()[-1] == f"earshot alert {stored[0]['id']}, recording {angry['id']}"
    mailed = message.get_content()
    assert f"earshot alert {stored[1]['id']}, recording {angry['id']}" in mailed
    assert "scarf trouble" not in mailed
    assert "unhappy caller" in message["Subject"]


def look_around(service: Service, angry: dict[str, Any]) -> None:
    """Status, list, show and search agree with what the tables hold."""
    status = service.status()
    assert status["recordings"]["done"] == 2
    assert status["daemon"]["ready"]
    assert status["paused"] is status["oldest_waiting_at"] is None
    listed = json.loads(service.earshot("list", "--sentiment", "negative", "--json").stdout)
    assert [row["id"] for row in listed] == [angry["id"]]
    shown = json.loads(service.earshot("show", str(angry["id"]), "--json").stdout)
    assert shown["transcript"] == angry["transcript"]
    assert [alert["state"] for alert in shown["alerts"]] == ["sent", "sent"]
    assert len(shown["sentiments"]) == 2
    found = json.loads(service.earshot("search", "birthday", "angry", "--json").stdout)
    assert [row["id"] for row in found] == [angry["id"]]
    assert "[birthday]" in found[0]["snippet"].lower()


def test_what_was_there_before_is_taken_as_each_folder_says(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """existing: skip pays nothing, quiet tells nobody, analyze does it all; skipped ones can be had later."""
    folders = {mode: tmp_path / mode for mode in ("skip", "quiet", "analyze")}
    for mode, folder in folders.items():
        folder.mkdir()
        (folder / f"{mode}.wav").write_bytes(wav(mode))
    watch = [
        {"path": str(folder), "existing": mode, "settle": "0.2s", "rescan": "1s"}
        for mode, folder in folders.items()
    ]
    alerts = {"destinations": {"team": f"json://{sink.address}/"}, "rules": [unhappy("team")]}
    with running(tmp_path, api, watch=watch, alerts=alerts) as service:
        service.wait_states(done=2, skipped=1)
        sink.wait_for(1)
        rows = {row["name"]: row for row in service.rows("SELECT * FROM recordings")}
        assert rows["skip.wav"]["error_code"] == "existing"
        assert {folder["path"]: folder["left_alone"] for folder in service.status()["folders"]} == {
            str(folders["skip"]): 1,
            str(folders["quiet"]): 0,
            str(folders["analyze"]): 0,
        }
        states = service.rows("SELECT recording_id, state, reason FROM alerts ORDER BY recording_id")
        assert {(row["recording_id"], row["state"], row["reason"]) for row in states} == {
            (rows["quiet.wav"]["id"], "suppressed", "quiet"),
            (rows["analyze.wav"]["id"], "sent", None),
        }
        assert service.earshot("retry", str(rows["skip.wav"]["id"])).returncode == 0
        service.wait_states(done=3)
    assert len(api.calls) == 3


def test_a_folder_is_analyzed_as_its_settings_say(tmp_path: Path, api: ScriptedApi) -> None:
    """Overrides, channels and tags of a folder; the phrases of its rules are what is listened for."""
    plain, support = tmp_path / "plain", tmp_path / "support"
    plain.mkdir()
    support.mkdir()
    watch = [
        {"path": str(plain), "settle": "0.2s"},
        {
            "path": str(support),
            "settle": "0.2s",
            "channels": ["customer", "agent"],
            "tags": ["support"],
            "analyzer": {"language": "en-GB", "options": {"keyterm": ["scarf", "parcel"]}},
        },
    ]
    rule = {
        "name": "churn",
        "when": {"intent": ["cancel subscription", "*refund*"]},
        "notify": ["team"],
        "folders": [str(support)],
    }
    body = reply(channels=2)
    second = {"alternatives": [{"transcript": "Yes.", "confidence": 0.5, "words": []}]}
    body["results"]["channels"].append(second)
    api.script = by_content({wav("two.wav"): answer(200, body)})
    with SmtpSink() as mail:
        alerts = {"destinations": {"team": mail.mailto()}, "rules": [rule]}
        with running(tmp_path, api, watch=watch, alerts=alerts) as service:
            for folder, name in ((plain, "one.wav"), (support, "two.wav")):
                (tmp_path / name).write_bytes(wav(name))
                (tmp_path / name).rename(folder / name)
            service.wait_states(done=2)
            rows = {row["name"]: row for row in service.rows("SELECT * FROM recordings")}
            segments = service.rows("SELECT * FROM sentiments WHERE recording_id = ?", rows["two.wav"]["id"])
    calls = {call.sha256: call for call in api.calls}
    first, other = (calls[rows[name]["sha256"]].parameters for name in ("one.wav", "two.wav"))
    assert first["language"] == ["en"]
    assert first["model"] == ["nova-3"]
    assert first["summarize"] == ["v2"]
    assert first["smart_format"] == first["topics"] == first["intents"] == first["sentiment"] == ["true"]
    assert not first.keys() & {"multichannel", "custom_intent", "keyterm"}
    assert other["language"] == ["en-GB"]
    assert other["multichannel"] == ["true"]
    assert other["keyterm"] == ["scarf", "parcel"]
    assert other["custom_intent"] == ["cancel subscription"]
    assert other["custom_intent_mode"] == ["extended"]
    row = rows["two.wav"]
    assert json.loads(row["tags"]) == ["support"]
    assert json.loads(rows["one.wav"]["tags"]) == []
    assert row["channels"] == 2
    assert row["language"] == "en-GB"
    assert row["transcript"].startswith("customer: Parker")
    assert row["transcript"].endswith("agent: Yes.")
    assert {(one["start_seconds"], one["speaker"]) for one in segments} == {(None, None)}
    for call in api.calls:
        assert int(call.headers["content-length"]) == call.size > 0
        assert "transfer-encoding" not in call.headers
        assert call.headers["authorization"] == f"Token {CANARY_KEY}"


# Commands that do the job themselves


def test_scan_does_everything_once_and_says_what_it_did(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """Found, analyzed and alerted, then an exit code that a script can rely on."""
    bad = wav("bad")
    api.script = by_content({bad: refuse("e400_audio")})
    folder = tmp_path / "recordings"
    settings: dict[str, Any] = {
        "watch": [{"path": str(folder), "settle": "0.2s", "existing": "analyze"}],
        "analyzer": {"base_url": api.url},
        "alerts": {"destinations": {"team": f"json://{sink.address}/"}, "rules": [unhappy("team")]},
    }
    with Service(tmp_path, settings) as service:
        for name in ("a.wav", "b.wav"):
            service.drop(name)
        service.drop("copy of a.wav", wav("a.wav"))
        first = service.earshot("scan", "--json")
        assert first.returncode == 0, first.stderr
        counts = json.loads(first.stdout)
        assert (counts["done"], counts["duplicate"], counts["waiting"]) == (2, 1, 0)
        assert counts["alerts"]["sent"] == 2
        assert len(sink.requests) == 2
        again = service.earshot("scan")
        assert again.returncode == 0
        assert len(api.calls) == 2
        service.drop("bad.wav", bad)
        failed = service.earshot("scan", "--json")
        assert failed.returncode == 1
        assert json.loads(failed.stdout)["failed"] == 1
        assert "1 recording failed" in failed.stderr
        api.script = refuse("e401_key")
        service.drop("c.wav")
        held = service.earshot("scan")
        assert held.returncode == 1
        assert "paused: the API key is refused" in held.stderr
        assert service.states() == {"done": 2, "duplicate": 1, "failed": 1, "waiting": 1}


def test_scan_fails_where_it_could_not_look(tmp_path: Path, api: ScriptedApi) -> None:
    """A folder that is gone stops only itself; the exit code says that not all is well."""
    gone = tmp_path / "gone"
    folders = [{"path": str(tmp_path / "recordings"), "settle": "0.2s", "existing": "analyze"}, str(gone)]
    with Service(tmp_path, {"watch": folders, "analyzer": {"base_url": api.url}}) as service:
        service.drop("a.wav")
        done = service.earshot("scan", "--json")
        assert json.loads(done.stdout)["done"] == 1
        assert done.returncode == 1
        text = f"earshot: {gone}: the folder is not there or cannot be read; `earshot check` says why"
        assert done.stderr.splitlines()[-1] == text


def test_analyze_prints_and_stores_only_when_told(tmp_path: Path, api: ScriptedApi) -> None:
    """Files and addresses, in the shape of show; stored only with --save, and then not paid for twice."""
    with Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        call, bad = tmp_path / "call.wav", tmp_path / "bad.wav"
        call.write_bytes(wav("call"))
        bad.write_bytes(wav("bad"))
        api.script = by_content({wav("bad"): refuse("e400_audio")})
        url = "https://example.com/calls/7.mp3?signed=1"
        done = service.earshot("analyze", "--json", str(call), url)
        assert done.returncode == 0, done.stderr
        file, hosted = json.loads(done.stdout)
        assert (file["path"], hosted["path"]) == (str(call), "https://example.com/…/7.mp3")
        assert file["state"] == hosted["state"] == "done"
        assert file["sentiments"]
        assert file["alerts"] == []
        assert json.loads(api.calls[1].text) == {"url": url}
        assert not service.database.exists()

        refused = service.earshot("analyze", str(bad), str(tmp_path / "nowhere.wav"), str(call))
        assert refused.returncode == 1
        assert "corrupt or unsupported data" in refused.stderr
        assert f"{tmp_path}/nowhere.wav: there is no such file; check its name" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert "Parker Scarves" in refused.stdout

        before = len(api.calls)
        for address in ("ftp://example.com/call.wav", "https://"):
            unusable = service.earshot("analyze", str(call), address)
            assert (unusable.returncode, unusable.stdout) == (2, "")
            assert "the address is no http:// or https:// address" in unusable.stderr
        assert len(api.calls) == before
        for _ in range(2):
            saved = service.earshot("analyze", "--save", "--json", str(call))
            assert saved.returncode == 0, saved.stderr
            assert json.loads(saved.stdout)[0]["state"] == "done"
        assert len(api.calls) == before + 1
        assert service.states()["done"] == 1


@pytest.mark.parametrize("options", [[], ["--save"]], ids=["", "save"])
def test_analyze_asks_once_where_everything_is_refused(
    tmp_path: Path, api: ScriptedApi, options: list[str]
) -> None:
    """A refused key is said; it is not asked again and again until somebody stops it."""
    api.script = refuse("e401_key")
    with Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        call = tmp_path / "call.wav"
        call.write_bytes(wav("call"))
        refused = service.earshot("analyze", *options, str(call))
        assert refused.returncode == 1
        assert "the API key is refused" in refused.stderr
    assert len(api.calls) == 1


# What people put into folders


def test_a_file_without_permission_waits_and_says_so(tmp_path: Path, api: ScriptedApi) -> None:
    """It is read as soon as it may be; no other recording suffers."""
    prefix = restricted()
    with Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        service.start(prefix=prefix)
        temporary = tmp_path / "secret"
        temporary.write_bytes(wav("secret"))
        temporary.chmod(0)
        secret = temporary.rename(service.folder / "secret.wav")
        row = service.wait_row("SELECT * FROM recordings WHERE error IS NOT NULL")
        assert "no permission to read it" in row["error"]
        assert row["state"] == "waiting"
        service.drop("other.wav")
        service.wait_states(waiting=1, done=1)
        secret.chmod(0o600)
        service.wait_states(done=2)
    assert len(api.calls) == 2


def test_an_empty_file_is_skipped_until_it_fills(tmp_path: Path, api: ScriptedApi) -> None:
    """Nothing is sent for it; the row says that it is taken up again, and it is."""
    watch = [{"path": str(tmp_path / "recordings"), "settle": "0.1s", "empty_after": "0.3s", "rescan": "1s"}]
    with running(tmp_path, api, watch=watch) as service:
        path = service.folder / "empty.wav"
        path.touch()
        service.wait_states(skipped=1)
        row = service.rows("SELECT * FROM recordings")[0]
        assert row["error_code"] == "empty"
        assert "taken up again" in row["error"]
        assert api.calls == []
        path.write_bytes(wav("full"))
        service.wait_states(done=1)
        assert service.rows("SELECT error_code, error FROM recordings") == [
            {"error_code": None, "error": None}
        ]


def test_a_file_that_goes_while_it_waits_is_skipped(tmp_path: Path, api: ScriptedApi) -> None:
    """Deleted before its turn: no request, no failure, the reason in its row."""
    release = threading.Event()

    def slow(conversation: Conversation) -> None:
        release.wait(60)
        conversation.reply()

    api.then(slow)
    with running(tmp_path, api, analyzer={"concurrency": 1}) as service:
        service.drop("first.wav")
        api.wait_for_calls(1)
        gone = service.drop("gone.wav")
        service.drop("third.wav")
        service.wait_states(analyzing=1, waiting=2)
        gone.unlink()
        release.set()
        service.wait_states(done=2, skipped=1)
        assert service.rows("SELECT error_code FROM recordings WHERE name = 'gone.wav'") == [
            {"error_code": "gone"}
        ]
    assert len(api.calls) == 2


def test_a_file_that_somebody_still_writes_is_not_taken(tmp_path: Path, api: ScriptedApi) -> None:
    """However quiet it is: while a process holds it open for writing it is not complete."""
    with running(tmp_path, api) as service:
        whole = wav("whole", seconds=1)
        with (service.folder / "open.wav").open("wb", buffering=0) as file:
            file.write(whole[:1000])
            service.drop("other.wav")
            service.wait_states(done=1)
            # Longer than the settle time: a second file comes and goes its way meanwhile.
            service.drop("another.wav")
            service.wait_states(done=2)
            file.write(whole[1000:])
        service.wait_states(done=3)
    sizes = [call.size for call in api.calls]
    assert sizes[-1] == len(whole)
    assert len(sizes) == 3


def test_a_file_replaced_while_it_is_analyzed_is_analyzed_as_it_is_now(
    tmp_path: Path, api: ScriptedApi
) -> None:
    """A reply to other bytes is no result; touching the file, or moving it, makes no second request."""
    hold = threading.Event()

    def slow(conversation: Conversation) -> None:
        hold.wait(60)
        conversation.reply()

    api.then(slow, slow, slow)
    with running(tmp_path, api) as service:
        replaced, touched, moved = (service.drop(f"{name}.wav") for name in ("replaced", "touched", "moved"))
        # Whole: until then a change of the file takes the request back.
        wait_until(lambda: len(api.listened()) == 3, what="three requests to be there whole")
        replaced.write_bytes(wav("new", seconds=0.3))
        os.utime(touched)
        moved.rename(service.folder / "renamed.wav")
        hold.set()
        service.wait_states(done=3)
        renamed = "SELECT 1 FROM recordings WHERE name = 'renamed.wav'"
        wait_until(lambda: bool(service.rows(renamed)), what="the row to follow its file")
        rows = {row["name"]: row for row in service.rows("SELECT * FROM recordings")}
    assert rows["replaced.wav"]["sha256"] == hashlib.sha256(wav("new", seconds=0.3)).hexdigest()
    assert {row["possibly_billed"] for name, row in rows.items() if name != "replaced.wav"} == {1}
    assert rows["replaced.wav"]["possibly_billed"] == 2
    assert len(api.calls) == 4
    assert "renamed.wav" in rows


HOSTILE = [
    b"new\nline.wav",
    b"esc\x1b[31mred.wav",
    "right\u202eto left.wav".encode(),
    b"not utf-8 \xff\xfe.wav",
    b"-rf.wav",
    b"$(id) `id` %s {name} 'quoted\".wav",
    "emoji 🎧 und Übergröße.wav".encode(),
    b" leading and trailing .wav",
    b"n" * 251 + b".wav",
]


def test_a_name_is_only_a_name(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """Whatever bytes a name has: analyzed, alerted, shown, and no control character gets anywhere."""
    alerts = {"destinations": {"team": f"json://{sink.address}/"}, "rules": [unhappy("team")]}
    with running(tmp_path, api, alerts=alerts) as service:
        for name in HOSTILE:
            temporary = tmp_path / "incoming"
            temporary.write_bytes(wav(os.fsdecode(name)))
            os.rename(temporary, os.fsencode(service.folder) + b"/" + name)  # noqa: PTH104 - bytes
        service.wait_states(done=len(HOSTILE))
        sink.wait_for(len(HOSTILE))
        names = {row["name"] for row in service.rows("SELECT name FROM recordings")}
        assert names == {name.decode("utf-8", "backslashreplace") for name in HOSTILE}
        ids = [str(row["id"]) for row in service.rows("SELECT id FROM recordings")]
        shown = [service.earshot("list"), service.earshot("show", ids[0]), service.earshot("show", ids[1])]
        assert {done.returncode for done in shown} == {0}
        text = "".join(done.stdout for done in shown) + service.log()
        titles = "".join(request.json()["title"] for request in sink.requests)
        messages = "".join(request.json()["message"] for request in sink.requests)
    for told in (text, titles, messages):
        assert not set(told) & {"\x1b", "\u202e", "\r"}
    assert "\n" not in titles
    assert "\nline.wav" not in text + messages
    assert len(api.calls) == len(HOSTILE)


def test_what_is_no_audio_fails_alone_and_can_be_tried_again(tmp_path: Path, api: ScriptedApi) -> None:
    """The state says why; after a repair `earshot retry` is all that it takes."""
    bad = b"this is a text that somebody called a recording"
    api.script = by_content({bad: refuse("e400_audio")})
    with running(tmp_path, api) as service:
        service.drop("notes.wav", bad)
        service.drop("call.wav")
        service.wait_states(failed=1, done=1)
        row = service.rows("SELECT * FROM recordings WHERE state = 'failed'")[0]
        assert "put a good copy there" in row["error"]
        listed = service.earshot("list", "--state", "failed")
        assert "corrupt_audio" in listed.stdout
        api.script = answer()
        again = service.earshot("retry", str(row["id"]))
        assert "1 recording back in the queue" in again.stdout
        service.wait_states(done=2)
        assert service.earshot("retry", str(row["id"])).returncode == 1
        assert service.earshot("retry", "4711").returncode == 1


def test_equal_bytes_are_paid_for_once(tmp_path: Path, api: ScriptedApi) -> None:
    """A copy names its original, also one that came while the original was in work or after a restart."""
    api.then(lambda conversation: conversation.reply(delay=0.4))
    content = wav("the same")
    with running(tmp_path, api) as service:
        for number in range(3):
            service.drop(f"{number}.wav", content)
        service.wait_states(done=1, duplicate=2)
        service.stop()
        service.drop("later.wav", content)
        service.start()
        service.wait_states(done=1, duplicate=3)
        original = service.rows("SELECT id FROM recordings WHERE state = 'done'")[0]["id"]
        found = service.rows("SELECT DISTINCT duplicate_of FROM recordings WHERE state = 'duplicate'")
    assert found == [{"duplicate_of": original}]
    assert len(api.calls) == 1


# When the process itself cannot work, or is killed


def refuses(service: Service, *, prefix: tuple[str, ...] = ()) -> str:
    """Start a service that must not start; returns the one line that it says."""
    service.start(ready=False, prefix=prefix)
    assert service.wait_end() == 78
    said = service.log().strip()
    service.log_file.unlink()
    assert "Traceback" not in said
    return said


def test_a_broken_configuration_is_refused_with_its_line(tmp_path: Path) -> None:
    """Exit code 78: a service manager does not try again what a person must correct."""
    with Service(tmp_path) as service:
        service.database.parent.mkdir()
        service.config_file.write_text("watch:\n  - /srv\n analyzer: {\n", encoding="utf-8")
        assert f"{service.config_file}:3" in refuses(service)
        service.write_config(analyser={"model": "nova-3"})
        assert "analyzer" in refuses(service)
        assert not service.database.exists()


def test_an_unusable_database_is_refused_and_left_as_it_is(tmp_path: Path, api: ScriptedApi) -> None:
    """Exit code 78, the file named, nothing sent, nothing created anew."""
    with Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        service.database.parent.mkdir()
        service.database.write_bytes(b"this is no database\n" * 100)
        assert str(service.database) in refuses(service)
        assert service.database.read_bytes() == b"this is no database\n" * 100
        service.database.unlink()
        with contextlib.closing(sqlite3.connect(service.database)) as other:
            other.execute("CREATE TABLE mine (a)")
        assert "another program" in refuses(service)
        service.database.unlink()
        service.database.parent.chmod(0o500)
        try:
            assert "cannot be written" in refuses(service, prefix=restricted())
        finally:
            service.database.parent.chmod(0o700)
    assert api.calls == []


def test_a_database_that_may_only_be_read_is_refused(tmp_path: Path, api: ScriptedApi) -> None:
    """Exit code 78 at the start, not an error at the first recording."""
    prefix = restricted()
    with Service(tmp_path, {"analyzer": {"base_url": api.url}}) as service:
        service.start()
        assert service.stop() == 0
        service.log_file.unlink()
        service.database.chmod(0o400)
        assert str(service.database) in refuses(service, prefix=prefix)


def test_nothing_is_lost_to_kill_9(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """Killed with requests in flight, files waiting and unseen: each ends as one result and one alert."""
    alerts = {"destinations": {"team": f"json://{sink.address}/"}, "rules": [unhappy("team")]}
    api.script = lambda conversation: conversation.reply(delay=0.15)
    settings = merged({"analyzer": {"concurrency": 3}}, {"alerts": alerts})
    with running(tmp_path, api, **settings) as service:
        for number in range(7):
            service.drop(f"{number}.wav")
        for kill in range(3):
            api.wait_for_calls(2 * kill + 2)
            service.kill()
            service.drop(f"while-dead-{kill}.wav")
            service.start()
        service.wait_states(done=10)
        wait_until(lambda: service.status()["alerts"]["pending"] == 0, what="no alert pending")
        assert service.rows("SELECT count(*) AS n FROM alerts WHERE state = 'sent'") == [{"n": 10}]
        billed = service.rows("SELECT sum(possibly_billed) AS n FROM recordings")[0]["n"]
        assert service.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert 10 <= len(api.calls) <= billed <= 10 + 3 * 3
    told = [request.json()["message"].rstrip().splitlines()[-1] for request in sink.requests]
    assert len(set(told)) == 10
    assert len(told) <= 10 + 3
