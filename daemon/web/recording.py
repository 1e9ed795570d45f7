"""The page of a recording: the moment of its alert first, then what was said, and all that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from daemon.documents import document
from daemon.errors import FileTrouble
from daemon.export.document import Document
from daemon.export.formats import file_name, rendered
from daemon.storage.connection import Database
from daemon.storage.queue import recording_of
from daemon.storage.requests import last_request_at
from daemon.storage.verdicts import verdicts_of
from daemon.storage.views import recordings_by_ids
from daemon.text import NAME_LENGTH, shorten
from daemon.web import sound
from daemon.web.gate import POLICY
from daemon.web.render import page
from daemon.web.site import Site
from daemon.web.timeline import drawing_of, percent
from daemon.web.transcript import Say, Talk, hits_of, marked, talk_of, without_anchors

DOWNLOADS = {"txt": "Text", "vtt": "VTT", "srt": "SRT", "json": "JSON", "md": "Markdown"}
MEDIA_TYPES = {
    "json": "application/json",
    "vtt": "text/vtt",
    "md": "text/markdown",
    "srt": "application/x-subrip",
}
ERROR_TITLES = {
    "incomplete": "Cut off.",
    "corrupt_audio": "Not audio.",
    "ambiguous_reply": "No reply, three times.",
    "too_large": "Too large.",
    "too_long": "Too long.",
    "empty": "Empty.",
    "gone": "The file is gone.",
    "crashed": "Set aside.",
    "bad_address": "Not a usable address.",
    "existing": "There before earshot.",
}
NEAR_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """An alert as the page shows it: why it fired, and the passage that it is about, as far as known."""

    alert: Mapping[str, Any]
    why: str
    say: Say | None
    verdict: str | None

    @property
    def second(self) -> int | None:
        """The second that its link leads to."""
        start = self.alert["moment_seconds"] if self.say is None else self.say.start
        return None if start is None else int(start)


def show(request: Request) -> Response:
    """GET /recordings/ID?t=SECONDS&q=WORDS."""
    site: Site = request.state.site
    with site.readers.lent() as db:
        found = _found(db, site, request)
        return _page(request, db, found)


def transcript(request: Request) -> Response:
    """GET /recordings/ID/transcript.NAME: a file to keep."""
    site: Site = request.state.site
    name = request.path_params["name"]
    if name not in DOWNLOADS:
        raise HTTPException(404, f"There is no {name}; there are {', '.join(DOWNLOADS)}.")
    with site.readers.lent() as db:
        found = _found(db, site, request)
    text = rendered(name, found).encode("utf-8", "backslashreplace")
    safe = file_name(found, name).encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    headers = {"content-disposition": f'attachment; filename="{safe}"'}
    return Response(text, media_type=MEDIA_TYPES.get(name, "text/plain"), headers=headers)


async def audio(request: Request) -> Response:
    """GET /recordings/ID/audio: the sound, by ranges."""
    found = await run_in_threadpool(source, request)
    try:
        return await sound.answer(request, found)
    except FileTrouble as error:
        raise HTTPException(410, f"The sound cannot be played: {error}") from error


def source(request: Request) -> sound.Source:
    """Return where the sound of the recording is; HTTPException when it is gone for good."""
    site: Site = request.state.site
    number = request.path_params["id"]
    with site.readers.lent() as db:
        found, recording = next(recordings_by_ids(db, [number]), None), recording_of(db, number)
        if found is None or recording is None:
            raise HTTPException(404, f"There is no recording {number}. It may have been removed.")
        if found["original_deleted_at"]:
            raise HTTPException(410, "The sound was deleted, as the configuration wants it.")
        return sound.source_of(db, site, recording, found["size_bytes"])


def _found(db: Database, site: Site, request: Request) -> Document:
    recording_id = request.path_params["id"]
    found = document(db, site.config, recording_id)
    if found is None:
        raise HTTPException(404, f"There is no recording {recording_id}. It may have been removed.")
    return found


def _page(request: Request, db: Database, found: Document) -> Response:
    recording = found.recording
    query = request.query_params.get("q", "")[:200]
    hits = hits_of(query)
    plain = talk_of(found, hits)
    moments = _moments(db, recording, plain)
    told = [moment for moment in moments if moment.alert["state"] == "sent"]
    shown = _without_repetition(told)
    talk = without_anchors(plain, [moment.second for moment in shown if moment.second is not None])
    drawing = drawing_of(talk, recording["duration_seconds"])
    source = recording_of(db, recording["id"])
    answer = page(
        request,
        "recording.html.jinja",
        db,
        recording=recording,
        talk=talk,
        drawing=drawing,
        band=_band(shown, drawing.end) if drawing else None,
        moments=shown,
        others=[moment for moment in moments if moment not in shown],
        start=_start(request, shown),
        query=query,
        summary=marked(recording["summary"] or "", hits),
        intents=_labels(recording["intents"], "intent"),
        topics=_labels(recording["topics"], "topic"),
        averages=_averages(talk),
        hot={moment.second for moment in shown},
        downloads=DOWNLOADS if recording["transcript"] else {},
        error_title=ERROR_TITLES.get(recording["error_code"] or "", ""),
        is_playable=_is_playable(recording),
        sent_at=last_request_at(db, recording["id"]) if recording["state"] == "analyzing" else None,
        is_hosted=bool(source and source.is_url),
    )
    if source and source.is_url:
        answer.headers["content-security-policy"] = POLICY.format(media=sound.media_origin(source))
    return answer


def _moments(db: Database, recording: Mapping[str, Any], talk: Talk) -> list[Moment]:
    verdicts = verdicts_of(db, [alert["id"] for alert in recording["alerts"]])
    return [
        Moment(alert, why(alert), _passage(alert, talk), verdicts.get(alert["id"]))
        for alert in recording["alerts"]
    ]


def _without_repetition(told: Sequence[Moment]) -> list[Moment]:
    """Return one alert for the same rules, whatever number of addresses it was sent to."""
    by_rules: dict[tuple[str, ...], Moment] = {}
    for moment in told:
        by_rules.setdefault(tuple(moment.alert["rules"]), moment)
    return list(by_rules.values())


def why(alert: Mapping[str, Any]) -> str:
    """Return why an alert fired, in the words of its message: the lines that begin with a rule's name."""
    names = [f"{shorten(' '.join(rule.split()), NAME_LENGTH)}: " for rule in alert["rules"]]
    lines = [line for line in alert["body"].splitlines() if line.startswith(tuple(names))]
    return "; ".join(line.partition(": ")[2] for line in lines)


def _passage(alert: Mapping[str, Any], talk: Talk) -> Say | None:
    """Return what was said where an alert's first quote begins."""
    start = alert["moment_seconds"]
    if start is None:
        return None
    timed = [say for say in talk.says if say.start is not None]
    near = min(timed, key=lambda say: abs((say.start or 0.0) - start), default=None)
    if near is not None and abs((near.start or 0.0) - start) <= NEAR_SECONDS:
        return near
    return next((say for say in timed if (say.start or 0.0) <= start < (say.end or math.inf)), None)


def _start(request: Request, shown: Sequence[Moment]) -> int | None:
    """Return the second at which the player stands: `?t=`, else that of the first alert."""
    given = request.query_params.get("t", "")
    if given.isascii() and given.isdecimal():
        return int(given[:7])
    return next((moment.second for moment in shown if moment.second is not None), None)


def _band(shown: Sequence[Moment], end: float) -> dict[str, str] | None:
    say = next((moment.say for moment in shown if moment.say is not None), None)
    if say is None or say.start is None:
        return None
    width = max((say.end or say.start) - say.start, end / 200)
    return {"x": percent(say.start, end), "width": percent(width, end), "second": str(int(say.start))}


def _labels(rows: Sequence[Mapping[str, Any]], label: str) -> list[dict[str, Any]]:
    """Return each intent or topic once, with its highest confidence and the moments where it was found."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not row[label]:
            continue
        entry = found.setdefault(
            row[label].casefold(), {"label": row[label], "confidence": None, "starts": []}
        )
        entry["confidence"] = max(entry["confidence"] or 0.0, row["confidence_score"] or 0.0)
        if row["start_seconds"] is not None and row["start_seconds"] not in entry["starts"]:
            entry["starts"].append(row["start_seconds"])
    return sorted(found.values(), key=lambda entry: -(entry["confidence"] or 0.0))


def _averages(talk: Talk) -> list[tuple[str, float]]:
    """Return the average of each speaker's scores, where more than one is known."""
    scores: dict[str, list[float]] = {}
    for say in talk.says:
        if say.speaker and say.score is not None:
            scores.setdefault(say.speaker, []).append(say.score)
    if len(scores) < 2:
        return []
    return [(speaker, sum(own) / len(own)) for speaker, own in scores.items()]


def _is_playable(recording: Mapping[str, Any]) -> bool:
    return sound.ending_of(recording["name"]) in sound.TYPES
