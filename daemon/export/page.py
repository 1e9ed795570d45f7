"""HTML: conversations on one page that needs no other file, for a colleague without a shell."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.export.document import Document
from daemon.export.facts import facts, labels
from daemon.export.timeline import timeline
from daemon.export.turns import turns
from daemon.text import shown_clock, shown_score

if TYPE_CHECKING:
    from jinja2 import Template

COLUMNS = 160
COLUMN_WIDTH = 4
HALF_HEIGHT = 40

_FOLDER = Path(__file__).parent


def html(documents: Iterable[Document]) -> Iterator[str]:
    """Yield the parts of a page with these recordings, one after the other.

    Everything from outside is shown as text, and a policy within the page forbids anything else.
    """
    template, css = _template()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    articles = (_article(document) for document in documents)
    yield from template.generate(css=css, digest=digest, articles=articles)


@cache
def _template() -> tuple[Template, str]:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = (_FOLDER / "page.html.jinja").read_text("utf-8")
    return environment.from_string(text), (_FOLDER / "page.css").read_text("utf-8")


def _article(document: Document) -> dict[str, Any]:
    recording = document.recording
    return {
        "name": recording["name"],
        "id": recording["id"],
        "facts": facts(document),
        "summary": recording["summary"],
        "lists": [
            (title, labels(recording[rows], label))
            for title, rows, label in (("Intents", "intents", "intent"), ("Topics", "topics", "topic"))
            if recording[rows]
        ],
        "plot": _plot(recording),
        "turns": [
            ("" if turn.start is None else shown_clock(turn.start), turn.speaker or "", turn.text)
            for turn in turns(document)
        ],
    }


def _plot(recording: Any) -> dict[str, Any] | None:
    """Return the bars of the timeline and the words under it, None where nothing was scored."""
    found = timeline(recording["sentiments"], COLUMNS, recording["duration_seconds"])
    if found is None:
        return None
    bars = [
        {
            "x": number * COLUMN_WIDTH,
            "y": round(HALF_HEIGHT - max(height, 0.0), 1),
            "height": round(max(abs(height), 1.0), 1),
            "kind": "up" if score > 0 else "down",
            "title": f"{_moment(found.end, found.timed, number)}sentiment {shown_score(score)}",
        }
        for number, score in enumerate(found.scores)
        if score is not None
        for height in (max(-1.0, min(1.0, score)) * HALF_HEIGHT,)
    ]
    end = shown_clock(found.end) if found.timed else f"passage {found.end:.0f}"
    start = "00:00" if found.timed else "passage 1"
    return {
        "bars": bars,
        "start": start,
        "end": end,
        "width": COLUMNS * COLUMN_WIDTH,
        "middle": HALF_HEIGHT,
    }


def _moment(end: float, timed: bool, number: int) -> str:
    return f"{shown_clock(end * number / COLUMNS)}  " if timed else ""
