"""Runs the real command against a site, as a user runs it."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import processes
from tests.cli.sites import Site, environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A configured site without a database."""
    return Site(tmp_path)


@pytest.fixture
def run(site: Site) -> Run:
    """Run `earshot` with these arguments in the site's folder, where its config.yaml is found by itself."""

    def run_earshot(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        variables = {"EARSHOT_CONFIG": str(site.config)} if env is None else env
        return processes.run(*arguments, env=environment(**variables), cwd=site.home)

    return run_earshot


@pytest.fixture
def on_terminal(site: Site) -> Callable[..., str]:
    """Run `earshot` on a terminal of this many columns and return what it shows."""

    def run_on_terminal(*arguments: str, columns: int = 80, **variables: str) -> str:
        ours, theirs = pty.openpty()
        with processes.start(
            *arguments,
            env=environment(
                **{"EARSHOT_CONFIG": str(site.config), "COLUMNS": str(columns), "TERM": "dumb"} | variables
            ),
            # A pager is used only where there is somebody to press its keys.
            stdin=theirs if "PAGER" in variables else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        ):
            os.close(theirs)
            shown = b"".join(_until_closed(ours))
        os.close(ours)
        return shown.decode().replace("\r\n", "\n")

    return run_on_terminal


def _until_closed(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:
            # Linux: EIO once no process has the other end open.
            return
        if not data:
            return
        yield data
