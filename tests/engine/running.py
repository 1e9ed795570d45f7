"""The embedded engine as people start it: `earshot engine`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import processes
from tests.cli.sites import environment


@contextmanager
def serving(
    config: Path, *arguments: str, stderr: processes.Stream = None
) -> Iterator[tuple[str, processes.Process]]:
    """A running engine with this configuration: the address that it printed, and its process."""
    with processes.start(
        *("engine", "--config", str(config), *arguments),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.startswith("listening on "), line
        try:
            yield line.removeprefix("listening on ").strip(), process
        finally:
            process.terminate()
