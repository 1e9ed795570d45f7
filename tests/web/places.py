"""Pages with something to show: a folder with real files, and a database filled as the service does it."""

from __future__ import annotations

import functools
import json
import math
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from starlette.testclient import TestClient

from daemon.alerts.targets import open_targets
from daemon.config.load import load_config
from daemon.config.models import Config
from daemon.deepgram.reply import parse_body, read_reply
from daemon.deepgram.request import requests_by_folder
from daemon.files import stamp
from daemon.models import Ending, NewRecording, iso
from daemon.runtime.results import store
from daemon.storage import queue
from daemon.storage.database import open_existing, rows, transaction
from daemon.storage.outbox import alert_sent
from daemon.storage.recordings import modified_at, remember_file
from daemon.storage.results import compressed, store_response
from daemon.web.app import application
from daemon.web.site import Site, site_of
from tests.databases import lay_database

NOW = datetime(2026, 11, 26, 13, 31, tzinfo=UTC)
Passage = tuple[int, float, str, float]

CALL: tuple[Passage, ...] = (
    (0, 2.06, "Good afternoon, this is Ines in customer care, how can I help you?", 0.42),
    (1, 9.6, "Hi, I'm calling about my September bill, because there is something wrong with it.", -0.28),
    (0, 19.08, "I'm sorry to hear that.", 0.02),
    (1, 24.1, "You charged me twice for the same month, and I want a refund.", -0.55),
    (1, 29.65, "And when I wrote to you about it, nobody answered for three weeks.", -0.71),
    (0, 36.38, "I understand. Let me have a look at the payments.", 0.04),
    (1, 43.94, "Every time I'm told that someone will call me back, and nobody ever does.", -0.79),
    (0, 51.82, "That shouldn't happen, and I apologize for it.", 0.12),
    (1, 56.45, "To be honest, I want to cancel my contract, I'm sick of these problems.", -0.74),
    (0, 63.27, "I book back the amount today, and you don't pay for the next month.", 0.36),
    (1, 70.72, "Fine. Thank you for being straight with me, at least.", 0.35),
)
LENGTH = 78.0
SUMMARY = "The caller was charged twice and calls for the third time. Ines books the second payment back."
WORD_SECONDS = 0.4


def reply_of(
    call: Sequence[Passage] = CALL,
    *,
    average: float = -0.35,
    summary: str = SUMMARY,
    intents: Sequence[tuple[int, str, float]] = (
        (8, "cancel contract", 0.97),
        (3, "report double charge", 0.88),
    ),
    topics: Sequence[tuple[int, str, float]] = ((3, "billing", 0.93), (9, "refund", 0.81)),
    length: float = LENGTH,
) -> bytes:
    """A reply of the service for a call of two speakers; each word takes 0.4 s."""
    words: list[dict[str, Any]] = []
    spans: list[tuple[int, int]] = []
    for speaker, start, text, _ in call:
        first = len(words)
        for number, word in enumerate(text.split()):
            at = start + number * WORD_SECONDS
            words.append(
                {
                    "word": word.lower().strip(".,?!"),
                    "punctuated_word": word,
                    "start": at,
                    "end": at + 0.3,
                    "confidence": 0.98,
                    "speaker": speaker,
                }
            )
        spans.append((first, len(words) - 1))

    def segments(found: Sequence[tuple[int, str, float]], many: str, one: str) -> list[dict[str, Any]]:
        return [
            {
                "text": call[number][2],
                "start_word": spans[number][0],
                "end_word": spans[number][1],
                many: [{one: label, "confidence_score": confidence}],
            }
            for number, label, confidence in found
        ]

    sentiments = [
        {
            "text": text,
            "start_word": first,
            "end_word": last,
            "sentiment": label_of(score),
            "sentiment_score": score,
        }
        for (_, _, text, score), (first, last) in zip(call, spans, strict=True)
    ]
    transcript = " ".join(text for _, _, text, _ in call)
    content = {
        "metadata": {
            "request_id": "9f1c",
            "duration": length,
            "channels": 1,
            "model_info": {"m": {"name": "general-nova-3", "arch": "nova-3"}},
        },
        "results": {
            "channels": [{"alternatives": [{"transcript": transcript, "confidence": 0.96, "words": words}]}],
            "summary": {"result": "success", "short": summary},
            "topics": {"segments": segments(topics, "topics", "topic")},
            "intents": {"segments": segments(intents, "intents", "intent")},
            "sentiments": {
                "segments": sentiments,
                "average": {"sentiment": label_of(average), "sentiment_score": average},
            },
        },
    }
    return json.dumps(content).encode()


def label_of(score: float) -> str:
    return "negative" if score <= -1 / 3 else "positive" if score >= 1 / 3 else "neutral"


@functools.cache
def hum(seconds: float = LENGTH) -> bytes:
    """A WAV file that browsers play: 8 kHz, 8 bit, a hum that comes and goes."""
    count = int(seconds * 8000)
    cycle = bytes(
        round(128 + 60 * math.sin(number / 8) * abs(math.sin(number / 4000))) for number in range(50240)
    )
    samples = (cycle * (count // len(cycle) + 1))[:count]
    form = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + count)
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack("<I", count)
        + samples
    )


class Place:
    """A configuration, a watched folder and a database; `add` puts a recording there as the service would."""

    def __init__(self, home: Path, *, now: datetime = NOW, **web: Any) -> None:
        self.home = home
        self.calls = home / "support"
        self.calls.mkdir(parents=True)
        self.database = home / "state" / "earshot.db"
        self.now = now
        self.file = home / "config.yaml"
        self.configure(**web)
        lay_database(self.database)

    def configure(self, **web: Any) -> None:
        """Write the configuration, with these keys under `web`."""
        content = {
            "database": str(self.database),
            "timezone": "Europe/Berlin",
            "watch": [{"path": str(self.calls), "tags": ["support"]}],
            "analyzer": {"base_url": "http://127.0.0.1:9", "api_key": "0123456789abcdef-the-key"},
            "alerts": {
                "destinations": {"team": "json://127.0.0.1:9/team", "leads": "json://127.0.0.1:9/leads"},
                "rules": [
                    {"name": "angry passage", "when": {"any_score_below": -0.7}, "notify": ["team"]},
                    {"name": "churn risk", "when": {"intent": "cancel*"}, "notify": ["team"]},
                ],
            },
            "web": web,
        }
        self.file.write_text(yaml.safe_dump(content))

    @property
    def config(self) -> Config:
        """The configuration as it is loaded."""
        return load_config(self.file, env=dict(os.environ))

    def site(self) -> Site:
        """What the pages are made from."""
        return site_of(self.config, dict(os.environ), clock=lambda: self.now)

    def client(self, is_ending: Callable[[], bool] = lambda: False, **how: Any) -> TestClient:
        """A client of the pages, without a server and without a browser."""
        site = self.site()
        usual: dict[str, Any] = {
            "base_url": "http://127.0.0.1:8765",
            "client": ("127.0.0.1", 5000),
            "follow_redirects": False,
        }
        return TestClient(application(lambda: site, is_ending), **usual | how)

    def add(
        self,
        name: str = "20261126-141203_ines_1042.wav",
        reply: bytes | None = None,
        *,
        ago: timedelta = timedelta(minutes=19),
        sound: bytes | None = None,
        ending: Ending | None = None,
        is_sent: bool = True,
        **metadata: str,
    ) -> int:
        """Put a recording and its result there; with `ending` one that failed. Returns its id."""
        path = self.calls / name
        path.write_bytes(hum(2.0) if sound is None else sound)
        found = stamp(str(path))
        assert found is not None
        at = self.now - ago
        config = self.config
        new = NewRecording(
            str(path),
            False,
            str(self.calls),
            found.size_bytes,
            modified_at(found),
            recorded_at=iso(at),
            metadata=metadata,
            tags=("support",),
        )
        with closing(open_existing(self.database)) as db:
            with transaction(db):
                number = queue.add(db, new, at)
                remember_file(db, str(self.calls), found, number)
                recording = queue.claim_this(db, number, at)
                assert recording is not None
                if ending is not None:
                    queue.end(db, number, ending, at)
                    return number
                body = reply or reply_of()
                store_response(db, number, compressed(body), kind="listen", now=at)
            requests = requests_by_folder(config)
            analysis = read_reply(parse_body(body), requests[str(self.calls)])
            store(
                db,
                recording,
                analysis,
                alerts=config.alerts,
                targets=open_targets(config, {}),
                clock=lambda: at,
            )
            if is_sent:
                with transaction(db):
                    for row in rows(db, "SELECT id FROM alerts WHERE state = 'pending'"):
                        alert_sent(db, row["id"], at + timedelta(seconds=2))
        return number

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement on the database and return what it gives."""
        with closing(open_existing(self.database)) as db:
            found = db.execute(statement, values)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found]


SAME = {"sec-fetch-site": "same-origin"}
"""What a browser says of a form of our own pages."""
