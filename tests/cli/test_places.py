"""Commands on a machine where the installed service has its own database, and this shell another one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import processes
from tests.cli.sites import Site, environment
from tests.programs import need_mounts

INSTALLED = """
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/earshot && touch /var/lib/earshot/earshot.db && exec "$@"
"""
Elsewhere = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def elsewhere(site: Site, tmp_path: Path) -> Elsewhere:
    """Run earshot where the installed service has a database, which only this process can see."""
    need_mounts()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with (tmp_path / "out").open("w+") as out, (tmp_path / "err").open("w+") as err:
            process = processes.start(
                *arguments,
                env=environment(EARSHOT_CONFIG=str(site.config)),
                prefix=("unshare", "--mount", "sh", "-c", INSTALLED, "-"),
                stdout=out,
                stderr=err,
            )
            code = process.wait(60)
        texts = [(tmp_path / name).read_text("utf-8") for name in ("out", "err")]
        return subprocess.CompletedProcess(arguments, code, *texts)

    return run


def test_a_command_that_finds_no_database_names_the_one_of_the_service(elsewhere: Elsewhere) -> None:
    answer = elsewhere("list", "--json")
    assert answer.returncode == 78
    (line,) = answer.stderr.splitlines()
    assert "there is no database here; the installed service has /var/lib/earshot/earshot.db" in line
    assert "`sudo -u earshot earshot list -c /etc/earshot/config.yaml`" in line


def test_status_starts_nobody_s_second_service(elsewhere: Elsewhere, site: Site) -> None:
    text = elsewhere("status").stdout
    assert f"not running on {site.database}; the installed service has /var/lib/earshot/earshot.db" in text
    assert "earshot run" not in text


def test_what_makes_a_second_database_says_so(elsewhere: Elsewhere, site: Site) -> None:
    answer = elsewhere("scan", "--json")
    assert answer.returncode == 0
    assert "warning: " in answer.stderr
    assert "the installed service has /var/lib/earshot/earshot.db" in answer.stderr
    assert elsewhere("scan", "--json").stderr == ""


def test_on_its_own_a_database_that_is_not_there_yet_is_made(elsewhere: Elsewhere, site: Site) -> None:
    site.configure(database="/var/lib/earshot/earshot.db")
    assert elsewhere("scan", "--json").stderr == ""
