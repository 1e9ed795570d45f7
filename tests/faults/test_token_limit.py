"""Recordings whose transcript is over the API's token limit, with the real process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness import Conversation, Script, ScriptedApi, answer, refuse, reply, running, wav
from tests.servers import wait_until

SECTIONS = ("sentiments", "topics", "intents", "summary")


def limited(most_words: int, *, on_read: Script | None = None) -> Script:
    """An API that analyzes at most so many words in one request; `on_read` may misbehave instead."""

    def script(conversation: Conversation) -> None:
        call = conversation.call
        if call.path == "/v1/listen":
            if "sentiment" in call.parameters:
                refuse("e400_tokens")(conversation)
                return
            content = reply(name="full_diarized")
            for section in SECTIONS:
                content["results"].pop(section, None)
            conversation.reply(200, content)
            return
        words = json.loads(call.text)["text"].split()
        if len(words) > most_words:
            refuse("e400_tokens")(conversation)
        elif on_read:
            on_read(conversation)
        else:
            conversation.reply(200, analyzed(words))

    return script


def analyzed(words: list[str]) -> dict[str, object]:
    segment = {"text": " ".join(words), "start_word": 0, "end_word": len(words) - 1}
    score = -0.9 if words[0] == "Parker" else -0.1
    return {
        "metadata": {"request_id": "part"},
        "results": {
            "summary": {"text": f"{words[0]} speaks."},
            "sentiments": {
                "segments": [segment | {"sentiment": "negative", "sentiment_score": score}],
                "average": {"sentiment": "negative", "sentiment_score": score},
            },
            "topics": {"segments": []},
            "intents": {"segments": [segment | {"intents": [{"intent": "I", "confidence_score": 0.5}]}]},
        },
    }


def test_a_transcript_over_the_token_limit_is_analyzed_in_parts_and_merged(tmp_path: Path) -> None:
    with ScriptedApi(limited(30)) as api, running(tmp_path, api) as service:
        service.drop("long.wav")
        service.wait_states(done=1)

        row = service.rows("SELECT * FROM recordings")[0]
        sentiments = service.rows("SELECT * FROM sentiments ORDER BY position")
    assert [(s["start_word"], s["end_word"]) for s in sentiments] == [(0, 23), (24, 29), (30, 52)]
    assert [s["start_seconds"] for s in sentiments] == [1.04, 8.16, 9.92]
    assert row["average_sentiment_score"] == pytest.approx((-0.9 * 24 + -0.1 * 29) / 53)
    assert row["summary"] == "Parker speaks. Oh, speaks. I speaks."
    assert row["not_analyzed"] == "{}"
    assert row["transcript"].startswith("Parker Scarves.")


def test_the_audio_is_sent_once_more_only_and_then_without_the_features(tmp_path: Path) -> None:
    with ScriptedApi(limited(1000)) as api, running(tmp_path, api) as service:
        service.drop("long.wav")
        service.wait_states(done=1)

        listens = [call for call in api.calls if call.path == "/v1/listen"]
        reads = [call for call in api.calls if call.path == "/v1/read"]
    assert [("sentiment" in call.parameters) for call in listens] == [True, False]
    assert [call.parameters["summarize"] for call in reads] == [["true"]]
    assert reads[0].parameters["language"] == ["en"]


def test_an_outage_between_the_parts_asks_only_for_those_that_are_missing(tmp_path: Path) -> None:
    with ScriptedApi(limited(30)) as api, running(tmp_path, api) as service:
        broken = limited(30, on_read=refuse("e503"))

        def after_the_first_part(conversation: Conversation) -> None:
            done = [call for call in api.calls if call.path == "/v1/read" and call.answered == 200]
            tried = [call for call in api.calls if call.path == "/v1/read" and call.answered == 503]
            (broken if len(done) == 1 and not tried else limited(30))(conversation)

        api.script = after_the_first_part
        service.drop("long.wav")
        service.wait_states(done=1)

        sent = [json.loads(call.text)["text"][:6] for call in api.calls if call.answered == 200 and call.text]
        assert service.rows("SELECT average_sentiment AS label FROM recordings")[0]["label"] == "negative"
    assert sorted(sent) == sorted(set(sent)), "no part was analyzed twice"


def test_parts_that_are_refused_are_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    def others_refused(conversation: Conversation) -> None:
        words = json.loads(conversation.call.text)["text"].split()
        if words[0] == "Parker":
            conversation.reply(200, analyzed(words))
        else:
            conversation.reply(400, {"err_code": "Bad Request", "err_msg": "no"})

    with ScriptedApi(limited(30, on_read=others_refused)) as api, running(tmp_path, api) as service:
        service.drop("long.wav")
        service.wait_states(done=1)

        row = service.rows("SELECT * FROM recordings")[0]
    # The transcription and one part: what was refused is not billed.
    assert (row["attempts"], row["possibly_billed"]) == (6, 2)
    assert json.loads(row["not_analyzed"]) == dict.fromkeys(
        ("summary", "sentiment", "topics", "intents"), "2 of 3 parts"
    )
    assert row["summary"] == "Parker speaks."


def test_a_crash_between_the_parts_loses_none_and_pays_for_none_twice(tmp_path: Path) -> None:
    hold = limited(30, on_read=lambda conversation: conversation.hang())

    with ScriptedApi(limited(30)) as api, running(tmp_path, api) as service:

        def hang_at_the_second(conversation: Conversation) -> None:
            done = [call for call in api.calls if call.path == "/v1/read" and call.answered == 200]
            (hold if done else limited(30))(conversation)

        api.script = hang_at_the_second
        service.drop("long.wav")
        # The whole, which is refused, then the parts one after the other: that the second is asked for says
        # that the first is committed.
        wait_until(lambda: len([c for c in api.calls if c.path == "/v1/read"]) == 3, what="a second part")
        service.kill()
        api.script = limited(30)
        service.start()
        service.wait_states(done=1)

        texts = [json.loads(c.text)["text"][:6] for c in api.calls if c.answered == 200 and c.text]
        listens = [call for call in api.calls if call.path == "/v1/listen" and call.answered == 200]
    assert sorted(texts) == ["I got ", "Oh, I ", "Parker"]
    assert len(listens) == 1


def test_audio_is_not_sent_again_for_smaller_parts_of_a_transcript_that_is_not_there(tmp_path: Path) -> None:
    with ScriptedApi(refuse("e400_tokens")) as api, running(tmp_path, api) as service:
        service.drop("long.wav")
        service.wait_states(failed=1)
        assert service.rows("SELECT error_code FROM recordings") == [{"error_code": "too_long"}]
    assert len(api.calls) == 2


def test_transcript_is_kept_where_its_analysis_is_refused_to_the_last(tmp_path: Path) -> None:
    """It was paid for: neither a part that stays too long nor an endpoint without /v1/read loses it."""
    with ScriptedApi(limited(0)) as api, running(tmp_path, api) as service:
        service.drop("long.wav")
        service.wait_states(done=1)
        row = service.rows("SELECT transcript, average_sentiment, not_analyzed FROM recordings")[0]
        assert row["transcript"].startswith("Parker Scarves.")
        assert row["average_sentiment"] is None
        assert json.loads(row["not_analyzed"]).keys() == {"summary", "sentiment", "topics", "intents"}


def test_endpoint_that_has_no_analysis_of_texts_holds_up_no_other_recording(tmp_path: Path) -> None:
    long = wav("long.wav")

    def script(conversation: Conversation) -> None:
        call = conversation.call
        if call.path == "/v1/listen" and call.size != len(long) + 2:
            conversation.reply()
        else:
            limited(1000, on_read=answer(404, b"not found"))(conversation)

    with ScriptedApi(script) as api, running(tmp_path, api, analyzer={"probe": "0.3s"}) as service:
        service.drop("long.wav", long + b"\0\0")
        service.wait_row("SELECT 1 FROM pauses")
        service.drop("short.wav")
        service.wait_states(done=2)
        assert service.rows("SELECT * FROM pauses") == []
        row = service.rows("SELECT * FROM recordings WHERE name = 'long.wav'")[0]
        assert row["transcript"].startswith("Parker Scarves.")
        assert row["average_sentiment"] is None
