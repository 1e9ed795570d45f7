"""What requests probably cost, from list prices. An estimate: the invoice is Deepgram's.

The table in prices.yaml is dated; what the configuration says under `prices` is laid over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from daemon.config.models import Prices
from daemon.deepgram.values import mapping, whole_number
from daemon.models import Cost

CONFIGURED = "configuration"
"""`prices_of` where the configuration has prices of its own and does not say of when they are."""

TOKENS_PER_MINUTE = 200
"""Of ordinary speech, about 150 words a minute: what each feature of the analysis reads."""
_TOKENS_PER_WORD = 4 / 3
_OUTPUT_SHARE = 0.1

_TOKEN_SECTIONS = ("summary_info", "sentiment_info", "topics_info", "intents_info")


@dataclass(frozen=True, slots=True)
class Price:
    """What one way of asking costs. `per_minute` of a channel is None where the model's price is not known.

    `is_by_channel` says that each channel is paid for, `features` how many features read the transcript,
    `of` from when the prices are.
    """

    per_minute: float | None
    per_input_token: float
    per_output_token: float
    is_by_channel: bool
    features: int
    of: str | None

    def usd(
        self, seconds: float | None, channels: int | None, input_tokens: int, output_tokens: int
    ) -> float | None:
        """US dollars for one recording; None where the price or the length is not known."""
        if self.per_minute == 0 and not self.per_input_token:
            return 0.0
        if self.per_minute is None or seconds is None:
            return None
        billed_channels = max(1, channels or 1) if self.is_by_channel else 1
        tokens = input_tokens * self.per_input_token + output_tokens * self.per_output_token
        return round(seconds / 60 * self.per_minute * billed_channels + tokens, 6)

    def expected_usd(self, seconds: float, channels: int | None) -> float | None:
        """US dollars for a recording of this length before anything of it is known."""
        tokens = round(seconds / 60 * TOKENS_PER_MINUTE) * self.features
        return self.usd(seconds, channels, tokens, round(tokens * _OUTPUT_SHARE))

    def expected_usd_of_text(self, words: int) -> float | None:
        """What analyzing so many words of a transcript will probably cost, in USD; None: it is not known."""
        tokens = round(words * _TOKENS_PER_WORD) * self.features
        return self.usd(0.0, 1, tokens, round(tokens * _OUTPUT_SHARE))


FREE = Price(0.0, 0.0, 0.0, is_by_channel=False, features=0, of=None)
"""Of the engine that earshot brings along."""


def price_of(prices: Prices, model: str, parameters: Mapping[str, str], features: int) -> Price:
    """What a request with these parameters of /v1/listen costs, by the table and by `prices` over it."""
    table = listed_prices()
    is_multilingual = parameters.get("language") == "multi"
    models = table.multilingual | prices.multilingual if is_multilingual else table.models | prices.models
    options = table.options | prices.options
    rate = models.get(model)
    if rate is not None:
        rate += sum(price for name, price in options.items() if parameters.get(name, "false") != "false")
    return Price(
        per_minute=rate,
        per_input_token=_first(prices.input_tokens, table.input_tokens) / 1000,
        per_output_token=_first(prices.output_tokens, table.output_tokens) / 1000,
        is_by_channel=parameters.get("multichannel") == "true",
        features=features,
        of=_date(prices) or (CONFIGURED if prices.model_fields_set else _date(table)),
    )


@cache
def listed_prices() -> Prices:
    """The table that earshot brings along."""
    return Prices.model_validate(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8")))


def cost_of(
    price: Price, model: str, seconds: float | None, channels: int | None, metadata: Mapping[str, Any]
) -> Cost:
    """What a reply with this metadata was billed by, and what that probably came to."""
    input_tokens, output_tokens = _tokens(metadata, "input_tokens"), _tokens(metadata, "output_tokens")
    return Cost(
        model=model,
        seconds=seconds,
        channels=channels,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usd=price.usd(seconds, channels, input_tokens, output_tokens),
        prices_of=price.of,
    )


def _tokens(metadata: Mapping[str, Any], count: str) -> int:
    # JSON knows one kind of number: 69.0 tokens are 69.
    return sum(whole_number(mapping(metadata.get(section)).get(count)) or 0 for section in _TOKEN_SECTIONS)


def _first(*values: float | None) -> float:
    return next(value for value in (*values, 0.0) if value is not None)


def _date(prices: Prices) -> str | None:
    return prices.as_of.isoformat() if prices.as_of else None
