"""Replies in Deepgram's shape, with all that its own samples show."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("onnxruntime")

from daemon.engine.embed import Embedder
from daemon.engine.query import Options
from daemon.engine.reply import Recognizer, Upload, build_read_reply, build_reply
from daemon.engine.words import Heard
from tests.engine.spoken import conversation, spoken

UPLOAD = Upload(request_id="5a5f", sha256="00ff", created="2026-11-27T04:00:00.000Z")
RECOGNIZER = Recognizer(name="whisper-base", version="1", arch="whisper")
ALL = ("summarize", "topics", "intents", "sentiment")
CUSTOM: dict[str, Any] = {
    "custom_intents": ("request refund",),
    "custom_intents_strict": True,
    "custom_topics": ("delivery",),
    "custom_topics_strict": True,
}
TURNS = (
    "Parker Scarves. How may I help you?",
    "I bought a scarf online for my wife, and it turns out that they shipped the wrong color. That is awful.",
    "Oh, I am so sorry, sir.",
    "It is her birthday tonight. The parcel was delivered a week late. I am really angry. I want a refund.",
    "I will put the money back on your card. Thank you for calling, and have a wonderful day.",
)
# Of the typed structures that Deepgram's Go client decodes into: another type there is an error or a panic.
INFO = {"model_uuid": str, "input_tokens": int, "output_tokens": int}


def never() -> Embedder:
    raise AssertionError("nothing is to be analyzed")


def reply_to(*channels: Heard, embedder: Any = never, **options: Any) -> dict[str, Any]:
    return build_reply(
        UPLOAD,
        Options(**options),
        channels,
        duration_seconds=42.5,
        recognizer=RECOGNIZER,
        embedder=embedder,
    )


@pytest.fixture(scope="module")
def call(embedder: Embedder) -> dict[str, Any]:
    """The reply to a conversation of two people, everything asked for."""
    return reply_to(
        conversation(*TURNS),
        embedder=lambda: embedder,
        features=ALL,
        paragraphs=True,
        utterances=True,
        **CUSTOM,
    )


def words_of(reply: dict[str, Any]) -> list[dict[str, Any]]:
    words: list[dict[str, Any]] = reply["results"]["channels"][0]["alternatives"][0]["words"]
    return words


def test_each_feature_says_which_model_read_and_wrote_how_much(call: dict[str, Any]) -> None:
    metadata = call["metadata"]
    for name in ("summary_info", "topics_info", "intents_info", "sentiment_info"):
        assert {key: type(value) for key, value in metadata[name].items()} == INFO
        assert metadata[name]["model_uuid"] in metadata["model_info"]
        assert 0 < metadata[name]["output_tokens"] <= metadata[name]["input_tokens"]
    names = [each["name"] for each in metadata["model_info"].values()]
    assert "key sentences, as they were spoken" in names
    assert list(metadata["model_info"]) == metadata["models"]
    assert all(set(each) == {"name", "version", "arch"} for each in metadata["model_info"].values())
    assert "warnings" not in metadata


def test_every_word_sentence_paragraph_and_utterance_has_its_sentiment(call: dict[str, Any]) -> None:
    scores = {}
    for segment in call["results"]["sentiments"]["segments"]:
        for word in words_of(call)[segment["start_word"] : segment["end_word"] + 1]:
            assert (word["sentiment"], word["sentiment_score"]) == (
                segment["sentiment"],
                segment["sentiment_score"],
            )
        scores[segment["text"]] = segment["sentiment_score"]
    paragraphs = call["results"]["channels"][0]["alternatives"][0]["paragraphs"]["paragraphs"]
    for paragraph in paragraphs:
        inner = [sentence["sentiment_score"] for sentence in paragraph["sentences"]]
        assert inner == [scores[sentence["text"]] for sentence in paragraph["sentences"]]
        assert min(inner) <= paragraph["sentiment_score"] <= max(inner)
        assert paragraph["sentiment"] in ("negative", "neutral", "positive")
    utterances = call["results"]["utterances"]
    assert [u["sentiment"] for u in utterances][1] == "negative"
    assert all(isinstance(u["sentiment_score"], float) for u in utterances)
    assert utterances[1]["words"][0]["sentiment_score"] == utterances[1]["words"][3]["sentiment_score"]


def test_segments_are_their_words_by_inclusive_index(call: dict[str, Any]) -> None:
    words = words_of(call)
    for section in ("sentiments", "intents", "topics"):
        segments = call["results"][section]["segments"]
        assert segments
        for segment in segments:
            said = words[segment["start_word"] : segment["end_word"] + 1]
            assert " ".join(word["punctuated_word"] for word in said) == segment["text"]
    assert [i["intent"] for s in call["results"]["intents"]["segments"] for i in s["intents"]] == [
        "request refund"
    ]


def test_speakers_are_told_apart_in_words_paragraphs_and_utterances(call: dict[str, Any]) -> None:
    assert {word["speaker"] for word in words_of(call)} == {0, 1}
    assert [utterance["speaker"] for utterance in call["results"]["utterances"]] == [0, 1, 0, 1, 0]
    paragraphs = call["results"]["channels"][0]["alternatives"][0]["paragraphs"]
    assert [p["speaker"] for p in paragraphs["paragraphs"]] == [0, 1, 0, 1, 0]
    assert paragraphs["transcript"].startswith(
        "\nSpeaker 0: Parker Scarves. How may I help you?\n\nSpeaker 1: "
    )
    assert sum(p["num_words"] for p in paragraphs["paragraphs"]) == len(words_of(call))


def test_only_what_was_asked_for_is_in_the_reply() -> None:
    reply = reply_to(Heard(words=spoken("It is late. Good night.")))
    assert set(reply["results"]) == {"channels"}
    assert not [name for name in reply["metadata"] if name.endswith("_info") and name != "model_info"]
    assert set(words_of(reply)[0]) == {"word", "start", "end", "confidence", "punctuated_word"}


def test_intents_and_topics_without_a_name_to_look_for_are_empty_and_that_is_said(embedder: Embedder) -> None:
    heard = Heard(words=spoken(TURNS[1]))
    reply = reply_to(heard, embedder=lambda: embedder, features=("topics", "intents"))
    assert reply["results"]["topics"] == reply["results"]["intents"] == {"segments": []}
    assert [(w["parameter"], w["type"]) for w in reply["metadata"]["warnings"]] == [
        ("topics", "no_labels"),
        ("intents", "no_labels"),
    ]


def test_who_asks_for_more_than_the_named_ones_is_told_that_there_are_no_others(embedder: Embedder) -> None:
    heard = Heard(words=spoken("I want my money back."))
    options = {"features": ("intents",), "custom_intents": ("request refund",)}
    reply = reply_to(heard, embedder=lambda: embedder, **options)
    assert len(reply["results"]["intents"]["segments"]) == 1
    assert [(w["parameter"], w["type"]) for w in reply["metadata"]["warnings"]] == [
        ("custom_intent_mode", "unsupported_parameter")
    ]


def test_that_speakers_are_not_told_apart_within_a_channel_is_warned_of() -> None:
    channels = [Heard(words=spoken("Hello there.")), Heard(words=spoken("Good morning."))]
    metadata = reply_to(*channels, multichannel=True, diarize=True)["metadata"]
    assert [(w["parameter"], w["type"]) for w in metadata["warnings"]] == [
        ("diarize", "unsupported_parameter")
    ]
    assert "warnings" not in reply_to(channels[0], diarize=True)["metadata"]


def test_examples_of_the_configuration_count(embedder: Embedder) -> None:
    reply = build_reply(
        UPLOAD,
        Options(features=("intents",), custom_intents=("cancel subscription",)),
        [Heard(words=spoken("Then please close my account."))],
        duration_seconds=1.0,
        recognizer=RECOGNIZER,
        examples={"cancel subscription": ["please close my account"]},
        embedder=lambda: embedder,
    )
    assert [s["text"] for s in reply["results"]["intents"]["segments"]] == ["Then please close my account."]


def test_a_short_recordings_summary_is_its_transcript_and_took_no_token(embedder: Embedder) -> None:
    reply = reply_to(
        Heard(words=spoken("Call me back. Bye.")), embedder=lambda: embedder, features=("summarize",)
    )
    assert reply["results"]["summary"] == {"result": "success", "short": "Call me back. Bye."}
    info = reply["metadata"]["summary_info"]
    assert (info["input_tokens"], info["output_tokens"]) == (0, 0)


def test_silence_has_no_words_and_no_intelligence_but_the_infos_of_what_was_asked_for() -> None:
    reply = reply_to(Heard(words=[]), features=ALL, utterances=True, paragraphs=True)
    alternative = reply["results"]["channels"][0]["alternatives"][0]
    assert alternative == {"transcript": "", "confidence": 0.0, "words": []}
    assert reply["results"]["utterances"] == []
    assert set(reply["results"]) == {"channels", "utterances"}
    assert reply["metadata"]["sentiment_info"]["input_tokens"] == 0
    assert "warnings" not in reply["metadata"]


def test_an_unreliable_transcript_comes_with_warnings_and_without_intelligence() -> None:
    reply = reply_to(Heard(words=spoken(TURNS[1], confidence=0.3)), features=ALL)
    assert set(reply["results"]) == {"channels"}
    warnings = reply["metadata"]["warnings"]
    assert [(w["parameter"], w["type"]) for w in warnings] == [(name, "low_confidence") for name in ALL]
    assert words_of(reply)[0].keys() == {"word", "start", "end", "confidence", "punctuated_word"}


def test_a_transcript_that_repeats_itself_is_not_relied_on_however_sure_its_words_are() -> None:
    reply = reply_to(Heard(words=spoken(TURNS[1]), looping_share=0.5), features=("sentiment",))
    assert set(reply["results"]) == {"channels"}
    (warning,) = reply["metadata"]["warnings"]
    assert warning["type"] == "low_confidence"
    assert "50% of the words repeat the same again and again" in warning["message"]


def test_another_language_is_transcribed_and_not_analyzed_as_deepgram_does() -> None:
    heard = Heard(words=spoken("Hola mundo."), language="es", language_confidence=0.97)
    reply = reply_to(heard, features=ALL, language=None)
    channel = reply["results"]["channels"][0]
    assert (channel["detected_language"], channel["language_confidence"]) == ("es", 0.97)
    warnings = reply["metadata"]["warnings"]
    assert [(w["parameter"], w["type"]) for w in warnings] == [(name, "unsupported_language") for name in ALL]
    assert reply["results"]["summary"]["result"] == "failure"
    assert "English" in reply["results"]["summary"]["short"]
    assert set(reply["results"]) == {"channels", "summary"}


def test_a_channel_of_silence_beside_one_that_speaks_stops_nothing(embedder: Embedder) -> None:
    channels = (Heard(words=spoken("It works. Thank you.")), Heard(words=[], language="ja"))
    reply = reply_to(*channels, embedder=lambda: embedder, features=("sentiment",))
    assert reply["metadata"]["channels"] == len(reply["results"]["channels"]) == 2
    assert len(reply["results"]["sentiments"]["segments"]) == 2


def test_search_tells_where_a_phrase_was_said() -> None:
    heard = Heard(words=spoken("We have a store in town. The store, I think, is open."))
    channel = reply_to(heard, search=("The Store", "refund", "..."))["results"]["channels"][0]
    assert [entry["query"] for entry in channel["search"]] == ["The Store", "refund", "..."]
    assert channel["search"][0]["hits"] == [
        {"confidence": 0.9, "start": 1.5, "end": 2.0, "snippet": "the store"}
    ]
    assert channel["search"][1]["hits"] == channel["search"][2]["hits"] == []


def test_a_written_text_is_analyzed_in_the_shape_of_read(embedder: Embedder) -> None:
    text = "\n".join(TURNS)
    reply = build_read_reply(UPLOAD, Options(features=ALL, **CUSTOM), text, embedder=lambda: embedder)
    results, metadata = reply["results"], reply["metadata"]
    assert set(results) == {"summary", "topics", "intents", "sentiments"}
    assert set(results["summary"]) == {"text"}
    words = text.split()
    for section in ("sentiments", "topics", "intents"):
        for segment in results[section]["segments"]:
            assert " ".join(words[segment["start_word"] : segment["end_word"] + 1]) == segment["text"]
    assert metadata.keys() >= {"request_id", "created", "language", "summary_info", "sentiment_info"}
    assert build_read_reply(UPLOAD, Options(features=ALL), " \n", embedder=never)["results"] == {}
