"""What all commands share: where the configuration comes from, exit codes, and what an error looks like."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from daemon.cli.commands import COMMANDS, earshot
from daemon.cli.groups import LONGEST
from daemon.cli.options import LARGEST_ID, SYSTEM_FILE, Context
from daemon.errors import ConfigError
from tests.cli.sites import KEY, SEEN_AT, Site, environment
from tests.databases import lay_database, new_database

Run = Callable[..., subprocess.CompletedProcess[str]]


def every_command() -> list[str]:
    """Every command, those of groups included."""
    names = []
    for name in COMMANDS:
        command = earshot.get_command(click.Context(earshot), name)
        names += [name, *(f"{name} {each}" for each in getattr(command, "commands", {}))]
    return names


def test_the_overview_says_of_each_command_what_its_own_help_begins_with() -> None:
    for name, (_, does) in COMMANDS.items():
        command = earshot.get_command(click.Context(earshot), name)
        assert command is not None
        assert does == command.get_short_help_str(LONGEST)


def test_commands_load_only_what_they_use(site: Site) -> None:
    """Each process would pay for the rest, between a hundredth and half a second."""
    code = """
import json, sys
from daemon.__main__ import main
heavy = "apprise click httpx jinja2 numpy pydantic rich sqlite_utils starlette watchdog".split()
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit:
        print(*arguments[:1], "loads", *(name for name in heavy if name in sys.modules))
"""
    alerting = site.home / "alerting.yaml"
    alerting.write_text("watch: [calls]\nalerts: {destinations: {team: 'json://127.0.0.1/'}}\n")
    commands = [
        ["--version"],
        ["--help"],
        ["list", "-c", str(site.config)],
        ["status", "-c", str(site.config)],
        ["rules", "test", "-c", str(alerting)],
    ]
    lay_database(site.database)
    answer = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = [line for line in answer.stdout.splitlines() if " loads" in line]
    assert loaded == [
        "--version loads",
        "--help loads click",
        "list loads click",
        "status loads click pydantic",
        "rules loads click jinja2 pydantic",
    ]


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(run: Run, option: str) -> None:
    answer = run(option)
    assert (answer.returncode, answer.stdout[:8]) == (0, "earshot ")


def said(*arguments: str, env: dict[str, str] | None = None) -> str:
    return CliRunner().invoke(earshot, list(arguments), prog_name="earshot", env=env).output


def test_help_lists_each_command_once_under_its_heading_with_a_whole_sentence() -> None:
    shown = said("--help").partition("Everyday:\n")[2].splitlines()
    listed = [line.split()[0] for line in shown if line.startswith("  ") and "Example" not in line]
    assert listed == list(COMMANDS)
    assert all(line.endswith(".") for line in shown[: len(COMMANDS)] if line.startswith("  "))
    assert [line for line in shown if re.fullmatch(r"\w+:", line)] == ["Alerts:", "Operate:", "Try:", "Help:"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("statsu", "status"),
        ("serach", "search"),
        ("lst", "list"),
        ("alerts shwo", "show"),
        ("help lst", "list"),
    ],
)
def test_a_misspelled_command_is_answered_with_the_nearest_one(typed: str, offered: str) -> None:
    answer = CliRunner().invoke(earshot, typed.split())
    assert answer.exit_code == 2
    assert "Did you mean" in answer.output
    assert f"'{offered}'" in answer.output


def test_help_of_a_command_is_what_the_command_says() -> None:
    assert said("help") == said("--help")
    assert said("help", "rules", "test") == said("rules", "test", "--help") != ""
    assert "no commands of its own" in said("help", "show", "x")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_options_and_their_values(shell: str) -> None:
    assert "_EARSHOT_COMPLETE" in said("completion", shell)
    for typed, wanted in [("sta", "stats"), ("alerts sn", "snooze"), ("list --state fa", "failed")]:
        env = {"_EARSHOT_COMPLETE": f"{shell}_complete", "COMP_WORDS": f"earshot {typed}"}
        # fish gives the word alone, the others its number.
        env["COMP_CWORD"] = typed.split()[-1] if shell == "fish" else str(len(typed.split()))
        assert wanted in said(env=env), typed


@pytest.mark.parametrize("command", every_command())
def test_every_command_takes_the_common_options_and_helps_with_an_example(command: str) -> None:
    answer = CliRunner().invoke(earshot, [*command.split(), "--help"])
    assert answer.exit_code == 0
    assert "--config" in answer.output
    assert "--debug" in answer.output
    assert "Example: earshot" in answer.output
    assert str(LARGEST_ID) not in answer.output


@pytest.mark.parametrize("before", [True, False])
def test_the_configuration_is_named_before_or_after_the_command(run: Run, site: Site, before: bool) -> None:
    named = ["-c", str(site.config)]
    arguments = [*named, "status"] if before else ["status", *named]
    assert run(*arguments, env={}).returncode == 0


def test_the_named_file_wins_over_the_variable(run: Run, site: Site) -> None:
    other = site.home / "other.yaml"
    answer = run("-c", str(other), "status", env={"EARSHOT_CONFIG": str(site.config)})
    assert answer.returncode == 78
    assert str(other) in answer.stderr


@pytest.mark.parametrize("command", ["list", "show 1", "retry", "status", "status --check", "reload"])
def test_a_named_file_that_is_not_there_leads_to_no_other_database(command: str, tmp_path: Path) -> None:
    new_database(tmp_path / "earshot" / "earshot.db").close()
    named = ["-c", str(tmp_path / "typo.yaml")]
    answer = CliRunner().invoke(earshot, [*command.split(), *named], env={"XDG_STATE_HOME": str(tmp_path)})
    said = str(answer.exception) if isinstance(answer.exception, ConfigError) else answer.output
    assert "typo.yaml: there is no such file" in said
    assert getattr(answer.exception, "exit_code", answer.exit_code) == 78


@pytest.mark.skipif(SYSTEM_FILE.exists(), reason="this machine has an installed earshot")
def test_a_file_in_the_current_folder_is_found_last(run: Run) -> None:
    assert run("status", env={}).returncode == 0


@pytest.mark.skipif(SYSTEM_FILE.exists(), reason="this machine has an installed earshot")
def test_without_a_configuration_the_places_are_named(run: Run, site: Site) -> None:
    site.config.unlink()
    answer = run("status", env={})
    assert answer.returncode == 78
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    for place in ("$EARSHOT_CONFIG", "/etc/earshot/config.yaml", str(site.config), "-c FILE"):
        assert place in answer.stderr


def test_a_named_file_that_may_not_be_read_is_an_unusable_configuration(site: Site) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("permissions do not bind root, and there is no setpriv (util-linux) to give them force")
    site.config.chmod(0)
    # Root may read everything, unless these two rights are taken away.
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    answer = subprocess.run(
        [*prefix, sys.executable, "-m", "daemon", "status", "-c", str(site.config)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 78
    assert answer.stderr.splitlines() == [
        f"earshot: {site.config}: no permission to read it; make it readable for the user earshot runs as"
    ]


def test_every_problem_of_the_configuration_is_a_line(run: Run, site: Site) -> None:
    site.configure(watchh=[], analyzer={"concurrency": 0})
    answer = run("status")
    assert answer.returncode == 78
    lines = answer.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"earshot: {site.config}:") for line in lines)


def test_wrong_usage_is_2(run: Run) -> None:
    assert run("list", "--state", "lost").returncode == 2
    answer = run("verdict", "seven", "noise")
    assert (answer.returncode, "'seven' is not a valid id" in answer.stderr) == (2, True)
    assert run("frobnicate").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["list", "--intent", "\udcff"], 0),
        (["list", "--folder", "\udcff"], 0),
        (["search", "\udcff"], 0),
        (["search", "refund", "--limit", "9" * 30], 2),
        (["engine", "--host", "\udcff"], 2),
        (["test-alert", "\udcff"], 1),
        (["show", "\udcff"], 1),
    ],
)
def test_what_nobody_would_type_is_no_unexpected_error(
    run: Run, site: Site, arguments: list[str], code: int
) -> None:
    site.add("recordings", id=1, state="done")
    site.add("intents", recording_id=1, position=0, intent="refund")
    answer = run(*arguments)
    assert answer.returncode == code, answer.stderr
    assert "unexpected" not in answer.stderr


def test_a_database_that_is_none_is_78_and_one_line(run: Run, site: Site) -> None:
    site.database.parent.mkdir()
    site.database.write_bytes(b"certainly not a database, but long enough to have a header" * 20)
    answer = run("list")
    assert answer.returncode == 78
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stderr.startswith(f"earshot: {site.database}: ")


def test_a_first_start_that_is_refused_creates_no_database(run: Run, site: Site) -> None:
    urls = {name: {"urls_file": f"missing.{name}"} for name in ("team", "ops")}
    site.configure(
        analyzer={"base_url": "http://127.0.0.1:9", "api_key_file": "missing.key"},
        alerts={"destinations": urls},
        webhooks=[{"url": "http://127.0.0.1:9/x", "secret_file": "missing.secret"}],
    )
    answer = run("run")
    assert answer.returncode == 78
    missing = [line.partition(": there is no such file")[0] for line in answer.stderr.splitlines()]
    assert missing == [
        f"earshot: {site.home}/missing.team: urls_file",
        f"earshot: {site.home}/missing.ops: urls_file",
        f"earshot: {site.home}/missing.secret: secret_file",
        f"earshot: {site.home}/missing.key: analyzer.api_key_file",
    ]
    assert not site.database.parent.exists()


def test_reading_creates_no_database(run: Run, site: Site) -> None:
    answer = run("list")
    assert answer.returncode == 78
    assert "there is no database yet" in answer.stderr
    assert not site.database.parent.exists()


def break_the_schema(site: Site) -> None:
    site.add("recordings", id=1, state="waiting")
    site.sql("DROP TABLE sentiments")


def test_an_unexpected_error_is_one_line_without_a_traceback(run: Run, site: Site) -> None:
    break_the_schema(site)
    answer = run("show", "1")
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        "earshot: unexpected OperationalError; run again with --debug to see where"
    ]


def test_debug_shows_where_an_error_comes_from(run: Run, site: Site) -> None:
    break_the_schema(site)
    answer = run("show", "1", "--debug")
    assert answer.returncode == 1
    assert "Traceback" in answer.stderr
    assert "no such table: sentiments" in answer.stderr


def test_no_secret_is_in_an_error_or_its_traceback(run: Run) -> None:
    answer = run("test-alert", KEY, "--debug")
    assert answer.returncode == 1
    assert "there is no destination ***" in answer.stderr
    assert KEY not in answer.stderr


def add_more_than_a_pipe_holds(site: Site) -> None:
    site.sql(
        "INSERT INTO recordings (path, folder, name, source, first_seen_at, state, transcript)"
        " WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 300)"
        " SELECT '/r/' || n, '/r', n, 'x', ?, 'waiting', ? FROM counted",
        *(SEEN_AT, "x" * 1000),
    )


def test_a_reader_that_has_enough_is_no_error(site: Site) -> None:
    add_more_than_a_pipe_holds(site)
    with subprocess.Popen(
        [sys.executable, "-m", "daemon", "list", "--json"],
        env=environment(EARSHOT_CONFIG=str(site.config)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        ("1>&-", 0, ""),
        ("0<&- 1>&- 2>&-", 0, ""),
        (">/dev/full", 1, "earshot: the output cannot be written: No space left on device\n"),
        (">/dev/full 2>/dev/full", 1, ""),
    ],
)
def test_streams_that_are_closed_or_full_give_no_traceback(
    site: Site, redirection: str, code: int, said: str
) -> None:
    site.add("recordings", id=1, state="waiting")
    answer = subprocess.run(
        ["sh", "-c", f'exec "$0" -m daemon list {redirection}', sys.executable],
        env=environment(EARSHOT_CONFIG=str(site.config)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (code, "", said)


def test_a_current_folder_that_is_gone_is_said_to_be(site: Site) -> None:
    site.add("recordings", id=1, state="waiting")
    program = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m daemon list --folder calls'
    answer = subprocess.run(
        ["sh", "-c", program, sys.executable],
        cwd=site.home,
        env=environment(EARSHOT_CONFIG=str(site.config)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 1
    assert answer.stderr == "earshot: the current folder is no longer there; change to another one\n"


def test_sigint_is_130_without_a_traceback(site: Site) -> None:
    # A command that waits: nobody reads what it writes.
    add_more_than_a_pipe_holds(site)
    with subprocess.Popen(
        [sys.executable, "-m", "daemon", "list", "--json"],
        env=environment(EARSHOT_CONFIG=str(site.config)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        process.stdout.read()
    assert process.returncode == 130
    assert b"Traceback" not in said


@pytest.mark.parametrize("package", ["click", "sqlite_utils"])
def test_an_interrupt_while_it_is_still_loading_is_130_without_a_traceback(
    site: Site, tmp_path: Path, package: str
) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    # Inside exec(), as dataclasses and named tuples are made.
    (slow / f"{package}.py").write_text("exec('import os, signal; os.kill(os.getpid(), signal.SIGINT)')")
    env = environment(EARSHOT_CONFIG=str(site.config))
    env["PYTHONPATH"] = f"{slow}{os.pathsep}{env['PYTHONPATH']}"
    answer = subprocess.run(
        [sys.executable, "-m", "daemon", "status"], env=env, capture_output=True, text=True, timeout=60
    )
    assert (answer.returncode, answer.stderr.strip()) == (130, "")


def test_a_missing_engine_package_says_what_to_install(site: Site, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['uvicorn'] = None")
    env = environment(EARSHOT_CONFIG=str(site.config))
    env["PYTHONPATH"] = f"{blocked}{os.pathsep}{env['PYTHONPATH']}"
    answer = subprocess.run(
        [sys.executable, "-m", "daemon", "engine"], env=env, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 78
    assert len(answer.stderr.splitlines()) == 1
    assert "the embedded engine needs uvicorn; install" in answer.stderr
    assert "pip install 'earshot[engine]'" in answer.stderr


def test_status_does_not_load_what_only_the_service_needs(site: Site) -> None:
    program = (
        "import sys\nfrom daemon.cli import main\ntry:\n main(['status'])\nfinally:\n print(*sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(EARSHOT_CONFIG=str(site.config)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    loaded = set(answer.stdout.split())
    assert "daemon.storage.views" in loaded
    assert not loaded & {"apprise", "httpx", "numpy", "rich", "watchdog", "uvicorn", "av"}


def test_a_context_without_an_environment_variable_takes_the_file_it_was_given() -> None:
    context = Context(env={"EARSHOT_CONFIG": "/somewhere/else.yaml"})
    assert context.config_file == Path("/somewhere/else.yaml")


def test_json_is_ascii_and_one_document(run: Run, site: Site) -> None:
    site.add("recordings", id=1, state="waiting", name="Gespräch \u202e.wav")
    answer = run("list", "--json")
    assert answer.stdout.isascii()
    assert json.loads(answer.stdout)[0]["name"] == "Gespräch \u202e.wav"
