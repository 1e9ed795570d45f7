"""Saves a request's body to disk, a chunk at a time: a recording may be 2 GB, memory stays small."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import BinaryIO

MAX_BYTES = 2 * 10**9  # Deepgram's limit
STALL_SECONDS = 60.0


class TooLarge(Exception):
    """The body is larger than MAX_BYTES."""


class SlowUpload(Exception):
    """Nothing came for STALL_SECONDS."""


async def receive(chunks: AsyncIterator[bytes], into: BinaryIO, *, declared_bytes: int = 0) -> str:
    """Write the body to `into`; return its SHA-256 in hex. Raises TooLarge or SlowUpload."""
    if declared_bytes > MAX_BYTES:
        raise TooLarge
    digest = hashlib.sha256()
    size = 0
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise SlowUpload from None
        if chunk is None:
            break
        size += len(chunk)
        if size > MAX_BYTES:
            raise TooLarge
        digest.update(chunk)
        into.write(chunk)
    into.flush()
    return digest.hexdigest()
