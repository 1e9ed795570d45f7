"""What the web pages cost: with many recordings, a call of three hours, and while fifty people look.

The server's own processor time of each page, the median of RUNS, beside the same with 1,000 recordings.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
from starlette.testclient import TestClient

from benchmarks.far_end import far_end
from benchmarks.figures import Figure, peak_bytes, pid_of, processor_seconds
from daemon.storage.database import open_existing, transaction
from daemon.web.server import Pages
from tests.harness import Service, wav
from tests.programs import program
from tests.servers import free_port
from tests.web.places import CALL, NOW, Place, hum, reply_of

RECORDINGS = 100_000
FEW = 1_000
RUNS = 15
AGENTS = 40
VIEWERS = 50
BATCH = 5_000
PAGES = {
    "list": "/recordings",
    "a page further on": "/recordings?after={place}",
    "filter: agent": "/recordings?metadata.agent=agent7",
    "filter: agent, 30 days, worst first": "/recordings?metadata.agent=agent7&when=30d&sort=worst",
    "filter: negative passage": "/recordings?sentiment=any-negative",
    "search: a word in every recording": "/recordings?q=contract",
    "search: a rare word": "/recordings?q=rare77",
    "a recording": "/recordings/7",
    "alerts": "/alerts",
    "health": "/queue",
    "trends": "/trends?when=30d",
}


def measure(*, small: bool) -> Iterator[Figure]:
    """Yield the cost of each page, of three hours in a browser, and of viewers beside analysis."""
    few, most, runs = (10, 20, 1) if small else (FEW, RECORDINGS, RUNS)
    measured = {}
    for count in (few, most):
        with tempfile.TemporaryDirectory() as home:
            place = Place(Path(home))
            fill(place, count)
            measured[count] = {name: milliseconds(place.client(), path, runs) for name, path in PAGES.items()}
    for name in PAGES:
        ours, beside = (measured[count][name] for count in (most, few))
        yield Figure(f"page of {most:,} recordings: {name}", ours, "ms", f"of {few:,}", beside)
    if not small:
        yield from three_hours(1_800)
    yield from viewers(files=3 if small else 600)


def three_hours(passages: int) -> Iterator[Figure]:
    """Yield what a call with a passage every six seconds takes until Chromium has loaded its page."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as home:
        place = Place(Path(home), listen="127.0.0.1:0")
        said = [(number % 2, number * 6.0, *CALL[number % 11][2:4]) for number in range(passages)]
        number = place.add(reply=reply_of(said, length=passages * 6.0), sound=hum())
        path = f"/recordings/{number}"
        each = milliseconds(place.client(), path, RUNS)
        yield Figure(f"page of {passages:,} passages, processor time", each, "ms")
        pages = Pages({}, clock=lambda: NOW)
        pages.take(place.config)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
            took = []
            for _ in range(5):
                page, started = browser.new_page(), time.monotonic()
                page.goto(f"{pages.address}{path}", wait_until="load")
                took.append(time.monotonic() - started)
                page.close()
            browser.close()
        pages.end()
        pages.join()
    yield Figure(f"page of {passages:,} passages, loaded in Chromium", statistics.median(took), "s")


def viewers(files: int) -> Iterator[Figure]:
    """Yield how much slower analysis is, and how much larger the service, while people look."""
    took = {count: analysis(files, count) for count in (VIEWERS, 0)}
    whats = (("time", "s"), ("processor time", "s"), ("memory", "MB"))
    for (what, unit), ours, beside in zip(whats, *took.values(), strict=True):
        yield Figure(f"{files} files while {VIEWERS} look: {what}", ours, unit, "nobody looks", beside)


def analysis(files: int, count: int) -> tuple[float, float, float]:
    """Seconds, processor seconds and megabytes that a service takes for so many files and viewers."""
    with (
        tempfile.TemporaryDirectory() as place,
        far_end(0.05) as address,
        Service(Path(place), {"analyzer": {"base_url": address}}) as service,
        httpx.Client(timeout=None, limits=httpx.Limits()) as client,  # noqa: S113
        ExitStack() as streams,
    ):
        port = free_port()
        service.write_config(web={"listen": f"127.0.0.1:{port}"})
        service.start()
        for _ in range(count):
            streams.enter_context(client.stream("GET", f"http://127.0.0.1:{port}/live"))
        before, started = processor_seconds(pid_of(service)), time.monotonic()
        for number in range(files):
            service.drop(f"{number}.wav", wav(str(number)))
        service.wait_states(done=files, seconds=600)
        seconds, used = time.monotonic() - started, processor_seconds(pid_of(service)) - before
        megabytes = peak_bytes(pid_of(service)) / 1e6
        streams.close()
        return seconds, used, megabytes


NUMBERS = "WITH RECURSIVE n (n) AS (SELECT ?2 UNION ALL SELECT n + 1 FROM n WHERE n < ?3)"
COPIES = (
    f"""
    {NUMBERS} INSERT INTO recordings (
        id, path, folder, name, state, first_seen_at, analyzed_at, recorded_at, metadata, source, transcript,
        summary, average_sentiment, duration_seconds, average_sentiment_score, channels
    )
    SELECT n, path, folder, n || '.wav', state, first_seen_at, analyzed_at,
        strftime('%Y-%m-%dT%H:%M:%fZ', recorded_at, '-' || (n * 173) || ' seconds'),
        json_object('agent', 'agent' || (n % {AGENTS})), source,
        transcript || iif(n % 1000 = 77, ' rare77', ''), summary, average_sentiment, duration_seconds,
        average_sentiment_score + (n % 7) / 10.0, channels
    FROM n, recordings WHERE id = ?1
    """,
    f"""
    {NUMBERS} INSERT INTO sentiments (
        recording_id, position, text, start_seconds, end_seconds, speaker, sentiment, sentiment_score
    )
    SELECT n, position, text, start_seconds, end_seconds, speaker, sentiment, sentiment_score
    FROM n, sentiments WHERE recording_id = ?1
    """,
    f"{NUMBERS} INSERT INTO worst_scores SELECT n, -(n % 100) / 100.0 FROM n WHERE ?1",
    f"""
    {NUMBERS} INSERT INTO alerts (
        recording_id, destination, target, rules, state, created_at, sent_at, title, body, moment_seconds
    )
    SELECT n, destination, target, rules, state, created_at, sent_at, title, body, moment_seconds
    FROM n, alerts WHERE recording_id = ?1 AND n % 20 = 0
    """,
)


def fill(place: Place, count: int) -> None:
    """Copy one recording with all that belongs to it, 500 a day, until there are so many."""
    first = place.add(reply=reply_of(), agent="agent0")
    with closing(open_existing(place.database)) as db:
        for start in range(2, count + 1, BATCH):
            with transaction(db):
                for sql in COPIES:
                    db.execute(sql, (first, start, min(start + BATCH - 1, count)))


def milliseconds(client: TestClient, path: str, runs: int) -> float:
    """Return the processor time of one request, without that of the client."""
    if "{place}" in path:
        path = client.get("/recordings").text.partition("after=")[2].partition('"')[0]
        path = f"/recordings?after={path}"
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    took = []
    for _ in range(runs):
        started = time.process_time()
        client.get(path)
        took.append(time.process_time() - started)
    idle = []
    for _ in range(runs):
        started = time.process_time()
        client.get("/static/favicon.svg")
        idle.append(time.process_time() - started)
    return 1000 * (statistics.median(took) - statistics.median(idle))
