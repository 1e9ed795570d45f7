"""`earshot check`: a wrong file is 78, a wrong world is 1, and all problems come at once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from daemon.sightings import PassedFile, PassedFiles
from daemon.storage.database import transaction
from daemon.storage.not_taken import note_not_taken
from tests.cli.sites import KEY, SEEN_AT, Site
from tests.databases import new_database
from tests.servers import Answer, HttpSink

Run = Callable[..., subprocess.CompletedProcess[str]]

TOKEN = "very-secret-token-0815"


@pytest.fixture
def api() -> Iterator[HttpSink]:
    with HttpSink() as server:
        yield server


def use(site: Site, api: HttpSink, **sections: Any) -> None:
    analyzer = {"api_key": KEY, "base_url": api.url}
    site.configure(**({"analyzer": analyzer} | sections))


Problem = tuple[int | None, str, str]


def errors(answer: subprocess.CompletedProcess[str], level: str = "error") -> list[Problem]:
    found = [each for each in json.loads(answer.stdout)["problems"] if each["level"] == level]
    return [(each["line"], each["key"], each["problem"]) for each in found]


def test_all_well_is_0_and_says_what_was_looked_at(run: Run, site: Site, api: HttpSink) -> None:
    rule = {"name": "r", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
    alerts = {"destinations": {"team": f"json://127.0.0.1:1/{TOKEN}"}, "rules": [rule]}
    use(site, api, alerts=alerts)
    for name in ("a.wav", "b.sln16", "c.wav.part"):
        (site.watched / name).touch()
    answer = run("check")
    assert answer.returncode == 0, answer.stderr
    for expected in (
        f"folder {site.watched}: 2 not taken: unknown ending 1, ignored name 1",
        f"configuration {site.config} is valid: 1 folder, 1 rule, 1 destination",
        f"folder {site.watched} can be read, watched by events",
        f"database {site.database} is not there yet and can be created",
        "free beside the database",
        "API key present",
        "answers and accepts the key",
        "destination team: 1 URL (JSON)",
    ):
        assert expected in answer.stdout
    assert TOKEN not in answer.stdout
    assert KEY not in answer.stdout


def test_what_the_service_found_not_to_be_complete_or_refused_is_counted_with_the_names(
    run: Run, site: Site
) -> None:
    (site.watched / "b.sln16").touch()
    found = {
        "incomplete": PassedFiles(
            2,
            (
                PassedFile(f"{site.watched}/a.wav", "it still grows", "2026-03-01T10:05:00.000Z"),
                PassedFile(f"{site.watched}/c.wav", "another program has it open", SEEN_AT),
            ),
        ),
        "empty": PassedFiles(1, (PassedFile(f"{site.watched}/d.wav", "nothing in it", SEEN_AT),)),
        # The names are counted as they are now.
        "ending": PassedFiles(7, ()),
    }
    with closing(new_database(site.database)) as db, transaction(db):
        note_not_taken(db, str(site.watched), found)
    error = "1 of 1 addresses not taken: http://localhost/"
    site.add("recordings", id=9, name="c.url", state="failed", error_code="bad_address", error=error)
    fine = json.loads(run("check", "--offline", "--json").stdout)["fine"]
    counts = "5 not taken: not complete yet 2, empty 1, unknown ending 1, refused address 1"
    assert f"folder {site.watched}: {counts}; `earshot status --files` lists them" in fine
    since = "2026-03-01 10:00 UTC"
    assert (
        f"folder {site.watched}: c.wav: not complete yet since {since}; another program has it open" in fine
    )


def test_an_address_of_the_pages_that_another_program_has_is_found_before_the_start(
    run: Run, site: Site, api: HttpSink
) -> None:
    listen = api.url.removeprefix("http://")
    use(site, api, web={"listen": listen})
    answer = run("check", "--offline", "--json")
    (problem,) = errors(answer)
    assert answer.returncode == 1
    assert problem[1:] == (
        "web.listen",
        f"cannot listen on {listen.replace(':', ', port ')}: Address already in use;"
        " end what has it, or write another one",
    )


def test_the_api_is_asked_once_for_nothing_that_costs(run: Run, site: Site, api: HttpSink) -> None:
    use(site, api)
    run("check")
    (request,) = api.requests
    assert (request.method, request.path) == ("GET", "/v1/projects")
    assert request.headers["authorization"] == f"Token {KEY}"


def test_offline_asks_nobody(run: Run, site: Site, api: HttpSink) -> None:
    use(site, api)
    assert run("check", "--offline").returncode == 0
    assert api.requests == []


def test_nothing_is_created(run: Run, site: Site, api: HttpSink) -> None:
    use(site, api)
    run("check")
    assert sorted(each.name for each in site.home.iterdir()) == ["calls", "config.yaml"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_1(run: Run, site: Site, api: HttpSink, status: int) -> None:
    use(site, api)
    api.then(default=status)
    answer = run("check", "--json")
    assert answer.returncode == 1
    ((_, _, problem),) = errors(answer)
    assert f"refuses the API key ({status})" in problem
    assert KEY not in answer.stdout


def test_a_service_in_trouble_is_1(run: Run, site: Site, api: HttpSink) -> None:
    use(site, api)
    api.then(default=503)
    answer = run("check")
    assert answer.returncode == 1
    assert "answers 503" in answer.stderr


def test_a_self_hosted_address_need_not_know_projects(run: Run, site: Site, api: HttpSink) -> None:
    use(site, api, analyzer={"base_url": api.url})
    api.then(default=404)
    assert run("check").returncode == 0


def test_the_key_is_not_taken_to_where_a_redirect_points(run: Run, site: Site, api: HttpSink) -> None:
    with HttpSink() as elsewhere:
        use(site, api)
        api.then(default=Answer(status=302, headers={"Location": elsewhere.url}))
        assert run("check").returncode == 1
        assert elsewhere.requests == []


def test_every_problem_of_the_environment_is_told_with_its_line(run: Run, site: Site) -> None:
    site.watched.rmdir()
    site.database.parent.write_text("a file where the folder of the database should be")
    site.configure(min_free="900TB", metrics_file="not-there/earshot.prom")
    answer = run("check", "--json")
    assert answer.returncode == 1
    found = errors(answer)
    assert [key for _, key, _ in found] == [
        "watch[0]",
        "database",
        "min_free",
        "analyzer.base_url",
        "metrics_file",
    ]
    lines = site.config.read_text().splitlines()
    assert all(line is not None for line, _, _ in found)
    assert "min_free" in lines[(found[2][0] or 0) - 1]
    assert {each["file"] for each in json.loads(answer.stdout)["problems"]} == {str(site.config)}


def test_in_text_problems_are_lines_on_stderr_beside_what_is_fine(run: Run, site: Site) -> None:
    site.watched.rmdir()
    answer = run("check", "--offline")
    assert answer.returncode == 1
    assert "ok       API key present" in answer.stdout
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"error    {site.config}:")
    assert f"{site.watched} is not there" in line


def test_a_wrong_file_is_78_with_all_its_problems(run: Run, site: Site) -> None:
    site.configure(watchh=[], analyzer={"concurrency": 0})
    answer = run("check", "--json")
    assert answer.returncode == 78
    document = json.loads(answer.stdout)
    assert [problem["key"] for problem in document["problems"]] == ["analyzer.concurrency", "watchh"]
    columns = ["level", "file", "line", "key", "problem"]
    assert all(list(problem) == columns for problem in document["problems"])
    in_text = run("check")
    assert in_text.returncode == 78
    assert len(in_text.stderr.splitlines()) == 2


def test_without_a_key_the_ways_to_give_one_are_named(run: Run, site: Site) -> None:
    site.configure(analyzer={})
    answer = run("check", "--offline")
    assert answer.returncode == 1
    assert "DEEPGRAM_API_KEY" in answer.stderr


def test_a_list_of_urls_that_cannot_be_read_is_told_where_the_configuration_names_it(
    run: Run, site: Site
) -> None:
    missing = site.home / "urls"
    rule = {"name": "r", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
    site.configure(alerts={"destinations": {"team": {"urls_file": str(missing)}}, "rules": [rule]})
    answer = run("check", "--offline", "--json")
    assert answer.returncode == 1
    (problem,) = [each for each in json.loads(answer.stdout)["problems"] if each["level"] == "error"]
    key = "alerts.destinations.team.urls_file"
    assert (problem["file"], problem["key"]) == (str(site.config), key)
    assert "urls_file" in site.config.read_text().splitlines()[problem["line"] - 1]
    assert problem["problem"].startswith(f"{missing}: there is no such file")


def test_a_database_that_cannot_be_looked_at_hides_no_other_problem(run: Run, site: Site) -> None:
    site.configure(database=f"/{'x' * 300}/earshot.db", watch=[str(site.home / "nowhere")])
    answer = run("check", "--offline", "--json")
    assert answer.returncode == 1
    assert {"database", "watch[0]"} <= {key for _, key, _ in errors(answer)}
    for command in (["list"], ["status", "--check"], ["reload"]):
        told = run(*command)
        assert f"earshot {command[0]} -c {site.config}`" in told.stdout + told.stderr


def test_a_database_that_is_none_is_1(run: Run, site: Site) -> None:
    site.database.parent.mkdir()
    site.database.write_bytes(b"certainly not a database, but long enough to have a header" * 20)
    answer = run("check", "--offline", "--json")
    assert answer.returncode == 1
    assert [key for _, key, _ in errors(answer)] == ["database"]


def test_the_embedded_engine_needs_no_key(run: Run, site: Site) -> None:
    site.configure(analyzer={"base_url": "embedded"}, engine={"model": "tiny.en"})
    answer = run("check")
    assert answer.returncode == 0, answer.stderr
    assert "the embedded engine is installed" in answer.stdout
    assert "its models are there: " in answer.stdout


def test_a_model_that_is_not_there_says_how_to_get_it(run: Run, site: Site) -> None:
    site.configure(analyzer={"base_url": "embedded"}, engine={"model": str(site.home)})
    answer = run("check", "--json")
    assert answer.returncode == 1
    (problem,) = [each for each in json.loads(answer.stdout)["problems"] if each["level"] == "error"]
    assert problem["key"] == "engine.model"
    assert "no CTranslate2 model, model.bin is missing; name base, tiny.en" in problem["problem"]


def test_a_mistake_in_a_template_is_told_with_its_own_file_and_line(run: Run, site: Site) -> None:
    template = site.home / "team.j2"
    template.write_text("fine\n{{ quotes")
    team = {"urls": "json://localhost/", "template": "team.j2"}
    rule = {"name": "r", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
    site.configure(alerts={"destinations": {"team": team}, "rules": [rule]})
    answer = run("check", "--offline", "--json")
    assert answer.returncode == 1
    (problem,) = [each for each in json.loads(answer.stdout)["problems"] if each["level"] == "error"]
    assert (problem["file"], problem["line"], problem["key"]) == (
        str(template),
        2,
        "alerts.destinations.team.template",
    )
    template.write_text("fine: {{ reasons }}")
    answer = run("check", "--offline")
    assert f"template {template} can be used" in answer.stdout


def test_a_folder_for_originals_that_links_into_any_watched_folder_is_a_problem(run: Run, site: Site) -> None:
    other, link = site.home / "other", site.home / "done"
    (other / "sub").mkdir(parents=True)
    link.symlink_to(other / "sub")
    site.configure(watch=[{"path": str(site.watched), "after_success": {"move_to": str(link)}}, str(other)])
    answer = run("check", "--offline", "--json")
    assert answer.returncode == 1
    (told,) = errors(answer)
    text = f"{link} leads into the watched folder {other}; write another one"
    assert told[1:] == ("watch[0].after_success.move_to", text)


def test_what_would_let_it_fall_silent_is_a_warning_and_no_failure(run: Run, site: Site) -> None:
    answer = run("check", "--offline", "--json")
    assert answer.returncode == 0
    assert [key for _, key, _ in errors(answer, "warning")] == ["alerts", "heartbeat"]
    in_text = run("check", "--offline")
    assert in_text.returncode == 0
    assert in_text.stdout.count("\nwarning  ") == 2
    site.configure(
        heartbeat={"url": "https://hc.example/0123-uuid-4567"},
        alerts={"destinations": {"ops": "json://localhost/"}, "operations": "ops"},
    )
    answer = run("check", "--offline", "--json")
    assert errors(answer, "warning") == []
    assert "0123-uuid" not in answer.stdout + answer.stderr


def test_custom_terms_without_their_feature_are_a_warning(run: Run, site: Site) -> None:
    other = site.home / "other"
    other.mkdir()
    analyzer = {"api_key": KEY, "base_url": "http://127.0.0.1:9", "features": ["summary", "topics"]}
    folder = {"path": str(other), "analyzer": {"features": ["intents"], "custom_topics": ["money"]}}
    site.configure(
        analyzer=analyzer | {"custom_intents": ["refund"]},
        watch=[str(site.watched), folder],
        heartbeat={"url": "https://hc.example/0123"},
        alerts={"destinations": {"ops": "json://localhost/"}, "operations": "ops"},
    )
    found = errors(run("check", "--offline", "--json"), "warning")
    assert [(key, text) for _, key, text in found] == [
        (
            "analyzer.custom_intents",
            "custom_intents are not looked for without intents among features; add it there",
        ),
        (
            "watch[1].analyzer.custom_topics",
            "custom_topics are not looked for without topics among features; add it there",
        ),
    ]


def test_a_limit_of_cost_without_a_known_price_is_told(run: Run, site: Site) -> None:
    analyzer = {"api_key": KEY, "base_url": "http://127.0.0.1:9", "model": "nova-99"}
    site.configure(analyzer=analyzer, limits={"cost_per_day": 5})
    (found,) = errors(run("check", "--offline", "--json"))
    assert found[1] == "limits"
    assert "nova-99" in found[2]
    site.configure(analyzer=analyzer, limits={"cost_per_day": 5}, prices={"models": {"nova-99": 0.01}})
    assert run("check", "--offline").returncode == 0
