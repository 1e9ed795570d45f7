"""`options`: which query parameters of /v1/listen may be set there, and which have a key of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from daemon.config.document import Finding, Location

_OWN_KEYS = {
    "model": "write model: in analyzer",
    "language": "write language: in analyzer",
    "summarize": "write features: [summary] in analyzer",
    "sentiment": "write features: [sentiment] in analyzer",
    "topics": "write features: [topics] in analyzer",
    "intents": "write features: [intents] in analyzer",
    "custom_intent": "write custom_intents: in analyzer",
    "custom_intent_mode": "write custom_intents_mode: in analyzer",
    "custom_topic": "write custom_topics: in analyzer",
    "custom_topic_mode": "write custom_topics_mode: in analyzer",
    "custom_intents": "write custom_intents: in analyzer itself",
    "custom_intents_mode": "write custom_intents_mode: in analyzer itself",
    "custom_topics": "write custom_topics: in analyzer itself",
    "custom_topics_mode": "write custom_topics_mode: in analyzer itself",
    "multichannel": "write channels: [one name per channel] at the folder under watch",
    "callback": "remove it; earshot waits for each reply, asynchronous callbacks are not supported",
    "callback_method": "remove it; earshot waits for each reply, asynchronous callbacks are not supported",
    "detect_topics": "Deepgram removed this parameter; write features: [topics] in analyzer",
}
_BOTH_DIARIZE = "Deepgram refuses diarize together with diarize_model; keep diarize_model"
_KEYWORDS = "nova-3 refuses keywords; write keyterm, or choose another model"


def options_findings(data: dict[str, Any]) -> Iterator[Finding]:
    """Every entry in any `options` that Deepgram would refuse or that another key of earshot sets."""
    base = data.get("analyzer")
    base = base if isinstance(base, dict) else {}
    yield from _options(base.get("options"), ("analyzer", "options"))
    yield from _keywords(base, {}, ("analyzer",))
    watch = data.get("watch")
    for index, entry in enumerate(watch if isinstance(watch, list) else []):
        overrides = entry.get("analyzer") if isinstance(entry, dict) else None
        if isinstance(overrides, dict):
            yield from _options(overrides.get("options"), ("watch", index, "analyzer", "options"))
            yield from _keywords(base, overrides, ("watch", index, "analyzer"))


def _options(options: Any, where: Location) -> Iterator[Finding]:
    if not isinstance(options, dict):
        return
    for name, value in options.items():
        if name in _OWN_KEYS:
            yield Finding((*where, name), f"is not set here; {_OWN_KEYS[name]}")
        elif not _is_plain(value) and not (isinstance(value, list) and all(map(_is_plain, value))):
            yield Finding((*where, name), "must be text, a number, true, false, or a list of these")
    if "diarize" in options and "diarize_model" in options:
        yield Finding((*where, "diarize"), _BOTH_DIARIZE)


def _keywords(base: dict[str, Any], overrides: dict[str, Any], where: Location) -> Iterator[Finding]:
    """Checks one folder's requests; the finding is at the line that makes the conflict."""
    if overrides and not {"model", "options"} & overrides.keys():
        return
    options = overrides.get("options")
    options = base.get("options") if options is None else options
    model = overrides.get("model") or base.get("model") or "nova-3"
    if isinstance(options, dict) and "keywords" in options and str(model).startswith("nova-3"):
        own = isinstance((overrides or base).get("options"), dict)
        yield Finding((*where, "options", "keywords") if own else (*where, "model"), _KEYWORDS)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
