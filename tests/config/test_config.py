"""The configuration file: what it may say, and how everything wrong with it is told at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from daemon.config.after_analysis import Delete, Keep, MoveTo
from daemon.config.load import load_config
from daemon.config.models import Config
from daemon.errors import EXIT_UNUSABLE, ConfigError, ConfigProblem

ENV = {"HOME": "/home/ear"}

RULES = """\
watch: [/srv/a]
alerts:
  destinations:
    team: json://localhost/
  rules:
"""


def load(folder: Path, text: str, env: Mapping[str, str] = ENV) -> Config:
    file = folder / "config.yaml"
    file.write_text(dedent(text), "utf-8")
    return load_config(file, env=env)


def problems_of(folder: Path, text: str, env: Mapping[str, str] = ENV) -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as raised:
        load(folder, text, env)
    return raised.value.problems


def the_problem(folder: Path, text: str, env: Mapping[str, str] = ENV) -> ConfigProblem:
    (problem,) = problems_of(folder, text, env)
    return problem


def test_one_folder_is_a_whole_configuration(tmp_path: Path) -> None:
    config = load(tmp_path, "watch: [/srv/a]")
    assert [folder.path for folder in config.watch] == [Path("/srv/a")]
    assert config.database == Path("/home/ear/.local/state/earshot/earshot.db")
    assert config.analyzer.options == {"smart_format": True}
    assert config.analyzer.timeout == 660.0


def test_a_watch_entry_may_be_a_path_or_a_mapping(tmp_path: Path) -> None:
    config = load(tmp_path, "watch:\n  - /srv/a\n  - path: /srv/b\n    settle: 500ms\n    tags: support\n")
    assert [(folder.path, folder.settle, folder.tags) for folder in config.watch] == [
        (Path("/srv/a"), 2.0, ()),
        (Path("/srv/b"), 0.5, ("support",)),
    ]


def test_one_text_stands_for_a_list_of_one(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """\
        watch:
          - {path: /srv/a, include: "*.wav", exclude: "x*", tags: t, channels: mono, prefer: wav}
        analyzer: {features: intents, custom_intents: cancel, custom_topics: price}
        alerts:
          destinations: {team: {urls: json://localhost/}}
          operations: team
          rules:
            - {name: r, when: {intent: cancel*, average_sentiment: negative}, notify: team, folders: /srv/a}
        """,
    )
    folder, rule = config.watch[0], config.alerts.rules[0]
    assert (folder.include, folder.exclude, folder.tags, folder.channels, folder.prefer) == (
        ("*.wav",),
        ("x*",),
        ("t",),
        ("mono",),
        ("wav",),
    )
    assert config.analyzer.features == ("intents",)
    assert (config.analyzer.custom_intents, config.analyzer.custom_topics) == (("cancel",), ("price",))
    assert (rule.when.intent, rule.when.average_sentiment) == (("cancel*",), ("negative",))
    assert (config.alerts.operations, rule.notify, rule.folders) == (("team",), ("team",), (Path("/srv/a"),))


def test_a_destination_may_be_a_url_a_list_or_a_mapping(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """\
        watch: [/srv/a]
        alerts:
          destinations:
            one: json://one/
            two: [json://one/, json://two/]
            file: {urls: [json://one/], urls_file: urls.txt}
            credential: {urls_file: "credential:team"}
        """,
    )
    destinations = config.alerts.destinations
    assert [len(destinations[name].urls) for name in ("one", "two", "file", "credential")] == [1, 2, 1, 0]
    assert destinations["file"].urls_file == tmp_path / "urls.txt"
    assert destinations["credential"].urls_file == Path("credential:team")


def test_relative_paths_start_at_the_file_and_a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    config = load(
        tmp_path, "watch: [in, ~/calls, ../out/]\ndatabase: state/e.db\nanalyzer: {api_key_file: ~/key}"
    )
    assert [folder.path for folder in config.watch] == [
        tmp_path / "in",
        Path("/home/ear/calls"),
        tmp_path.parent / "out",
    ]
    assert config.database == tmp_path / "state/e.db"
    assert config.analyzer.api_key_file == Path("/home/ear/key")


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/earshot", "XDG_STATE_HOME": "/x"}, "/var/lib/earshot/earshot.db"),
        ({"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}, "/var/lib/one/earshot.db"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/earshot/earshot.db"),
        ({"XDG_STATE_HOME": "not/absolute", "HOME": "/h"}, "/h/.local/state/earshot/earshot.db"),
        ({"STATE_DIRECTORY": "", "HOME": "/h"}, "/h/.local/state/earshot/earshot.db"),
    ],
)
def test_the_database_is_in_the_state_folder_by_default(
    tmp_path: Path, env: dict[str, str], expected: str
) -> None:
    assert load(tmp_path, "watch: [/srv/a]", env).database == Path(expected)


def test_variables_stand_for_the_environment(tmp_path: Path) -> None:
    text = 'watch: ["/srv/${NAME}/$${NAME}/$NAME"]\nanalyzer: {concurrency: "${N}", api_key: "${KEY}"}\n'
    config = load(tmp_path, text, {**ENV, "NAME": "calls", "N": "3", "KEY": "k-1"})
    assert config.watch[0].path == Path("/srv/calls/${NAME}/$NAME")
    assert config.analyzer.concurrency == 3
    assert config.analyzer.api_key is not None
    assert config.analyzer.api_key.get_secret_value() == "k-1"


def test_text_that_looks_like_a_time_or_a_date_stays_text(tmp_path: Path) -> None:
    config = load(tmp_path, "watch: [{path: /srv/a, tags: [12:30, 2026-01-31]}]")
    assert config.watch[0].tags == ("12:30", "2026-01-31")


def test_headings_with_everything_commented_out_mean_the_defaults(tmp_path: Path) -> None:
    text = """\
        watch: [{path: /srv/a, analyzer: , limits: , retention: , sidecars: []}]
        analyzer:
        limits:
        prices:
        retention:
        alerts:
          destinations:
          rules:
          operations:
        """
    assert load(tmp_path, text) == load(tmp_path, "watch: [/srv/a]")


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = """\
        watch:
          - &base {path: /srv/a, settle: 5s, tags: [x]}
          - {<<: *base, path: /srv/b}
        """
    config = load(tmp_path, text)
    assert [(str(folder.path), folder.settle) for folder in config.watch] == [
        ("/srv/a", 5.0),
        ("/srv/b", 5.0),
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        """\
        databse: /x
        watch:
          - path: /srv/a
            setle: 2s
            rescan: 0s
          - path: /srv/a
        analyzer:
          model: ${MISSING}
          concurrency: many
        alerts:
          rules:
            - name: r
              when: {average_sentiment: angry}
              notify: [team]
        """,
    )
    assert [(problem.line, problem.key) for problem in problems] == [
        (1, "databse"),
        (4, "watch[0].setle"),
        (5, "watch[0].rescan"),
        (6, "watch[1].path"),
        (8, "analyzer.model"),
        (9, "analyzer.concurrency"),
        (13, "alerts.rules[0].when.average_sentiment"),
        (14, "alerts.rules[0].notify[0]"),
    ]


def test_a_problem_reads_file_line_key_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, "watch:\n  - path: /srv/a\n    setle: 2s\n")
    expected = f"{tmp_path}/config.yaml:3: watch[0].setle: unknown key 'setle'; did you mean 'settle'?"
    assert str(raised.value) == expected
    assert raised.value.exit_code == EXIT_UNUSABLE


MISPLACED = [
    "xoxb-1234567890-AbCdEf",
    "slack://T1/B2/C3aaaaaaaaaaaaaaa",
    "dead4beef" * 5,
    "wordsandnothingelse" * 4,
]


@pytest.mark.parametrize("token", MISPLACED)
@pytest.mark.parametrize(
    "content",
    [
        "alerts:\n  operations: [{}]",
        "alerts:\n  digest: {{at: '08:00', notify: [{}]}}",
        "alerts:\n  destinations: {{a: 'json://x'}}\n  rules: [{{name: a, when: {{tag: a}}, notify: {}}}]",
        "alerts:\n  destinations: {{{}: 3}}",
        "alerts:\n  destinations: {{{}: 'nix://x'}}\n  operations: [b]",
        "alerts:\n  {}: 3",
        "analyzer:\n  features: [{}]",
        "analyzer:\n  timeout: {}",
        "analyzer:\n  base_url: {}",
        "analyzer:\n  concurrency: {}",
        "analyzer:\n  options: {{{}: {{a: b}}}}",
        "timezone: {}",
        "min_free: {}",
    ],
)
def test_what_may_be_a_secret_in_the_wrong_place_is_not_repeated(
    tmp_path: Path, content: str, token: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, "watch: [/a]\n" + content.format(json.dumps(token)))

    assert token not in str(raised.value)
    assert token.partition("://")[2] not in str(raised.value) or "://" not in token


BAD_KEYS = [
    (
        "watch: [/srv/a]\nzzzzzz: 1",
        2,
        "zzzzzz",
        "unknown key 'zzzzzz'; known here: alerts, analyzer, database",
    ),
    ("analyzer: {}", 1, "watch", "nothing to watch"),
    ("analyzer: {}\nwatch: []", 2, "watch", "nothing to watch"),
    ("watch: /srv/a", 1, "watch", "must be a list"),
    ("watch:\n  - /srv/b\n  - recursive: true", 3, "watch[1].path", "is missing; write the folder to watch"),
    ("watch:\n  - 3", 2, "watch[0]", "must be a folder's path"),
    ("watch:\n  - ''", 2, "watch[0]", "must not be empty"),
    ("watch:\n  - path: /a\n    settle: 2 days", 3, "watch[0].settle", "is not a duration; write 0.5s, 2s"),
    ("watch:\n  - path: /a\n    rescan: 0", 3, "watch[0].rescan", "must be longer than 0s"),
    (
        "watch:\n  - path: /a\n    method: event",
        3,
        "watch[0].method",
        "auto, events, poll; did you mean events?",
    ),
    ("watch:\n  - path: /a\n    recursive: maybe", 3, "watch[0].recursive", "must be true or false"),
    ("watch:\n  - path: /a\n    tags:", 3, "watch[0].tags", "has no value"),
    ("watch:\n  - path: /a\n    channels: [a, a]", 3, "watch[0].channels", "a name twice"),
    (
        f"watch:\n  - path: /a\n    channels: {[f'c{n}' for n in range(21)]}",
        3,
        "watch[0].channels",
        "at most 20",
    ),
    ("watch:\n  - /a\n  - /b\n  - /a/", 4, "watch[2]", "same folder as watch[0]"),
    ("watch:\n  - /a/b\n  - /a", 2, "watch[0]", "lies inside watch[1], which is recursive"),
    ("watch: [/a]\nanalyzer: {language: no}", 2, "analyzer.language", "must be text; put it into quotes"),
    ("watch: [/a]\nanalyzer: {language: en_GB}", 2, "analyzer.language", "en-GB"),
    ("watch: [/a]\nanalyzer:\n  timeout: 0s", 3, "analyzer.timeout", "must be longer than 0s"),
    ("watch: [/a]\nanalyzer:\n  probe: -1s", 3, "analyzer.probe", "must not be negative"),
    ("watch: [/a]\nanalyzer:\n  concurrency: 0", 3, "analyzer.concurrency", "must be at least 1"),
    ("watch: [/a]\nanalyzer:\n  concurrency: true", 3, "analyzer.concurrency", "must be a number"),
    ("watch: [/a]\nalerts:\n  burst: {limit: true}", 3, "alerts.burst.limit", "must be a number"),
    ("watch: [/a]\nlimits: {cost_per_day: 0}", 2, "limits.cost_per_day", "must be more than 0"),
    ("watch: [/a]\nprices: {as_of: June}", 2, "prices.as_of", "must be a date, such as 2026-01-31"),
    ("watch: [/a]\nprices: {as_of: 20260131}", 2, "prices.as_of", "must be a date, such as 2026-01-31"),
    ("watch: [/a]\nanalyzer:\n  concurrency: 1.5", 3, "analyzer.concurrency", "must be a whole number"),
    ("watch: [/a]\nanalyzer:\n  features: [sentimnt]", 3, "analyzer.features[0]", "did you mean sentiment?"),
    (
        "watch: [/a]\nanalyzer:\n  api_key: a\n  api_key_file: b",
        4,
        "analyzer.api_key_file",
        "keep one of them",
    ),
    ("watch: [/a]\nanalyzer:\n  api_key: ''", 3, "analyzer.api_key", "is empty"),
    (
        f"watch: [/a]\nanalyzer:\n  custom_intents: {list('ab' * 51)}",
        3,
        "analyzer.custom_intents",
        "at most 100",
    ),
    ("watch: [/a]\nmin_free: 64 bits", 2, "min_free", "is not a size; write 64MB"),
    ("watch: [/a]\ndatabase: /a/b/e.db", 2, "database", "lies inside the watched folder watch[0]"),
    ("watch: [/home/ear]", 1, "database", "lies inside the watched folder watch[0]"),
    ("watch: [/a]\nalerts: {link: 'http://x/{nr}'}", 2, "alerts.link", "there are {id} and {seconds}"),
    ("watch: [/a]\nalerts: {link: 'host/{id}'}", 2, "alerts.link", "is not a web address"),
    (
        "watch: [/a]\nalerts:\n  operations: [ops]",
        3,
        "alerts.operations[0]",
        "is no destination; write it",
    ),
    ("watch: [/a]\nalerts:\n  destinations: {a: {}}", 3, "alerts.destinations.a", "has no address"),
    ("watch: [/a]\nalerts:\n  destinations: {a: 3}", 3, "alerts.destinations.a", "must be an alert URL"),
    (
        "watch: [/a]\nalerts:\n  destinations: [json://x/]",
        3,
        "alerts.destinations",
        "must be keys with values",
    ),
    (
        "watch: [/a]\nalerts:\n  destinations:\n    a: {urls_file: 'credential:../x'}",
        4,
        "alerts.destinations.a.urls_file",
        "credential:NAME",
    ),
]


@pytest.mark.parametrize(("text", "line", "key", "part"), BAD_KEYS)
def test_a_bad_value_is_told_with_its_line_and_key(
    tmp_path: Path, text: str, line: int, key: str, part: str
) -> None:
    problem = the_problem(tmp_path, text)
    assert (problem.line, problem.key) == (line, key)
    assert part in problem.problem


BAD_RULES = [
    ("- {when: {intent: x}, notify: team}", "name", "is missing"),
    ("- {name: a, notify: team}", "when", "is missing; write at least one condition"),
    ("- {name: a, when: {intent: x}}", "notify", "is missing"),
    ("- {name: a, when: {intent: x}, notify: []}", "notify", "must not be empty"),
    ("- {name: a, when: {}, notify: team}", "when", "has no condition"),
    ("- {name: a, when: {intent: }, notify: team}", "when.intent", "has no value"),
    ("- {name: a, when: {intent: []}, notify: team}", "when.intent", "is empty"),
    ("- {name: a, when: {intent_confidence: 0.1}, notify: team}", "when.intent_confidence", "needs intent:"),
    (
        "- {name: a, when: {intent: x, intent_confidence: 2}, notify: team}",
        "when.intent_confidence",
        "at most 1",
    ),
    ("- {name: a, when: {intent: x}, notify: [taem]}", "notify[0]", "did you mean 'team'?"),
    ("- {name: a, when: {intent: x}, notify: [team, team]}", "notify[1]", "named twice"),
    ("- {name: a, when: {intent: x}, notify: team, folders: [/srv/b]}", "folders[0]", "is no watched folder"),
    ("- {name: a, when: {intent: x}, notify: team, severity: warn}", "severity", "did you mean warning?"),
]


@pytest.mark.parametrize(("rule", "key", "part"), BAD_RULES)
def test_a_bad_rule_is_told_with_its_line_and_key(tmp_path: Path, rule: str, key: str, part: str) -> None:
    problem = the_problem(tmp_path, f"{RULES}    {rule}\n")
    assert (problem.line, problem.key) == (6, f"alerts.rules[0].{key}")
    assert part in problem.problem


def test_two_rules_with_one_name_are_told_apart(tmp_path: Path) -> None:
    rule = "    - {name: a, when: {intent: x}, notify: team}\n"
    problem = the_problem(tmp_path, RULES + rule + rule)
    assert (problem.line, problem.key) == (7, "alerts.rules[1].name")


def test_rules_may_name_a_folder_inside_a_recursive_one_only(tmp_path: Path) -> None:
    rule = "    - {name: a, when: {intent: x}, notify: team, folders: /srv/a/deep}\n"
    assert load(tmp_path, RULES + rule).alerts.rules[0].folders == (Path("/srv/a/deep"),)
    flat = RULES.replace("[/srv/a]", "[{path: /srv/a, recursive: false}]")
    assert the_problem(tmp_path, flat + rule).key == "alerts.rules[0].folders"


def test_a_folder_below_one_that_is_not_recursive_may_be_watched(tmp_path: Path) -> None:
    text = "watch:\n  - {path: /a, recursive: false}\n  - /a/b\ndatabase: /a/other/e.db\n"
    assert len(load(tmp_path, text).watch) == 2
    by_variable = text.replace("recursive: false", "recursive: '${DEEP}'")
    assert len(load(tmp_path, by_variable, {**ENV, "DEEP": "no"}).watch) == 2


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "https://api.eu.deepgram.com",
        "https://api.deepgram.com/",
        "http://localhost:8080",
        "http://10.0.0.7:8080/deepgram",
        "http://[::1]:8080",
        "http://stt",
        "http://stt.example.com",
    ],
)
def test_usable_endpoints_are_accepted(tmp_path: Path, url: str) -> None:
    config = load(tmp_path, f"watch: [/a]\nanalyzer: {{base_url: '{url}'}}")
    assert config.analyzer.base_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("http://api.deepgram.com", "must start with https://"),
        ("http://X.EU.API.Deepgram.com.", "must start with https://"),
        ("api.deepgram.com", "is not a web address"),
        ("ftp://host", "is not a web address"),
        ("https://", "is not a web address"),
        ("https://host:99999", "is not a usable address"),
        ("https://user:pw@host", "user name or password"),
        ("https://host/?a=b", "must not contain ?"),
        ("https://api.deepgram.com/v1/listen", "must end before /v1"),
        ("https://ho st", "must not contain blanks"),
    ],
)
def test_unusable_endpoints_are_refused(tmp_path: Path, url: str, part: str) -> None:
    problem = the_problem(tmp_path, f"watch: [/a]\nanalyzer:\n  base_url: '{url}'")
    assert (problem.line, problem.key) == (3, "analyzer.base_url")
    assert part in problem.problem
    assert "pw" not in problem.problem


@pytest.mark.parametrize(
    ("option", "key", "part"),
    [
        ("model: nova-2", "model", "write model: in analyzer"),
        ("multichannel: true", "multichannel", "write channels:"),
        ("summarize: v2", "summarize", "features: [summary]"),
        ("callback: https://x/", "callback", "not supported"),
        ("detect_topics: true", "detect_topics", "removed"),
        ("extra: {a: b}", "extra", "must be text, a number"),
        ("tag: [[a]]", "tag", "must be text, a number"),
        ("tag: null", "tag", "must be text, a number"),
        ("utt_split: .nan", "utt_split", "must be text, a number"),
        ("keywords: [a]", "keywords", "write keyterm"),
        ("{diarize: true, diarize_model: v2}", "diarize", "keep diarize_model"),
    ],
)
@pytest.mark.parametrize("folder", [True, False], ids=["folder", "analyzer"])
def test_options_that_deepgram_or_earshot_refuse_are_told(
    tmp_path: Path, option: str, key: str, part: str, folder: bool
) -> None:
    option = option if option.startswith("{") else f"{{{option}}}"
    text = f"watch: [/a]\nanalyzer:\n  options: {option}"
    where = "analyzer"
    if folder:
        text = f"watch:\n  - path: /a\n    analyzer: {{options: {option}}}"
        where = "watch[0].analyzer"
    problem = the_problem(tmp_path, text)
    assert (problem.line, problem.key) == (3, f"{where}.options.{key}")
    assert part in problem.problem


def test_keywords_are_held_against_the_model_that_the_folder_uses(tmp_path: Path) -> None:
    text = "analyzer: {model: nova-2, options: {keywords: [a]}}\nwatch:\n  - path: /a\n    analyzer: {model: "
    assert load(tmp_path, text + "nova-2-meeting}").watch[0].analyzer.model == "nova-2-meeting"
    problem = the_problem(tmp_path, text + "nova-3-medical}")
    assert (problem.line, problem.key) == (4, "watch[0].analyzer.model")


def test_every_key_of_a_folder_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """\
        timezone: Europe/Berlin
        watch:
          - path: /srv/a
            done_marker: "{name}.done"
            after_success: {move_to: ~/done}
            after_failure: {move_to: failed}
            filename_pattern: "{recorded_at:%Y%m%d}_{agent}"
          - {path: /srv/b, after_success: delete, after_failure: keep, done_marker: null}
        """,
    )
    first, second = config.watch
    assert (first.done_marker, first.filename_pattern) == ("{name}.done", "{recorded_at:%Y%m%d}_{agent}")
    assert first.after_success == MoveTo(Path("/home/ear/done"))
    assert first.after_failure == MoveTo(tmp_path / "failed")
    assert (second.after_success, second.after_failure, second.done_marker) == (Delete(), Keep(), None)
    assert config.timezone == "Europe/Berlin"


BAD_FOLDERS = [
    ("done_marker: done", "done_marker", "must have {name} or {stem} once"),
    ("done_marker: '{name}'", "done_marker", "would be the recording itself"),
    ("done_marker: 'done/{name}'", "done_marker", "without slashes"),
    ("done_marker: '{name}{stem}'", "done_marker", "must have {name} or {stem} once"),
    ("done_marker: '{name'", "done_marker", "a brace without its partner"),
    ("after_success: remove", "after_success", "must be keep, delete or {move_to: FOLDER}"),
    ("after_success: {moveto: /b}", "after_success", "must be keep, delete or {move_to: FOLDER}"),
    ("after_success: {move_to: ''}", "after_success", "must be keep, delete or {move_to: FOLDER}"),
    ("after_failure: delete", "after_failure", "must be keep or {move_to: FOLDER}"),
    ("after_success:", "after_success", "must be keep, delete or {move_to: FOLDER}"),
    ("after_success: {move_to: /srv/a}", "after_success.move_to", "inside the watched folder watch[1]"),
    ("after_success: {move_to: /srv/a/done}", "after_success.move_to", "inside the watched folder watch[1]"),
    ("after_success: {move_to: //srv/a/done}", "after_success.move_to", "inside the watched folder watch[1]"),
    ("after_failure: {move_to: /srv/b/x/y}", "after_failure.move_to", "inside the watched folder watch[0]"),
    ("after_failure: {move_to: /srv}", "after_failure.move_to", "inside it; write a folder beside"),
    ("filename_pattern: '{a}{b}'", "filename_pattern", "nothing between {a} and {b}"),
    ("filename_pattern: '{recorded_at}'", "filename_pattern", "needs a format"),
    ("filename_pattern: calls", "filename_pattern", "has no field"),
]


@pytest.mark.parametrize(("setting", "key", "part"), BAD_FOLDERS)
def test_what_a_folder_may_not_say_is_told_with_its_line(
    tmp_path: Path, setting: str, key: str, part: str
) -> None:
    problem = the_problem(tmp_path, f"watch:\n  - /srv/b\n  - path: /srv/a\n    {setting}\n")
    assert (problem.line, problem.key) == (4, f"watch[1].{key}")
    assert part in problem.problem


def test_originals_may_go_below_a_folder_that_is_not_recursive(tmp_path: Path) -> None:
    text = "watch:\n  - {path: /srv/a, recursive: false, after_success: {move_to: /srv/a/done}}\n"
    assert load(tmp_path, text).watch[0].after_success == MoveTo(Path("/srv/a/done"))


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("${MISSING}", "variable MISSING is not set"),
        ("${FIRST}${OTHER}", "variable FIRST is not set; the environment variable OTHER is not set"),
        ("${}", "write ${NAME}"),
        ("${A", "write ${NAME}"),
    ],
)
def test_a_variable_that_cannot_be_filled_in_is_told(tmp_path: Path, value: str, part: str) -> None:
    problem = the_problem(tmp_path, f"watch: [/a]\nalerts:\n  destinations:\n    a: ['json://h/', '{value}']")
    assert (problem.line, problem.key) == (4, "alerts.destinations.a[1]")
    assert part in problem.problem


def test_no_problem_repeats_a_secret(tmp_path: Path) -> None:
    secret = "s3cr3t"
    problems = problems_of(
        tmp_path,
        f"""\
        watch: [/a]
        analyzer:
          api_key: "{secret} {secret}"
          base_url: https://{secret}@host
          model: [{secret}]
          concurrency: {secret}
          timeout: {secret}
          features: {secret}
        alerts:
          destinations:
            a: [slack://{secret}, slak://{secret}, {secret}]
            json://{secret}/: x
            b: {{urls: {{json://{secret}/: }}}}
          operations: json://{secret}/
        """,
        {**ENV},
    )
    assert len(problems) >= 11
    assert not [problem for problem in problems if secret in str(problem)]
