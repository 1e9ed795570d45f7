"""Builds the reply of `/v1/listen` in Deepgram's shape from what was heard and asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from daemon.engine.intents import find_intents
from daemon.engine.query import Options
from daemon.engine.recognize import MODEL_NAME, MODEL_VERSION, Word, mean_confidence
from daemon.engine.sentences import Sentence, build_sentences, joined, punctuated, utterances
from daemon.engine.sentiment import find_sentiments
from daemon.engine.summary import summarize
from daemon.engine.topics import find_topics

# Over 21 measured recordings a mean confidence below .5 meant that most words were wrong (word error rate .59
# and more), from .57 up it was .41 and less. Sentiment and intents would be of words that nobody said.
MIN_CONFIDENCE = 0.5
SENTENCES_PER_PARAGRAPH = 5
MODEL_UUID = str(uuid5(NAMESPACE_URL, f"earshot:{MODEL_NAME}-{MODEL_VERSION}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What the server knows of a request: id, SHA-256 of the uploaded bytes, arrival (RFC 3339, UTC)."""

    request_id: str
    sha256: str
    created: str


def build_reply(
    upload: Upload, options: Options, channels: Sequence[Sequence[Word]], *, duration_seconds: float
) -> dict[str, Any]:
    """Put one recording's words (a list per channel) and their analysis into Deepgram's JSON."""
    sentences = [build_sentences(words, number) for number, words in enumerate(channels)]
    results: dict[str, Any] = {"channels": [{"alternatives": [_alternative(s, options)]} for s in sentences]}
    if options.utterances:
        results["utterances"] = _utterances(sentences, options.utterance_pause_seconds)
    metadata = _metadata(upload, options, len(channels), duration_seconds)
    warnings = [
        _warning(name, "unsupported_parameter", "not known to this engine") for name in options.unsupported
    ]
    confidence = mean_confidence(word for words in channels for word in words)
    if any(channels) and confidence < MIN_CONFIDENCE:
        reason = f"unreliable transcript, mean word confidence {confidence:.2f} is below {MIN_CONFIDENCE:.2f}"
        warnings += [_warning(feature, "low_confidence", reason) for feature in options.features]
    elif any(channels):
        results |= _intelligence(joined(sentences), options)
    if warnings:
        metadata["warnings"] = warnings
    return {"metadata": metadata, "results": results}


def _metadata(upload: Upload, options: Options, channels: int, duration_seconds: float) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "transaction_key": "deprecated",
        "request_id": upload.request_id,
        "sha256": upload.sha256,
        "created": upload.created,
        "duration": round(duration_seconds, 4),
        "channels": channels,
        "models": [MODEL_UUID],
        "model_info": {MODEL_UUID: {"name": MODEL_NAME, "version": MODEL_VERSION, "arch": "pocketsphinx"}},
    }
    if options.tags:
        metadata["tags"] = list(options.tags)
    if options.extra:
        metadata["extra"] = {key: value for key, _, value in (pair.partition(":") for pair in options.extra)}
    return metadata


def _warning(parameter: str, kind: str, message: str) -> dict[str, str]:
    return {"parameter": parameter, "type": kind, "message": f"{parameter} left out: {message}"}


def _intelligence(sentences: Sequence[Sentence], options: Options) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    if "summarize" in options.features:
        sections["summary"] = {"result": "success", "short": summarize(sentences)}
    if "topics" in options.features:
        sections["topics"] = find_topics(
            sentences, options.custom_topics, strict=options.custom_topics_strict
        )
    if "intents" in options.features:
        sections["intents"] = find_intents(
            sentences, options.custom_intents, strict=options.custom_intents_strict
        )
    if "sentiment" in options.features:
        sections["sentiments"] = find_sentiments(sentences)
    return sections


def _alternative(sentences: Sequence[Sentence], options: Options) -> dict[str, Any]:
    words = [word for sentence in sentences for word in sentence.words]
    alternative: dict[str, Any] = {
        "transcript": " ".join(sentence.text for sentence in sentences),
        "confidence": round(mean_confidence(words), 4),
        "words": [entry for sentence in sentences for entry in _word_entries(sentence)],
    }
    if options.paragraphs and sentences:
        alternative["paragraphs"] = _paragraphs(sentences)
    return alternative


def _word_entries(sentence: Sentence) -> list[dict[str, Any]]:
    return [
        {
            "word": word.text,
            "start": word.start,
            "end": word.end,
            "confidence": word.confidence,
            "punctuated_word": shown,
        }
        for word, shown in zip(sentence.words, punctuated(sentence), strict=True)
    ]


def _paragraphs(sentences: Sequence[Sentence]) -> dict[str, Any]:
    starts = range(0, len(sentences), SENTENCES_PER_PARAGRAPH)
    groups = [sentences[at : at + SENTENCES_PER_PARAGRAPH] for at in starts]
    paragraphs = [
        {
            "sentences": [{"text": s.text, "start": s.words[0].start, "end": s.words[-1].end} for s in group],
            "num_words": sum(len(s.words) for s in group),
            "start": group[0].words[0].start,
            "end": group[-1].words[-1].end,
        }
        for group in groups
    ]
    return {
        "transcript": "\n" + "\n\n".join(" ".join(s.text for s in g) for g in groups),
        "paragraphs": paragraphs,
    }


def _utterances(channels: Sequence[Sequence[Sentence]], pause_seconds: float) -> list[dict[str, Any]]:
    runs = [run for sentences in channels for run in utterances(sentences, pause_seconds)]
    runs.sort(key=lambda run: (run[0].words[0].start, run[0].channel))
    return [
        {
            "start": run[0].words[0].start,
            "end": run[-1].words[-1].end,
            "confidence": round(mean_confidence(word for s in run for word in s.words), 4),
            "channel": run[0].channel,
            "transcript": " ".join(s.text for s in run),
            "words": [entry for s in run for entry in _word_entries(s)],
            "id": str(uuid5(NAMESPACE_URL, f"{MODEL_UUID}:{run[0].channel}:{run[0].first}")),
        }
        for run in runs
    ]
