"""`earshot analyze`: what it counts, what a limit refuses, and whose row a saved file is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from daemon.cli.commands import earshot
from tests.cli.sites import KEY, Site
from tests.harness import ScriptedApi, refuse, wav

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as server:
        yield server


def configure(site: Site, api: ScriptedApi, **more: Any) -> None:
    pattern = {"filename_pattern": "{agent}_{caller}", "tags": ["support"], "existing": "analyze"}
    folder = {"path": str(site.watched), "settle": "0s", **pattern}
    site.configure(analyzer={"base_url": api.url, "api_key": KEY}, watch=[folder], **more)


def test_what_is_not_saved_is_counted_all_the_same(run: Run, site: Site, api: ScriptedApi) -> None:
    configure(site, api)
    call = site.home / "call.wav"
    call.write_bytes(wav("call"))
    site.sql("SELECT 1")
    (shown,) = json.loads(run("analyze", "--json", str(call)).stdout)
    (cost,) = site.sql("SELECT * FROM costs")
    assert (cost["recording_id"], cost["folder"]) == (None, None)
    assert cost["usd"] == shown["estimated_cost_usd"] > 0
    assert site.sql("SELECT * FROM recordings") == []
    assert json.loads(run("costs", "--json").stdout)["usd"] == cost["usd"]


def test_what_was_analyzed_before_is_shown_and_paid_for_again_only_anew(
    run: Run, site: Site, api: ScriptedApi
) -> None:
    configure(site, api)
    call, copy = site.home / "call.wav", site.home / "copy.wav"
    for file in (call, copy):
        file.write_bytes(wav("call"))
    assert "was analyzed before" not in run("analyze", "--save", str(call)).stderr
    answer = run("analyze", "--json", str(copy))
    assert [shown["id"] for shown in json.loads(answer.stdout)] == [1]
    before = f"{copy} was analyzed before, as recording 1, whose result is shown"
    assert answer.stderr == f"earshot: {before}; --anew pays for it again\n"
    assert len(api.calls) == 1
    answer = run("analyze", "--anew", str(copy))
    assert (len(api.calls), answer.stderr) == (2, "")
    # It has no number, as it is not stored.
    assert answer.stdout.startswith("recording     copy.wav (not stored)\n")
    for _ in range(2):
        assert "was analyzed before, as recording 1" in run("analyze", "--save", str(call)).stderr
    assert [row["id"] for row in site.sql("SELECT id FROM recordings")] == [1]
    assert "was analyzed before, as recording 1" in run("analyze", "--save", str(copy)).stderr
    assert len(api.calls) == 2


def test_a_limit_refuses_and_a_person_may_overrule_it(run: Run, site: Site, api: ScriptedApi) -> None:
    configure(site, api, limits={"recordings_per_day": 1})
    call, other = site.home / "call.wav", site.watched / "ann_0151.wav"
    for file in (call, other):
        file.write_bytes(wav(file.name))
    site.sql("SELECT 1")
    first = run("analyze", str(call), str(other))
    assert first.returncode == 1
    assert "Parker Scarves" in first.stdout
    assert len(first.stderr.splitlines()) == 1
    assert first.stderr.startswith(f"earshot: {other}: not sent: recordings_per_day of all folders: 1 of 1")
    assert first.stderr.endswith("--over-limit sends it all the same\n")
    assert run("analyze", "--save", str(call)).returncode == 1
    assert len(api.calls) == 1
    assert run("analyze", "--over-limit", str(other)).returncode == 0
    assert [row["folder"] for row in site.sql("SELECT folder FROM costs ORDER BY id")] == [
        *(None, str(site.watched))
    ]


def test_a_saved_file_of_a_watched_folder_is_the_recording_of_the_service(
    run: Run, site: Site, api: ScriptedApi
) -> None:
    configure(site, api)
    call = site.watched / "ann_0151.wav"
    call.write_bytes(wav("call"))
    odd = f"{site.watched}/../{site.watched.name}/{call.name}"
    for name in (str(call), odd):
        (shown,) = json.loads(run("analyze", "--save", "--json", name).stdout)
        assert (shown["id"], shown["state"], shown["path"]) == (1, "done", str(call))
        assert (shown["metadata"], shown["tags"]) == ({"agent": "ann", "caller": "0151"}, ["support"])
    assert run("scan").returncode == 0
    assert len(api.calls) == 1
    assert site.sql("SELECT id, state FROM recordings") == [{"id": 1, "state": "done"}]


def test_what_failed_in_the_service_is_tried_again_in_its_row(run: Run, site: Site, api: ScriptedApi) -> None:
    configure(site, api)
    call = site.watched / "ann_0151.wav"
    call.write_bytes(wav("call"))
    api.then(refuse("e400_audio"))
    assert run("scan").returncode == 1
    assert run("analyze", "--save", str(call)).returncode == 0
    assert site.sql("SELECT id, state, attempts FROM recordings") == [
        {"id": 1, "state": "done", "attempts": 2}
    ]


def test_addresses_of_private_networks_are_sent_only_where_hosts_names_them(
    run: Run, site: Site, api: ScriptedApi
) -> None:
    named = {"path": str(site.watched), "hosts": ["nas.example.com", "10.0.0.7"]}
    site.configure(analyzer={"base_url": api.url, "api_key": KEY}, watch=[named])
    for address in ("http://127.0.0.1/a.wav", "http://10.0.0.8/a.wav"):
        answer = CliRunner().invoke(earshot, ["analyze", address, "-c", str(site.config)])
        assert (answer.exit_code, api.calls) == (2, [])
        assert "a private network, which only `hosts` can allow" in answer.output
    addresses = ["https://example.com/a.wav", "http://10.0.0.7/a.wav"]
    assert run("analyze", *addresses).returncode == 0
    assert [json.loads(call.text)["url"] for call in api.calls] == addresses


def test_a_file_with_addresses_is_not_sent_as_a_recording(site: Site, api: ScriptedApi) -> None:
    configure(site, api)
    shortcut = site.home / "Call.URL"
    shortcut.write_text("[InternetShortcut]\nURL=https://example.com/a.wav\n")
    answer = CliRunner().invoke(earshot, ["analyze", str(shortcut), "-c", str(site.config)])
    assert (answer.exit_code, api.calls) == (2, [])
    assert "name an address itself" in answer.output
