"""The web pages in the service: served while a configuration wants them, tried again where that cannot be."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from daemon.config.models import Config
from daemon.errors import EarshotError, ListenError, StoreBusyError
from daemon.models import utc_now
from daemon.storage.database import open_database, transaction
from daemon.storage.operations import PAGES, begin_trouble, end_trouble

if TYPE_CHECKING:
    from daemon.web.server import Pages

logger = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""How soon an address is tried again that another program has."""


class WebPages:
    """Belongs to the thread of the service; the server itself is loaded when a configuration wants it."""

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        clock: Callable[[], datetime] = utc_now,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._env = env
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._pages: Pages | None = None
        self._put_off: Config | None = None
        self._due = 0.0

    def begin(self, config: Config) -> None:
        """Serve what this configuration wants; an address that cannot be had is tried again by `keep_alive`.

        Raises ConfigError, StoreError.
        """
        try:
            self._serve(config)
        except ListenError as error:
            reason = str(error)
            if self._put_off is None:
                logger.error("web pages not served, trying again error=%s", reason)
            self._put_off, self._due = config, time.monotonic() + self._retry_seconds
            self._note(config, reason)

    def take(self, config: Config) -> None:
        """Serve what a new configuration wants; raises EarshotError, and leaves all as it was.

        An address that cannot be had is an error, unless it is one that is tried again already.
        """
        if self._put_off is not None and self._put_off.web.listen == config.web.listen:
            self.begin(config)
        else:
            self._serve(config)

    def keep_alive(self) -> None:
        """Try again what could not be served, when that is due."""
        if self._put_off is None or time.monotonic() < self._due:
            return
        try:
            self.begin(self._put_off)
        except EarshotError as error:
            self._due = time.monotonic() + self._retry_seconds
            logger.error("web pages not served, trying again error=%s", error)

    def troubles(self) -> list[str]:
        """Return what is wrong with a server that began."""
        return self._pages.troubles() if self._pages else []

    def end(self) -> None:
        """Ask them to end."""
        if self._pages is not None:
            self._pages.end()

    def join(self) -> None:
        """Wait for their end."""
        if self._pages is not None:
            self._pages.join()

    def _serve(self, config: Config) -> None:
        if self._pages is None and config.web.listen is not None:
            from daemon.web.server import Pages

            self._pages = Pages(self._env)
        if self._pages is not None:
            self._pages.take(config)
        self._put_off = None
        self._note(config, None)

    def _note(self, config: Config, reason: str | None) -> None:
        """Have operations hear that the pages cannot be served, or are again."""
        try:
            with closing(open_database(config.database)) as db, transaction(db):
                if reason is None:
                    end_trouble(db, PAGES, "", self._clock())
                else:
                    begin_trouble(db, PAGES, "", reason, self._clock())
        except StoreBusyError as error:
            logger.warning("operations not told of the web pages error=%s", error)
