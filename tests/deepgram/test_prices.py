"""What an analysis is estimated to cost, from list prices."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.deepgram.prices import estimated_cost
from daemon.deepgram.reply import read_reply
from tests.deepgram.asking import request
from tests.harness import sample


def cost(
    *, model: str = "nova-3", seconds: float | None = 60.0, channels: int | None = 1, **options: Any
) -> float | None:
    metadata = options.pop("metadata", {})
    return estimated_cost(
        model=model, parameters=options, duration_seconds=seconds, channels=channels, metadata=metadata
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 0.0043),
        ({"seconds": 0.0}, 0.0),
        ({"seconds": 3600.0}, 0.258),
        ({"language": "multi"}, 0.0052),
        ({"diarize_model": "latest"}, 0.0063),
        ({"diarize": "false"}, 0.0043),
        ({"keyterm": "earshot", "redact": "pii"}, 0.0076),
        ({"channels": 2}, 0.0043),
        ({"channels": 2, "multichannel": "true"}, 0.0086),
        ({"channels": None, "multichannel": "true"}, 0.0043),
        ({"metadata": {"summary_info": {"input_tokens": 1000, "output_tokens": 1000}}}, 0.0052),
        ({"metadata": {"summary_info": {"input_tokens": 1000.0, "output_tokens": 1000.0}}}, 0.0052),
        ({"metadata": {"summary_info": {"input_tokens": float("nan"), "output_tokens": 1e300}}}, 0.0043),
        ({"metadata": {"summary_info": {"input_tokens": "1000", "output_tokens": -1}}}, 0.0043),
        ({"metadata": {"topics_info": {"input_tokens": True}, "intents_info": []}}, 0.0043),
        ({"model": "nova-2"}, None),
        ({"model": "nova-3-medical", "language": "multi"}, None),
        ({"seconds": None}, None),
        ({"model": "embedded"}, 0.0),
        ({"model": "embedded", "seconds": None}, 0.0),
    ],
)
def test_list_prices(settings: dict[str, Any], expected: float | None) -> None:
    assert cost(**settings) == (expected if expected is None else pytest.approx(expected))


def test_a_whole_reply_is_priced_by_its_minutes_and_tokens() -> None:
    analysis = read_reply(sample("full_diarized"), request(options={"diarize_model": "latest"}))

    minutes = 16.44 / 60 * (0.0043 + 0.0020)
    tokens = (68 + 69 * 3) * 0.3e-6 + (57 + 8 + 69 + 8) * 0.6e-6
    assert analysis.estimated_cost_usd == pytest.approx(minutes + tokens, abs=1e-6)
