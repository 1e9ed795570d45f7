"""The sound of a recording: a part of the file as a browser asks for it, or the way to a hosted one.

The file is opened as for an upload: below its folder, through no link, and only as it was taken in. A share
that hangs holds up those who listen, and no other page.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from daemon.config.places import folder_of, root_of
from daemon.deepgram.upload import OpenFile, open_recording
from daemon.models import Recording
from daemon.storage.connection import Database
from daemon.storage.recordings import Stamp, stamp_of, taken_in_as
from daemon.storage.views import folder_rows
from daemon.web.site import Site

BLOCK_BYTES = 256 * 1024
LISTENERS = 12
"""How many may read from the disk of one folder at the same moment."""
TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "aac": "audio/aac",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "m4v": "video/mp4",
    "weba": "audio/webm",
}
"""What browsers play, by the ending of the name; anything else is offered as a download."""

WAV_HEADER_BYTES = 4096
PLAYABLE_WAV = (1, 3, 6, 7, 0xFFFE)
"""Formats in a WAV file that browsers play: PCM, float, A-law, mu-law, and one that names it later."""

_WAV_FORMAT = re.compile(rb"RIFF....WAVE.*?fmt ....(..)", re.DOTALL)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the sound of a recording is. `known` is the stamp that its file must have, as far as known;
    `by_inode`: with the same inode, too.
    """

    recording: Recording
    root: str
    known: Stamp | None
    by_inode: bool
    size_bytes: int | None

    def opened(self) -> AbstractContextManager[OpenFile]:
        """Open the file; FileTrouble says why not."""

        def is_expected(status: os.stat_result) -> bool:
            if self.known is None:
                return self.size_bytes in (None, status.st_size)
            parts = slice(3) if self.by_inode else slice(2)
            return stamp_of(status)[parts] == self.known[parts]

        return open_recording(self.root, self.recording.source, is_expected=is_expected)


def source_of(db: Database, site: Site, recording: Recording, size_bytes: int | None) -> Source:
    """Return where the sound of a recording is, and how its file is known again.

    Inodes count where the folder is not polled: shares give files others at any time.
    """
    folder = folder_of(site.config, recording.folder)
    row = folder_rows(db).get(recording.folder or "")
    by_inode = bool(row and row["method"] == "events")
    root = root_of(recording, folder)
    return Source(recording, root, taken_in_as(db, recording.id), by_inode, size_bytes)


def ending_of(name: str) -> str:
    """The ending of a file's name in small letters, without its dot."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def media_origin(recording: Recording) -> str:
    """Return the host of a hosted recording, for the policy of its page; nothing for a file."""
    if not recording.is_url:
        return ""
    parts = urlsplit(recording.source)
    return f" {parts.scheme}://{parts.netloc}" if re.fullmatch(r"[\w.:\[\]-]+", parts.netloc) else ""


async def answer(request: Request, source: Source) -> Response:
    """Return the sound, or the part of it that is asked for; FileTrouble when the file cannot be read."""
    recording = source.recording
    if recording.is_url:
        return RedirectResponse(recording.source, 302)
    opened, limiter = ExitStack(), _limiter(request, source.root)

    def begin() -> tuple[OpenFile, bool]:
        file = opened.enter_context(source.opened())
        return file, "download" in request.query_params or plays(recording.name, file.descriptor)

    file, is_sent = await to_thread.run_sync(begin, limiter=limiter, abandon_on_cancel=True)
    if not is_sent:
        opened.close()
        return RedirectResponse(f"{request.state.site.root}/recordings/{recording.id}/preview", 302)
    kind = TYPES.get(ending_of(recording.name), "application/octet-stream")
    return _answer(request, opened, file, recording.name, kind, limiter)


def plays(name: str, descriptor: int) -> bool:
    """Return whether browsers may play the file: WAV files can have GSM or ADPCM in them."""
    if ending_of(name) != "wav":
        return True
    found = _WAV_FORMAT.match(os.pread(descriptor, WAV_HEADER_BYTES, 0))
    return found is None or int.from_bytes(found[1], "little") in PLAYABLE_WAV


async def send(request: Request, file: OpenFile, name: str, kind: str) -> Response:
    """Return the part of an open file that is asked for; closes it at the end."""
    opened = ExitStack()
    opened.callback(os.close, file.descriptor)
    return _answer(request, opened, file, name, kind, _limiter(request, ""))


def _answer(
    request: Request, opened: ExitStack, file: OpenFile, name: str, kind: str, limiter: CapacityLimiter
) -> Response:
    span, is_part = _span(request.headers.get("range"), file.size_bytes)
    if span is None:
        opened.close()
        return Response(None, 416, {"content-range": f"bytes */{file.size_bytes}"})
    first, last = span
    headers = {
        "accept-ranges": "bytes",
        "content-length": str(last - first + 1),
        "content-disposition": _disposition(request, name),
    }
    if is_part:
        headers["content-range"] = f"bytes {first}-{last}/{file.size_bytes}"
    status = 206 if is_part else 200
    body = _blocks(limiter, opened, file, first, last)
    return StreamingResponse(body, status, headers, media_type=kind)


async def _blocks(
    limiter: CapacityLimiter, opened: ExitStack, file: OpenFile, first: int, last: int
) -> AsyncIterator[bytes]:
    with opened:
        while first <= last:
            wanted = min(BLOCK_BYTES, last - first + 1)
            block = await to_thread.run_sync(os.pread, file.descriptor, wanted, first, limiter=limiter)
            if not block:
                # The connection breaks off: better than silence that looks like the recording's own.
                raise OSError(errno.EIO, "the file became shorter while it was read")
            first += len(block)
            yield block


def _limiter(request: Request, root: str) -> CapacityLimiter:
    """Return the places of those who read from this folder: one that hangs holds up no other."""
    listeners: dict[str, CapacityLimiter] = request.app.state.listeners
    return listeners.setdefault(root, CapacityLimiter(LISTENERS))


def _span(header: str | None, size: int) -> tuple[tuple[int, int] | None, bool]:
    """Return first and last byte to send, and whether they are a range that was asked for, if only the whole.

    None for a range outside of the file. Of several, and of what is no range, all is sent.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not any(found.groups()) or (all(found.groups()) and int(found[2]) < int(found[1])):
        return (0, size - 1), False
    if not found[1]:
        count = min(int(found[2]), size)
        return ((size - count, size - 1) if count else None), True
    first, last = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
    return ((first, last) if first < size else None), True


def _disposition(request: Request, name: str) -> str:
    kind = "attachment" if "download" in request.query_params else "inline"
    return f"{kind}; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
