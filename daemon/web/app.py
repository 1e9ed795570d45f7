"""The pages as one application: which address is answered by what, and what an error looks like."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from daemon.errors import EarshotError, StoreBusyError, StoreError, UsageError
from daemon.web import (
    actions,
    alerts,
    api,
    health,
    live,
    login,
    recording,
    recordings,
    trends,
    verdict,
    waveform,
)
from daemon.web.gate import Gate
from daemon.web.render import STATIC, page
from daemon.web.site import Site

GET, POST = ["GET"], ["POST"]


class _RowNumber(Convertor[int]):
    """The id of a row in a path: no more digits than SQLite can count."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the number as it is written in a path."""
        return str(value)


register_url_convertor("row", _RowNumber())


def application(site: Callable[[], Site], is_ending: Callable[[], bool] = lambda: False) -> ASGIApp:
    """Return the application; `site` says which configuration's pages are served at the moment.

    `is_ending` says that the server is to end, and with it what would go on for ever.
    """
    app = Starlette(
        routes=_routes(),
        exception_handlers={
            HTTPException: _http_error,
            UsageError: _wrong,
            StoreBusyError: _busy,
            StoreError: _busy,
            EarshotError: _wrong,
        },
    )
    app.state.is_ending = is_ending
    app.state.looks = live.Looks()
    app.state.listeners = {}
    app.state.previews = waveform.Previews()
    return Gate(app, site)


def _routes() -> list[BaseRoute]:
    return [
        Route("/", recordings.show, methods=GET),
        Route("/login", login.show, methods=GET),
        Route("/login", login.enter, methods=POST),
        Route("/logout", login.leave, methods=POST),
        Route("/healthz", api.healthz, methods=GET),
        Route("/metrics", api.metrics, methods=GET),
        Route("/api/status", api.status, methods=GET),
        Route("/api/stats", api.stats, methods=GET),
        Route("/api/recordings", api.recordings, methods=GET),
        Route("/api/recordings/{id:row}", api.recording, methods=GET),
        Route("/recordings", recordings.show, methods=GET),
        Route("/recordings.csv", api.table, methods=GET),
        Route("/recordings/{id:row}", recording.show, methods=GET),
        Route("/recordings/{id:row}/audio", recording.audio, methods=GET),
        Route("/recordings/{id:row}/preview", waveform.preview, methods=GET),
        Route("/recordings/{id:row}/waveform.svg", waveform.shape, methods=GET),
        Route("/recordings/{id:row}/transcript.{name}", recording.transcript, methods=GET),
        Route("/alerts", alerts.show, methods=GET),
        Route("/alerts/{id:row}", alerts.lead, methods=GET),
        Route("/verdict/{id:row}", verdict.ask, methods=GET),
        Route("/verdict/{id:row}", verdict.judge, methods=POST),
        Route("/live", live.stream, methods=GET),
        Route("/trends", trends.show, methods=GET),
        Route("/queue", health.show, methods=GET),
        Route("/health", health.lead, methods=GET),
        Route("/recordings/{id:row}/retry", actions.retry_recording, methods=POST),
        Route("/recordings/{id:row}/protect", actions.protect, methods=POST),
        Route("/alerts/{id:row}/verdict", actions.verdict, methods=POST),
        Route("/alerts/{id:row}/retry", actions.retry_told, methods=POST),
        Route("/retry", actions.retry_failed, methods=POST),
        Route("/queue/try", actions.try_now, methods=POST),
        Route("/rules/{name:path}/snooze", actions.snooze_rule, methods=POST),
        Route("/destinations/{name:path}/test", actions.test_destination, methods=POST),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _said(request, status, getattr(error, "detail", ""))


def _wrong(request: Request, error: Exception) -> Response:
    return _said(request, 409, str(error))


def _busy(request: Request, error: Exception) -> Response:
    return _said(request, 503, str(error))


def _said(request: Request, status: int, text: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": text}, status)
    title = "There is no such page" if status == 404 else "This did not work"
    return page(request, "error.html.jinja", None, status, title=title, text=text)
