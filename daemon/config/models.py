"""What a configuration may say: one frozen model per mapping of the YAML file.

Shapes and defaults are here; other modules beside it read the file, name lines and fetch secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from daemon.config.addresses import exact_host, usable_host
from daemon.config.after_analysis import (
    KEEP,
    AfterFailure,
    AfterSuccess,
    MoveTo,
    parse_after_failure,
    parse_after_success,
)
from daemon.config.filenames import usable_pattern
from daemon.config.kinds import (
    Bytes,
    ClockTime,
    Count,
    Drop,
    Feature,
    FilePath,
    Language,
    Money,
    NotAnalyzed,
    Phrase,
    PositiveSeconds,
    QuietHours,
    Score,
    Seconds,
    SentimentLabel,
    Share,
    SidecarFormat,
    TermMode,
    Terms,
    Text,
    TimeZone,
    Usd,
    WebhookEvent,
)
from daemon.config.times import cooldown_group, parse_date
from daemon.config.urls import usable_base_url, usable_link, usable_public_url, usable_secret_address
from daemon.config.values import (
    number_or_auto,
    unlike_each_other,
    usable_ending,
    usable_engine_model,
    usable_header,
    usable_listen,
    usable_marker,
    usable_metrics_file,
    usable_proxy,
)
from daemon.models import shown_path

ALL_FEATURES: tuple[Feature, ...] = ("summary", "topics", "intents", "sentiment")


class Model(BaseModel):
    """Base of every mapping: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AnalyzerOverrides(Model):
    """What one folder asks of the API; None means the same as in `analyzer`."""

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
    concurrency: Count = Field(default=10, le=100)
    timeout: PositiveSeconds = 660.0
    retry_for: Seconds = 86400.0
    probe: PositiveSeconds = 300.0
    drain: Seconds = 75.0


class Engine(Model):
    """The embedded engine, started by the service or by `earshot engine`; `workers` None: as many as fit.

    `examples` are phrases by the names of custom intents and topics; `hosts` those from which a recording or
    text may be fetched for a request, at any port or at the one that is named.
    """

    model: Annotated[str, AfterValidator(usable_engine_model)] = "base"
    allow_download: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: Annotated[int | None, BeforeValidator(number_or_auto)] = None
    examples: dict[Text, Annotated[tuple[Text, ...], Field(min_length=1)]] = Field(default_factory=dict)
    api_key_file: FilePath | None = None
    hosts: tuple[Annotated[Text, AfterValidator(exact_host)], ...] = ()


class Limits(Model):
    """How much may be spent and how many recordings analyzed before the queue waits for the next period.

    `assume` is the length, in seconds, of a recording while its own is unknown.
    """

    cost_per_day: Money | None = None
    cost_per_month: Money | None = None
    recordings_per_hour: Count | None = None
    recordings_per_day: Count | None = None
    assume: PositiveSeconds = 3600.0
    then: Literal["hold", "warn"] = "hold"


class Retention(Model):
    """Seconds to keep things; None: for ever, or in a folder: as for all."""

    originals: PositiveSeconds | None = None
    responses: PositiveSeconds | None = None
    transcripts: PositiveSeconds | None = None
    recordings: PositiveSeconds | None = None
    alerts: PositiveSeconds | None = None


class Sidecars(Model):
    """Results as files: beside the originals, or below the folder `into`."""

    formats: Annotated[tuple[SidecarFormat, ...], Field(min_length=1)]
    into: FilePath | None = None


class WatchFolder(Model):
    """A folder in which recordings appear."""

    path: FilePath
    recursive: bool = True
    include: tuple[Text, ...] | None = None
    exclude: tuple[Text, ...] = ()
    case_sensitive: bool = False
    method: Literal["auto", "events", "poll"] = "auto"
    rescan: PositiveSeconds = 60.0
    settle: Seconds = 2.0
    empty_after: Seconds = 600.0
    done_marker: Annotated[Text, AfterValidator(usable_marker)] | None = None
    existing: Literal["skip", "quiet", "analyze"] = "skip"
    after_success: Annotated[AfterSuccess, BeforeValidator(parse_after_success)] = KEEP
    after_failure: Annotated[AfterFailure, BeforeValidator(parse_after_failure)] = KEEP
    sidecars: Sidecars | None = None
    filename_pattern: Annotated[Text, AfterValidator(usable_pattern)] | None = None
    timezone: TimeZone | None = None
    silent_after: PositiveSeconds | None = None
    channels: Annotated[tuple[Text, ...], Field(max_length=20), AfterValidator(unlike_each_other)] = ()
    tags: tuple[Text, ...] = ()
    limits: Limits = Limits()
    retention: Retention = Retention()
    lists: bool = False
    hosts: tuple[Annotated[Text, AfterValidator(usable_host)], ...] = ()
    prefer: tuple[Annotated[Text, AfterValidator(usable_ending)], ...] = ()
    min_duration: Seconds = 0.0
    min_size: Bytes = 0
    check_container: bool = True
    analyzer: AnalyzerOverrides = AnalyzerOverrides()

    @property
    def name(self) -> str:
        """Its name in the database."""
        return shown_path(str(self.path))

    def rank(self, path: str) -> int:
        """The place of a file's ending in `prefer`, compared exactly; behind all if it is not there."""
        ending = path.rpartition(".")[2]
        return self.prefer.index(ending) if ending in self.prefer else len(self.prefer)

    @property
    def into(self) -> str | None:
        """The folder for sidecars; None if they go beside the originals."""
        return str(self.sidecars.into) if self.sidecars and self.sidecars.into else None

    @property
    def root(self) -> str:
        """The folder's absolute path; links are kept."""
        return str(self.path.absolute())

    @property
    def places(self) -> list[str]:
        """The folders that keep its files: its own, then those that originals are moved to."""
        moves = [each for each in (self.after_success, self.after_failure) if isinstance(each, MoveTo)]
        return [self.root, *(str(move.folder) for move in moves)]

    def place_of(self, path: str) -> str:
        """The one of `places` that contains the file at `path`; `/` if none does any more."""
        return next((place for place in self.places if path.startswith(f"{place.rstrip('/')}/")), "/")


class Destination(Model):
    """A named place for alerts; `urls` are Apprise URLs, each wholly secret."""

    urls: tuple[SecretStr, ...] = ()
    urls_file: FilePath | None = None
    quiet_hours: QuietHours | None = None
    timezone: TimeZone | None = None
    template: FilePath | None = None


class When(Model):
    """The conditions of a rule; all that are given must hold, and for a tuple, any one of its values.

    Scores are from -1 to 1; `below` and `above` exclude the bound itself. `speaker` is no condition: it
    limits those on sentiment, here and in inner mappings that name no `speaker`. Nor is `fold_accents`: it
    belongs to the phrases beside it.
    """

    any: tuple[When, ...] | None = None
    all: tuple[When, ...] | None = None
    not_: When | None = Field(default=None, alias="not")
    average_sentiment: tuple[SentimentLabel, ...] | None = None
    average_score_below: Score | None = None
    average_score_above: Score | None = None
    any_score_below: Score | None = None
    negative_share_above: Share | None = None
    negative_passages_at_least: Count | None = None
    last_part_score_below: Score | None = None
    score_drop_above: Drop | None = None
    speaker: tuple[Text, ...] | None = None
    intent: tuple[Text, ...] | None = None
    intent_confidence: Share | None = None
    topic: tuple[Text, ...] | None = None
    topic_confidence: Share | None = None
    phrase: tuple[Phrase, ...] | None = None
    without_phrase: tuple[Phrase, ...] | None = None
    fold_accents: bool = False
    duration_above: Seconds | None = None
    duration_below: PositiveSeconds | None = None
    tag: tuple[Text, ...] | None = None
    metadata: dict[str, tuple[Text, ...]] | None = None
    not_analyzed: tuple[NotAnalyzed, ...] | None = None

    @cached_property
    def is_on_sentiment(self) -> bool:
        """Whether a condition of its own is one on sentiment."""
        return any(getattr(self, name) is not None for name in SENTIMENT_CONDITIONS)


SENTIMENT_CONDITIONS = (
    *("average_sentiment", "average_score_below", "average_score_above", "any_score_below"),
    *("negative_share_above", "negative_passages_at_least", "last_part_score_below", "score_drop_above"),
)
"""The conditions that `speaker` limits."""


def every_when(when: When) -> Iterator[When]:
    """A mapping of conditions, then all inside it, also under `not`."""
    yield when
    for inner in (*(when.any or ()), *(when.all or ()), *((when.not_,) if when.not_ else ())):
        yield from every_when(inner)


class Rule(Model):
    """When to alert whom."""

    name: Text
    when: When
    folders: tuple[FilePath, ...] = ()
    severity: Literal["info", "warning", "critical"] = "warning"
    notify: tuple[str, ...] = Field(min_length=1)
    cooldown: Seconds | None = None
    cooldown_by: Annotated[str, AfterValidator(cooldown_group)] = "folder"


class Burst(Model):
    """How many messages on recordings a URL gets in `window` seconds; the rest are summed up."""

    limit: Count = Field(default=10, le=10_000)
    window: PositiveSeconds = 600.0


class Digest(Model):
    """When a summary of everything is sent, and to whom; `week` means `monday`."""

    at: ClockTime = time(8)
    every: Literal[
        "day", "week", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
    ] = "day"
    notify: tuple[str, ...] = Field(min_length=1)


class Alerts(Model):
    """Who is told what."""

    link: Annotated[str, AfterValidator(usable_link)] | None = None
    destinations: dict[str, Destination] = Field(default_factory=dict)
    operations: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    cooldown: Seconds = 0.0
    max_age: Seconds = 86400.0
    burst: Burst | None = None
    digest: Digest | None = None


class Prices(Model):
    """Prices in USD per minute of one channel, or per 1,000 tokens; if left out, the list price."""

    as_of: Annotated[date, BeforeValidator(parse_date)] | None = None
    models: dict[str, Usd] = Field(default_factory=dict)
    multilingual: dict[str, Usd] = Field(default_factory=dict)
    options: dict[str, Usd] = Field(default_factory=dict)
    input_tokens: Usd | None = None
    output_tokens: Usd | None = None


class Webhook(Model):
    """Another program that is told of recordings; its whole URL is secret."""

    url: Annotated[SecretStr, AfterValidator(usable_secret_address)]
    secret_file: FilePath
    on: Annotated[tuple[WebhookEvent, ...], Field(min_length=1)] = ("done", "failed", "alert")
    include: tuple[Literal["transcript"], ...] = ()
    name: Text | None = None

    @property
    def label(self) -> str:
        """What people and rows call it: its name or its host."""
        return self.name or urlsplit(self.url.get_secret_value()).netloc.rpartition("@")[2]


class Heartbeat(Model):
    """The secret addresses of a dead-man service; one is called after each `every` seconds."""

    url: Annotated[SecretStr, AfterValidator(usable_secret_address)]
    fail_url: Annotated[SecretStr, AfterValidator(usable_secret_address)] | None = None
    every: PositiveSeconds = 300.0


class Web(Model):
    """The web pages. `listen` is `HOST:PORT` or the path of a Unix socket, None for no pages.

    `user_header` names who is there, and is believed from `trusted_proxies` alone: addresses, networks, or
    `unix` for whoever may connect to the socket. `operators` may do more than see, listen and judge.
    """

    listen: Annotated[str, AfterValidator(usable_listen)] | None = None
    public_url: Annotated[str, AfterValidator(usable_public_url)] | None = None
    token_file: FilePath | None = None
    user_header: Annotated[str, AfterValidator(usable_header)] | None = None
    trusted_proxies: tuple[Annotated[str, AfterValidator(usable_proxy)], ...] = ()
    operators: tuple[Text, ...] = ()


class Config(Model):
    """The whole file. `database` is always set after loading."""

    database: FilePath
    min_free: Bytes = 64 * 1000 * 1000
    timezone: TimeZone | None = None
    watch: tuple[WatchFolder, ...]
    analyzer: Analyzer = Analyzer()
    engine: Engine = Engine()
    limits: Limits = Limits()
    retention: Retention = Retention()
    prices: Prices = Prices()
    alerts: Alerts = Alerts()
    webhooks: tuple[Webhook, ...] = ()
    heartbeat: Heartbeat | None = None
    metrics_file: Annotated[FilePath, AfterValidator(usable_metrics_file)] | None = None
    web: Web = Web()
    log_format: Literal["text", "json"] = "text"
    log_names: bool = True

    def retention_of(self, folder: WatchFolder) -> Retention:
        """How long a folder keeps things."""
        own = folder.retention.model_dump(exclude_none=True)
        return self.retention.model_copy(update=own)
