"""For programs: JSON in the shapes of the command line, metrics, and whether the service is ready."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from daemon.export.table import METADATA, csv_lines
from daemon.metrics import render
from daemon.status import status_document, watched_rows
from daemon.storage.lock import daemon_status, unready
from daemon.storage.originals import original_of_recording
from daemon.storage.pages import metadata_keys
from daemon.storage.stats import stats_by
from daemon.storage.views import list_recordings, recording_columns
from daemon.storage.views import recording as recording_row
from daemon.storage.views import search as search_rows
from daemon.web.query import filters_of
from daemon.web.site import Site

NOT_IN_TABLES = ("transcript", "metadata", "sha256", "source")
MOST_KEYS = 100
LINES = 200
"""Sent together: to begin anew in another thread takes longer than a line."""
MOST_ROWS = 1000
ROWS = 100


def healthz(request: Request) -> Response:
    """GET /healthz: 200 while the service runs and watches, else 503 and why."""
    service = daemon_status(request.state.site.config.database)
    problems = [] if service["ready"] else [unready(service) if service["running"] else "not running"]
    return JSONResponse({"ok": not problems, "problems": problems}, 503 if problems else 200)


def metrics(request: Request) -> Response:
    """GET /metrics: what `metrics_file` has."""
    site: Site = request.state.site
    is_ready = bool(daemon_status(site.config.database)["ready"])
    with site.readers.lent() as db:
        content = render(db, site.config, ready=is_ready, now=site.clock())
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


def status(request: Request) -> Response:
    """GET /api/status: as `earshot status --json`."""
    site: Site = request.state.site
    with site.readers.lent() as db:
        folders = watched_rows(db, site.config)
        return JSONResponse(status_document(db, site.config.database, folders, site.zone, site.clock()))


def stats(request: Request) -> Response:
    """GET /api/stats?by=folder|day|week|metadata.KEY and filters: as `earshot stats --json`."""
    site: Site = request.state.site
    by = request.query_params.get("by")
    if (
        by is not None
        and by not in ("folder", "day", "week")
        and not by.removeprefix("metadata.") not in ("", by)
    ):
        raise HTTPException(400, "by is none of folder, day, week, metadata.KEY")
    with site.readers.lent() as db:
        found = stats_by(db, by, filters_of(request.query_params, site), site.zone)
    rows = [({by: row["key"]} if by else {}) | {k: row[k] for k in row if k != "key"} for row in found]
    return JSONResponse({"by": by, "rows": rows})


def recordings(request: Request) -> Response:
    """GET /api/recordings?q=WORDS&limit=N and filters: as `earshot list --json` and `search --json`."""
    site: Site = request.state.site
    wanted = filters_of(request.query_params, site)
    limit = _limit(request.query_params.get("limit"))
    with site.readers.lent() as db:
        words = request.query_params.get("q")
        rows: list[dict[str, Any]] = (
            search_rows(db, words, limit, wanted) if words else list(list_recordings(db, wanted, limit=limit))
        )
    return JSONResponse(rows)


def table(request: Request) -> Response:
    """GET /recordings.csv with the query of the list: all that it finds, for a spreadsheet."""
    site: Site = request.state.site
    wanted = filters_of(request.query_params, site)
    if words := request.query_params.get("q", "").strip():
        wanted = replace(wanted, text=words)

    def blocks() -> Iterator[str]:
        with site.readers.lent() as db:
            keys = [METADATA + key for key in metadata_keys(db, MOST_KEYS)]
            columns = [name for name in recording_columns(db) if name not in NOT_IN_TABLES]
            found = csv_lines(list_recordings(db, wanted), columns + keys)
            while block := "".join(islice(found, LINES)):
                yield block

    headers = {"content-disposition": 'attachment; filename="recordings.csv"'}
    return StreamingResponse(blocks(), headers=headers, media_type="text/csv; charset=utf-8")


def recording(request: Request) -> Response:
    """GET /api/recordings/ID: as `earshot show --json`."""
    site: Site = request.state.site
    recording_id = request.path_params["id"]
    with site.readers.lent() as db:
        found = recording_row(db, recording_id)
        if found is None:
            raise HTTPException(404, f"There is no recording {recording_id}.")
        found["original"] = original_of_recording(db, recording_id)
    return JSONResponse(found)


def _limit(given: str | None) -> int:
    if given is None:
        return ROWS
    if not (given.isascii() and given.isdecimal()) or not 1 <= int(given[:9]) <= MOST_ROWS:
        raise HTTPException(400, f"limit is no number from 1 to {MOST_ROWS}")
    return int(given)
