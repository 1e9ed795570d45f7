"""`earshot forget` and `earshot protect`: what was said is gone from every byte of the database."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.sites import Site
from tests.harness import Conversation, ScriptedApi, reply, running, wav
from tests.servers import HttpSink, wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]

WORDS = "the gardener buried kryptonite beneath hydrangeas"


def bytes_of(database: Path) -> bytes:
    """All that is in the files of a database."""
    wal = database.with_name(database.name + "-wal")
    return database.read_bytes() + (wal.read_bytes() if wal.exists() else b"")


def add(site: Site, recording_id: int, **row: Any) -> None:
    row = {"state": "done", "transcript": f"{WORDS} {recording_id}", "analyzed_at": "2026-01-01"} | row
    site.add("recordings", id=recording_id, **row)


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as server:
        yield server


def spoken(words: str) -> dict[str, Any]:
    """A reply in which this was said and summed up, and somebody was unhappy."""
    content = reply(average=-0.8)
    alternative = content["results"]["channels"][0]["alternatives"][0]
    alternative["transcript"] = words
    content["results"]["summary"]["short"] = words
    for segment in content["results"]["sentiments"]["segments"]:
        segment["text"] = words
    return content


def test_without_yes_it_only_shows_what_would_go(run: Run, site: Site) -> None:
    add(site, 1, metadata={"caller": "0151"})
    add(site, 2, state="duplicate", duplicate_of=1, transcript=None)
    add(site, 3, metadata={"caller": "0170"})
    site.add("alerts", id=1, recording_id=1, state="sent")

    shown = run("forget", "--where", "caller=0151*", "--json")

    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    [going] = document["recordings"]
    assert (going["id"], going["copies"], going["alerts"], document["erased"]) == (1, 1, 1, 0)
    assert len(site.sql("SELECT id FROM recordings")) == 3
    assert "1 recording would be erased; --yes does it" in run("forget", "1").stdout


def test_what_was_forgotten_is_in_no_byte_of_the_database(run: Run, site: Site) -> None:
    for number in range(1, 40):
        add(site, number, name=f"anna-{number:03}.wav", metadata={"caller": f"0151-{number:03}"})
        text = f"{WORDS} {number} " * (number * 20)
        site.sql("UPDATE recordings SET transcript = ?, summary = ? WHERE id = ?", text, text, number)
        site.add("sentiments", recording_id=number, position=0, text=f"passage-{number:03} {WORDS}")
        site.add("responses", recording_id=number, received_at="", kind="listen", body=f"raw-{number:03}")
        site.add("alerts", id=number, recording_id=number, state="sent", body=f"alert-{number:03}")
    before = site.sql("SELECT * FROM recordings WHERE id = 40")

    done = run("forget", *map(str, range(1, 39)), "--yes")

    assert (done.returncode, done.stderr) == (0, "")
    assert "38 recordings erased" in done.stdout
    content = bytes_of(site.database)
    for number in range(1, 39):
        for word in (
            f"anna-{number:03}",
            f"0151-{number:03}",
            f"passage-{number:03}",
            f"raw-{number:03}",
            f"alert-{number:03}",
        ):
            assert word.encode() not in content, word
    assert b"anna-039" in content
    assert site.sql("SELECT * FROM recordings WHERE id = 40") == before
    [note] = site.sql("SELECT recordings, by, why, swept_at FROM erasures")
    assert (note["recordings"], note["by"], note["why"]) == (38, "forget", "by id")
    assert note["swept_at"]


def test_the_index_forgets_its_words_too(run: Run, site: Site) -> None:
    add(site, 1, transcript="kryptonite")
    for number in range(2, 30):
        add(site, number, transcript=f"hydrangea {number}")
    assert b"kryptonite" in bytes_of(site.database)

    assert run("forget", "1", "--yes").returncode == 0

    assert b"krypton" not in bytes_of(site.database)
    assert run("search", "hydrangea", "29").stdout


def test_protected_recordings_and_those_in_work_are_left_out_and_said(run: Run, site: Site) -> None:
    for number in (1, 2, 3, 4):
        add(site, number)
    add(site, 5, state="duplicate", duplicate_of=4)
    site.sql("UPDATE recordings SET state = 'analyzing' WHERE id = 3")
    assert run("protect", "2", "5").returncode == 0
    assert json.loads(run("show", "2", "--json").stdout)["protected"] == 1

    done = run("forget", "1", "2", "3", "4", "99", "--yes")

    assert done.returncode == 1
    assert [row["id"] for row in site.sql("SELECT id FROM recordings ORDER BY id")] == [2, 3, 4, 5]
    assert "recording 2 is protected" in done.stderr
    assert "recording 3 is being analyzed right now" in done.stderr
    assert "recording 4 stays for its copy: recording 5 is protected" in done.stderr
    assert "there is no recording 99; `earshot list`" in done.stderr
    assert run("protect", "--off", "2").returncode == 0
    assert run("forget", "--older-than", "0s", "--state", "done", "--yes").returncode == 0
    assert [row["id"] for row in site.sql("SELECT id FROM recordings ORDER BY id")] == [3, 4, 5]


def test_nothing_said_is_wrong_usage(run: Run, site: Site) -> None:
    add(site, 1)
    done = run("forget", "--yes")
    assert done.returncode == 2
    assert len(site.sql("SELECT id FROM recordings")) == 1


def test_a_reader_in_the_way_is_said_and_the_next_call_finishes(run: Run, site: Site) -> None:
    add(site, 1)
    with closing(sqlite3.connect(site.database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM recordings").fetchone()
        done = run("forget", "1", "--yes")
        assert done.returncode == 1
        assert "-wal: what was erased is still in it, because another program reads" in done.stderr
        assert b"kryptonite" in bytes_of(site.database)

    assert run("forget").returncode == 0
    assert b"kryptonite" not in bytes_of(site.database)


def test_copies_from_before_an_upgrade_are_named(run: Run, site: Site) -> None:
    add(site, 1)
    copy = site.database.with_name("earshot.db.before-7")
    copy.touch()
    assert f"not reached: {copy}" in run("forget", "1", "--yes").stdout


def test_backups_that_are_still_there_are_named(run: Run, site: Site, tmp_path: Path) -> None:
    add(site, 1)
    add(site, 2)
    for name in ("gone.db", "kept.db", "kept.db"):
        made = run("backup", str(tmp_path / name), "--keep", "3")
        assert made.returncode == 0, made.stderr
    (tmp_path / "gone.db").unlink()
    shown = run("forget", "1").stdout
    assert f"not reached: {tmp_path / 'kept.db'}" in shown
    assert "gone.db" not in shown
    document = json.loads(run("forget", "2", "--json").stdout)
    assert document["not_reached"] == [str(tmp_path / "kept.db"), str(tmp_path / "kept.db.1")]
    assert document["recordings"][0]["protected"] is False


def test_where_nothing_fits_that_is_said(run: Run, site: Site) -> None:
    add(site, 1, metadata={"caller": "0151"})
    assert run("backup", str(site.home / "copy.db")).returncode == 0
    assert run("forget", "--where", "caller=0170").stdout == "0 recordings would be erased\n"


def test_forgotten_while_the_service_runs_is_gone_and_stays_gone(tmp_path: Path, api: ScriptedApi) -> None:
    """The file stays; no listing and no restart takes it again, and new content under its name is taken."""
    api.script = lambda conversation: conversation.reply(body=spoken(WORDS))
    with HttpSink() as team, running(tmp_path, api, **alerting(team)) as service:
        service.drop("anna.wav")
        service.wait_states(done=1)
        service.wait_row("SELECT 1 FROM alerts WHERE state = 'sent'")
        assert b"kryptonite" in bytes_of(service.database)

        done = service.earshot("forget", "1", "--yes")

        assert (done.returncode, done.stderr) == (0, "")
        content = bytes_of(service.database)
        for word in (b"krypton", b"hydrangea", b"anna.wav"):
            assert word not in content, word
        scanned = service.rows("SELECT last_scan_at FROM folders")[0]["last_scan_at"]
        service.wait_row("SELECT 1 FROM folders WHERE last_scan_at > ?", scanned)
        service.stop()
        api.script = lambda conversation: conversation.reply(body=spoken("sunshine"))
        service.start()
        service.drop("bert.wav")
        service.wait_states(done=1)
        service.drop("anna.wav", wav("other"))
        service.wait_states(done=2)
        assert len(api.listened()) == 3


def alerting(team: HttpSink) -> dict[str, Any]:
    rule = {"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
    return {"alerts": {"destinations": {"team": team.url.replace("http", "json", 1)}, "rules": [rule]}}


@pytest.mark.parametrize("waits", [False, True], ids=["analyzed", "waiting"])
def test_the_file_goes_where_that_is_asked_for(tmp_path: Path, api: ScriptedApi, waits: bool) -> None:
    with running(tmp_path, api) as service:
        file = service.drop("anna.wav")
        service.wait_states(done=1)
        service.stop()
        if waits:
            with closing(sqlite3.connect(service.database)) as db, db:
                db.execute("UPDATE recordings SET state = 'waiting'")
        other = tmp_path / "other"
        other.write_bytes(b"stays")

        done = service.earshot("forget", "1", "--file", "--yes")

        assert (done.returncode, done.stderr) == (0, "")
        assert not file.exists()
        assert service.rows("SELECT * FROM recordings") == service.rows("SELECT * FROM marks") == []


def test_a_file_that_cannot_be_deleted_keeps_its_recording(tmp_path: Path, api: ScriptedApi) -> None:
    with running(tmp_path, api) as service:
        file = service.drop("below/anna.wav")
        service.wait_states(done=1)
        service.stop()
        outside = tmp_path / "outside"
        file.parent.rename(outside)
        file.parent.symlink_to(outside)

        done = service.earshot("forget", "1", "--file", "--yes")

        assert done.returncode == 1
        assert f"{file}: the file stays, and its recording with it" in done.stderr
        assert (outside / "anna.wav").exists()
        assert service.states() == {"done": 1}


def test_sidecars_go_too_and_a_file_in_their_place_stays(tmp_path: Path, api: ScriptedApi) -> None:
    api.script = lambda conversation: conversation.reply(body=spoken(WORDS))
    folder = tmp_path / "recordings"
    watch = {"path": str(folder), "settle": "0.2s", "rescan": "2s", "sidecars": ["txt", "json"]}
    with running(tmp_path, api, watch=[watch]) as service:
        service.drop("anna.wav")
        written = "SELECT count(*) AS n FROM sidecars WHERE path IS NOT NULL AND not_before IS NULL"
        service.wait_row(f"SELECT 1 FROM ({written}) WHERE n = 2")  # noqa: S608
        text, document = folder / "anna.wav.txt", folder / "anna.wav.json"
        assert b"speaker 1: " in text.read_bytes()
        (tmp_path / "mine").write_bytes(b"mine")
        (tmp_path / "mine").rename(document)
        service.stop()

        done = service.earshot("forget", "1", "--yes")

        assert (done.returncode, done.stderr) == (0, "")
        assert not text.exists()
        assert document.read_bytes() == b"mine"
        assert b"anna.wav" not in bytes_of(service.database)


def test_of_a_large_database_it_says_what_only_a_rewrite_reaches(run: Run, site: Site) -> None:
    add(site, 1)
    add(site, 2)
    site.sql("UPDATE recordings SET error = zeroblob(40000000) WHERE id = 2")
    done = run("forget", "1", "--yes")
    assert done.returncode == 0
    assert "`earshot forget --rewrite` writes the whole database anew" in done.stderr
    again = run("forget", "--rewrite")
    assert (again.returncode, again.stderr) == (0, "")
    assert b"kryptonite beneath hydrangeas 1" not in bytes_of(site.database)


def test_a_row_deleted_while_it_is_analyzed_stays_deleted_and_harms_nothing(
    tmp_path: Path, api: ScriptedApi
) -> None:
    with running(tmp_path, api) as service:

        def delete_then_answer(conversation: Conversation) -> None:
            with closing(sqlite3.connect(service.database)) as db, db:
                db.execute("DELETE FROM recordings")
            conversation.reply(body=spoken(WORDS))

        api.then(delete_then_answer)
        service.drop("anna.wav")
        wait_until(lambda: "recording deleted while it was analyzed" in service.log(), what="the log")
        service.drop("bert.wav")
        service.wait_states(done=1)
        assert "Traceback" not in service.log()
        assert service.rows("SELECT name FROM recordings") == [{"name": "bert.wav"}]


@pytest.mark.parametrize("command", [["stats"], ["forget", "1", "--file", "--yes"]])
def test_a_configuration_that_comes_through_a_pipe_is_read_once(
    tmp_path: Path, api: ScriptedApi, command: list[str]
) -> None:
    with running(tmp_path, api) as service:
        service.drop("anna.wav")
        service.wait_states(done=1)
        service.stop()
        content = service.config_file.read_bytes()
        service.config_file.unlink()
        os.mkfifo(service.config_file)
        writer = threading.Thread(target=service.config_file.write_bytes, args=(content,), daemon=True)
        writer.start()
        answer = service.earshot(*command)
        writer.join()
        assert (answer.returncode, answer.stderr) == (0, "")
