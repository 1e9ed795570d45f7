"""Digests of paths and addresses: keyed hashes that show whether one is known, not what it is.

Every connection has the SQL function `keyed_digest`, of the parts of a path. No trigger uses it: programs
without it delete rows, too.
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

from daemon.storage.connection import Database

DIGEST_BYTES = 16

_PATHS = (
    "UPDATE files SET digest = keyed_digest(directory, name)",
    "UPDATE lists SET digest = keyed_digest(directory, name)",
    "UPDATE recordings SET digest = keyed_digest(source)",
)


def learn_digests(connection: sqlite3.Connection, key: bytes) -> None:
    """Give a connection the function `keyed_digest`, with this key."""

    def keyed_digest(*parts: bytes) -> bytes:
        return blake2b(b"/".join(parts), key=key, digest_size=DIGEST_BYTES).digest()

    connection.create_function("keyed_digest", -1, keyed_digest, deterministic=True)


def has_other_key(db: Database) -> bool:
    """Return whether the digests in the database were made with another key than this connection's."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'mark_key'").fetchone():
        return False
    return not db.execute("SELECT 1 FROM mark_key WHERE digest = keyed_digest()").fetchone()


def adopt_key(db: Database) -> int:
    """Make all digests anew with this connection's key; return how many marks that lost."""
    for statement in _PATHS:
        db.execute(statement)
    lost = db.execute("DELETE FROM marks").rowcount
    db.execute("UPDATE mark_key SET digest = keyed_digest()")
    return lost
