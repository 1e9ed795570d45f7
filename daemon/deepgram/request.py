"""What the API is asked for a recording: the query parameters, and a key that equal requests share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemon.config.kinds import Feature
from daemon.config.models import Analyzer, Config, WatchFolder, every_when
from daemon.deepgram.prices import FREE, Price, price_of
from daemon.models import Cost

EMBEDDED = "embedded"
"""`base_url` of earshot's own engine; also the `model` of its results."""

EMBEDDED_TIMEOUT_SECONDS = 12 * 3600.0
"""The engine takes a fifth to a half of a recording's length, one recording per processor."""

_SWITCHES: dict[Feature, tuple[str, str]] = {
    "summary": ("summarize", "v2"),
    "topics": ("topics", "true"),
    "intents": ("intents", "true"),
    "sentiment": ("sentiment", "true"),
}


_TERMS = frozenset({"custom_intent", "custom_intent_mode", "custom_topic", "custom_topic_mode"})
_ANALYSIS = _TERMS | {parameter for parameter, _ in _SWITCHES.values()}


@dataclass(frozen=True, slots=True)
class Request:
    """One way of asking for an analysis.

    `parameters` are those of /v1/listen in sending order; `key` is equal for requests that would give the
    same answer to the same bytes; `features` are the ones wanted, `unsupported` those of them that are not
    sent because Deepgram has them for English only; `channels` names the channels of the recording. `price`
    is what it costs.
    """

    parameters: tuple[tuple[str, str], ...]
    key: str
    model: str
    language: str
    features: tuple[Feature, ...]
    unsupported: tuple[Feature, ...]
    channels: tuple[str, ...]
    price: Price

    def without_features(self) -> Request:
        """Return the request for the transcript only: used when that is too long to analyze at once."""
        return replace(
            self, parameters=tuple((name, value) for name, value in self.parameters if name not in _ANALYSIS)
        )

    def for_text(self) -> Request:
        """Return the request for a text, as /v1/read takes it: `summarize` is a switch there, English only.

        https://developers.deepgram.com/docs/text-intelligence
        """
        wanted = [(name, value) for name, value in self.parameters if name in _ANALYSIS]
        switched = [(name, "true" if name == "summarize" else value) for name, value in wanted]
        parameters = (("language", "en"), *switched)
        return replace(self, parameters=parameters, key=_key(parameters))

    def expected_cost(self, seconds: float | None) -> Cost:
        """Estimate the cost of a recording; `seconds` is None if its length is not known."""
        channels = len(self.channels) or 1
        usd = None if seconds is None else self.price.expected_usd(seconds, channels)
        return Cost(self.model, seconds, channels, None, None, usd, self.price.of)

    def expected_cost_of_text(self, words: int) -> Cost:
        """Estimate the cost of this many words of a transcript."""
        return Cost(self.model, 0.0, 1, None, None, self.price.expected_usd_of_text(words), self.price.of)


def requests_by_folder(config: Config) -> dict[str | None, Request]:
    """The request for each watched folder, by `recordings.folder`; None is for what belongs to no folder."""
    requests: dict[str | None, Request] = {None: build_request(config, None)}
    for folder in config.watch:
        requests[folder.name] = build_request(config, folder)
    return requests


def build_request(config: Config, folder: WatchFolder | None) -> Request:
    """Return the request for `folder`: the analyzer's settings with its overrides.

    Custom intents are those of the configuration and those that rules name without wildcards, so that a
    rule for `cancel subscription` finds something to match.
    """
    analyzer = _merged(config.analyzer, folder)
    embedded = analyzer.base_url == EMBEDDED
    model = EMBEDDED if embedded else analyzer.model
    unsupported = _unsupported(analyzer)
    asked = tuple(feature for feature in analyzer.features if feature not in unsupported)
    parameters = [("model", model)]
    if not _detects_language(analyzer):
        parameters.append(("language", analyzer.language))
    parameters += [_SWITCHES[feature] for feature in asked]
    if "intents" in asked:
        intents = [*analyzer.custom_intents, *_intents_of_rules(config, folder)]
        parameters += _terms("custom_intent", intents, analyzer.custom_intents_mode)
    if "topics" in asked:
        parameters += _terms("custom_topic", analyzer.custom_topics, analyzer.custom_topics_mode)
    channels = folder.channels if folder else ()
    if channels:
        parameters.append(("multichannel", "true"))
    parameters += _option_parameters(analyzer.options)
    return Request(
        parameters=tuple(parameters),
        key=_key(parameters),
        model=model,
        language=analyzer.language,
        features=analyzer.features,
        unsupported=unsupported,
        channels=channels,
        price=FREE if embedded else price_of(config.prices, model, dict(parameters), len(asked)),
    )


def _merged(analyzer: Analyzer, folder: WatchFolder | None) -> Analyzer:
    if folder is None:
        return analyzer
    # A folder's options replace all of the analyzer's, like every key: it can also drop one.
    return analyzer.model_copy(update=folder.analyzer.model_dump(exclude_none=True))


def _unsupported(analyzer: Analyzer) -> tuple[Feature, ...]:
    """Features that would only give a warning, or, for summaries, a 400 for the whole request.

    https://developers.deepgram.com/docs/audio-intelligence: English only.
    """
    language = analyzer.language.lower()
    if _detects_language(analyzer) or language == "multi" or language.split("-")[0] == "en":
        return ()
    return analyzer.features


def _detects_language(analyzer: Analyzer) -> bool:
    """Whether Deepgram detects the language: `true`, or a list of the languages to choose from."""
    return str(analyzer.options.get("detect_language") or False).lower() != "false"


def _intents_of_rules(config: Config, folder: WatchFolder | None) -> list[str]:
    named = []
    for rule in config.alerts.rules:
        if folder and rule.folders and not any(_within(folder.path, scope) for scope in rule.folders):
            continue
        # Also those under `not`: only what was looked for can be known to be absent.
        intents = [intent for when in every_when(rule.when) for intent in when.intent or ()]
        named += [intent for intent in intents if not set(intent) & set("*?")]
    return named


def _within(path: Path, scope: Path) -> bool:
    return path == scope or scope in path.parents or path in scope.parents


def _terms(parameter: str, terms: Iterable[str], mode: str) -> list[tuple[str, str]]:
    unique = {term.casefold(): term for term in terms}
    found = [(parameter, term) for term in list(unique.values())[:100]]
    # The mode is always sent: the documentation contradicts itself about the default.
    return [*found, (f"{parameter}_mode", mode)] if found else []


def _option_parameters(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, value in options.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is not None:
                found.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
    return found


def _key(parameters: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps(sorted(parameters)).encode()).hexdigest()[:32]


def reply_timeout(analyzer: Analyzer) -> float:
    """Return the seconds to wait for a reply: as configured; else, for the embedded engine, as long as it
    may take: unlike Deepgram it has no limit."""
    if analyzer.base_url == EMBEDDED and "timeout" not in analyzer.model_fields_set:
        return EMBEDDED_TIMEOUT_SECONDS
    return analyzer.timeout
