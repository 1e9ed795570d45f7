"""What tests of crashes count: a flow of recordings under a process that is killed, and what became of it."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import shutil
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Conversation, ScriptedApi, Service, reply, wav
from tests.servers import DEADLINE_SECONDS, HttpSink, wait_until

_LAST_LINE = re.compile(r"earshot alert (\d+), recording (\d+)\s*$")


@dataclass(frozen=True)
class Tally:
    """What was counted after a run; `billed_bound` is how many requests were in flight at the kills."""

    files: int
    kills: int
    lost: int
    duplicate_results: int
    alerts_lost: int
    extra_alerts: int
    extra_billed: int
    billed_bound: int
    ledger_short: int
    integrity: str
    most_crashes: int
    seconds: float

    def check(self) -> None:
        """Nothing lost, nothing twice that need not be, and the bill as the promise bounds it."""
        assert self.lost == 0, self
        assert self.duplicate_results == 0, self
        assert self.alerts_lost == 0, self
        assert self.extra_alerts <= self.kills, self
        assert self.extra_billed <= self.billed_bound, self
        assert self.ledger_short == 0, self
        assert self.integrity == "ok", self


def alerting(sink: HttpSink, **analyzer: Any) -> dict[str, Any]:
    """Settings with one rule, whose alerts go to `sink`, every one of them."""
    return {
        "alerts": {
            "burst": {"limit": 10000, "window": "1m"},
            "destinations": {"team": f"json://{sink.address}/"},
            "rules": [{"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]}],
        },
        "analyzer": analyzer,
    }


def is_bad_news(sha256: str) -> bool:
    """Whether the scripted API finds the recording with these bytes negative: about every second one."""
    return int(sha256[:2], 16) % 2 == 0


def is_bad_news_name() -> str:
    """A name whose recording `Service.drop` makes is bad news."""
    names = (f"{number}.wav" for number in range(100))
    return next(name for name in names if is_bad_news(hashlib.sha256(wav(name)).hexdigest()))


def mixed_news(least_seconds: float, most_seconds: float, seed: int = 1) -> Any:
    """A script that answers after a while, about every second recording with a negative sentiment."""
    dice = random.Random(seed)

    def script(conversation: Conversation) -> None:
        average = -0.8 if is_bad_news(conversation.call.sha256) else 0.4
        delay = dice.uniform(least_seconds, most_seconds)
        conversation.reply(body=reply(average=average), delay=delay)

    return script


def sending(service: Service) -> int:
    """How many requests a process that was killed had begun and not finished, by its own ledger."""
    found = service.rows("SELECT count(*) AS n FROM requests WHERE outcome = 'sending'")
    count: int = found[0]["n"] if found else 0
    return count


def delivered(sink: HttpSink) -> Counter[tuple[int, int]]:
    """How often each alert arrived, by (alert id, recording id) in its last line."""
    messages = [request.json()["message"] for request in list(sink.requests)]
    found = [_LAST_LINE.search(message) for message in messages]
    return Counter((int(each[1]), int(each[2])) for each in found if each)


def is_sent(service: Service) -> bool:
    """Whether an alert was sent, by the database; False while that is not readable."""
    try:
        return bool(service.rows("SELECT 1 FROM alerts WHERE state = 'sent'"))
    except sqlite3.OperationalError:
        # Killed while it created the tables, or its disk is full.
        return False


def compiled_counter(factory: pytest.TempPathFactory) -> Path:
    """The library that counts a process's calls, and kills it at one or lets one fail (kill_at_call.c)."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for the library that counts system calls")
    library: Path = factory.mktemp("library") / "kill_at_call.so"
    source = Path(__file__).with_name("kill_at_call.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def settle(service: Service, *, seconds: float = DEADLINE_SECONDS) -> None:
    """Return once no recording and no alert is under way any more."""

    def is_settled() -> bool:
        busy = service.rows(
            "SELECT (SELECT count(*) FROM recordings WHERE state IN ('waiting', 'analyzing'))"
            " + (SELECT count(*) FROM alerts WHERE state = 'pending') AS n"
        )
        return bool(busy) and busy[0]["n"] == 0

    wait_until(is_settled, seconds=seconds, what=f"all to be done: {service.log()[-2000:]}")


def tally(
    service: Service, api: ScriptedApi, sink: HttpSink, *, files: int, kills: int, bound: int, started: float
) -> Tally:
    """Count what became of `files` recordings with different bytes."""
    recordings = service.rows("SELECT * FROM recordings")
    done = [row for row in recordings if row["state"] == "done"]
    with contextlib.closing(sqlite3.connect(service.database)) as db:
        integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
    told = delivered(sink)
    bad_news = {row["id"] for row in done if is_bad_news(row["sha256"])}
    listened = api.listened()
    extra_billed = len(listened) - len({call.sha256 for call in listened})
    return Tally(
        files=files,
        kills=kills,
        lost=files - len({row["sha256"] for row in done}),
        duplicate_results=len(recordings) - files,
        alerts_lost=len(bad_news - {recording for _, recording in told}),
        # One with another id for the same recording is a second alert, not a message sent again.
        extra_alerts=sum(told.values()) - len({recording for _, recording in told}),
        extra_billed=extra_billed,
        billed_bound=bound,
        ledger_short=max(0, len(listened) - sum(row["possibly_billed"] for row in recordings)),
        integrity=integrity,
        most_crashes=max(row["crashes"] for row in recordings),
        seconds=round(time.monotonic() - started, 1),
    )


def kill_loop(
    place: Path, *, files: int, kills: int, concurrency: int, seed: int, slowest_seconds: float = 0.1
) -> Tally:
    """SIGKILL at random times, while recordings come in also when it is down; then let it finish.

    The API takes up to `slowest_seconds` for each.
    """
    dice = random.Random(seed)
    clock = threading.Event()
    names = iter([f"{number}.wav" for number in range(files)])
    share = files // (kills + 1) // 2 + 1
    started = time.monotonic()

    def drop() -> None:
        for _ in range(share):
            if name := next(names, None):
                service.drop(name)

    with (
        HttpSink() as sink,
        ScriptedApi(mixed_news(0.02, slowest_seconds, seed)) as api,
        Service(place, alerting(sink, base_url=api.url, concurrency=concurrency)) as service,
    ):
        service.start()
        bound = 0
        for _ in range(kills):
            drop()
            asked = len(api.calls)
            # From the moment of the start: about half a second of it is Python's own.
            clock.wait(dice.uniform(0.3, 1.6))
            if dice.random() < 0.5:
                # In the middle of work, if there is any.
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: len(api.calls) > asked, seconds=1.0)  # noqa: B023 - used up at once
            service.kill()
            bound += sending(service)
            drop()
            service.start(ready=False)
        for name in names:
            service.drop(name)
        # Else what is asked to end may not listen yet.
        service.wait_ready()
        wait_until(lambda: sum(service.states().values()) >= files, seconds=60, what="all files to be found")
        settle(service, seconds=60 + kills * concurrency * slowest_seconds)
        assert service.stop() == 0
        return tally(service, api, sink, files=files, kills=kills, bound=bound, started=started)
