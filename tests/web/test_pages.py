"""The lists, trends and health; judging by a link; what changes while somebody looks."""

from __future__ import annotations

import csv
import html
import io
import re
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from daemon.alerts.deliver import step
from daemon.alerts.targets import open_targets
from daemon.alerts.verdict_links import verdict_links
from daemon.models import Ending, RecordingState, iso
from daemon.storage.database import open_existing
from daemon.storage.lock import held
from tests.web.places import CALL, NOW, SAME, Place, reply_of


def call(worst: float, said: str = "Fine.") -> bytes:
    passages = [(0, 1.0, "Hello, how can I help you?", 0.1), (1, 5.0, said, worst)]
    return reply_of(passages, average=worst / 2, summary="", intents=(), topics=())


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Eight calls of two agents, a day apart, and one that failed; to look at only."""
    return filled(Place(tmp_path_factory.mktemp("week")))


def filled(place: Place) -> Place:
    for number in range(8):
        place.add(
            f"call-{number}.wav",
            call(-number / 10, f"I want a refund, number {number}."),
            ago=timedelta(days=number),
            agent="Ines" if number % 2 else "Tomasz",
        )
    ending = Ending(RecordingState.FAILED, "incomplete", "the file is cut off; copy it again")
    place.add("cut.wav", ending=ending, ago=timedelta(hours=3))
    return place


def names(text: str) -> list[str]:
    """What the list shows, in its order."""
    return re.findall(r"<h3><a [^>]*>([^<]*)</a>", text)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("metadata.agent=ines", ["call-1", "call-3", "call-5", "call-7"]),
        ("metadata.agent=I*&sort=worst", ["call-7", "call-5", "call-3", "call-1"]),
        ("when=last-week&metadata.agent=Ines&sort=worst", ["call-7", "call-5"]),
        ("when=2026-11-25", ["call-1"]),
        ("when=2026-11-24..2026-11-25", ["call-1", "call-2"]),
        ("sentiment=any-negative&sort=old", ["call-7", "call-6", "call-5", "call-4"]),
        ("sentiment=negative", ["call-7"]),
        ("state=failed", ["cut"]),
        ("sort=low&when=7d", ["call-6", "call-5", "call-4", "call-3", "call-2", "call-1", "call-0"]),
        ("rule=angry passage", []),
        ("q=refund+number+3", ["call-3"]),
        ("q=%22number+4%22", ["call-4"]),
        ("q=nothing", []),
        ("q=ref*&metadata.agent=Tomasz", ["call-6", "call-4", "call-2", "call-0"]),
        # As the options of `earshot list` are called.
        ("text=refund+number+3", ["call-3"]),
        ("where=agent%3DI*&recorded_since=2026-11-22&recorded_until=2026-11-25T12:00Z", ["call-3"]),
        ("recorded_since=30h&until=2100-01-01", ["call-0", "cut", "call-1"]),
        ("since=2100-01-01", []),
        ("alerted=0&sentiment=neutral&when=2026-11-25", ["call-1"]),
        ("alerted=true&when=2026-11-25", []),
        ("not_analyzed=1&when=2026-11-25", ["call-1"]),
        ("not_analyzed=no&when=2026-11-25", ["call-1"]),
    ],
)
def test_the_list_finds_what_is_asked_for(week: Place, query: str, expected: list[str]) -> None:
    answer = week.client().get(f"/recordings?{query}")
    assert answer.status_code == 200
    assert names(answer.text) == [f"{name}.wav" for name in expected]


def test_what_the_list_finds_is_taken_away_as_a_table(week: Place) -> None:
    query = "metadata.agent=Ines&when=last-week"
    assert f'href="/recordings.csv?{html.escape(urlencode(parse_qsl(query)))}"' in (
        week.client().get(f"/recordings?{query}&sort=worst").text
    )
    answer = week.client().get(f"/recordings.csv?{query}&q=refund")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["name"], row["metadata.agent"]) for row in rows] == [
        ("call-7.wav", "Ines"),
        ("call-5.wav", "Ines"),
    ]
    assert "I want a refund" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "when=never",
        "sort=x",
        "state=x",
        "sentiment=x",
        "after=x",
        "since=x",
        "where=agent",
        f"folder={'b' * 600}",
    ],
)
def test_a_query_that_means_nothing_is_told_so(place: Place, query: str) -> None:
    assert place.client().get(f"/recordings?{query}").status_code == 400


def test_a_hit_is_shown_with_its_moment(week: Place) -> None:
    text = week.client().get("/recordings?q=refund&when=today").text
    assert (
        'href="/recordings/1?t=5&amp;q=refund#t=5">0:05</a> I want a <mark>refund</mark>, number 0.' in text
    )


@pytest.mark.parametrize("sort", ["new", "old", "worst", "long"])
def test_pages_of_the_list_meet_without_gap_or_repetition(place: Place, sort: str) -> None:
    for number in range(7):
        place.add(f"{number}.wav", call(-0.1 * (number // 2)), ago=timedelta(hours=number // 2))
    for _ in range(4):
        place.sql(
            "INSERT INTO recordings (path, folder, name, state, first_seen_at, source, recorded_at,"
            " duration_seconds) SELECT path, folder, name || 'x', state, first_seen_at, source, recorded_at,"
            " duration_seconds FROM recordings"
        )
    place.sql("INSERT OR IGNORE INTO worst_scores SELECT id, -0.2 FROM recordings")
    client = place.client()
    seen: list[str] = []
    back: list[str] = []
    address = f"/recordings?sort={sort}"
    while address:
        text = client.get(address).text
        ids = re.findall(r'<h3><a href="/recordings/(\d+)', text)
        assert 0 < len(ids) <= 50
        seen += ids
        more = re.search(r'href="(\?[^"]*)" rel="next"', text)
        before = re.search(r'href="(\?[^"]*)" rel="prev"', text)
        if before:
            previous = client.get("/recordings" + html.unescape(before[1])).text
            back = re.findall(r'<h3><a href="/recordings/(\d+)', previous)
            assert back == seen[-len(ids) - 50 : -len(ids)]
        address = "/recordings" + html.unescape(more[1]) if more else ""
    assert len(seen) == len(set(seen)) == 112
    assert back


def test_alerts_are_listed_with_reason_quote_and_verdict(place: Place) -> None:
    place.add(agent="Ines")
    place.add("b.wav", is_sent=False)
    client = place.client()
    text = client.get("/alerts").text
    assert "angry passage, churn risk" in text and "-0.79, below -0.70" in text
    assert "“Every time I&#39;m told" in text and "2 of the last" not in text and "Send now" in text
    assert client.post("/alerts/1/verdict", data={"verdict": "useful"}, headers=SAME).status_code == 303
    assert 'value="useful" aria-pressed="true"' in client.get("/alerts").text
    assert len(re.findall('<li class="alert">', client.get("/alerts?verdict=none").text)) == 0
    assert (
        len(re.findall('<li class="alert">', client.get("/alerts?state=pending&rule=churn risk").text)) == 1
    )
    assert client.get("/alerts/1").headers["location"] == "/recordings/1?t=43#t=43"
    assert client.get("/alerts/9").status_code == 404


def test_a_rule_is_snoozed_and_its_snooze_ended(place: Place) -> None:
    client = place.client()
    path = "/rules/churn risk/snooze"
    assert client.post(path, data={"duration": "2h", "back": "/alerts"}, headers=SAME).status_code == 303
    assert "<b>churn risk</b> is snoozed until today 16:31" in client.get("/alerts").text
    assert client.post(path, data={"duration": "0s"}, headers=SAME).status_code == 303
    assert "is snoozed" not in client.get("/alerts").text
    for bad, status in (("x", 400), ("9" * 40 + "d", 400)):
        assert client.post(path, data={"duration": bad}, headers=SAME).status_code == status
    assert client.post("/rules/other/snooze", headers=SAME).status_code == 404
    assert [row["action"] for row in place.sql("SELECT action FROM actions")] == ["snooze 2h", "snooze 0s"]


def test_trends_lead_to_what_they_count(week: Place) -> None:
    text = week.client().get("/trends?when=7d").text
    assert '<a href="/recordings?when=7d">7</a>' in text
    assert "/recordings?when=2026-11-24" in text and "metadata.agent=Ines" in text
    assert week.client().get("/trends?when=2026-11-20..2026-11-21&folder=/nothing").status_code == 200


def test_health_says_what_is_wrong_and_what_to_do(place: Place) -> None:
    week = filled(place)
    client = week.client()
    text = client.get("/queue").text
    glance = re.findall(r'<th scope="row">([A-Z][a-z]+)</th>', text)
    assert glance == ["Service", "Recordings", "Queue", "Folders", "Alerts", "Database", "Cost"]
    assert "earshot is not running" in text and "<b>Cut off.</b> the file is cut off" in text
    week.sql(
        "INSERT INTO pauses (cause, reason, since, next_probe_at, probe_seconds) VALUES"
        " ('key', 'the API key is refused (401)', '2026-11-26T13:17:00Z', '2026-11-26T13:32:00Z', 300)"
    )
    assert "Paused since today 14:17:</b> the API key is refused (401)" in client.get("/recordings").text
    assert "Next try" in client.get("/queue").text
    assert client.post("/queue/try", headers=SAME).status_code == 303
    assert (
        client.post("/retry?state=failed", data={"back": "/queue"}, headers=SAME).headers["location"]
        == "/queue"
    )
    assert week.sql("SELECT count(*) AS n FROM recordings WHERE state = 'failed'") == [{"n": 0}]
    assert client.get("/health").headers["location"] == "/queue"


def test_health_names_whatever_the_head_of_the_pages_says_to_look_at(place: Place) -> None:
    with held(place.database) as lock:
        lock.say(ready=True)
        assert ">All well</h1>" in place.client().get("/queue").text
        place.sql(
            "INSERT INTO troubles (cause, subject, since, detail) VALUES ('pages', '', ?, 'no `web.listen`')",
            iso(NOW),
        )
        text = place.client().get("/queue").text
    assert '<a class="st warn" data-live="word" href="/queue">Look here</a>' in text
    assert ">1 thing to look at</h1>" in text
    assert "the web pages are not served: no <code>web.listen</code>" in text


def test_health_shows_how_much_of_each_limit_is_used_and_what_is_not_taken(place: Place) -> None:
    with place.file.open("a") as file:
        file.write("limits: {cost_per_day: 5, recordings_per_hour: 4, recordings_per_day: 50}\n")
    for name, started, usd, count in (
        ("cost_per_day", "2026-11-25T23:00:00.000Z", 4.2, 3),
        ("recordings_per_hour", "2026-11-26T13:00:00.000Z", 0.1, 4),
        # Of yesterday.
        ("recordings_per_day", "2026-11-24T23:00:00.000Z", 9.0, 40),
    ):
        place.sql(
            "INSERT INTO periods (name, scope, started_at, most, usd, recordings) VALUES (?, '', ?, 1, ?, ?)",
            *(name, started, usd, count),
        )
    place.sql(
        "INSERT INTO folders (path, configured_at, available) VALUES (?, ?, 1)", str(place.calls), iso(NOW)
    )
    place.sql(
        "INSERT INTO not_taken (folder, reason, count, files) VALUES (?, 'empty', 2, '[]')", str(place.calls)
    )
    text = place.client().get("/queue").text
    limits = text.partition('id="limits"')[2]
    said = [re.findall(r">([^<>]+)<", row) for row in re.findall(r"<tr>.*?</tr>", limits)[1:]]
    assert said == [
        ["All folders", "$5.00 today", "about $4.20", "Nearly reached"],
        ["All folders", "4 recordings this hour", "4", "Reached"],
        ["All folders", "50 recordings today", "0", "0 %"],
    ]
    assert "2 not taken: empty 2" in text


class Sink:
    """Takes messages."""

    delivered_id: int | None = None
    body = ""

    def send(self, title: str, body: str, severity: str) -> str | None:
        self.body = body
        return None


def sent(place: Place) -> str:
    """The message of the one pending alert, as it is sent."""
    config, sink = place.config, Sink()
    target = next(each for each in open_targets(config, {}) if each.destination == "team")
    with closing(open_existing(place.database)) as db:
        assert step(db, target, sink, NOW, links=verdict_links(config))
    return sink.body


def test_a_message_takes_a_verdict_by_its_links(place: Place) -> None:
    place.configure(
        public_url="https://calls.example.com", user_header="X-User", trusted_proxies=["10.0.0.1"]
    )
    place.add(is_sent=False)
    body = sent(place)
    assert "https://calls.example.com/recordings/1?t=43#t=43" in body
    links = dict(re.findall(r"^(useful|noise): (https://calls.example.com/verdict/1\?\S+)$", body, re.M))
    assert body.endswith("\n\nearshot alert 1, recording 1") and len(links) == 2
    address = urlsplit(links["noise"])
    client = place.client()
    path = f"{address.path}?{address.query}"
    asked = client.get(path)
    assert asked.status_code == 200 and "This alert is noise" in asked.text
    assert not any(said in asked.text for _, _, said, _ in CALL) and "20261126" not in asked.text
    assert place.sql("SELECT * FROM verdicts") == []
    assert client.post(path, headers=SAME).status_code == 200
    assert place.sql("SELECT alert_id, verdict, given_by FROM verdicts") == [
        {"alert_id": 1, "verdict": "noise", "given_by": "link"}
    ]
    assert client.post(path, headers={"origin": "https://evil.example.com"}).status_code == 403
    for forged in (path.replace("v=noise", "v=useful"), path.replace("/1?", "/2?"), path[:-1], "/verdict/1"):
        assert client.get(forged).status_code == 403
    place.now += timedelta(days=15)
    assert client.get(path).status_code == 403


def test_without_a_public_address_messages_have_no_links(place: Place) -> None:
    place.add(is_sent=False)
    assert "verdict" not in sent(place)


def test_what_is_erased_leaves_the_lists(place: Place) -> None:
    week = filled(place)
    week.sql("DELETE FROM recordings")
    for table in ("worst_scores", "metadata_values"):
        assert week.sql(f"SELECT count(*) AS n FROM {table}") == [{"n": 0}]  # noqa: S608
    assert "No recordings yet" in week.client().get("/recordings").text


def test_a_stream_tells_what_changed_and_ends_with_the_server(place: Place) -> None:
    ended: list[Any] = []
    with place.client(is_ending=lambda: bool(ended)).stream("GET", "/live") as answer:
        lines = answer.iter_lines()
        first = next(lines)
        assert '"word": "Not running"' in first and '"newest": 0' in first
        ended.append(True)
        assert list(lines) == [""]
