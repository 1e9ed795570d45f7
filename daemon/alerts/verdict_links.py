"""The two links in a message by which its reader judges it, without a login."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from daemon.config.models import Config
from daemon.signing import verdict_query
from daemon.storage.database import signing_key

VALID_FOR = timedelta(days=14)
SMALLEST_LIMIT = 1000
"""Shorter messages have no room for links."""

VERDICTS = ("useful", "noise")
_LARGEST_ID = 10**10 - 1
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

Links = Callable[[int, datetime], str]
"""The lines for an alert of this id that is sent now."""


def verdict_links(config: Config) -> Links | None:
    """Return what makes the links, None without `web.public_url`; raises StoreError without a usable key."""
    public_url = config.web.public_url
    if public_url is None:
        return None
    key = signing_key(config.database)
    return lambda alert_id, now: _lines(public_url, key, alert_id, now)


def links_room(config: Config, limit: int) -> int:
    """Return how many characters of a message at most `limit` long are kept free for the links."""
    if config.web.public_url is None or limit < SMALLEST_LIMIT:
        return 0
    return len(_lines(config.web.public_url, b"", _LARGEST_ID, LATEST)) + len("\n\n")


def with_links(body: str, lines: str) -> str:
    """Return the body with the links before its last paragraph, which names the ids."""
    text, gap, last = body.rpartition("\n\n")
    return f"{text}{gap}{lines}\n\n{last}" if gap else f"{lines}\n\n{last}"


def _lines(public_url: str, key: bytes, alert_id: int, now: datetime) -> str:
    return "\n".join(
        f"{verdict}: {public_url}/verdict/{alert_id}?{verdict_query(key, alert_id, verdict, now + VALID_FOR)}"
        for verdict in VERDICTS
    )
