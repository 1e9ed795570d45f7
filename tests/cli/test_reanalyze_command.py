"""`earshot reanalyze`: the real command over what is stored, against a scripted API."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.models import iso
from tests import processes
from tests.cli.sites import KEY, Site, environment
from tests.harness import Conversation, ScriptedApi, sample
from tests.servers import wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]

REFUND = {"name": "refund", "when": {"intent": "ask for refund"}, "notify": ["team"]}
UNHAPPY = {"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
TRANSCRIPT = sample("full_diarized")["results"]["channels"][0]["alternatives"][0]["transcript"]


def read(conversation: Conversation) -> None:
    """Find a refund asked for in the first three words of any text."""
    segment = {"text": "Parker Scarves. How", "start_word": 0, "end_word": 2}
    results = {
        "summary": {"text": "A refund."},
        "sentiments": {
            "segments": [{**segment, "sentiment": "negative", "sentiment_score": -0.8}],
            "average": {"sentiment": "negative", "sentiment_score": -0.8},
        },
        "topics": {"segments": [{**segment, "topics": [{"topic": "scarves", "confidence_score": 0.9}]}]},
        "intents": {
            "segments": [{**segment, "intents": [{"intent": "ask for refund", "confidence_score": 0.7}]}]
        },
    }
    tokens = {"input_tokens": 100, "output_tokens": 10}
    conversation.reply(200, {"metadata": {"request_id": "read", "intents_info": tokens}, "results": results})


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(read) as server:
        yield server


@pytest.fixture
def filled(site: Site, api: ScriptedApi) -> Site:
    """Three recordings that are done, a copy of the first, and one that failed."""
    configure(site, api)
    for number in (1, 2, 3):
        add_done(site, number)
    site.add("recordings", id=4, state="duplicate", duplicate_of=1, metadata={"caller": "7"})
    site.add("recordings", id=5, state="failed")
    return site


def configure(site: Site, api: ScriptedApi, *rules: dict[str, Any], **more: Any) -> None:
    site.configure(
        analyzer={"base_url": api.url, "api_key": KEY, "concurrency": 2, "custom_intents": ["refund"]},
        alerts={
            "destinations": {"team": "json://127.0.0.1:9/"},
            "rules": list(rules),
            **more.pop("alerts", {}),
        },
        **more,
    )


def add_done(site: Site, number: int, **row: Any) -> None:
    known = {
        "id": number,
        "state": "done",
        "transcript": TRANSCRIPT,
        "summary": "Old.",
        "average_sentiment": "neutral",
        "average_sentiment_score": 0.1,
        "recorded_at": iso(datetime.now(UTC)),
        "estimated_cost_usd": 0.5,
        "analyzed_at": "2026-03-01T10:00:00.000Z",
        "language": "en",
    }
    site.add("recordings", **(known | row))
    old = {"recording_id": number, "position": 0, "text": "x", "intent": "old", "confidence_score": 0.1}
    site.add("intents", **old)
    body = zlib.compress(json.dumps(sample("full_diarized")).encode())
    site.sql(
        "INSERT INTO responses (recording_id, received_at, kind, body) VALUES (?, 'x', 'listen', ?)",
        number,
        body,
    )


def document(answer: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert answer.returncode == code, answer.stderr
    found = json.loads(answer.stdout)
    assert isinstance(found, dict)
    return found


def reads(api: ScriptedApi) -> int:
    return sum(call.path == "/v1/read" for call in api.calls)


# --text


def test_transcripts_get_what_the_present_settings_find_and_all_else_stays(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    before = filled.sql("SELECT * FROM recordings WHERE id = 1")[0]
    answer = run("reanalyze", "--text", "--yes", "--json")
    found = document(answer)
    assert answer.stderr == (
        "3 recordings, about 0.0003 USD by the price list (159 words); alerts are held back\n"
    )
    assert (found["recordings"], found["done"], found["failed"], found["held"]) == (3, 3, [], None)
    after = filled.sql("SELECT * FROM recordings WHERE id = 1")[0]
    changed = {column for column in after if after[column] != before[column]}
    assert changed == {
        *("summary", "average_sentiment", "average_sentiment_score"),
        *("estimated_cost_usd", "possibly_billed"),
    }
    (intent,) = filled.sql("SELECT * FROM intents WHERE recording_id = 1")
    assert (intent["intent"], intent["start_word"], intent["speaker"]) == ("ask for refund", 0, "speaker 0")
    # The times of the words of the stored reply.
    assert (intent["start_seconds"], intent["end_seconds"]) == (1.04, 2.48)
    assert api.calls[0].parameters["custom_intent"] == ["refund"]
    assert json.loads(api.calls[0].text) == {"text": TRANSCRIPT}


def test_only_tokens_are_paid_for_and_each_reply_is_a_cost(run: Run, filled: Site) -> None:
    document(run("reanalyze", "--text", "--yes", "--json"))
    costs = filled.sql("SELECT * FROM costs ORDER BY id")
    assert sorted(cost["recording_id"] for cost in costs) == [1, 2, 3]
    assert {(cost["seconds"], cost["input_tokens"], cost["output_tokens"]) for cost in costs} == {
        (0.0, 100, 10)
    }
    paid = costs[0]["usd"]
    assert 0.0 < paid < 0.001
    (row,) = filled.sql("SELECT estimated_cost_usd AS usd FROM recordings WHERE id = 1")
    assert row["usd"] == pytest.approx(0.5 + paid)
    assert filled.sql("SELECT DISTINCT outcome, costed FROM requests") == [
        {"outcome": "received", "costed": 1}
    ]


def test_what_has_the_present_settings_is_not_paid_for_again(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    assert document(run("reanalyze", "--text", "--yes", "--json"))["done"] == 3
    again = document(run("reanalyze", "--text", "--yes", "--json"))
    assert again["left_out"] == {"analyzed with the present settings already": 3}
    assert (again["recordings"], reads(api)) == (0, 3)
    assert document(run("reanalyze", "--text", "--anew", "--yes", "--json"))["done"] == 3
    filled.configure(
        analyzer={"base_url": api.url, "api_key": KEY, "custom_intents": ["another"]},
    )
    assert document(run("reanalyze", "--text", "--yes", "--json", "--where", "caller=7"))["done"] == 1
    assert reads(api) == 7


def test_without_a_yes_nothing_is_sent(run: Run, filled: Site, api: ScriptedApi) -> None:
    there = filled.watched / "call.wav"
    there.write_bytes(b"RIFF")
    filled.sql("UPDATE recordings SET source = ? WHERE id = 1", str(there).encode())
    for how in ("--text", "--audio", "--rules"):
        answer = run("reanalyze", how)
        assert answer.returncode == 1
        assert "without your word" in answer.stderr
    assert (api.calls, filled.sql("SELECT * FROM alerts")) == ([], [])
    assert filled.sql("SELECT count(*) AS n FROM recordings WHERE state = 'done'") == [{"n": 3}]
    assert run("reanalyze").returncode == 2
    assert run("reanalyze", "--text", "--audio").returncode == 2


def test_what_cannot_be_read_is_left_out_and_named(run: Run, filled: Site, api: ScriptedApi) -> None:
    add_done(filled, 6, transcript=None)
    add_done(filled, 7, language="de")
    answer = run("reanalyze", "--text", "--yes")
    assert answer.returncode == 0
    assert "; 1 left out, not in English; 1 left out, without a transcript;" in answer.stderr
    assert answer.stdout == "3 recordings analyzed again; 0 alerts to be sent\n"


def test_without_the_stored_reply_the_transcript_is_read_and_passages_have_no_times(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    filled.sql("DELETE FROM responses")
    add_done(filled, 6, transcript="agent: Hello there.\ncaller: Bye.", channels=2)
    filled.sql("DELETE FROM responses")
    assert document(run("reanalyze", "--text", "--yes", "--json"))["done"] == 4
    assert [call.text for call in api.calls if "Bye" in call.text] == ['{"text":"Hello there. Bye."}']
    (row,) = filled.sql("SELECT transcript, summary FROM recordings WHERE id = 6")
    assert row == {"transcript": "agent: Hello there.\ncaller: Bye.", "summary": "A refund."}
    assert filled.sql("SELECT DISTINCT start_seconds FROM intents") == [{"start_seconds": None}]


def test_warnings_of_the_old_reply_do_not_count_and_those_of_the_new_one_do(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    old = sample("full_diarized")
    old["metadata"]["warnings"] = [{"parameter": "intents", "type": "unsupported_language"}]
    filled.sql("UPDATE responses SET body = ?", zlib.compress(json.dumps(old).encode()))
    warning = {"parameter": "topics", "type": "unsupported_language"}
    api.script = lambda conversation: conversation.reply(
        200, {"metadata": {"warnings": [warning]}, "results": {"intents": {"segments": []}}}
    )
    assert document(run("reanalyze", "--text", "--yes", "--json", "--where", "caller=7"))["done"] == 1
    (row,) = filled.sql("SELECT not_analyzed FROM recordings WHERE id = 1")
    assert json.loads(row["not_analyzed"]) == {
        "topics": "language",
        "summary": "no result",
        "sentiment": "no result",
    }


def test_a_refused_transcript_keeps_its_result_and_the_others_go_on(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    api.then(lambda conversation: conversation.reply(400, {"err_code": "X", "err_msg": "no"}))
    found = document(run("reanalyze", "--text", "--yes", "--json"), 1)
    assert (found["done"], len(found["failed"]), found["held"]) == (2, 1, None)
    (kept,) = filled.sql("SELECT * FROM recordings WHERE summary = 'Old.' AND state = 'done'")
    assert kept["id"] == found["failed"][0]["id"]


@pytest.mark.parametrize("whole", [True, False], ids=["recording", "words"])
def test_what_is_erased_meanwhile_does_not_come_back_and_was_paid_for(
    run: Run, filled: Site, api: ScriptedApi, whole: bool
) -> None:
    def erase(conversation: Conversation) -> None:
        if whole:
            filled.sql("DELETE FROM recordings WHERE id = 1")
        else:
            filled.sql("UPDATE recordings SET transcript = NULL, summary = NULL WHERE id = 1")
            filled.sql("DELETE FROM responses WHERE recording_id = 1")
        read(conversation)

    api.then(erase)
    answer = run("reanalyze", "--text", "--yes", "--where", "caller=7")
    assert answer.returncode == 1
    assert "recording 1 not analyzed: it was deleted meanwhile" in answer.stderr
    assert filled.sql("SELECT 1 FROM responses WHERE recording_id = 1") == []
    assert filled.sql("SELECT 1 FROM recordings WHERE summary = 'A refund.'") == []
    assert filled.sql("SELECT recording_id FROM costs") == [{"recording_id": None if whole else 1}]
    assert filled.sql("SELECT 1 FROM requests WHERE outcome = 'reading'") == []


def test_an_endpoint_that_reads_no_texts_says_what_is_left(run: Run, filled: Site, api: ScriptedApi) -> None:
    api.script = lambda conversation: conversation.reply(404, b"not found")
    answer = run("reanalyze", "--text", "--yes")
    assert answer.returncode == 1
    assert "where it has no /v1/read, only --audio is left" in answer.stderr


def test_an_interrupt_stores_what_is_under_way_and_begins_nothing_more(
    filled: Site, api: ScriptedApi
) -> None:
    go_on = threading.Event()

    def until_told(conversation: Conversation) -> None:
        go_on.wait(60)
        read(conversation)

    api.script = until_told
    variables = environment(EARSHOT_CONFIG=str(filled.config))
    with processes.start(
        "reanalyze", "--text", "--yes", env=variables, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: reads(api) == 2, what="two requests")
        process.send_signal(signal.SIGINT)
        # It says nothing when it has heard it.
        threading.Timer(1.0, go_on.set).start()
        assert process.wait(60) == 130
    assert filled.sql("SELECT count(*) AS n FROM recordings WHERE summary = 'A refund.'") == [{"n": 2}]
    assert reads(api) == 2


def test_a_refused_key_ends_it_at_once_and_says_so(run: Run, filled: Site, api: ScriptedApi) -> None:
    api.script = lambda conversation: conversation.reply(401, {"err_code": "INVALID_AUTH", "err_msg": "no"})
    answer = run("reanalyze", "--text", "--yes")
    assert answer.returncode == 1
    assert "3 recordings left, because" in answer.stderr
    assert reads(api) <= 2
    assert filled.sql("SELECT * FROM costs") == []


def test_a_service_that_is_busy_is_asked_again(run: Run, filled: Site, api: ScriptedApi) -> None:
    api.then(*2 * [lambda conversation: conversation.reply(429, {}, {"Retry-After": "0"})])
    assert document(run("reanalyze", "--text", "--yes", "--json"))["done"] == 3


def test_a_limit_holds_it_and_it_goes_on_with_the_rest_later(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    configure(filled, api, limits={"recordings_per_day": 2})
    found = document(run("reanalyze", "--text", "--yes", "--json"), 1)
    assert (found["done"], found["left"]) == (2, 1)
    assert "2 of 2 used" in found["held"]
    assert run("retry").returncode == 0
    assert document(run("reanalyze", "--text", "--yes", "--json"))["done"] == 1
    assert reads(api) == 3


def test_a_long_transcript_is_read_in_parts_and_no_part_is_paid_for_twice(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    lost: list[Conversation] = []

    def limited(conversation: Conversation) -> None:
        words = json.loads(conversation.call.text)["text"].split()
        if len(words) > 30:
            conversation.reply(400, {"err_code": "TOKEN_LIMIT_EXCEEDED", "err_msg": "too long"})
        elif words[0] == "Oh," and not lost:
            lost.append(conversation)
            conversation.close()
        else:
            read(conversation)

    api.script = limited
    chosen = ("reanalyze", "--text", "--yes", "--json", "--where", "caller=7")
    first = document(run(*chosen), 1)
    assert [each["id"] for each in first["failed"]] == [1]
    assert filled.sql("SELECT summary FROM recordings WHERE id = 1") == [{"summary": "Old."}]
    assert document(run(*chosen))["done"] == 1
    sent = [json.loads(call.text)["text"][:6] for call in api.calls if call.answered == 200]
    assert sorted(sent) == ["I got ", "Oh, I ", "Parker"]
    assert [row["start_word"] for row in filled.sql("SELECT * FROM intents WHERE recording_id = 1")] == [
        *(0, 24, 30)
    ]
    # Three parts, and the reply that was lost.
    assert filled.sql("SELECT count(*) AS n FROM costs") == [{"n": 4}]


# --rules


def test_rules_hold_alerts_back_and_send_them_when_asked(run: Run, filled: Site, api: ScriptedApi) -> None:
    configure(filled, api, UNHAPPY)
    filled.sql("UPDATE recordings SET average_sentiment = 'negative' WHERE id IN (1, 2)")
    answer = run("reanalyze", "--rules", "--yes")
    assert answer.stderr == "3 recordings, free of charge; alerts are held back\n"
    assert answer.stdout == "3 recordings looked at; 0 alerts to be sent, 2 held back (reanalyzed 2)\n"
    held = filled.sql("SELECT id, recording_id, state, reason FROM alerts")
    assert [(row["recording_id"], row["state"], row["reason"]) for row in held] == [
        (1, "suppressed", "reanalyzed"),
        (2, "suppressed", "reanalyzed"),
    ]
    again = document(run("reanalyze", "--rules", "--yes", "--json"))
    assert (again["alerts"], api.calls) == ({}, [])
    assert filled.sql("SELECT id, recording_id, state, reason FROM alerts") == held
    sent = document(run("reanalyze", "--rules", "--alerts", "--yes", "--json"))
    assert sent["alerts"] == {"pending": 2}
    assert filled.sql("SELECT DISTINCT state, reason FROM alerts") == [{"state": "pending", "reason": None}]
    # Nobody is told twice.
    assert document(run("reanalyze", "--rules", "--alerts", "--yes", "--json"))["alerts"] == {}


def test_volume_control_and_age_hold_as_for_new_recordings(run: Run, filled: Site, api: ScriptedApi) -> None:
    configure(filled, api, {**UNHAPPY, "cooldown": "1h"})
    filled.sql("UPDATE recordings SET average_sentiment = 'negative'")
    filled.sql("UPDATE recordings SET recorded_at = '2020-01-01T00:00:00.000Z' WHERE id = 3")
    found = document(run("reanalyze", "--rules", "--alerts", "--yes", "--json"))
    assert found["alerts"] == {"pending": 1, "cooldown": 1, "age": 1}


def test_a_rule_that_is_new_is_told_of_beside_what_was_told_before(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    filled.sql("UPDATE recordings SET average_sentiment = 'negative' WHERE id = 1")
    filled.add("alerts", recording_id=1, state="sent", rules=["unhappy"])
    configure(filled, api, UNHAPPY, {"name": "scarf", "when": {"phrase": "scarf"}, "notify": ["team"]})
    found = document(run("reanalyze", "--rules", "--alerts", "--yes", "--json", "--where", "caller=7"))
    assert found["alerts"] == {"pending": 1}
    rows = filled.sql("SELECT rules, state FROM alerts ORDER BY id")
    assert rows == [
        {"rules": '["unhappy"]', "state": "sent"},
        {"rules": '["scarf"]', "state": "pending"},
    ]


def test_new_intents_fire_the_rules_about_them(run: Run, filled: Site, api: ScriptedApi) -> None:
    configure(filled, api, REFUND)
    found = document(run("reanalyze", "--text", "--alerts", "--yes", "--json"))
    assert found["alerts"] == {"pending": 3}
    assert api.calls[0].parameters["custom_intent"] == ["refund", "ask for refund"]


# --audio


def test_recordings_that_are_still_there_go_back_into_the_queue(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    there = filled.watched / "call.wav"
    there.write_bytes(b"RIFF")
    filled.sql("UPDATE recordings SET source = ? WHERE id = 1", str(there).encode())
    answer = run("reanalyze", "--audio", "--yes")
    assert answer.returncode == 0
    assert answer.stdout == "1 recording back in the queue; `earshot run` or `scan` analyzes them\n"
    assert "2 left out, no longer where they were; alerts are held back" in answer.stderr
    (row,) = filled.sql("SELECT * FROM recordings WHERE id = 1")
    assert (row["state"], row["again"], row["summary"]) == ("waiting", "quiet", "Old.")


def test_two_at_the_same_time_do_not_pay_twice(run: Run, filled: Site, api: ScriptedApi) -> None:
    go_on = threading.Event()

    def until_told(conversation: Conversation) -> None:
        go_on.wait(60)
        read(conversation)

    api.script = until_told
    answers: list[subprocess.CompletedProcess[str]] = []
    first = threading.Thread(target=lambda: answers.append(run("reanalyze", "--text", "--yes")))
    first.start()
    wait_until(lambda: reads(api) > 0, what="a request")
    second = run("reanalyze", "--text", "--yes")
    go_on.set()
    assert second.returncode == 1
    assert "another `earshot reanalyze --text` is working" in second.stderr
    first.join()
    assert answers[0].returncode == 0
    assert reads(api) == 3


def test_other_programs_hear_of_new_results_and_sidecars_are_written_anew(
    run: Run, filled: Site, api: ScriptedApi
) -> None:
    configure(filled, api, UNHAPPY)
    events = json.dumps(["done", "alert"])
    filled.sql("INSERT INTO webhook_targets (name, events, transcript) VALUES ('crm', ?, 0)", events)
    filled.sql(
        "INSERT INTO folders (path, configured_at, sidecars) VALUES (?, '', '[\"vtt\"]')", str(filled.watched)
    )
    chosen = ("--yes", "--where", "caller=7")
    assert run("reanalyze", "--rules", *chosen).returncode == 0
    assert filled.sql("SELECT event FROM webhooks") == []
    assert run("reanalyze", "--text", *chosen).returncode == 0
    (told,) = filled.sql("SELECT event, body FROM webhooks")
    assert told["event"] == "done"
    assert json.loads(told["body"])["data"]["summary"] == "A refund."
    assert filled.sql("SELECT recording_id, format, not_before FROM sidecars") == [
        {"recording_id": 1, "format": "vtt", "not_before": ""}
    ]
    assert run("reanalyze", "--rules", "--alerts", *chosen).returncode == 0
    assert [row["event"] for row in filled.sql("SELECT event FROM webhooks ORDER BY id")] == ["done", "alert"]
