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
    config: Path | None,
    *arguments: str,
    prefix: tuple[str, ...] = (),
    stdin: processes.Stream = subprocess.DEVNULL,
    stderr: processes.Stream = None,
) -> Iterator[tuple[str, processes.Process]]:
    """A running engine, with this configuration if any: the address that it printed, and its process."""
    configured = ("--config", str(config)) if config else ()
    with processes.start(
        *("engine", *configured, *arguments),
        env=environment(),
        prefix=prefix,
        stdin=stdin,
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
