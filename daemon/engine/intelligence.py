"""What `/v1/listen` and `/v1/read` find in a text: sentiment, topics, intents and a summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from daemon.engine.embed import MODEL_NAME, Embedder, Vectors
from daemon.engine.labels import INTENT, TOPIC, Kind, find_labels
from daemon.engine.query import FEATURES, Options
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

    sentences: Sequence[Sentence] = ()
    sections: Mapping[str, Any] = field(default_factory=dict)
    infos: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[dict[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What is analyzed: sentences, with the vector and the number of tokens of each."""

    sentences: Sequence[Sentence]
    vectors: Vectors
    tokens: Sequence[int]


def not_analyzed(
    sentences: Sequence[Sentence], options: Options, kind: str = "", reason: str = ""
) -> Findings:
    """Leave out every feature asked for, with a warning where there is a reason; each read nothing."""
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
    text = Text(
        sentences=sentences,
        vectors=embedder.embed([sentence.text for sentence in sentences]),
        tokens=[embedder.count_tokens(sentence.text) for sentence in sentences],
    )
    find = {
        "summarize": lambda: _summary(text, embedder),
        "topics": lambda: _labelled(
            "topics", TOPIC, text, options.custom_topics, options.custom_topics_strict, embedder, examples
        ),
        "intents": lambda: _labelled(
            "intents", INTENT, text, options.custom_intents, options.custom_intents_strict, embedder, examples
        ),
        "sentiment": lambda: _sentiment(text),
    }
    parts = [find[feature]() for feature in FEATURES if feature in options.features]
    return Findings(
        sentences=next((part.sentences for part in parts if part.sentences), sentences),
        sections={name: section for part in parts for name, section in part.sections.items()},
        infos={name: entry for part in parts for name, entry in part.infos.items()},
        warnings=[each for part in parts for each in part.warnings],
    )


def _summary(text: Text, embedder: Embedder) -> Findings:
    summary = summarize(text.sentences, text.vectors, embedder)
    taken = (0, 0) if is_short(text.sentences) else (sum(text.tokens), embedder.count_tokens(summary))
    return Findings(
        sections={"summary": {"result": "success", "short": summary}},
        infos={INFO_OF["summarize"]: info("summarize", *taken)},
    )


def _labelled(
    feature: str,
    kind: Kind,
    text: Text,
    labels: Sequence[str],
    strict: bool,
    embedder: Embedder,
    examples: Mapping[str, Sequence[str]],
) -> Findings:
    if not labels:
        # The section is there all the same: clients with typed structures count on it.
        return Findings(
            sections={feature: {"segments": []}},
            infos={INFO_OF[feature]: info(feature)},
            warnings=[_nothing_to_look_for(feature, kind)],
        )
    found = find_labels(kind, text.sentences, text.vectors, labels, examples=examples, embedder=embedder)
    written = _tokens_of_labels(kind, found, embedder)
    return Findings(
        sections={feature: found},
        infos={INFO_OF[feature]: info(feature, sum(text.tokens), written)},
        warnings=[] if strict else [_only_these(feature, kind)],
    )


def _sentiment(text: Text) -> Findings:
    scores = sentiment_scores(text.vectors)
    read = sum(text.tokens)
    return Findings(
        sentences=[replace(s, score=score) for s, score in zip(text.sentences, scores, strict=True)],
        sections={"sentiments": sentiment_section(text.sentences, scores, text.tokens)},
        infos={INFO_OF["sentiment"]: info("sentiment", read, read)},
    )


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
