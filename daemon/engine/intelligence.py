"""What `/v1/listen` and `/v1/read` find in a text: sentiment, topics, intents and a summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from daemon.engine.embed import MODEL_NAME, Embedder
from daemon.engine.labels import INTENT, TOPIC, Kind, find_labels
from daemon.engine.query import Options
from daemon.engine.sentences import Sentence
from daemon.engine.sentiment import sentiment_scores, sentiment_section
from daemon.engine.summary import is_short, summarize

VERSION = "2026-11-27"  # of the head and the thresholds
INFO_OF = {
    "summarize": "summary_info",
    "topics": "topics_info",
    "intents": "intents_info",
    "sentiment": "sentiment_info",
}
# Say what each result is: a model of this size writes no summary and makes up no names.
MODEL_OF = {
    "summarize": "key sentences, as they were spoken",
    "topics": "topics named by custom_topic only",
    "intents": "intents named by custom_intent only",
    "sentiment": "sentiment by sentence",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The parts that a reply is made of; `sentences` have their score, where sentiment was asked for."""

    sentences: Sequence[Sentence]
    sections: Mapping[str, Any] = field(default_factory=dict)
    infos: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[dict[str, str]] = ()


def not_analyzed(sentences: Sequence[Sentence], options: Options, kind: str, reason: str) -> Findings:
    """Leave out every feature asked for, each with a warning; its info says that it read nothing."""
    return Findings(
        sentences=sentences,
        infos={INFO_OF[feature]: info(feature) for feature in options.features},
        warnings=[warning(feature, kind, reason) for feature in options.features] if reason else [],
    )


def analyze(
    sentences: Sequence[Sentence],
    options: Options,
    embedder: Embedder,
    examples: Mapping[str, Sequence[str]],
) -> Findings:
    """Find in the sentences of a conversation, of which there is at least one, what `options` ask for."""
    vectors = embedder.embed([sentence.text for sentence in sentences])
    tokens = [embedder.count_tokens(sentence.text) for sentence in sentences]
    read = sum(tokens)
    sections: dict[str, Any] = {}
    infos: dict[str, Any] = {}
    warnings: list[dict[str, str]] = []
    if "summarize" in options.features:
        summary = summarize(sentences, vectors, embedder)
        sections["summary"] = {"result": "success", "short": summary}
        taken = (0, 0) if is_short(sentences) else (read, embedder.count_tokens(summary))
        infos["summary_info"] = info("summarize", *taken)
    for feature, kind, labels, strict in (
        ("topics", TOPIC, options.custom_topics, options.custom_topics_strict),
        ("intents", INTENT, options.custom_intents, options.custom_intents_strict),
    ):
        if feature not in options.features:
            continue
        if not labels:
            warnings.append(_nothing_to_look_for(feature, kind))
            sections[feature] = {"segments": []}  # clients with typed structures count on it
            infos[INFO_OF[feature]] = info(feature)
            continue
        if not strict:
            warnings.append(_only_these(feature, kind))
        found = find_labels(kind, sentences, vectors, labels, examples=examples, embedder=embedder)
        sections[feature] = found
        infos[INFO_OF[feature]] = info(feature, read, _tokens_of_labels(kind, found, embedder))
    if "sentiment" in options.features:
        scores = sentiment_scores(vectors)
        sections["sentiments"] = sentiment_section(sentences, scores, tokens)
        infos["sentiment_info"] = info("sentiment", read, read)
        sentences = [replace(s, score=score) for s, score in zip(sentences, scores, strict=True)]
    return Findings(sentences=sentences, sections=sections, infos=infos, warnings=warnings)


def info(feature: str, input_tokens: int = 0, output_tokens: int = 0) -> dict[str, Any]:
    """Make the entry of metadata that says which model did a feature, and what it read and wrote."""
    return {
        "model_uuid": model_uuid(MODEL_OF[feature], VERSION),
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }


def model_info(features: Sequence[str]) -> dict[str, Any]:
    """Make the entries of `metadata.model_info` for the models of these features."""
    return {
        model_uuid(name, VERSION): {"name": name, "version": VERSION, "arch": MODEL_NAME}
        for name in (MODEL_OF[feature] for feature in features)
    }


def model_uuid(name: str, version: str) -> str:
    """Make the id of a model, the same wherever the engine runs."""
    return str(uuid5(NAMESPACE_URL, f"earshot:{name}-{version}"))


def warning(parameter: str, kind: str, message: str) -> dict[str, str]:
    """Make an entry of `metadata.warnings`."""
    return {"parameter": parameter, "type": kind, "message": message}


def _nothing_to_look_for(feature: str, kind: Kind) -> dict[str, str]:
    message = f"This engine finds only the {feature} that custom_{kind.name} names, and none is named."
    return warning(feature, "no_labels", message)


def _only_these(feature: str, kind: Kind) -> dict[str, str]:
    message = f"This engine looks for the {feature} that custom_{kind.name} names and finds no others."
    return warning(f"custom_{kind.name}_mode", "unsupported_parameter", message)


def _tokens_of_labels(kind: Kind, section: Mapping[str, Any], embedder: Embedder) -> int:
    return sum(
        embedder.count_tokens(found[kind.name])
        for segment in section["segments"]
        for found in segment[f"{kind.name}s"]
    )
