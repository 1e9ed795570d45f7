"""What opens a hosted recording to everybody is in its address: nobody and nothing but the API hears it."""

from __future__ import annotations

import json
from pathlib import Path

from daemon.models import hosted_name, shown_address
from tests.harness import ScriptedApi, answer, reply, running
from tests.servers import HttpSink, wait_until

ADDRESS = "https://files.example.com/t0ken-in-the-path/Shared%20Documents/call%20one.mp3?key=s3cr3t"
SHOWN = "https://files.example.com/…/call%20one.mp3"


def test_messages_commands_and_the_log_name_host_and_file_only(tmp_path: Path) -> None:
    fetching = {"err_code": "REMOTE_CONTENT_ERROR", "err_msg": f"cannot fetch {ADDRESS}: 403"}
    rule = {"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
    with ScriptedApi() as api, HttpSink() as sink:
        url = f"json://{sink.url.partition('://')[2]}/"
        alerts = {"destinations": {"team": url}, "operations": ["team"], "rules": [rule]}
        api.then(answer(200, reply(average=-0.8)), answer(400, fetching))
        with running(tmp_path, api, alerts=alerts) as service:
            as_typed = ADDRESS.replace("%20", " ")
            service.drop("one.url", f"[InternetShortcut]\nURL={as_typed}\n".encode())
            service.wait_states(done=1)
            service.drop("two.url", f"[InternetShortcut]\nURL={ADDRESS}&anew\n".encode())
            service.wait_states(done=1, failed=1)
            wait_until(lambda: sink.requests, what="a message")
            said = [
                service.earshot(*command).stdout
                for command in (
                    ("list", "--json"),
                    ("show", "1", "--json"),
                    ("show", "2"),
                    ("show", "2", "--json"),
                    ("alerts", "show", "1"),
                    ("status", "--json"),
                )
            ]
            said += [service.log(), *(request.body.decode() for request in sink.requests)]
            rows = service.rows("SELECT path, error, source FROM recordings ORDER BY id")

    assert [json.loads(call.text)["url"] for call in api.listened()] == [ADDRESS, f"{ADDRESS}&anew"]
    assert [row["path"] for row in rows] == [SHOWN, SHOWN]
    assert rows[0]["source"].decode() == ADDRESS
    assert "cannot fetch https://files.example.com/…/call%20one.mp3 403" in rows[1]["error"]
    assert json.loads(said[1])["path"] == SHOWN
    for text in said:
        assert "s3cr3t" not in text
        assert "t0ken" not in text


def test_what_is_refused_is_told_and_lists_wait_until_the_folder_takes_them(tmp_path: Path) -> None:
    watch = {"path": str(tmp_path / "recordings"), "settle": "0.2s", "rescan": "1s"}
    with ScriptedApi() as api, running(tmp_path, api, watch=[watch]) as service:
        service.drop("calls.urls", b"https://example.com/1.mp3\nhttps://example.com/2.mp3\n")
        service.drop("bad.url", b"[InternetShortcut]\nURL=http://2130706433/t0ken/latest?s3cr3t\n")
        service.wait_states(failed=1)
        row = service.wait_row("SELECT name, error_code, error FROM recordings")
        assert (row["name"], row["error_code"]) == ("bad.url", "bad_address")
        assert row["error"].startswith(
            "1 of 1 addresses not taken: http://2130706433/…/latest points to this"
        )
        # Operations hear of it with whatever else fails within the same minute.
        assert len(service.rows("SELECT 1 FROM failures WHERE told_at IS NULL")) == 1
        wait_until(lambda: service.status()["folders"][0]["not_taken"]["lists"] == 1, what="the list")
        said = service.earshot("status").stdout
        assert (
            "2 not taken: refused address 1, list of addresses 1; `earshot status --files` lists them" in said
        )
        assert "`lists: true` at a folder" in said
        assert api.listened() == []

        service.write_config(watch=[watch | {"lists": True}])
        service.reload()
        service.wait_states(failed=1, done=2)
        assert service.status()["folders"][0]["not_taken"]["lists"] == 0


def test_an_address_without_end_takes_no_time_out_of_proportion_and_stops_nothing(tmp_path: Path) -> None:
    addresses = [f"https://example.com/{'a' * 900_000}", f"https://example.com/{'a:@' * 2_600}"]
    with ScriptedApi() as api, running(tmp_path, api) as service:
        for number, address in enumerate(addresses):
            service.drop(f"{number}.url", f"[InternetShortcut]\nURL={address}\n".encode())
        service.drop("call.wav")
        service.wait_states(done=2, failed=1)


def test_what_was_joined_to_the_name_of_a_file_is_not_part_of_it() -> None:
    for joined in (";sid=s3cr3t", "%3Bsid=s3cr3t", "%3fsig=s3cr3t", "&sig=s3cr3t", ";a;b&sig=s3cr3t?x#y"):
        address = f"https://files.example.com/calls/call%20one.mp3{joined}"
        assert shown_address(address) == SHOWN
        assert hosted_name(address) == "call%20one.mp3"
    assert hosted_name("https://files.example.com/Q&A.mp3") == "Q&A.mp3"
    assert hosted_name("https://files.example.com/a:b@c:d@call.mp3") == "call.mp3"
