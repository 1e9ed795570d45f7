"""`earshot check --file`: what each folder's pattern makes of a name, before any file is dropped."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from tests.cli.sites import Site

Run = Callable[..., subprocess.CompletedProcess[str]]

PATTERN = "{recorded_at:%Y%m%d-%H%M%S}_{agent}_{caller}"


def configure(site: Site, **folder: object) -> None:
    other = {"path": str(site.home / "other"), "filename_pattern": "{team}/{agent}"}
    watch = [{"path": str(site.watched), "filename_pattern": PATTERN, **folder}, other]
    site.configure(watch=watch, timezone="Europe/Berlin", analyzer={})


def test_a_name_that_fits_shows_its_fields(run: Run, site: Site) -> None:
    configure(site)
    answer = run("check", "--file", f"{site.watched}/20260131-120000_anna_+49.wav")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        f"{site.watched}: it fits {PATTERN}",
        "  recorded_at:  2026-01-31 12:00 CET (2026-01-31T11:00:00.000Z)",
        "  agent:        anna",
        "  caller:       +49",
    ]


def test_the_times_of_a_folder_may_be_in_a_zone_of_its_own(run: Run, site: Site) -> None:
    configure(site, timezone="America/New_York")
    names = [f"{site.watched}/20260131-{time}_anna_1.wav" for time in ("120000", "120000Z")]
    answers = [run("check", "--json", "--file", name) for name in names]
    (local,), (fits_not,) = (json.loads(answer.stdout)["readings"] for answer in answers)
    assert local["recorded_at"] == "2026-01-31T17:00:00.000Z"
    assert "'_' expected at 'Z_anna_1'" in fits_not["stopped_at"]


def test_a_bare_name_is_held_against_every_pattern(run: Run, site: Site) -> None:
    configure(site)
    answer = run("check", "--json", "--file", "20260131-120000_anna_1.wav")
    assert answer.returncode == 0
    document = json.loads(answer.stdout)
    assert document["problems"] == []
    assert [(each["folder"], each["fits"]) for each in document["readings"]] == [
        (str(site.watched), True),
        (f"{site.home}/other", False),
    ]


def test_a_mismatch_says_where_it_stops_and_is_1(run: Run, site: Site) -> None:
    configure(site)
    answer = run("check", "--file", f"{site.watched}/20260131-120000.wav")
    assert answer.returncode == 1
    assert "it does not fit" in answer.stdout
    assert "'_' expected at the end of the name" in answer.stdout
    assert answer.stderr == "earshot: no filename_pattern fits this name\n"


def test_a_name_that_would_not_be_taken_says_so(run: Run, site: Site) -> None:
    configure(site, include=["*.mp3"])
    answer = run("check", "--file", f"{site.watched}/20260131-120000_a_b.wav")
    assert "a file of this name is not taken; it fits" in answer.stdout


def test_without_a_pattern_that_is_said(run: Run, site: Site) -> None:
    answer = run("check", "--file", "a.wav")
    assert answer.returncode == 1
    assert "there is no filename_pattern" in answer.stdout


def test_check_looks_at_where_originals_go(run: Run, site: Site) -> None:
    done, missing = site.home / "done", site.home / "missing"
    done.mkdir()
    folder = {
        "path": str(site.watched),
        "after_success": {"move_to": str(done)},
        "after_failure": {"move_to": str(missing)},
    }
    site.configure(watch=[folder], analyzer={"api_key": "k-123456", "base_url": "http://127.0.0.1:9"})
    answer = run("check", "--offline", "--json")
    assert answer.returncode == 1
    document = json.loads(answer.stdout)
    assert f"originals of {site.watched} can be moved to {done}" in document["fine"]
    errors = [each for each in document["problems"] if each["level"] == "error"]
    assert [(each["key"], each["problem"]) for each in errors] == [
        ("watch[0].after_failure.move_to", f"{missing} is not there; create or mount it, files wait for it")
    ]
    done.rmdir()
    done.symlink_to(site.watched)
    missing.mkdir()
    answer = run("check", "--offline")
    assert f"{done} leads into the watched folder" in answer.stderr


def test_a_name_that_is_not_utf_8_is_shown_as_the_tables_show_it(run: Run, site: Site) -> None:
    configure(site)
    assert json.loads(run("check", "--json", "--file", "\udcff.wav").stdout)["file"] == "\\xff.wav"
