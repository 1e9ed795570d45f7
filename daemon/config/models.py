"""What a configuration may say: one frozen model per mapping of the YAML file.

Shapes and defaults live here; reading the file, naming lines and fetching secrets in the modules beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from daemon.config.addresses import usable_base_url, usable_link
from daemon.config.units import parse_duration, parse_size
from daemon.config.values import known_language, more_than_nothing, not_blank, unlike_each_other

Seconds = Annotated[float, BeforeValidator(parse_duration)]
"""A duration in seconds; the file may say `2s`, `0.5s`, `15m`, `24h`, `30d` or a number."""

PositiveSeconds = Annotated[Seconds, AfterValidator(more_than_nothing)]
Bytes = Annotated[int, BeforeValidator(parse_size)]
Text = Annotated[str, AfterValidator(not_blank)]
FilePath = Annotated[Path, BeforeValidator(not_blank)]
Language = Annotated[str, AfterValidator(known_language)]
Terms = Annotated[tuple[Text, ...], Field(max_length=100)]

Feature = Literal["summary", "topics", "intents", "sentiment"]
TermMode = Literal["extended", "strict"]
SentimentLabel = Literal["negative", "neutral", "positive"]

ALL_FEATURES: tuple[Feature, ...] = ("summary", "topics", "intents", "sentiment")


class Model(BaseModel):
    """Base of every mapping: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AnalyzerOverrides(Model):
    """What one folder asks of the API differently; None means as in `analyzer`."""

    model: Text | None = None
    language: Language | None = None
    features: tuple[Feature, ...] | None = None
    custom_intents: Terms | None = None
    custom_intents_mode: TermMode | None = None
    custom_topics: Terms | None = None
    custom_topics_mode: TermMode | None = None
    options: dict[str, Any] | None = None


class Analyzer(Model):
    """How recordings are analyzed, and by which endpoint."""

    base_url: Annotated[str, AfterValidator(usable_base_url)] = "https://api.deepgram.com"
    api_key: SecretStr | None = None
    api_key_file: FilePath | None = None
    model: Text = "nova-3"
    language: Language = "en"
    features: tuple[Feature, ...] = ALL_FEATURES
    custom_intents: Terms = ()
    custom_intents_mode: TermMode = "extended"
    custom_topics: Terms = ()
    custom_topics_mode: TermMode = "extended"
    options: dict[str, Any] = Field(default_factory=lambda: {"smart_format": True})
    concurrency: int = Field(default=10, ge=1, le=100)
    timeout: PositiveSeconds = 660.0
    retry_for: Seconds = 86400.0
    probe: PositiveSeconds = 300.0
    drain: Seconds = 75.0


class WatchFolder(Model):
    """A folder in which recordings appear."""

    path: FilePath
    recursive: bool = True
    include: tuple[Text, ...] | None = None
    exclude: tuple[Text, ...] = ()
    method: Literal["auto", "events", "poll"] = "auto"
    rescan: PositiveSeconds = 60.0
    settle: Seconds = 2.0
    empty_after: Seconds = 600.0
    existing: Literal["skip", "quiet", "analyze"] = "skip"
    channels: Annotated[tuple[Text, ...], Field(max_length=20), AfterValidator(unlike_each_other)] = ()
    tags: tuple[Text, ...] = ()
    analyzer: AnalyzerOverrides = AnalyzerOverrides()


class Destination(Model):
    """A named place for alerts; `urls` are Apprise URLs and secret as a whole."""

    urls: tuple[SecretStr, ...] = ()
    urls_file: FilePath | None = None


class When(Model):
    """The conditions of a rule; all that are given must hold."""

    average_sentiment: tuple[SentimentLabel, ...] | None = None
    intent: tuple[Text, ...] | None = None
    intent_confidence: float | None = Field(default=None, ge=0.0, le=1.0)


class Rule(Model):
    """When to alert whom."""

    name: Text
    when: When
    folders: tuple[FilePath, ...] = ()
    severity: Literal["info", "warning", "critical"] = "warning"
    notify: tuple[str, ...] = Field(min_length=1)


class Alerts(Model):
    """Who is told what."""

    link: Annotated[str, AfterValidator(usable_link)] | None = None
    destinations: dict[str, Destination] = Field(default_factory=dict)
    operations: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    max_age: Seconds = 86400.0


class Config(Model):
    """The whole file. `database` is always set after loading."""

    database: FilePath
    min_free: Bytes = 64 * 1000 * 1000
    watch: tuple[WatchFolder, ...]
    analyzer: Analyzer = Analyzer()
    alerts: Alerts = Alerts()
