"""What every page is made from: the configuration, the database, who may come in, the clock."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from urllib.parse import urlsplit

from daemon.config.models import Config
from daemon.config.secrets import web_token
from daemon.config.times import zone_of
from daemon.errors import StoreError
from daemon.models import utc_now
from daemon.storage.connection import Database
from daemon.storage.database import open_database, open_for_reading, signing_key, transaction
from daemon.web.access import Access, access_of
from daemon.web.sessions import Guesses

IDLE_CONNECTIONS = 8
"""Kept open for the next pages: opening one takes longer than a small page."""


class Readers:
    """Connections that only read, of one database; each is lent to one page at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: deque[tuple[tuple[int, int], Database]] = deque()

    @contextmanager
    def lent(self) -> Iterator[Database]:
        """Lend a connection; StoreError when the file is not there."""
        identity, db = self._take()
        try:
            yield db
        except BaseException:
            db.close()
            raise
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append((identity, db))
        else:
            db.close()

    def close(self) -> None:
        """Close what is not lent."""
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self) -> tuple[tuple[int, int], Database]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise StoreError(f"{self.path}: the database cannot be read ({error.strerror})") from error
        identity = (status.st_dev, status.st_ino)
        while self._idle:
            try:
                found, db = self._idle.pop()
            except IndexError:
                break
            if found == identity:
                return found, db
            db.close()
        return identity, open_for_reading(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One configuration's pages. `key` signs cookies and links; `readers` lend connections."""

    config: Config
    access: Access
    key: bytes
    zone: tzinfo
    zone_name: str
    root: str
    readers: Readers
    guesses: Guesses = field(default_factory=Guesses)
    env: Mapping[str, str]
    clock: Callable[[], datetime]

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """Open a connection and a transaction for what a person asked to be changed."""
        with closing(open_database(self.config.database)) as db, transaction(db):
            yield db


def site_of(
    config: Config, env: Mapping[str, str] = os.environ, *, clock: Callable[[], datetime] = utc_now
) -> Site:
    """Return the pages of a configuration; raises ConfigError for an unusable password file, StoreError."""
    return Site(
        config=config,
        access=access_of(config.web, web_token(config.web.token_file, env=env), socket.gethostname()),
        key=signing_key(config.database),
        zone=zone_of(config.timezone),
        zone_name=config.timezone or "the zone of this host",
        root=root_of(config),
        readers=Readers(config.database),
        env=env,
        clock=clock,
    )


def root_of(config: Config) -> str:
    """Return the path below which people see the pages: `/earshot`, or nothing."""
    return urlsplit(config.web.public_url or "").path.rstrip("/")
