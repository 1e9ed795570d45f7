"""README.md and docs/: what is made is current, every command works, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apprise
import pytest
from click.testing import CliRunner
from sqlite_utils.cli import cli as sqlite_utils_command

from daemon.cli.commands import COMMANDS, earshot
from daemon.config.load import load_config
from daemon.errors import EarshotError
from daemon.storage.verdicts import Verdict, give_verdict
from docs.make import pages
from tests.alerts.examples import passage
from tests.alerts.stage import CHURN, NOW, UNHAPPY, stage
from tests.commands import PLACEHOLDERS, usage_error

ROOT = Path(__file__).parent.parent
MADE = ("commands.md", "configuration.md")
WRITTEN = [
    ROOT / "README.md",
    *(file for file in sorted((ROOT / "docs").glob("*.md")) if file.name not in MADE),
]

NOT_RUN = {
    "run": "it goes on until it is ended; tests/test_flow.py",
    "web": "it goes on until it is ended; tests/web",
    "scan": "it needs the service's API; tests/test_flow.py",
    "analyze": "it needs the service's API; tests/cli/test_analyze_command.py",
    "engine": "it goes on until it is ended; tests/engine",
    "demo": "it needs the models; tests/engine",
    "test-alert": "it sends a message; tests/cli/test_alerts_command.py",
    "reanalyze": "it shows what it costs and asks; tests/cli/test_reanalyze_command.py",
    "reload": "it needs a running service; tests/faults/test_reload.py",
}
"""Commands whose options are checked here, and which are run elsewhere."""
NAMES = {f"earshot {name}" for name in COMMANDS} - {"earshot retry", "earshot list", "earshot status"}
MAY_SAY_NO = {"check", "doctor", "status", "forget", "retry", "webhooks"}
"""They exit with 1 where no service runs, the API cannot be reached, nobody says yes, or nothing failed."""


def code_lines(text: str) -> Iterator[str]:
    """Each line of the code blocks for a shell, its continuation joined, without what is said of it."""
    fenced = re.findall(r"(?ms)^```sh\n(.*?)^```", text)
    # Indented ones follow an empty line; other lines may go on below an item of a list.
    indented = re.findall(r"(?m)(?<=\n\n)((?:    .*\n)+)", re.sub(r"(?ms)^```.*?^```", "", text))
    for block in (*fenced, *indented):
        for line in block.replace("\\\n", " ").splitlines():
            yield re.sub(r"(^|\s)# .*", "", line).strip()


def commands_of(text: str) -> list[str]:
    """Each command line in a document. After -u, -g, -o, exec, `earshot` is a user, a group, a container."""
    texts = [*code_lines(text), *re.findall(r"`([^`\n]*)`", text)]
    found = (re.search(r"(?<!-[ugo] )(?<!exec )(?:^|(?<=[\s/]))(earshot [a-z-].*)", each) for each in texts)
    lines = [re.sub(r" [>|] .*", "", each[1]).strip() for each in found if each]
    # A name alone speaks of the command.
    return [line for line in lines if not re.search("[…|]", line) and line not in NAMES]


def every_command() -> list[str]:
    return sorted({line for file in WRITTEN for line in commands_of(file.read_text("utf-8"))})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration like the README's and a database with something of everything."""
    place = tmp_path_factory.mktemp("docs")
    alerts = {"destinations": {"team": "json://localhost"}, "rules": [UNHAPPY, CHURN]}
    with stage(place, alerts, limits={"cost_per_day": 5}) as here:
        awful = (passage("this is awful", score=-0.9),)
        (place / "calls").mkdir()
        intents = (passage("please cancel", "cancel subscription", 0.9),)
        for agent in ("anna", "ben"):
            about = {"agent": agent, "caller": "0151234567"}
            here.record(
                NOW, metadata=about, intents=intents, topics=intents, sentiments=awful, name="call.wav"
            )
        here.fail(now=NOW)
        here.spend(0.5, NOW)
        give_verdict(here.db, 1, Verdict.USEFUL, NOW)
        here.db.execute("UPDATE recordings SET transcript = 'I want a refund'")
    return place


@pytest.mark.parametrize("line", every_command())
def test_every_command_in_the_documents_is_one_and_works(line: str, place: Path, tmp_path: Path) -> None:
    assert usage_error(line) is None
    for file in ("config.yaml", "earshot.db", "earshot.db.key"):
        shutil.copy(place / file, tmp_path)
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)[1:]]
    words = [re.sub(r"^(/var/backups/earshot|FILE$|file$)", str(tmp_path), word) for word in words]
    name = next((word for word in words if word in NOT_RUN), None)
    if name is None:
        answer = CliRunner().invoke(
            earshot, ["-c", str(tmp_path / "config.yaml"), *words], prog_name="earshot"
        )
        assert answer.exit_code in ({0, 1} if words[0] in MAY_SAY_NO else {0}), answer.output
        assert isinstance(answer.exception, SystemExit | EarshotError | None), answer.exception


def test_what_commands_take_from_the_checkout_is_in_it() -> None:
    for file in WRITTEN:
        for line in code_lines(file.read_text("utf-8")):
            for path in re.findall(r"(?:^|\s)((?:systemd|requirements|scripts|examples|docs)/\S+)", line):
                assert (ROOT / path).exists(), f"{file.name}: {line}"


@pytest.mark.parametrize("name", sorted(pages()))
def test_what_is_made_by_scripts_docs_is_current(name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == pages()[name], "run scripts/docs"


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    for file in [*WRITTEN, *(ROOT / "docs" / name for name in MADE)]:
        text = re.sub(r"(?ms)^```.*?^```", "", file.read_text("utf-8"))
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            there = file.parent / path if path else file
            assert there.exists(), f"{file.name}: {target}"
            if anchor:
                headings = re.findall(r"(?m)^#+ (.*)", there.read_text("utf-8"))
                anchors = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
                assert anchor in anchors, f"{file.name}: {target}"


def test_every_page_is_named_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [file.name for file in (ROOT / "docs").glob("*.md") if f"(docs/{file.name})" not in text] == []


def test_other_programs_read_the_database_as_the_documents_say(place: Path) -> None:
    text = "\n\n".join(file.read_text("utf-8") for file in WRITTEN)
    text = text.replace("/var/lib/earshot", str(place))
    lines = [shlex.split(line) for line in code_lines(text) if re.search(" .*(/sqlite-utils|sqlite3) ", line)]
    by_sqlite_utils = [words[4:] for words in lines if words[3].endswith("/sqlite-utils")]
    assert len(by_sqlite_utils) == 3
    for arguments in by_sqlite_utils:
        answer = CliRunner().invoke(sqlite_utils_command, arguments)
        assert answer.exit_code == 0, answer.output
        assert len(answer.output.splitlines()) > 1, arguments
    ((_, file, query),) = [words[4:] for words in lines if words[3] == "sqlite3"]
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        assert db.execute(query).fetchall()


def test_every_address_in_the_documents_is_one_that_apprise_takes() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text("utf-8")
    addresses = re.findall(r"(?m)^\| [^|]+ \| `([a-z]+://[^`]+)`", text)
    assert len(addresses) > 10
    assert [each for each in addresses if not apprise.Apprise().add(each)] == []


BASE = {"watch": "[/srv/recordings]", "analyzer": "{api_key: xxxxxxxxxxxxxxxxxxxx}"}
RULES_HEAD = "alerts:\n  destinations: {team: 'json://a', coach: 'json://b'}\n  rules:\n"


def whole(block: str) -> str:
    """A block of the documents as a configuration; one that begins with a dash is a list of rules."""
    text = RULES_HEAD + textwrap.indent(block, "    ") if block.startswith("- ") else textwrap.dedent(block)
    missing = [f"{key}: {value}\n" for key, value in BASE.items() if not re.search(f"(?m)^{key}:", text)]
    return "".join(missing) + text


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.name)
def test_every_block_of_configuration_is_taken(file: Path, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "SLACK_URL": "json://a", "HC_URL": "https://hc.example.com"}
    for block in re.findall(r"(?ms)^ *```yaml\n(.*?)^ *```", file.read_text("utf-8")):
        config = tmp_path / "config.yaml"
        config.write_text(whole(block), "utf-8")
        load_config(config, env=env)
