"""Deepgram's guide in Python, against the engine at $ENGINE: prints what the client understood, as JSON."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment

BASE = os.environ["ENGINE"]
KEY = os.environ["KEY"]
RECORDING = os.environ["RECORDING"]
URL = os.environ["RECORDING_URL"]
TEXT = os.environ["TEXT"]
ENVIRONMENT = DeepgramClientEnvironment(
    base=BASE, production=BASE.replace("http", "ws"), agent=BASE.replace("http", "ws"), agent_rest=BASE
)
FEATURES: dict[str, Any] = {"topics": True, "intents": True, "sentiment": True}
OPTIONS: dict[str, Any] = {"model": "nova-3", "smart_format": True, "summarize": "v2", "utterances": True}
OPTIONS |= {"punctuate": True, "diarize": True, "paragraphs": True, "search": "account", "tag": ["guide"]}
OPTIONS |= {"custom_intent": ["cancel subscription"], "custom_intent_mode": "strict"}
OPTIONS |= {"custom_topic": ["billing"], "custom_topic_mode": "strict"}
# By default it waits for 60 s, in which a small machine does not get through a long recording.
PATIENCE_SECONDS = 600
# The client asks up to three times where it gets 429 or 5xx; here each request is one.
ONCE: dict[str, Any] = {"max_retries": 0}


def heard(response: Any) -> dict[str, Any]:
    """What programs take out of a reply, by the client's own attributes."""
    results, metadata = response.results, response.metadata
    best = results.channels[0].alternatives[0]
    return {
        "type": type(response).__name__,
        "request_id": metadata.request_id,
        "duration": metadata.duration,
        "models": metadata.models,
        "transcript": best.transcript,
        "words": len(best.words),
        "speaker": best.words[0].speaker,
        "paragraphs": len(best.paragraphs.paragraphs),
        "utterances": len(results.utterances),
        "summary": results.summary.short,
        "sentiment": results.sentiments.average.sentiment,
        "score": results.sentiments.average.sentiment_score,
        "passages": len(results.sentiments.segments),
        "topics": [topic.topic for each in results.topics.segments for topic in each.topics],
        "intents": [intent.intent for each in results.intents.segments for intent in each.intents],
        "infos": [
            getattr(metadata, f"{name}_info").model_uuid
            for name in ("summary", "sentiment", "topics", "intents")
        ],
    }


def read(response: Any) -> dict[str, Any]:
    """What programs take out of an analyzed text."""
    results = response.model_dump()["results"]
    return {
        "type": type(response).__name__,
        "summary": bool(results["summary"]),
        "sentiment": response.results.sentiments.average.sentiment,
        "topics": len(response.results.topics.segments),
        "intents": len(response.results.intents.segments),
    }


def refused(ask: Callable[[], Any]) -> dict[str, Any]:
    try:
        ask()
    except ApiError as error:
        headers = {name.lower() for name in error.headers or {}}
        return {"type": type(error).__name__, "status": error.status_code, "body": error.body} | {
            "id": "dg-request-id" in headers
        }
    raise AssertionError("not refused")


async def heard_async(body: bytes) -> dict[str, Any]:
    client = AsyncDeepgramClient(api_key=KEY, environment=ENVIRONMENT, timeout=PATIENCE_SECONDS)
    return heard(await client.listen.v1.media.transcribe_file(request=body, **OPTIONS, **FEATURES))


def main() -> None:
    json.dump(asked(), sys.stdout)


def asked() -> dict[str, Any]:
    client = DeepgramClient(api_key=KEY, environment=ENVIRONMENT, timeout=PATIENCE_SECONDS)
    media, text = client.listen.v1.media, client.read.v1.text
    body = Path(RECORDING).read_bytes()
    wrong = DeepgramClient(api_key="wrong", environment=ENVIRONMENT).listen.v1.media
    raw = media.with_raw_response.transcribe_file(request=iter([body[:9000], body[9000:]]), model="nova-3")
    return {
        "file": heard(media.transcribe_file(request=body, **OPTIONS, **FEATURES)),
        "async": asyncio.run(heard_async(body)),
        "url": heard(media.transcribe_url(url=URL, **OPTIONS, **FEATURES)),
        "chunks": {"header": "dg-request-id" in raw.headers, "type": type(raw.data).__name__},
        "read": read(text.analyze(request={"text": TEXT}, language="en", summarize=True, **FEATURES)),
        "read_url": read(
            text.analyze(request={"url": f"{URL}.txt"}, language="en", summarize=True, **FEATURES)
        ),
        "wrong_key": refused(lambda: wrong.transcribe_file(request=body, request_options=ONCE)),
        "no_audio": refused(lambda: media.transcribe_file(request=b"no audio", request_options=ONCE)),
        "foreign_url": refused(
            lambda: media.transcribe_url(url="http://example.org/a.wav", request_options=ONCE)
        ),
        "no_language": refused(
            lambda: media.transcribe_file(request=body, language="xx", request_options=ONCE)
        ),
        "read_nothing": refused(
            lambda: text.analyze(request={"text": TEXT}, language="de", request_options=ONCE)
        ),
    }


main()
