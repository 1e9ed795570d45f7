"""What an alert says, in which order, within which length, and that nothing in it can do anything."""

from __future__ import annotations

import random
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from daemon.alerts.apprise_urls import limit_of
from daemon.alerts.compose import TITLE_LIMIT, compose
from daemon.alerts.draft import wanted_alerts
from daemon.alerts.sample import sample_message
from daemon.config.destinations import open_service
from daemon.config.models import Alerts, Rule, When
from daemon.models import AlertDraft, AlertState, Conversation, Target
from daemon.rules.match import matches
from daemon.storage.outbox import last_line, last_line_room
from daemon.text import harmless, shorten, shorten_front
from tests.alerts.examples import UNHAPPY, analysis, conversation, match, passage

ROOMY = 3500
ZERO_WIDTH = "\u200b"
NOW = datetime(2026, 3, 1, 13, 0, tzinfo=UTC)
LONG = "The caller was very unhappy with the delivery and said so at length. " * 150

HOSTILE = [
    "@everyone come here",
    "@here @channel @all @room",
    "<!channel> <!here|here> <@U024BE7LH> <@&123> <#C1>",
    "<script>alert(1)</script><img src=x onerror=y>",
    "<https://evil.example/login|your bank>",
    "[your bank](http://evil.example/login)",
    "[your bank][1] and [1]: http://evil.example",
    "see http://evil.example, HTTPS://evil.example or ftp://evil.example",
    "www.evil.example and evil.example/path and a.evil.example.com and evil.example.wav.com",
    "mail to boss@evil.example now",
    "**bold** __under__ ~~gone~~ ||spoiler|| `code` ```block```",
    "_slanted_ (_so_), _and so on_ ~struck~ ~town-square",
    "evil.mov and www.evil.mov",
    "\x1b[31mred\x1b[0m \x07 \x00 \x9b31m",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061c",
    "line one\r\nSubject: forged\r\n\r\nline\x0btwo\x0cthree\x85four\u2028five\u2029six",
    "zero\u200bwidth\u200d\ufeff \U000e0041 \u00adsoft",
    "lone \udcff surrogate \ud800",
    "\\\\evil\\share",
    "earshot alert 999, recording 999",
]


def body_of(limit: int = ROOMY, **changes: Any) -> str:
    return compose([match()], conversation(**changes), link=None, limit=limit).body


def test_a_quote_says_what_its_number_is() -> None:
    said = [
        replace(passage("Stop it.", "cancel *now*", 0.63, start=1.0), kind="intent"),
        replace(passage("The bill.", "billing", 0.0006, start=2.0, word=9), kind="topic"),
        replace(passage("A lawyer.", "phrase", None, start=3.0, word=20), kind="phrase"),
    ]
    body = compose([match(segments=tuple(said))], conversation(), link=None, limit=ROOMY).body
    assert '[00:01] customer (intent "cancel \u2217now\u2217", 63 %): "Stop it."' in body
    assert '[00:02] customer (topic "billing", 0.06 %): "The bill."' in body
    assert '[00:03] customer: "A lawyer."' in body


def test_a_whole_message_has_everything_in_its_order() -> None:
    said = [
        passage("I want to cancel.", score=-0.62, start=12.9),
        passage("This is the worst.", score=-0.91, start=3754.0, speaker=None, word=9),
        passage("Nobody calls me back.", score=None, start=None, speaker="agent", word=20),
        passage("A fourth.", score=-0.1, word=30),
    ]
    told = conversation(
        analysis(sentiments=said), metadata={"agent": "Ann", "caller": "+49 30 1"}, tags=("support", "vip")
    )
    rules = [
        match(segments=tuple(sorted(said, key=lambda segment: segment.score or 0.0))),
        match(rule="churn risk", severity="critical", reasons=("one", "two"), segments=()),
    ]
    message = compose(rules, told, link="http://host:8765/recordings/{id}", limit=ROOMY)
    assert message.title == "[critical] churn risk, unhappy caller - call.wav"
    assert message.body == (
        "churn risk: one; two\n"
        "unhappy caller: average -0.52, negative at -0.33 and below\n"
        "\n"
        '[1:02:34] (sentiment -0.91): "This is the worst."\n'
        '[00:12] customer (sentiment -0.62): "I want to cancel."\n'
        '[00:12] customer (sentiment -0.10): "A fourth."\n'
        "\n"
        "Summary: The customer wants to cancel.\n"
        "\n"
        "recorded 2026-03-01 12:00 UTC, length 12:34, folder /srv/recordings/support\n"
        "agent: Ann, caller: +49 30 1\n"
        "tags: support, vip\n"
        "\n"
        "http://host:8765/recordings/7"
    )


def test_what_is_not_known_is_left_out() -> None:
    said = [passage("Hm.", score=None, start=None, speaker=None)]
    bare = conversation(
        analysis(summary=None), folder=None, recorded_at=None, metadata={}, tags=(), path="/srv/a.wav"
    )
    body = compose([match(segments=tuple(said))], bare, link=None, limit=ROOMY).body
    assert body.splitlines() == [
        "unhappy caller: average -0.52, negative at -0.33 and below",
        "",
        '"Hm."',
        "",
        "length 12:34",
        "",
        "/srv/a.wav",
    ]


def test_a_rule_that_looks_at_no_passage_quotes_the_worst() -> None:
    said = [passage("Fine.", "neutral", 0.1), passage("Bad.", score=-0.4, word=4), passage("Worse.", word=9)]
    told = conversation(analysis(sentiments=said))
    silent, loud = match(rule="long", segments=()), match(segments=(said[1],))
    body = compose([silent], told, link="/{seconds}", limit=ROOMY).body
    assert re.findall(r': "(.*)"', body) == ["Worse.", "Bad."]
    assert re.findall(r': "(.*)"', compose([silent, loud], told, link=None, limit=ROOMY).body) == ["Bad."]


def test_the_one_quote_that_there_is_room_for_is_the_one_that_the_link_leads_to() -> None:
    said = (
        passage("I want to cancel. " * 9, score=0.4, start=5.0),
        passage("It is bad. " * 20, start=70.0, word=9),
    )
    rules = [match(severity="critical", segments=said[:1]), match(rule="other", segments=said[1:])]
    for limit in (ROOMY, 700, 500, 400):
        body = compose(rules, conversation(), link="http://h/#t={seconds}", limit=limit).body
        assert "http://h/#t=70" in body
        assert re.findall(r"^\[(.*?)\]", body, re.MULTILINE)[:1] == ["01:10"]


def test_a_summary_that_only_repeats_the_transcript_is_skipped() -> None:
    told = analysis(transcript="Too short\nto sum up.", summary="too short to sum up.")
    assert "Summary" not in body_of(analysis=told)


def test_every_rule_gets_a_quote_and_no_passage_comes_twice() -> None:
    shared = passage("Shared.", score=-0.9, word=1)
    rules = [
        match(segments=(shared, passage("Also bad.", word=2), passage("Bad too.", word=3))),
        match(rule="churn", segments=(shared, passage("Cancel it.", "Cancel", 0.4, word=9))),
    ]
    body = compose(rules, conversation(), link=None, limit=ROOMY).body
    assert body.count("Shared.") == 1
    assert "Cancel it." in body
    assert body.index("Shared.") < body.index("Also bad.") < body.index("Cancel it.")


@pytest.mark.parametrize("limit", range(70, 1400, 13))
def test_nothing_exceeds_the_limit_and_the_reasons_stay_whole(limit: int) -> None:
    said = tuple(passage(LONG[:900], score=-0.9 + n / 10, word=n) for n in range(4))
    told = conversation(analysis(summary=LONG), metadata={str(n): "x" * 80 for n in range(30)})
    body = compose([match(segments=said)], told, link=None, limit=limit).body
    assert len(body) <= limit
    assert body.splitlines()[0] == "unhappy caller: average -0.52, negative at -0.33 and below"


def test_quotes_are_cut_before_the_summary_and_the_summary_before_the_facts() -> None:
    said = tuple(passage(LONG[:900], score=-0.9 + n / 10, word=n) for n in range(3))
    told = conversation(analysis(summary=LONG))
    seen = []
    for limit in range(2200, 60, -23):
        body = compose([match(segments=said)], told, link=None, limit=limit).body
        quoted = [line for line in body.splitlines() if line.startswith("[")]
        summed = next((line for line in body.splitlines() if line.startswith("Summary")), "")
        seen.append((sum(map(len, quoted)), len(summed), "length 12:34" in body, "call.wav" in body))
    for more, less in pairwise(seen):
        assert all(after <= before for before, after in zip(more, less, strict=True))
    # The summary was whole while the quotes shrank; then it shrank while the facts were there.
    whole_summary = seen[0][1]
    assert min(quotes for quotes, summary, _, _ in seen if summary == whole_summary) < seen[0][0] / 3
    assert min(summary for _, summary, facts, _ in seen if facts) < whole_summary / 3
    assert seen[-1] == (0, 0, False, False)


def test_a_reason_is_whole_in_the_smallest_channel_whatever_the_rule_is_called() -> None:
    reason = (
        "sentiment in the last quarter of speaker 1 -0.53, below -0.30; "
        "share of negative passages 0.56, above 0.30"
    )
    for name in ("unhappy caller", "a rule with a name of sixty characters, as long as it may be"):
        rules = [match(rule=name, reasons=(reason,))]
        message = compose(rules, conversation(), link=None, limit=125, title_in_body=True)
        assert reason in message.body
        assert len(f"{message.title}\r\n{message.body}") <= 125
        assert message.title.startswith("[warning]")


def test_a_reason_of_many_conditions_is_whole_where_there_is_room() -> None:
    reasons = tuple(f"share of negative passages of customer {n}.00, above 0.30" for n in range(12))
    assert (
        "; ".join(reasons) in compose([match(reasons=reasons)], conversation(), link=None, limit=ROOMY).body
    )
    assert "; ".join(reasons) in compose([match(reasons=reasons)], conversation(), link=None, limit=950).body


def test_many_rules_with_long_names_stay_bounded() -> None:
    rules = [match(rule=f"rule {n} " + "x" * 300, reasons=("y" * 250,)) for n in range(40)]
    message = compose(rules, conversation(), link=None, limit=1000)
    assert len(message.title) <= TITLE_LIMIT
    assert len(message.body) <= 1000
    assert "and 30 more rules" in compose(rules, conversation(), link=None, limit=ROOMY).body
    assert "and 1 more rule\n" in compose(rules[:11], conversation(), link=None, limit=ROOMY).body


def test_a_channel_without_titles_counts_the_title() -> None:
    message = compose([match()], conversation(), link=None, limit=160, title_in_body=True)
    assert len(f"{message.title}\r\n{message.body}") <= 160
    assert message.title.startswith("[warning] unhappy caller - ")
    assert message.body.startswith("unhappy caller: average -0.52, negative at -0.33 and below")


@pytest.mark.parametrize(
    "name", ["call.wav", "x" * 255, "", "\x1b\u202e", "a\nb\r\nc.wav", "@everyone <b>.wav"]
)
def test_a_title_is_one_short_line_with_severity_rule_and_recording(name: str) -> None:
    title = compose([match()], conversation(name=name), link=None, limit=ROOMY).title
    assert title.startswith("[warning] unhappy caller - ")
    assert len(title) <= TITLE_LIMIT
    assert title.isprintable() or ZERO_WIDTH in title
    assert "\n" not in title
    assert "@everyone" not in title
    assert len(title) > len("[warning] unhappy caller - ")


def test_a_title_has_no_word_of_the_transcript() -> None:
    secret = analysis(transcript="zanzibar", summary="zanzibar", sentiments=[passage("zanzibar")])
    assert "zanzibar" not in compose([match()], conversation(secret), link=None, limit=ROOMY).title


def assert_harmless(text: str) -> None:
    assert not re.search(r"@\w", text)
    assert not set("<>`*") & set(text)
    assert "://" not in text
    assert not re.search(r"\][(\[:]", text)
    assert not re.search(r"([_|\\])\1|~", text)
    assert not re.search(r"(?<!\w)_\w.*\w_(?!\w)", text)
    assert not re.search(r"www\.\w", text, re.IGNORECASE)
    assert not re.search(r"evil\.(example|mov\b)", text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    text.encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_one_harmless_line(text: str) -> None:
    assert_harmless(harmless(text))
    assert harmless(harmless(text)).replace(ZERO_WIDTH, "") == harmless(text).replace(ZERO_WIDTH, "")


def test_random_mixtures_of_hostile_text_are_harmless_whole_and_cut() -> None:
    chance = random.Random(7)
    for _ in range(2000):
        text = "".join(
            chance.choice(HOSTILE)[chance.randrange(9) :][: chance.randrange(1, 30)] for _ in range(6)
        )
        assert_harmless(harmless(text))
        assert_harmless(shorten(harmless(text), chance.randrange(1, 60)))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless_wherever_it_comes_from(text: str) -> None:
    told = conversation(
        analysis(summary=text, sentiments=[passage(text, speaker=text)], transcript="other"),
        name=text,
        path=f"/srv/{text}/x",
        folder=f"/srv/{text}",
        metadata={text: text},
        tags=(text,),
    )
    rules = [match(segments=(passage(text, speaker=text),))]
    message = compose(rules, told, link=None, limit=ROOMY)
    assert_harmless(message.title)
    for line in message.body.split("\n"):
        assert_harmless(line)
    lines = [line for line in message.body.splitlines() if line]
    assert len(lines) == 7, "reason, quote, summary, three lines of facts and the path"
    assert message.body.splitlines() == message.body.split("\n")


def test_ordinary_text_stays_as_it_is() -> None:
    for text in (
        "It's 5 & 6, isn't it? Yes (50 %): Zoë said “no” — twice!",
        "call_2026-03-01_agent.wav",
        "/srv/_incoming/a_b.wav",
        "2026.call.of.ann.wav and b.MP3",
        "2026.03.01 call.mp3",
        "1.5 of 2.0 e.g. this",
        "/srv/recordings/a_b/c.flac",
        "東京の電話 مرحبا",
    ):
        assert harmless(text) == text


def test_long_text_is_made_harmless_in_no_time() -> None:
    started = time.process_time()
    for piece in ("_a ", "_", "a_ ", "a.b ", "a.", "](", "@", "www.", "\\", "a.wav", "-"):
        harmless(piece * (50_000 // len(piece)))
    assert time.process_time() - started < 5


def test_our_own_link_stays_a_link() -> None:
    body = compose([match()], conversation(), link="https://host/r/{id}?x={y}", limit=ROOMY).body
    assert body.endswith("https://host/r/7?x={y}")


def test_the_address_of_a_hosted_recording_is_shown_without_what_gives_access_to_it() -> None:
    assert "signature" not in body_of(path="https://bucket.example/a.wav?signature=abc", folder=None)


def test_text_is_cut_at_sentences_or_words() -> None:
    assert shorten("One two. Three four five.", 19) == "One two. Three…"
    assert shorten("One two. Three four five.", 20) == "One two. Three four…"
    assert shorten("One two three. Four five six.", 20) == "One two three. …"
    assert shorten("abcdefghijkl", 5) == "abcd…"
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 0) == ""
    assert shorten_front("/srv/recordings/a.wav", 8) == "…s/a.wav"
    for limit in range(1, 90):
        assert len(shorten(LONG, limit)) <= limit


def test_the_sample_says_that_it_is_a_test() -> None:
    for limit in (160, 1000, ROOMY):
        sample = sample_message(limit=limit, title_in_body=limit == 160)
        assert sample.title.startswith("[info] test alert")
        assert len(sample.body) <= limit
    assert "No such conversation took place." in sample_message(limit=1000).body


@pytest.mark.parametrize(
    ("url", "limit"),
    [
        ("json://127.0.0.1/x", ROOMY),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", ROOMY),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/", 2000),
        ("workflows://example.com/abc/def", 1000),
        ("pagerduty://4174216298123456789012@1234567890123456789012", 1024),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", ROOMY),
        ("voipms://pw:user@example.com/15551234567/15557654321", 160),
    ],
)
def test_limits_are_those_of_the_service(url: str, limit: int) -> None:
    service = open_service(url)
    assert service is not None
    assert limit_of(service)[0] == limit


TEAM = Target("team", 0, "json://127.0.0.1", ROOMY, False)
PHONE = Target("phone", 0, "sms://x", 160, True)
ALERTS = Alerts(
    rules=(
        UNHAPPY,
        Rule(
            name="worse",
            when=When(average_sentiment=("negative",)),
            severity="critical",
            notify=("team", "phone"),
        ),
    )
)


def drafts_for(targets: list[Target], about: Conversation) -> list[AlertDraft]:
    """The alerts that the rules ask for, before volume control."""
    wanted = wanted_alerts(ALERTS, targets, about, matches(ALERTS.rules, about), NOW)
    return [each.draft for each in wanted]


def test_rules_that_fire_make_one_draft_for_each_target() -> None:
    second = Target("team", 1, "json://127.0.0.1/2", 1000, False)
    other = Target("other", 0, "", 160, False)
    drafts = drafts_for([TEAM, second, PHONE, other], conversation())
    assert [(draft.destination, draft.target) for draft in drafts] == [("team", 0), ("team", 1), ("phone", 0)]
    assert drafts[0].rules == ("unhappy caller", "worse")
    assert drafts[0].severity == "critical"
    assert drafts[2].rules == ("worse",)
    assert {draft.state for draft in drafts} == {AlertState.PENDING}
    assert {draft.reason for draft in drafts} == {None}
    whole = f"{drafts[2].title}\r\n{drafts[2].body}\n\n{last_line(10**9, 7)}"
    assert len(whole) <= 160
    assert last_line_room(7) >= len(f"\n\n{last_line(10**9, 7)}")


def test_no_draft_without_a_rule_that_fires() -> None:
    assert drafts_for([TEAM], conversation(analysis(average="neutral"))) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"recorded_at": "2026-02-28T12:59:59.000Z"}, "age"),
        ({"recorded_at": "2026-02-28T13:00:00.000Z"}, None),
        ({"recorded_at": None, "modified_at": "2026-02-01T12:00:00.000Z"}, "age"),
        ({"recorded_at": "2026-03-01T12:00:00.000Z", "modified_at": "2020-01-01T00:00:00.000Z"}, None),
        ({"recorded_at": None, "modified_at": None}, None),
        ({"recorded_at": "2030-01-01T00:00:00.000Z"}, None),
        ({"quiet": True, "recorded_at": "2020-01-01T00:00:00.000Z"}, "quiet"),
    ],
)
def test_old_and_quiet_recordings_get_suppressed_alerts_with_the_reason(
    changes: dict[str, Any], reason: str | None
) -> None:
    (draft,) = drafts_for([TEAM], conversation(**changes))
    assert draft.reason == reason
    assert draft.state == (AlertState.SUPPRESSED if reason else AlertState.PENDING)
    assert draft.body
