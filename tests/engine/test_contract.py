"""The types of a reply's values: clients in typed languages take a value of another type for an error.

The table is what Deepgram's documented replies and its Go client's structures have in common: that client
takes a whole number for a float, but neither a text for a number nor nothing for a structure. Of the reply to
the sample complaint, with all that it can ask for, it reads 1,663 of 1,679 values as they are (version 3, May
2026, built with Go 1.19); the others are zeros, which it leaves out, and three that it does not know.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime")

from daemon.engine.embed import Embedder
from daemon.engine.query import Options
from daemon.engine.refusals import CORRUPT, NO_JSON, TOKEN_LIMIT, TOO_BUSY
from daemon.engine.reply import Recognizer, Upload, build_read_reply, build_reply
from daemon.engine.words import Heard
from tests.engine.spoken import conversation, spoken

DOCUMENTED = Path(__file__).parents[1] / "data" / "deepgram" / "full_diarized.json"
UPLOAD = Upload(
    request_id="5a5fee1d-87a0-4098-82d4-a320873b8b5f", sha256="00ff", created="2026-11-27T04:00:00.000Z"
)
RECOGNIZER = Recognizer(name="whisper-base", version="1", arch="whisper")
FEATURES = ("summarize", "topics", "intents", "sentiment")
NUMBER = (int, float)
SENTIMENT = {"sentiment": str, "sentiment_score": NUMBER}
WORD = {"word": str, "start": NUMBER, "end": NUMBER, "confidence": NUMBER, "punctuated_word": str}
WORD |= {"speaker": int, "speaker_confidence": NUMBER, **SENTIMENT}
SEGMENT = {"text": str, "start_word": int, "end_word": int}
SPAN = {"start": NUMBER, "end": NUMBER}
INFO = {"model_uuid": str, "input_tokens": int, "output_tokens": int}
INFOS = {f"{name}_info": INFO for name in ("summary", "topics", "intents", "sentiment")}
HIT = {"confidence": NUMBER, **SPAN, "snippet": str}
PARAGRAPH = {
    "sentences": [{"text": str, **SPAN, **SENTIMENT}],
    "speaker": int,
    "num_words": int,
    **SPAN,
    **SENTIMENT,
}
ALTERNATIVE = {
    "transcript": str,
    "confidence": NUMBER,
    "words": [WORD],
    "paragraphs": {"transcript": str, "paragraphs": [PARAGRAPH]},
}
UTTERANCE = {**SPAN, "confidence": NUMBER, "channel": int, "transcript": str, "words": [WORD]}
UTTERANCE |= {"speaker": int, "id": str, **SENTIMENT}
WARNINGS = [{"parameter": str, "type": str, "message": str}]
FOUND = {
    "topics": {"segments": [{**SEGMENT, "topics": [{"topic": str, "confidence_score": NUMBER}]}]},
    "intents": {"segments": [{**SEGMENT, "intents": [{"intent": str, "confidence_score": NUMBER}]}]},
    "sentiments": {"segments": [{**SEGMENT, **SENTIMENT}], "average": SENTIMENT},
}
ECHOED = {"tags": [str], "extra": {"*": str}, "warnings": WARNINGS}
LISTEN = {
    "metadata": {
        **dict.fromkeys(("transaction_key", "request_id", "sha256", "created"), str),
        "duration": NUMBER,
        "channels": int,
        "models": [str],
        "model_info": {"*": {"name": str, "version": str, "arch": str}},
        "diarize_info": {"model_uuid": str, "arch": str},
        **INFOS,
        **ECHOED,
    },
    "results": {
        "channels": [
            {
                "alternatives": [ALTERNATIVE],
                "detected_language": str,
                "language_confidence": NUMBER,
                "search": [{"query": str, "hits": [HIT]}],
            }
        ],
        "utterances": [UTTERANCE],
        "summary": {"result": str, "short": str},
        **FOUND,
    },
}
READ = {
    "metadata": {"request_id": str, "created": str, "language": str, **INFOS, **ECHOED},
    "results": {"summary": {"text": str}, **FOUND},
}
# Values that a reply has only where something was asked for or found.
OPTIONAL = {"tags", "extra", "warnings", "utterances", "search", "paragraphs", "speaker", *SENTIMENT}
OPTIONAL |= {"diarize_info", "speaker_confidence", "detected_language", "language_confidence"}


def misfits(value: Any, expected: Any, path: str = "") -> list[str]:
    """The paths at which a value is of another type than the table says, or is missing, or unknown to it."""
    if isinstance(expected, list):
        if not isinstance(value, list):
            return [f"{path}: no list"]
        return [each for at, item in enumerate(value) for each in misfits(item, expected[0], f"{path}[{at}]")]
    if not isinstance(expected, dict):
        fits = isinstance(value, expected) and not isinstance(value, bool)
        return [] if fits else [f"{path}: {value!r}"]
    if not isinstance(value, dict):
        return [f"{path}: no structure"]
    if "*" in expected:
        return [each for key in value for each in misfits(value[key], expected["*"], f"{path}.{key}")]
    missing = [f"{path}.{key}: missing" for key in expected.keys() - value.keys() - OPTIONAL]
    unknown = [f"{path}.{key}: unknown" for key in value.keys() - expected.keys()]
    inside = [misfits(value[key], expected[key], f"{path}.{key}") for key in value.keys() & expected.keys()]
    return [*missing, *unknown, *(each for found in inside for each in found)]


def reply_to(heard: Heard, embedder: Embedder, **options: Any) -> dict[str, Any]:
    return build_reply(
        UPLOAD,
        Options(features=FEATURES, **options),
        [heard],
        duration_seconds=42,
        recognizer=RECOGNIZER,
        embedder=lambda: embedder,
    )


def test_a_reply_with_everything_in_it_has_the_types_that_clients_decode_into(embedder: Embedder) -> None:
    heard = conversation("It is late. I want my money back.", "I am sorry. The parcel was shipped on Monday.")
    reply = reply_to(
        heard,
        embedder,
        custom_intents=("request refund",),
        custom_topics=("delivery",),
        paragraphs=True,
        utterances=True,
        search=("money",),
        tags=("support",),
        extra=("job:7",),
        unsupported=("redact",),
        language=None,
    )
    assert misfits(reply, LISTEN) == []
    everything = str(reply)
    assert [name for name in OPTIONAL if f"'{name}'" not in everything] == ["speaker_confidence"]


def test_the_table_fits_what_deepgram_itself_replies() -> None:
    assert misfits(json.loads(DOCUMENTED.read_text("utf-8")), LISTEN) == []


def test_deepgrams_own_client_takes_the_reply(embedder: Embedder) -> None:
    types = pytest.importorskip("deepgram.types")
    for heard in (Heard(words=spoken("It is late. Thank you.")), Heard(words=[])):
        types.ListenV1Response.model_validate(reply_to(heard, embedder, utterances=True, paragraphs=True))


def test_a_reply_without_a_name_to_look_for_has_them_too(embedder: Embedder) -> None:
    assert misfits(reply_to(Heard(words=spoken("It is late.")), embedder), LISTEN) == []


@pytest.mark.parametrize(
    ("heard", "sections"),
    [
        (Heard(words=[]), set()),
        (Heard(words=spoken("It is late.", confidence=0.1)), set()),
        (Heard(words=spoken("Es ist spät."), language="de"), {"summary"}),
    ],
    ids=["silence", "unreliable", "German"],
)
def test_what_is_not_analyzed_lacks_its_sections_and_nothing_else(
    embedder: Embedder, heard: Heard, sections: set[str]
) -> None:
    reply = reply_to(heard, embedder)
    lacking = {"summary", *FOUND} - sections
    assert set(misfits(reply, LISTEN)) == {f".results.{name}: missing" for name in lacking}


def test_an_analyzed_text_has_the_types_of_read(embedder: Embedder) -> None:
    reply = build_read_reply(UPLOAD, Options(features=FEATURES), "It is late.", embedder=lambda: embedder)
    assert misfits(reply, READ) == []


def test_refusals_that_a_client_reads_are_of_status_400_and_say_what_is_wrong() -> None:
    for refusal in (CORRUPT, NO_JSON, TOKEN_LIMIT):
        assert refusal.status == 400
        assert refusal.code
        assert len(refusal.message) > 20
    assert (TOO_BUSY.status, TOO_BUSY.code) == (429, "TOO_MANY_REQUESTS")
