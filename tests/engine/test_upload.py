"""A request's body on its way to disk: whole, or refused in time."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.engine.upload import SlowUpload, TooLarge, open_upload, receive, uploads_folder


async def blocks(*parts: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(pause)


def test_what_was_sent_is_there_with_its_digest() -> None:
    into = io.BytesIO()
    assert asyncio.run(receive(blocks(b"ab", b"c"), into)) == hashlib.sha256(b"abc").hexdigest()
    assert into.getvalue() == b"abc"


def test_too_much_is_refused_by_what_is_declared_and_by_what_comes() -> None:
    with pytest.raises(TooLarge):
        asyncio.run(receive(blocks(b"x"), io.BytesIO(), declared_bytes=2 * 10**9 + 1))
    with pytest.raises(TooLarge):
        asyncio.run(receive(blocks(*[b"x" * 10] * 11), io.BytesIO(), most_bytes=100))


def test_a_body_that_stalls_or_drips_without_end_is_refused() -> None:
    with pytest.raises(SlowUpload):
        asyncio.run(receive(blocks(b"x", b"y", pause=5), io.BytesIO(), stall_seconds=0.1))
    with pytest.raises(SlowUpload):
        asyncio.run(receive(blocks(*[b"x"] * 100, pause=0.02), io.BytesIO(), stall_seconds=0.2))


def test_an_upload_leaves_room_on_the_disk() -> None:
    """The database may lie on it as well."""
    free = [300 << 20]
    with pytest.raises(OSError, match="too little room"):
        asyncio.run(receive(blocks(), io.BytesIO(), declared_bytes=100 << 20, room=lambda: free[0]))
    block = bytes(16 << 20)

    async def filling() -> AsyncIterator[bytes]:
        for _ in range(10):
            free[0] -= len(block)
            yield block

    with pytest.raises(OSError, match="too little room"):
        asyncio.run(receive(filling(), io.BytesIO(), room=lambda: free[0]))
    assert free[0] > 200 << 20


def test_uploads_lie_on_disk_and_have_no_name(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nnone {tmp_path}/memory tmpfs rw 0 0\n")
    (tmp_path / "memory").mkdir()
    given = {"CACHE_DIRECTORY": f"{tmp_path}/memory", "XDG_CACHE_HOME": f"{tmp_path}/disk"}
    folder = uploads_folder(given, mounts)
    assert folder == tmp_path / "disk/earshot/uploads"
    assert folder.stat().st_mode & 0o777 == 0o700
    with open_upload(folder) as upload:
        upload.write(b"what was said")
        assert list(folder.iterdir()) == []
