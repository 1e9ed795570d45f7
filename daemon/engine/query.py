"""The query parameters of `/v1/listen` and `/v1/read` that this engine knows; others are ignored."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.engine.languages import ENGLISH, language_of

FEATURES = ("summarize", "topics", "intents", "sentiment")
MAX_CUSTOM = 100
# Deepgram has these and clients ask for them, but this engine cannot: the reply has a warning for each.
UNSUPPORTED = ("callback", "detect_entities", "redact")


class InvalidParameter(Exception):
    """A parameter has a value outside its type; str() is the detail for the reply."""


class UnsupportedLanguage(Exception):
    """The speech model does not know it."""


class UnsupportedSummary(Exception):
    """A summary is asked for of another language than English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one request asks for; `features` holds names out of FEATURES.

    `language` None: to be detected, among `candidates` if there are any.
    """

    features: tuple[str, ...] = ()
    language: str | None = ENGLISH
    candidates: tuple[str, ...] = ()
    custom_intents: tuple[str, ...] = ()
    custom_intents_strict: bool = False
    custom_topics: tuple[str, ...] = ()
    custom_topics_strict: bool = False
    multichannel: bool = False
    diarize: bool = False
    paragraphs: bool = False
    utterances: bool = False
    utterance_pause_seconds: float = 0.8
    tags: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()


def parse_query(pairs: Sequence[tuple[str, str]], *, knows_all_languages: bool = True) -> Options:
    """Read the decoded query pairs; raises InvalidParameter, UnsupportedLanguage or UnsupportedSummary."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    language, candidates = _language(values)
    if not knows_all_languages and language != ENGLISH and "language" in values:
        raise UnsupportedLanguage
    features = tuple(name for name in FEATURES if _is_true(values, name))
    if "summarize" in features and language not in (ENGLISH, None):
        raise UnsupportedSummary
    return Options(
        language=language,
        candidates=candidates,
        features=features,
        custom_intents=_customs(values, "custom_intent"),
        custom_intents_strict=_is_strict(values, "custom_intent_mode"),
        custom_topics=_customs(values, "custom_topic"),
        custom_topics_strict=_is_strict(values, "custom_topic_mode"),
        multichannel=_is_true(values, "multichannel"),
        diarize=_is_true(values, "diarize") or "diarize_model" in values,
        paragraphs=_is_true(values, "paragraphs") | _is_true(values, "smart_format"),
        utterances=_is_true(values, "utterances"),
        utterance_pause_seconds=_seconds(values, "utt_split", 0.8),
        tags=tuple(values.get("tag", ())),
        extra=tuple(values.get("extra", ())),
        search=tuple(values.get("search", ())),
        unsupported=tuple(name for name in UNSUPPORTED if _last(values, name, "false") != "false"),
    )


def parse_read_query(pairs: Sequence[tuple[str, str]]) -> Options:
    """Read the pairs of `/v1/read`, where a language must be named; raises as `parse_query` does."""
    given = dict(pairs)
    if "language" not in given:
        raise InvalidParameter("missing field `language`")
    if given.get("summarize") == "v2":
        raise InvalidParameter("summarize: provided string was not `true` or `false`")
    return parse_query(pairs, knows_all_languages=False)


def _last(values: dict[str, list[str]], name: str, default: str) -> str:
    return values.get(name, [default])[-1]


def _language(values: dict[str, list[str]]) -> tuple[str | None, tuple[str, ...]]:
    """Return the language, None to detect it, and among which; one that is named counts more."""
    named = _last(values, "language", "")
    if named and named != "multi":
        return _known(named), ()
    wanted = [value for value in values.get("detect_language", ()) if value != "false"]
    candidates = tuple(_known(value) for value in wanted if value != "true")
    return None if named or wanted else ENGLISH, candidates


def _known(code: str) -> str:
    language = language_of(code)
    if language is None:
        raise UnsupportedLanguage
    return language


def _is_true(values: dict[str, list[str]], name: str) -> bool:
    value = _last(values, name, "false")
    if value not in ("true", "false") and not (name == "summarize" and value == "v2"):
        raise InvalidParameter(f"{name}: provided string was not `true` or `false`")
    return value != "false"


def _is_strict(values: dict[str, list[str]], name: str) -> bool:
    value = _last(values, name, "extended")
    if value not in ("extended", "strict"):
        raise InvalidParameter(f"{name}: unknown variant `{value}`, expected `extended` or `strict`")
    return value == "strict"


def _seconds(values: dict[str, list[str]], name: str, default: float) -> float:
    try:
        seconds = float(_last(values, name, str(default)))
    except ValueError:
        raise InvalidParameter(f"{name}: invalid float literal") from None
    if not 0 <= seconds < float("inf"):
        raise InvalidParameter(f"{name}: must be a positive number of seconds")
    return seconds


def _customs(values: dict[str, list[str]], name: str) -> tuple[str, ...]:
    given = tuple(dict.fromkeys(value.strip() for value in values.get(name, ()) if value.strip()))
    if len(given) > MAX_CUSTOM:
        raise InvalidParameter(f"{name}: at most {MAX_CUSTOM} may be given")
    return given
