"""The shape of a sound, and a preview of what browsers cannot play: made by a child that is shut in.

One child at a time works for all who look, so that analysis goes on. Shapes are kept in the database, where
they go with their recording; previews have sound in them, so they are in files without a name, a few at most,
which end with this process.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from daemon.deepgram.upload import OpenFile
from daemon.errors import WITH_ENGINE, EarshotError, FileTrouble
from daemon.storage.pages import keep_peaks, kept_peaks
from daemon.web import sound
from daemon.web.recording import source
from daemon.web.site import Site

logger = logging.getLogger(__name__)

CHILD_SECONDS = 600
MOST_PREVIEWS = 6
LARGEST_PREVIEW_BYTES = 256 * 1024 * 1024
HEIGHT = 36
NOTHING = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 500 36"/>'
SHAPE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
    '<path fill="#7d858a" fill-opacity=".75" d="{path}"/></svg>'
)


class Previews:
    """The previews that were made last, by recording and stamp of its file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[int, int, int], int] = OrderedDict()
        self.one = threading.Lock()
        """Held by the one who has a child at work."""

    def get(self, key: tuple[int, int, int]) -> int | None:
        """Return a descriptor of its own for the preview, None when there is none."""
        with self._lock:
            file = self._files.get(key)
            if file is None:
                return None
            self._files.move_to_end(key)
            return os.dup(file)

    def put(self, key: tuple[int, int, int], file: IO[bytes]) -> None:
        """Keep a preview; the one that was not asked for longest makes room."""
        with self._lock:
            self._files[key] = os.dup(file.fileno())
            while len(self._files) > MOST_PREVIEWS:
                os.close(self._files.popitem(last=False)[1])

    def __del__(self) -> None:
        """Give up the files, which have no name any more."""
        for descriptor in self._files.values():
            os.close(descriptor)


async def shape(request: Request) -> Response:
    """GET /recordings/ID/waveform.svg: an empty drawing where none can be made."""
    text = await run_in_threadpool(_shape, request)
    return Response(text, media_type="image/svg+xml", headers={"cache-control": "private, max-age=3600"})


async def preview(request: Request) -> Response:
    """GET /recordings/ID/preview: an MP3 of what browsers do not play."""
    file, name = await run_in_threadpool(_preview, request)
    return await sound.send(request, file, name, "audio/mpeg")


def _shape(request: Request) -> str:
    site: Site = request.state.site
    number = request.path_params["id"]
    with site.readers.lent() as db:
        peaks = kept_peaks(db, number)
    if peaks is None:
        try:
            peaks = _made_peaks(request)
        except (HTTPException, FileTrouble):
            return NOTHING
        with site.writing() as db:
            keep_peaks(db, number, peaks)
    return drawn(peaks) if peaks else NOTHING


def drawn(peaks: bytes) -> str:
    """Return peaks as a drawing, the same above and below its middle."""
    middle = HEIGHT / 2
    heights = [max(0.3, value / 255 * (middle - 1)) for value in peaks]
    above = "L".join(f"{x} {middle - height:.1f}" for x, height in enumerate(heights))
    below = "L".join(
        f"{len(heights) - 1 - x} {middle + height:.1f}" for x, height in enumerate(reversed(heights))
    )
    return SHAPE.format(width=max(len(heights) - 1, 1), height=HEIGHT, path=f"M{above}L{below}Z")


def _made_peaks(request: Request) -> bytes:
    """Return new peaks, empty where the bytes are no sound, so that nobody tries again."""
    found = source(request)
    if found.recording.is_url or not _can_decode():
        raise HTTPException(410)
    previews: Previews = request.app.state.previews
    with found.opened() as file, tempfile.TemporaryFile() as output, previews.one:
        if not _decode("peaks", file, output):
            return b""
        output.seek(0)
        return output.read()


def _preview(request: Request) -> tuple[OpenFile, str]:
    site: Site = request.state.site
    found = source(request)
    if found.recording.is_url or not _can_decode():
        text = f"The recording can be downloaded; to hear it here, install {WITH_ENGINE}"
        raise HTTPException(410, text)
    previews: Previews = request.app.state.previews
    with found.opened() as file:
        key = (found.recording.id, file.size_bytes, file.before.st_mtime_ns)
        descriptor = previews.get(key)
        if descriptor is None:
            with previews.one:
                descriptor = previews.get(key) or _make(previews, key, file, site)
    return OpenFile("", "preview", descriptor, os.fstat(descriptor)), "preview.mp3"


def _make(previews: Previews, key: tuple[int, int, int], file: OpenFile, site: Site) -> int:
    # Beside the database, not in /tmp, which may be memory: an hour takes 22 MB.
    with tempfile.TemporaryFile(dir=site.config.database.parent) as output:
        if not _decode("mp3", file, output) or os.fstat(output.fileno()).st_size > LARGEST_PREVIEW_BYTES:
            raise HTTPException(410, "No preview can be made of this recording; it can be downloaded.")
        previews.put(key, output)
        return os.dup(output.fileno())


def _decode(kind: str, file: OpenFile, output: IO[bytes]) -> bool:
    """Have the child write to `output` what it makes of the file; False when that is nothing."""
    program = [sys.executable, "-m", "daemon.engine.preview", kind, str(os.getpid())]
    try:
        with (
            os.fdopen(os.dup(file.descriptor), "rb") as recording,
            subprocess.Popen(
                program, stdin=recording, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as child,
        ):
            timer = threading.Timer(CHILD_SECONDS, child.kill)
            timer.start()
            try:
                _copy(child, output)
            finally:
                timer.cancel()
    except OSError as error:
        raise EarshotError(f"the sound cannot be decoded now ({error.strerror}); try again") from error
    if child.returncode:
        logger.info("no sound decoded kind=%s code=%d", kind, child.returncode)
    output.flush()
    return child.returncode == 0


def _copy(child: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    size = 0
    while block := (child.stdout.read(64 * 1024) if child.stdout else b""):
        size += len(block)
        if size > LARGEST_PREVIEW_BYTES:
            child.kill()
            return
        output.write(block)


def _can_decode() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("av", "numpy"))
