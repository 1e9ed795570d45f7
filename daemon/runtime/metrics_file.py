"""Write the metrics where node_exporter's textfile collector reads them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from daemon.config.models import Config
from daemon.models import utc_now
from daemon.originals.move import NewFile
from daemon.runtime.loops import Step
from daemon.storage.connection import Database

logger = logging.getLogger(__name__)

EVERY_SECONDS = 15.0
STARTING_SECONDS = 2.0
"""The same while the service is not ready yet, which is soon over."""
LARGEST_SHARE = 0.01
"""The share of its time that the step may work: with a very large database it looks less often."""
RETRY_SECONDS = 60.0
MODE = 0o644
"""node_exporter has a user of its own. What was said, names of recordings and secrets are in no metric."""


def metrics_file(
    config: Config, path: Path, is_ready: Callable[[], bool], *, clock: Callable[[], datetime] = utc_now
) -> Step:
    """Return the step that writes the file at `path`; readers see the old one or the new one, whole."""
    # It takes a tenth of a second, which services without the file need not wait for.
    from daemon.metrics import render

    def step(db: Database) -> float:
        started = time.monotonic()
        content = render(db, config, ready=is_ready(), now=clock())
        worked = time.monotonic() - started
        try:
            _replace(path, content)
        except OSError as error:
            logger.warning("metrics not written file=%s error=%s", path, error.strerror)
            return RETRY_SECONDS
        return max(EVERY_SECONDS if is_ready() else STARTING_SECONDS, worked / LARGEST_SHARE)

    return step


def _replace(path: Path, content: bytes) -> None:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Under way it has no name that ends with .prom.
        with NewFile(directory, "metrics", content, MODE) as new:
            new.replace(path.name)
    finally:
        os.close(directory)
