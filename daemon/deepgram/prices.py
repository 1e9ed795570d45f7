"""What requests probably cost, from list prices. An estimate: the invoice is Deepgram's.

The table in prices.yaml is dated; `prices` in the configuration override it.
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
"""`prices_of` when the configuration has prices of its own but no date for them."""

TOKENS_PER_MINUTE = 200
"""Input tokens of each feature for a minute of ordinary speech (about 150 words)."""
_TOKENS_PER_WORD = 4 / 3
_OUTPUT_SHARE = 0.1

_TOKEN_SECTIONS = ("summary_info", "sentiment_info", "topics_info", "intents_info")


@dataclass(frozen=True, slots=True)
class Price:
    """What one kind of request costs, in USD. `per_minute` is None if the model's price is not known.

    `is_by_channel`: each channel is paid for; `features`: how many features read the transcript;
    `of`: the date of the prices.
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
        """Estimate US dollars for a recording of which only the length is known."""
        tokens = round(seconds / 60 * TOKENS_PER_MINUTE) * self.features
        return self.usd(seconds, channels, tokens, round(tokens * _OUTPUT_SHARE))

    def expected_usd_of_text(self, words: int) -> float | None:
        """Estimate US dollars for the analysis of this many words of a transcript; None if not known."""
        tokens = round(words * _TOKENS_PER_WORD) * self.features
        return self.usd(0.0, 1, tokens, round(tokens * _OUTPUT_SHARE))


FREE = Price(0.0, 0.0, 0.0, is_by_channel=False, features=0, of=None)
"""The price of earshot's own engine."""


def price_of(prices: Prices, model: str, parameters: Mapping[str, str], features: int) -> Price:
    """Return the price of a request with these /v1/listen parameters; `prices` override the table."""
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
    """Return earshot's own price table."""
    return Prices.model_validate(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8")))


def cost_of(
    price: Price, model: str, seconds: float | None, channels: int | None, metadata: Mapping[str, Any]
) -> Cost:
    """Return what a reply with this metadata is billed for, and its probable cost."""
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
