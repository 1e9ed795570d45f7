"""Report the service's condition to a dead-man service on the web, and to systemd."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import httpx

from daemon.config.models import Heartbeat
from daemon.deepgram.client import http_client
from daemon.errors import EarshotError
from daemon.logs import escaped, redacted
from daemon.models import utc_now
from daemon.runtime import sdnotify
from daemon.runtime.loops import LOOK_SECONDS, Step
from daemon.storage.connection import Database
from daemon.storage.health import troubles_now, unwritable
from daemon.storage.lock import refused_reload

logger = logging.getLogger(__name__)

CALL_SECONDS = 10.0
"""Limit for the connection, and for each part of the answer."""
RETRY_SECONDS = 60.0
"""How soon a failed call is repeated: dead-man services allow for one missing call, not for two."""
STARTING_STATUS_SECONDS = 2.0
STATUS_SECONDS = 10.0
"""New rows wake the loop."""


def heartbeat(settings: Heartbeat, folders: Collection[str], is_ready: Callable[[], bool]) -> Step:
    """Return the step that calls `url` while all is well, else `fail_url`, if there is one.

    It calls nothing before the folders are watched. It may take long, so it needs its own thread, with
    infinite patience.
    """

    def step(db: Database) -> float:
        if not is_ready():
            return LOOK_SECONDS
        troubles = unwritable(db) + troubles_now(db, folders, utc_now())
        address = settings.fail_url if troubles else settings.url
        if address is None:
            logger.warning("heartbeat held back reason=%s", "; ".join(troubles))
            return settings.every
        problem = _call(address.get_secret_value())
        if problem is None:
            return settings.every
        logger.warning("heartbeat not delivered error=%s", problem)
        return min(settings.every, RETRY_SECONDS)

    return step


def _call(url: str) -> str | None:
    """GET the address, without the body; returns the error without any part of the address, or None."""
    try:
        with (
            # Follow no redirect: the address is a secret, and another host must not see it.
            http_client(url, timeout=CALL_SECONDS, follow_redirects=False) as client,
            client.stream("GET", url, headers={"User-Agent": "earshot"}) as response,
        ):
            return None if response.is_success else f"answered {response.status_code}"
    except EarshotError as error:
        return str(error)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return type(error).__name__


def manager_status(
    database: Path, folders: Collection[str], is_ready: Callable[[], bool], env: Mapping[str, str]
) -> Step:
    """Return the step that tells systemd what `systemctl status` shows."""
    watching = f"watching {len(folders)} folder{'' if len(folders) == 1 else 's'}"

    def step(db: Database) -> float:
        if not is_ready():
            return STARTING_STATUS_SECONDS
        troubles = [refused_reload(database), *troubles_now(db, folders, utc_now())]
        status = escaped(redacted("; ".join(filter(None, troubles)))) or watching
        sdnotify.notify(f"STATUS={status}", env=env)
        return STATUS_SECONDS

    return step
