"""Of a hosted recording's address rows and messages show host and name; the whole is kept unseen."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from daemon.models import hosted_name, shown_address
from daemon.storage.database import open_database, rows
from tests.databases import tables
from tests.storage.stores import schema_before

SHOWN = [
    ("https://example.com/calls/one.mp3?key=s3cr3t", "https://example.com/…/one.mp3", "one.mp3"),
    ("https://example.com/one.mp3#x", "https://example.com/one.mp3", "one.mp3"),
    ("http://me:pw@example.com:81/a/b/one.mp3/", "http://example.com:81/…/one.mp3", "one.mp3"),
    ("https://a@b@example.com/one.mp3", "https://example.com/one.mp3", "one.mp3"),
    ("https://example.com/?key=s3cr3t", "https://example.com/", "example.com"),
    ("https://example.com?key=a/b", "https://example.com", "example.com"),
    ("https://example.com", "https://example.com", "example.com"),
    ("https://x://me:pw@example.com", "https://x:/example.com", "example.com"),
    ("https://example.com/call@home.mp3", "https://example.com/call@home.mp3", "call@home.mp3"),
]


@pytest.mark.parametrize(("address", "shown", "name"), SHOWN)
def test_host_and_name_of_an_address_are_shown(address: str, shown: str, name: str) -> None:
    assert (shown_address(address), hosted_name(address)) == (shown, name)


def test_the_addresses_of_an_older_version_are_shown_so_after_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "state/earshot.db"
    file = "/srv/a?b/https://x/call.wav"
    with closing(open_database(path, schema=schema_before(tmp_path, "008"))) as db:
        for source in [*(address for address, _, _ in SHOWN), file]:
            tables(db).table("recordings").insert(
                {
                    "path": source,
                    "source": source.encode(),
                    "is_url": int(source != file),
                    "name": hosted_name(source),
                    "state": "failed",
                    "error": f"403 for {source} now",
                    "first_seen_at": "2026-01-01T00:00:00.000Z",
                }
            )
    with closing(open_database(path)) as db:
        found = rows(db, "SELECT path, error, source FROM recordings ORDER BY id")
    expected = [*(shown for _, shown, _ in SHOWN), file]
    assert [row["path"].rstrip("/") for row in found] == [each.rstrip("/") for each in expected]
    assert [row["error"] for row in found] == [f"403 for {row['path']} now" for row in found]
    assert [row["source"].decode() for row in found] == [*(address for address, _, _ in SHOWN), file]
