"""The kinds of value that keys of a configuration have: what each may be, and how the file writes it."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from daemon.config.times import known_timezone, parse_clock, parse_quiet_hours
from daemon.config.units import parse_duration, parse_size
from daemon.config.values import known_language, more_than_nothing, no_switch, not_blank, with_a_word

Seconds = Annotated[float, BeforeValidator(parse_duration)]
"""A duration in seconds; the file may say `2s`, `0.5s`, `15m`, `24h`, `30d` or a number."""

PositiveSeconds = Annotated[Seconds, AfterValidator(more_than_nothing)]
Bytes = Annotated[int, BeforeValidator(parse_size)]
Text = Annotated[str, AfterValidator(not_blank)]
FilePath = Annotated[Path, BeforeValidator(not_blank)]
Language = Annotated[str, AfterValidator(known_language)]
Terms = Annotated[tuple[Text, ...], Field(max_length=100)]
ClockTime = Annotated[time, BeforeValidator(parse_clock)]
QuietHours = Annotated[tuple[time, time], BeforeValidator(parse_quiet_hours)]
TimeZone = Annotated[str, AfterValidator(known_timezone)]

Feature = Literal["summary", "topics", "intents", "sentiment"]
TermMode = Literal["extended", "strict"]
SentimentLabel = Literal["negative", "neutral", "positive"]
NotAnalyzed = Literal["true", "summary", "topics", "intents", "sentiment"]

Score = Annotated[float, BeforeValidator(no_switch), Field(ge=-1.0, le=1.0)]
Share = Annotated[float, BeforeValidator(no_switch), Field(ge=0.0, le=1.0)]
Drop = Annotated[float, BeforeValidator(no_switch), Field(ge=0.0, le=2.0)]
SidecarFormat = Literal["json", "txt", "vtt", "srt", "md", "html"]
WebhookEvent = Literal["done", "failed", "alert"]
Count = Annotated[int, BeforeValidator(no_switch), Field(ge=1)]
Usd = Annotated[float, BeforeValidator(no_switch), Field(ge=0.0, allow_inf_nan=False)]
Money = Annotated[float, BeforeValidator(no_switch), Field(gt=0.0, allow_inf_nan=False)]
Phrase = Annotated[str, AfterValidator(with_a_word)]
