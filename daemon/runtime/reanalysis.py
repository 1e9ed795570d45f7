"""Look at stored recordings again: by the rules alone, or by having their transcripts analyzed anew."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from daemon.alerts.targets import open_targets
from daemon.analysis.context import Context
from daemon.analysis.reading import ErasedError, HeldError, Reader, read_again
from daemon.config.models import Config
from daemon.deepgram.request import Request, requests_by_folder
from daemon.errors import AnalysisError, EarshotError
from daemon.models import Analysis, utc_now
from daemon.runtime.foreground import asking
from daemon.runtime.results import Rules, apply_rules, store_again
from daemon.storage.connection import Database
from daemon.storage.database import open_existing, transaction
from daemon.storage.lock import reading_lock
from daemon.storage.outbox import alert_reasons
from daemon.storage.queue import recording_of
from daemon.storage.readings import Spoken, spoken
from daemon.storage.requests import recover_readings
from daemon.storage.results import stored_conversations

logger = logging.getLogger(__name__)

FAILURES_IN_ROW = 3
"""When so many in a row give no result, each perhaps billed, the fault is not in each of them."""
LOOK_SECONDS = 0.1

SAME = "analyzed with the present settings already"
EMPTY = "without a transcript"
LANGUAGE = "not in English"
FEATURES = "in a folder without features"

Show = Callable[[int], None]
"""Called with the number of recordings that are done with."""


@dataclass(slots=True)
class Outcome:
    """What became of the recordings.

    `done` counts them, `alerts` the new alerts by state, or by the reason why they were held back; `failed`
    has ids with reasons, and `held` why the rest was not begun.
    """

    done: int = 0
    alerts: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    held: str | None = None


@dataclass(slots=True)
class Plan:
    """The recordings to analyze, what that will probably cost (None: unknown), and the others, by reason."""

    ids: list[int] = field(default_factory=list)
    words: int = 0
    usd: float | None = 0.0
    left_out: Counter[str] = field(default_factory=Counter)


def run_rules(
    db: Database,
    config: Config,
    ids: Sequence[int],
    *,
    muted: bool,
    env: Mapping[str, str] = os.environ,
    show: Show = lambda _: None,
) -> Outcome:
    """Store the alerts that the rules ask for now; with `muted` they are held back."""
    rules = Rules(config.alerts, open_targets(config, env))
    outcome = Outcome()
    for _, conversation in stored_conversations(db, ids):
        added = apply_rules(db, rules, replace(conversation, muted=muted))
        if added is not None:
            outcome.done += 1
            outcome.alerts += alert_reasons(db, added)
        show(outcome.done)
    return outcome


def plan_reading(db: Database, config: Config, ids: Sequence[int], *, anew: bool) -> Plan:
    """Choose the transcripts that the present settings may find something else in; all, with `anew`."""
    requests, plan = requests_by_folder(config), Plan()
    for said in spoken(db, ids):
        request = requests.get(said.folder) or requests[None]
        if reason := _why_not(said, request, anew=anew):
            plan.left_out[reason] += 1
            continue
        words = len(said.transcript.split())
        usd = request.expected_cost_of_text(words).usd
        plan.ids.append(said.id)
        plan.words += words
        plan.usd = None if usd is None or plan.usd is None else plan.usd + usd
    return plan


def _why_not(said: Spoken, request: Request, *, anew: bool) -> str | None:
    if not said.transcript.strip():
        return EMPTY
    if not request.features:
        return FEATURES
    language = (said.language or "en").lower()
    if set(request.features) == set(request.unsupported) or not language.startswith(("en", "multi")):
        return LANGUAGE
    is_same = (
        said.request_key == request.key
        if said.reading_key is None
        else said.reading_key == request.for_text().key
    )
    return SAME if is_same and not anew else None


def run_reading(
    config: Config,
    ids: Sequence[int],
    *,
    muted: bool,
    concurrency: int,
    env: Mapping[str, str] = os.environ,
    show: Show = lambda _: None,
) -> Outcome:
    """Analyze these transcripts, so many at once; each result replaces the old one in one transaction.

    Raises EarshotError when another process does this to the database, or when it cannot begin.
    KeyboardInterrupt ends it when what is under way is stored.
    """
    with reading_lock(config.database) as is_free:
        if not is_free:
            raise EarshotError(
                f"{config.database}: another `earshot reanalyze --text` is working on this database;"
                " wait for it"
            )
        with closing(open_existing(config.database)) as db, transaction(db):
            recover_readings(db, utc_now())
        with asking(config, env, concurrency=concurrency) as (context, rules):
            run = _Run(context, rules, ids, muted=muted)
            if ids:
                run.work(min(concurrency, len(ids)), show)
            return run.outcome


class _Run:
    """Threads that take one recording after the other, until none is left or something holds them all."""

    def __init__(self, context: Context, rules: Rules, ids: Sequence[int], *, muted: bool) -> None:
        self.outcome = Outcome()
        self._rules = rules
        self._muted = muted
        self._left = deque(ids)
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._working = 0
        self._turn = threading.Lock()
        self._in_row = 0
        self._error: Exception | None = None
        self._reader = Reader(context, self._stop.is_set, threading.Lock())

    def work(self, threads: int, show: Show) -> None:
        """Do all; returns when every thread has ended."""
        self._working = threads
        try:
            for _ in range(threads):
                threading.Thread(target=self._thread, daemon=True).start()
            # Not by joining them: an interrupted join takes a thread that runs for one that has ended.
            while not self._ended.wait(LOOK_SECONDS):
                show(self.outcome.done + len(self.outcome.failed))
        except KeyboardInterrupt:
            logger.warning("ending when what is under way is stored; another interrupt ends it at once")
            raise
        finally:
            self._stop.set()
            self._ended.wait()
        show(self.outcome.done + len(self.outcome.failed))
        if self._error:
            raise self._error

    def _thread(self) -> None:
        try:
            with closing(open_existing(self._reader.context.config.database)) as db:
                while not self._stop.is_set() and self._left:
                    self._one(db, self._left.popleft())
        except IndexError:
            # Another thread took the last one.
            return
        except HeldError as error:
            self._hold(str(error))
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = self._error or error
            self._stop.set()
        finally:
            with self._turn:
                self._working -= 1
                if not self._working:
                    self._ended.set()

    def _hold(self, reason: str) -> None:
        if not self._stop.is_set():
            self.outcome.held = reason
            self._stop.set()

    def _one(self, db: Database, recording_id: int) -> None:
        try:
            added = self._read(db, recording_id)
        except ErasedError as error:
            self._failed(recording_id, str(error))
        except AnalysisError as error:
            self._failed(recording_id, str(error))
            self._in_row += 1
            if self._in_row >= FAILURES_IN_ROW:
                self._hold(f"one transcript after the other is refused or gets no usable reply: {error}")
        else:
            self._in_row = 0
            with self._turn:
                self.outcome.done += 1
                self.outcome.alerts += alert_reasons(db, added)

    def _failed(self, recording_id: int, reason: str) -> None:
        self.outcome.failed[recording_id] = reason

    def _read(self, db: Database, recording_id: int) -> list[int]:
        said = next(iter(spoken(db, [recording_id])), None)
        recording = recording_of(db, recording_id)
        if said is None or recording is None:
            raise ErasedError("it was deleted, or put back into the queue, meanwhile")
        analysis = read_again(db, said, recording, self._reader)
        for _, conversation in stored_conversations(db, [recording_id]):
            now = replace(conversation, analysis=_with(conversation.analysis, analysis), muted=self._muted)
            added = store_again(db, self._rules, now)
            if added is not None:
                return added
        raise ErasedError("it was deleted, or put back into the queue, meanwhile")


def _with(stored: Analysis, found: Analysis) -> Analysis:
    """Return a stored result with what was found in its transcript now."""
    return replace(
        stored,
        summary=found.summary,
        average_sentiment=found.average_sentiment,
        average_sentiment_score=found.average_sentiment_score,
        sentiments=found.sentiments,
        topics=found.topics,
        intents=found.intents,
        not_analyzed=found.not_analyzed,
    )
