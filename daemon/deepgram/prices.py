"""What an analysis probably cost, from list prices. An estimate: the invoice is Deepgram's.

Pay-as-you-go prices in USD as published in August 2026 (https://deepgram.com/pricing).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daemon.deepgram.request import EMBEDDED

PER_MINUTE = {"nova-3": 0.0043, "nova-3-general": 0.0043, "nova-3-medical": 0.0043}
PER_MINUTE_MULTILINGUAL = {"nova-3": 0.0052, "nova-3-general": 0.0052}
ADD_ONS_PER_MINUTE = {
    "diarize": 0.0020,
    "diarize_model": 0.0020,
    "redact": 0.0020,
    "keyterm": 0.0013,
    "detect_entities": 0.0017,
}
PER_INPUT_TOKEN = 0.0003 / 1000
PER_OUTPUT_TOKEN = 0.0006 / 1000

_TOKEN_SECTIONS = ("summary_info", "sentiment_info", "topics_info", "intents_info")


def estimated_cost(
    *,
    model: str,
    parameters: Mapping[str, str],
    duration_seconds: float | None,
    channels: int | None,
    metadata: Mapping[str, Any],
) -> float | None:
    """US dollars for one recording, None where the price of the model is not known.

    `parameters` are the request's; `metadata` the reply's, whose token counts price the analysis.
    """
    if model == EMBEDDED:
        return 0.0
    multilingual = parameters.get("language") == "multi"
    rate = (PER_MINUTE_MULTILINGUAL if multilingual else PER_MINUTE).get(model)
    if rate is None or duration_seconds is None:
        return None
    rate += sum(
        price for name, price in ADD_ONS_PER_MINUTE.items() if parameters.get(name, "false") != "false"
    )
    billed_channels = max(1, channels or 1) if parameters.get("multichannel") == "true" else 1
    return round(duration_seconds / 60 * rate * billed_channels + _token_cost(metadata), 6)


def _token_cost(metadata: Mapping[str, Any]) -> float:
    total = 0.0
    for section in _TOKEN_SECTIONS:
        info = metadata.get(section)
        if isinstance(info, Mapping):
            total += _count(info.get("input_tokens")) * PER_INPUT_TOKEN
            total += _count(info.get("output_tokens")) * PER_OUTPUT_TOKEN
    return total


def _count(value: object) -> float:
    # JSON knows one kind of number: 69.0 tokens are 69.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**9:
        return 0.0
    return float(value)
