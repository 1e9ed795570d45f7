"""What the web pages cost with many recordings: `.venv/bin/python -m benchmarks.web [RECORDINGS]`.

Prints processor milliseconds (the median of RUNS) of each page with 1,000 and with RECORDINGS recordings.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from starlette.testclient import TestClient

from daemon.storage.database import open_existing, transaction
from tests.web.places import Place, reply_of

RECORDINGS = 100_000
FEW = 1_000
RUNS = 15
AGENTS = 40
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


def main() -> None:
    """Measure and print, one line each."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDINGS
    measured = {}
    for count in (FEW, most):
        with tempfile.TemporaryDirectory() as home:
            place = Place(Path(home))
            fill(place, count)
            measured[count] = {name: milliseconds(place.client(), path) for name, path in PAGES.items()}
    for name in PAGES:
        few, many = (measured[count][name] for count in (FEW, most))
        print(f"{name:40} {few:8.1f} ms of {FEW:,}  {many:8.1f} ms of {most:,}")


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


def milliseconds(client: TestClient, path: str) -> float:
    """Return the processor time of one request, without that of the client."""
    if "{place}" in path:
        path = client.get("/recordings").text.partition("after=")[2].partition('"')[0]
        path = f"/recordings?after={path}"
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    took = []
    for _ in range(RUNS):
        started = time.process_time()
        client.get(path)
        took.append(time.process_time() - started)
    idle = []
    for _ in range(RUNS):
        started = time.process_time()
        client.get("/static/favicon.svg")
        idle.append(time.process_time() - started)
    return 1000 * (statistics.median(took) - statistics.median(idle))


if __name__ == "__main__":
    main()
