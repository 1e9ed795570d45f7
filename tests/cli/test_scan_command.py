"""`earshot scan`: what it waits for, and what it leaves to the outbox."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from tests.cli.sites import KEY, Site
from tests.harness import ScriptedApi, wav
from tests.servers import HttpSink

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_destination_that_is_down_is_left_to_the_outbox(run: Run, site: Site) -> None:
    """Waits are of 2, 6, 18 and 54 seconds: a pass that sat them out would have made five attempts."""
    with ScriptedApi() as api, HttpSink(default=503) as sink:
        rule = {"name": "any", "when": {"duration_above": 0}, "notify": ["team"]}
        site.configure(
            analyzer={"base_url": api.url, "api_key": KEY},
            watch=[{"path": str(site.watched), "settle": "0s", "existing": "analyze"}],
            alerts={"destinations": {"team": f"json://{sink.address}/x"}, "rules": [rule]},
        )
        (site.watched / "call.wav").write_bytes(wav("call"))
        answer = run("scan")
    assert answer.returncode == 1
    assert "alerts: 0 sent, 0 failed, 0 suppressed, 1 pending" in answer.stdout
    assert "1 alert not delivered yet, kept in the outbox" in answer.stderr
    (alert,) = site.sql("SELECT state, attempts FROM alerts")
    assert alert["state"] == "pending"
    assert 1 <= alert["attempts"] < 5


def test_no_outcome_is_counted_below_nothing(run: Run, site: Site) -> None:
    """A list that was refused is corrected: its failure is none any more."""
    with ScriptedApi() as api:
        watched = {"path": str(site.watched), "settle": "0s", "existing": "analyze"}
        site.configure(analyzer={"base_url": api.url, "api_key": KEY}, watch=[watched])
        shortcut = site.watched / "call.url"
        shortcut.write_text("[InternetShortcut]\nURL=http://10.0.0.7/call.wav\n")
        assert json.loads(run("scan", "--json").stdout)["failed"] == 1
        shortcut.write_text("[InternetShortcut]\nURL=https://example.com/call.wav\n")
        counts = json.loads(run("scan", "--json").stdout)
    assert (counts["done"], counts["failed"]) == (1, 0)
