"""What opens a hosted recording to everybody is in its address: nobody and nothing but the API hears it."""

from __future__ import annotations

import json
from pathlib import Path

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
            service.drop("one.url", f"[InternetShortcut]\nURL={ADDRESS}\n".encode())
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
