"""The plain records that stages pass to each other, and the states in the database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from enum import StrEnum
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from jinja2 import Template

NEGATIVE_BOUND = -1 / 3
"""An average score is `negative` from here down, `positive` from the opposite number up
(https://developers.deepgram.com/docs/sentiment-analysis)."""

SEVERITIES = ("critical", "warning", "info")
"""For rules and messages, most severe first."""


class RecordingState(StrEnum):
    """The life of a recording, as stored in `recordings.state`."""

    WAITING = "waiting"
    ANALYZING = "analyzing"
    DONE = "done"
    FAILED = "failed"
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"


class AlertState(StrEnum):
    """The life of an alert, as stored in `alerts.state`."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What lstat said about a regular file.

    `path` is absolute, as the os module gives it (bytes that are not UTF-8 as lone surrogates).
    """

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording claimed from the queue.

    `source` is the file's path (as FileStamp.path) or, with `is_url`, the address of a hosted recording.
    `doubtful` counts lost replies, `failures` the temporary failures in a row; the first was at
    `failing_since`. `part_words` is how many words of the transcript are analyzed at a time, if the whole is
    too long for the API, else None. `anew`: a person wants it analyzed although the same was analyzed before.
    `again`: it has a result, which stays if this analysis fails; `quiet` when it causes no alerts, else
    `alerts`.
    """

    id: int
    source: str
    is_url: bool
    folder: str | None
    name: str
    attempts: int
    doubtful: int
    failures: int
    quiet: bool
    failing_since: str | None
    modified_at: str | None
    recorded_at: str | None
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    part_words: int | None = None
    anew: bool = False
    again: Literal["quiet", "alerts"] | None = None


@dataclass(frozen=True, slots=True)
class NewRecording:
    """Facts about a recording before it has a row.

    `source` is the file's path (as FileStamp.path) or, with `is_url`, an address. `modified_at` and
    `recorded_at` are as `iso` writes them. A `quiet` one causes no alerts.
    """

    source: str
    is_url: bool
    folder: str | None
    size_bytes: int | None = None
    modified_at: str | None = None
    quiet: bool = False
    tags: tuple[str, ...] = ()
    recorded_at: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a recording ends without a result: `failed` or `skipped`, with the code and the reason in words."""

    state: RecordingState
    code: str
    error: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A passage of the transcript with a sentiment, a topic or an intent.

    `start_word` and `end_word` are 0-based, inclusive indexes into the transcript's words; the seconds
    count from the start of the recording and are None, as is `speaker`, where they cannot be known.
    `kind` says what `label` is: sentiment, topic, intent or phrase; `score` is Deepgram's score of a
    sentiment, else its confidence.
    """

    position: int
    text: str
    start_word: int | None
    end_word: int | None
    start_seconds: float | None
    end_seconds: float | None
    speaker: str | None
    label: str
    score: float | None
    kind: str = "sentiment"


def sentiment_of(score: float) -> str:
    """The label that the API gives an average score."""
    return "negative" if score <= NEGATIVE_BOUND else "positive" if score >= -NEGATIVE_BOUND else "neutral"


def interleave(groups: Iterable[Sequence[Segment]]) -> Iterator[Segment]:
    """The first of each group, then the second of each, and so on; each passage only once."""
    seen = set()
    for segment in chain.from_iterable(zip_longest(*groups)):
        if segment is None:
            continue
        passage = (segment.start_word, segment.end_word, segment.text)
        if passage not in seen:
            seen.add(passage)
            yield segment


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word with punctuation; times in seconds from the start, `channel` from 0."""

    text: str
    start: float
    end: float
    speaker: str | None
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request was billed for, and its probable cost: a row of `costs`.

    None means unknown: the tokens of a request without a reply, the price of a model. `prices_of` is the
    date of the prices, or `configuration`.
    """

    model: str
    seconds: float | None
    channels: int | None
    input_tokens: int | None
    output_tokens: int | None
    usd: float | None
    prices_of: str | None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the API replied about one recording.

    `not_analyzed` maps a feature (summary, topics, intents, sentiment) to the reason why it has no
    result; an analyzed feature is not in it, even if its list is empty. Times are in seconds,
    `estimated_cost_usd` is from list prices. `cost` is None if nothing new was paid for.
    """

    request_id: str | None = None
    model: str | None = None
    language: str | None = None
    duration_seconds: float | None = None
    channels: int | None = None
    confidence: float | None = None
    transcript: str = ""
    summary: str | None = None
    average_sentiment: str | None = None
    average_sentiment_score: float | None = None
    sentiments: tuple[Segment, ...] = ()
    topics: tuple[Segment, ...] = ()
    intents: tuple[Segment, ...] = ()
    not_analyzed: dict[str, str] = field(default_factory=dict)
    estimated_cost_usd: float | None = None
    cost: Cost | None = None

    def worst_passages(self) -> tuple[Segment, ...]:
        """The negative passages, lowest score first, else the one with the lowest score.

        They are quoted if a rule itself looks at no passages.
        """
        scored = sorted(self.sentiments, key=lambda segment: segment.score or 0.0)
        return tuple(segment for segment in scored if segment.label == "negative") or tuple(scored[:1])


@dataclass(frozen=True, slots=True)
class Conversation:
    """What rules and messages know of a recording. `path`: as people see it, or the URL; times as stored.

    `quiet`: it causes no alerts, as it was there before earshot (`existing: quiet`). `muted`: neither does it
    now, as it is analyzed again.
    """

    recording_id: int
    name: str
    path: str
    folder: str | None
    analysis: Analysis
    recorded_at: str | None = None
    modified_at: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    quiet: bool = False
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that fired: why, as lines for people, and the segments to quote, most important first."""

    rule: str
    severity: str
    notify: tuple[str, ...]
    reasons: tuple[str, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Every day from `start` to `end`, local time in `zone`; past midnight if `end` is earlier."""

    start: time
    end: time
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Target:
    """One URL of a destination, or one recipient of a URL that names several.

    `index` counts them from 0. `limit` is the most characters of a message, including the title if that is
    part of the body, without the `links_room` that is kept free for links. Times in it are shown in `zone`.
    """

    destination: str
    index: int
    url: str = field(repr=False)
    limit: int
    title_in_body: bool
    quiet: QuietHours | None = None
    template: Template | None = field(default=None, repr=False, compare=False)
    zone: tzinfo = UTC
    links_room: int = 0

    @property
    def name(self) -> str:
        """The name for people: the destination, and the number of the URL unless it is the first."""
        return f"{self.destination}, URL {self.index + 1}" if self.index else self.destination


@dataclass(frozen=True, slots=True)
class AlertDraft:
    """A message before it is a row: one per destination and URL (`target`), for rules or about the service.

    `not_before` is the end of the destination's quiet hours, None if it is due at once. `about` are the ids
    of recordings in a message about several. `moment_seconds` is where its first quote begins.
    """

    destination: str
    target: int
    severity: str
    title: str
    body: str
    rules: tuple[str, ...] = ()
    state: AlertState = AlertState.PENDING
    reason: str | None = None
    not_before: datetime | None = None
    about: tuple[int, ...] = ()
    moment_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of an outbox that is due for delivery. `due_at` is set if it had to wait from the start.

    A message to another program has a `message_id`; its `title` is its kind.
    """

    id: int
    recording_id: int | None
    destination: str
    target: int
    severity: str
    attempts: int
    created_at: str
    title: str
    body: str
    due_at: str | None = None
    message_id: str | None = None


def utc_now() -> datetime:
    """The time now in UTC, for every stage."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """A moment as the database stores it: UTC, ISO 8601, milliseconds, `Z`. Sorts as text."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """The moment that `iso` wrote."""
    return datetime.fromisoformat(text)


def shown_path(path: str) -> str:
    """A path as people and tables see it: bytes that are not UTF-8 become \\xNN, nothing else changes."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


_PARAMETERS = re.compile(r"(;|%3b|%3f|&(?=[\w.-]+=)).*", re.IGNORECASE)
"""Text after a file's name in an address, even if joined wrongly: `call.mp3;token=…`."""


def shown_address(url: str) -> str:
    """The address of a hosted recording as people and tables see it: `https://host/…/call.mp3`.

    Leaves out passwords, queries and other parts of the path: they may give access.
    """
    scheme, _, rest = url.partition("://")
    located = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority, slash, path = located.partition("/")
    above, _, name = path.rstrip("/").rpartition("/")
    name = _PARAMETERS.sub("", name)
    # If the address was put together wrongly, a password may be here.
    before, _, after = name.rpartition("@")
    name = after if ":" in before else name
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{'…/' if above else ''}{name}"


def hosted_name(url: str) -> str:
    """The name of the recording at this address: the last part of its path, else its host."""
    return shown_address(url).rstrip("/").rpartition("/")[2] or "recording"
