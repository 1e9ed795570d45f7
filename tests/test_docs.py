"""README.md and docs/: what is made is current, every command works, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from daemon.cli.commands import earshot
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
MAY_SAY_NO = {"check", "doctor", "status", "forget", "retry"}
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
    """Each command line of earshot in a document; `earshot` after -u, -g or -o is a user or a group."""
    texts = [*code_lines(text), *re.findall(r"`([^`\n]*)`", text)]
    found = (re.search(r"(?<!-[ugo] )(?:^|(?<=[\s/]))(earshot [a-z-].*)", each) for each in texts)
    return [each[1] for each in found if each and not re.search("[…|]", each[1])]


def every_command() -> list[str]:
    return sorted({line for file in WRITTEN for line in commands_of(file.read_text("utf-8"))})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration like the README's and a database with something of everything."""
    place = tmp_path_factory.mktemp("docs")
    alerts = {"destinations": {"team": "json://localhost"}, "rules": [UNHAPPY, CHURN]}
    with stage(place, alerts, limits={"cost_per_day": 5}) as here:
        (place / "calls").mkdir()
        intents = (passage("please cancel", "cancel subscription", 0.9),)
        for agent in ("anna", "ben"):
            here.record(
                NOW, metadata={"agent": agent, "caller": "0151234567"}, intents=intents, topics=intents
            )
        here.fail(now=NOW)
        here.spend(0.5, NOW)
        give_verdict(here.db, 1, Verdict.USEFUL, NOW)
        here.db.execute("UPDATE recordings SET transcript = 'I want a refund'")
    return place


@pytest.mark.parametrize("line", every_command())
def test_every_command_in_the_documents_is_one_and_works(line: str, place: Path) -> None:
    assert usage_error(line) is None
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)[1:]]
    words = [re.sub(r"^(/var/backups/earshot|FILE$)", str(place), word) for word in words]
    name = next((word for word in words if word in NOT_RUN), None)
    if name is None:
        answer = CliRunner().invoke(earshot, ["-c", str(place / "config.yaml"), *words], prog_name="earshot")
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


def sections(content: Any) -> dict[str, Any]:
    """A block of the documents as sections of a configuration: a list is one of rules."""
    base: dict[str, Any] = {"watch": ["/srv/recordings"], "analyzer": {"api_key": "x" * 20}}
    if isinstance(content, list):
        return base | {
            "alerts": {"destinations": dict.fromkeys(("team", "coach"), "json://a"), "rules": content}
        }
    return {**base, **content}


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.name)
def test_every_block_of_configuration_is_taken(file: Path, tmp_path: Path) -> None:
    for block in re.findall(r"(?ms)^```yaml\n(.*?)^```", file.read_text("utf-8")):
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump(sections(yaml.safe_load(block))), "utf-8")
        env = {
            "HOME": str(tmp_path),
            "DEEPGRAM_API_KEY": "x" * 20,
            "SLACK_URL": "json://a",
            "HC_URL": "https://a",
        }
        load_config(config, env=env)
