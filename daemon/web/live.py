"""What changes while somebody looks: the counts in the head of the pages, and that new recordings came in.

All viewers share one look at the database, which is cheap and at most every two seconds.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from daemon.storage.views import newest_recording
from daemon.web.render import live
from daemon.web.site import Site

LOOK_SECONDS = 2.0
STEP_SECONDS = 0.5
"""How soon a stream notices that the server is to end."""
SIGN_SECONDS = 15.0
"""So often something is sent, so that proxies keep the connection."""
LONGEST_SECONDS = 3600.0
"""Then the browser comes again, and is asked anew who it is."""
MOST_VIEWERS = 200


class Looks:
    """The last look at how the service is doing, taken anew when it is too old."""

    def __init__(self) -> None:
        self.viewers = 0
        self._lock = threading.Lock()
        self._taken_at = float("-inf")
        self._text = "{}"

    def text(self, site: Site) -> str:
        """Return the look as JSON."""
        with self._lock:
            if time.monotonic() - self._taken_at >= LOOK_SECONDS:
                with site.readers.lent() as db:
                    state = live(db, site)
                    keys = ("word", "kind", "waiting", "analyzing")
                    self._text = json.dumps(
                        {key: state[key] for key in keys} | {"newest": newest_recording(db)}
                    )
                self._taken_at = time.monotonic()
            return self._text


async def stream(request: Request) -> Response:
    """GET /live: server-sent events."""
    looks: Looks = request.app.state.looks
    if looks.viewers >= MOST_VIEWERS:
        return PlainTextResponse("Too many look already; reload for the latest.", 503, {"retry-after": "60"})
    events = _events(looks, request.state.site, request.app.state.is_ending)
    return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _events(looks: Looks, site: Site, is_ending: Callable[[], bool]) -> AsyncIterator[str]:
    looks.viewers += 1
    try:
        begun, sent_at, sent = time.monotonic(), time.monotonic(), None
        looked_at = float("-inf")
        while not is_ending() and time.monotonic() - begun < LONGEST_SECONDS:
            now = time.monotonic()
            if now - looked_at >= LOOK_SECONDS:
                looked_at = now
                text = await run_in_threadpool(looks.text, site)
                if text != sent:
                    sent, sent_at = text, now
                    yield f"data: {text}\n\n"
            if now - sent_at >= SIGN_SECONDS:
                sent_at = now
                yield ":\n\n"
            await asyncio.sleep(STEP_SECONDS)
    finally:
        looks.viewers -= 1
