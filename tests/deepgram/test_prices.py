"""What an analysis is estimated to cost, from list prices."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.config.models import Prices
from daemon.deepgram.prices import FREE, Price, cost_of, listed_prices, price_of
from daemon.deepgram.reply import read_reply
from tests.deepgram.asking import request
from tests.harness import sample

LISTED = Prices()


def cost(
    *,
    model: str = "nova-3",
    seconds: float | None = 60.0,
    channels: int | None = 1,
    prices: Prices = LISTED,
    **options: Any,
) -> float | None:
    metadata = options.pop("metadata", {})
    price = FREE if model == "embedded" else price_of(prices, model, options, features=4)
    return cost_of(price, model, seconds, channels, metadata).usd


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


def test_what_the_configuration_says_of_prices_lies_over_the_list() -> None:
    own = Prices(models={"nova-3": 0.0036, "nova-9": 0.01}, options={"redact": 0.0017}, output_tokens=0.5)
    words = {"summary_info": {"input_tokens": 1000, "output_tokens": 1000}}

    assert cost(prices=own) == pytest.approx(0.0036)
    assert cost(prices=own, model="nova-9", redact="pii", diarize="true") == pytest.approx(0.0137)
    assert cost(prices=own, model="nova-3-medical") == pytest.approx(0.0043)
    assert cost(prices=own, metadata=words) == pytest.approx(0.0036 + 0.0003 + 0.5)


@pytest.mark.parametrize(
    ("own", "of"),
    [
        ({}, "listed"),
        ({"models": {"nova-9": 0.01}}, "configuration"),
        ({"models": {"nova-9": 0.01}, "as_of": "2026-09-30"}, "2026-09-30"),
    ],
)
def test_a_price_says_from_when_it_is(own: dict[str, Any], of: str) -> None:
    listed = listed_prices().as_of
    assert listed is not None
    price = price_of(Prices.model_validate(own), "nova-3", {}, features=0)
    assert price.of == (listed.isoformat() if of == "listed" else of)


def test_what_is_expected_before_anything_is_known_has_the_words_that_are_usual_in_it() -> None:
    price: Price = request().price
    plain = price.usd(3600, 1, 0, 0)
    expected = price.expected_usd(3600, 1)
    assert plain is not None
    assert expected is not None
    assert plain < expected < 1.2 * plain


def test_a_reply_says_what_it_was_billed_by() -> None:
    cost = read_reply(sample("full_diarized"), request()).cost
    assert cost is not None
    assert (cost.model, cost.seconds, cost.channels) == ("nova-3", 16.44, 1)
    assert (cost.input_tokens, cost.output_tokens) == (68 + 69 * 3, 57 + 8 + 69 + 8)
