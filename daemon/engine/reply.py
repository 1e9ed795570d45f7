"""Builds the replies of `/v1/listen` and `/v1/read` in Deepgram's shape from what was heard and asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.engine import weights
from daemon.engine.embed import Embedder
from daemon.engine.intelligence import (
    VERSION,
    Findings,
    analyze,
    model_info,
    model_uuid,
    not_analyzed,
    warning,
)
from daemon.engine.query import Options
from daemon.engine.sentences import Sentence, build_sentences, joined, read_sentences
from daemon.engine.shapes import alternative, utterance_entries
from daemon.engine.spotting import search_hits
from daemon.engine.words import Heard, mean_confidence

# Below it a third of the words or more are wrong: sentiment and intents would be of words that nobody said.
MIN_CONFIDENCE = 0.7
MOST_LOOPING = 0.3  # nothing in good transcripts, about half and more in those of a recognizer that got stuck
# Deepgram's own words: clients look for "English" in them.
NO_ENGLISH_SUMMARY = "The summarization feature is currently only available in English."


MAX_TEXT_TOKENS = 150_000  # of a written text, as Deepgram


class TooLong(Exception):
    """A text has more than MAX_TEXT_TOKENS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What the server knows of a request: id, SHA-256 of the uploaded bytes, arrival (RFC 3339, UTC)."""

    request_id: str
    sha256: str
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognizer:
    """What recognized the words, for `metadata.model_info`."""

    name: str
    version: str
    arch: str


def load_embedder(folders: Iterable[Path] | None = None) -> Embedder:
    """Load the sentence model from where it was installed; raises EarshotError when it was not."""
    return Embedder(weights.find(weights.SENTENCES, folders))


def build_reply(
    upload: Upload,
    options: Options,
    channels: Sequence[Heard],
    *,
    duration_seconds: float,
    recognizer: Recognizer,
    examples: Mapping[str, Sequence[str]] | None = None,
    embedder: Callable[[], Embedder] = load_embedder,
) -> dict[str, Any]:
    """Put what was heard of each channel and its analysis into the JSON of `/v1/listen`."""
    conversation = joined([build_sentences(heard.words, number) for number, heard in enumerate(channels)])
    findings = _find(conversation, options, channels, examples or {}, embedder)
    by_channel = [[s for s in findings.sentences if s.channel == number] for number in range(len(channels))]
    results: dict[str, Any] = {
        "channels": [
            _channel(heard, sentences, options) for heard, sentences in zip(channels, by_channel, strict=True)
        ]
    }
    if options.utterances:
        results["utterances"] = utterance_entries(by_channel, options.utterance_pause_seconds)
    metadata = {
        "transaction_key": "deprecated",
        "request_id": upload.request_id,
        "sha256": upload.sha256,
        "created": upload.created,
        "duration": round(duration_seconds, 4),
        "channels": len(channels),
        **_models(recognizer, options),
        **_echoed(options),
        **_diarization(conversation),
        **findings.infos,
    }
    if warnings := [*_unsupported(options), *findings.warnings]:
        metadata["warnings"] = warnings
    return {"metadata": metadata, "results": results | dict(findings.sections)}


def build_read_reply(
    upload: Upload,
    options: Options,
    text: str,
    *,
    examples: Mapping[str, Sequence[str]] | None = None,
    embedder: Callable[[], Embedder] = load_embedder,
) -> dict[str, Any]:
    """Put the analysis of a written text into the JSON of `/v1/read`, where a summary is called `text`.

    Raises TooLong.
    """
    # Each word is a token at least: what has too many of them need not be cut and counted.
    if options.features and len(text.split()) > MAX_TEXT_TOKENS:
        raise TooLong
    sentences = read_sentences(text)
    if sentences and options.features:
        model = embedder()
        _count_tokens(sentences, model)
        findings = analyze(sentences, options, model, examples or {})
    else:
        findings = not_analyzed(sentences, options)
    sections = dict(findings.sections)
    if "summary" in sections:
        sections["summary"] = {"text": sections["summary"]["short"]}
    metadata = {
        "request_id": upload.request_id,
        "created": upload.created,
        "language": "en",
        **_echoed(options),
        **findings.infos,
    }
    if warnings := [*_unsupported(options), *findings.warnings]:
        metadata["warnings"] = warnings
    return {"metadata": metadata, "results": sections}


def _count_tokens(sentences: Sequence[Sentence], embedder: Embedder) -> None:
    tokens = 0
    for sentence in sentences:
        tokens += embedder.count_tokens(sentence.text)
        if tokens > MAX_TEXT_TOKENS:
            raise TooLong


def _find(
    conversation: Sequence[Sentence],
    options: Options,
    channels: Sequence[Heard],
    examples: Mapping[str, Sequence[str]],
    embedder: Callable[[], Embedder],
) -> Findings:
    """Analyze where there is something in English that can be relied on."""
    if not conversation or not options.features:
        return not_analyzed(conversation, options)
    if language := _other_language(channels):
        return _english_only(conversation, options, language)
    if reason := unreliable(channels):
        return not_analyzed(conversation, options, "low_confidence", reason)
    return analyze(conversation, options, embedder(), examples)


def unreliable(channels: Sequence[Heard]) -> str | None:
    """Why the words are not to be relied on, None when they are."""
    confidence = mean_confidence(word for heard in channels for word in heard.words)
    if confidence < MIN_CONFIDENCE:
        return f"Unreliable transcript: the mean confidence {confidence:.2f} is below {MIN_CONFIDENCE:.2f}."
    looping = max((heard.looping_share for heard in channels), default=0.0)
    if looping > MOST_LOOPING:
        return f"Unreliable transcript: {looping:.0%} of the words repeat the same again and again."
    return None


def _other_language(channels: Sequence[Heard]) -> str | None:
    """The first language spoken that is not English."""
    languages = (heard.language for heard in channels if heard.words)
    return next((each for each in languages if each.partition("-")[0] != "en"), None)


def _english_only(conversation: Sequence[Sentence], options: Options, language: str) -> Findings:
    reason = f"Only English is analyzed, and this is {language}."
    findings = not_analyzed(conversation, options, "unsupported_language", reason)
    if "summarize" not in options.features:
        return findings
    section = {"summary": {"result": "failure", "short": NO_ENGLISH_SUMMARY}}
    return Findings(
        sentences=conversation, sections=section, infos=findings.infos, warnings=findings.warnings
    )


def _channel(heard: Heard, sentences: Sequence[Sentence], options: Options) -> dict[str, Any]:
    channel: dict[str, Any] = {"alternatives": [alternative(sentences, with_paragraphs=options.paragraphs)]}
    if options.language is None:
        channel["detected_language"] = heard.language
        channel["language_confidence"] = heard.language_confidence
    if options.search:
        channel["search"] = search_hits(heard.words, options.search)
    return channel


def _models(recognizer: Recognizer, options: Options) -> dict[str, Any]:
    heard_by = model_uuid(recognizer.name, recognizer.version)
    shown = {"name": recognizer.name, "version": recognizer.version, "arch": recognizer.arch}
    models = {heard_by: shown, **model_info(options.features)}
    return {"models": list(models), "model_info": models}


def _diarization(conversation: Sequence[Sentence]) -> dict[str, Any]:
    if all(sentence.speaker is None for sentence in conversation):
        return {}
    return {"diarize_info": {"model_uuid": model_uuid("speakers", VERSION), "arch": "v1"}}


def _echoed(options: Options) -> dict[str, Any]:
    echoed: dict[str, Any] = {}
    if options.tags:
        echoed["tags"] = list(options.tags)
    if options.extra:
        echoed["extra"] = {key: value for key, _, value in (pair.partition(":") for pair in options.extra)}
    return echoed


def _unsupported(options: Options) -> list[dict[str, str]]:
    found = [
        warning(name, "unsupported_parameter", f"{name} left out: not known to this engine.")
        for name in options.unsupported
    ]
    if options.diarize and options.multichannel:
        message = "diarize left out: with multichannel each channel is one speaker."
        found.append(warning("diarize", "unsupported_parameter", message))
    return found
