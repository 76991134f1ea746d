from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from omni_connector import prices, providers, usage
from omni_connector.chat import Usage
from omni_connector.snapshot import Account, PriceOverride


def account(provider: str, base_url: str = "", **more: Any) -> Account:
    return Account("acc_1", provider, "a", base_url=base_url, **more)


# Blocks as recorded; what they come to was worked out by hand from each vendor's price list.
@pytest.mark.parametrize(
    ("provider", "base_url", "raw", "dollars"),
    [
        ("openrouter", "", {"cost": 0.001653, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.001653}}, "0.001653"),
        ("openrouter", "", {"cost": 7.79e-05}, "0.0000779"),
        ("openrouter", "", {"cost": 0, "is_byok": False}, "0"),
        ("openrouter", "", {"cost": 0.0005, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.01}}, "0.0105"),
        ("openrouter", "", {"cost": 0.0005, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ("openrouter", "", {"cost": 0.0005, "is_byok": True}, None),
        ("xai", "", {"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
        ("xai", "", {"cost_in_usd_ticks": 200_000_000}, "0.02"),
        ("custom-openai", "https://api.x.ai/v1", {"cost_in_usd_ticks": 2_876_500}, "0.00028765"),
        ("custom-openai", "https://ai-gateway.vercel.sh/v1", {"cost": 0.002997, "is_byok": False}, "0.002997"),
        ("custom-openai", "https://ai-gateway.vercel.sh/v1", {"cost": 0.002997, "is_byok": True}, None),
        ("custom-openai", "https://api.perplexity.ai", {"cost": {"request_cost": 0.005, "total_cost": 0.00501}}, "0.00501"),
        ("custom-openai", "https://api.perplexity.ai", {"cost": {"total_cost": 0}}, None),
        # Azure's Grok sends the field, with 0 in it; nobody knows whether a stranger bills what it reports.
        ("xai", "", {"cost_in_usd_ticks": 0}, None),
        ("xai", "https://models.example/v1", {"cost_in_usd_ticks": 5}, None),
        ("custom-openai", "https://gateway.example/v1", {"cost": 0.5}, None),
        ("openai", "", {"cost": 0.5}, None),
        ("nobody", "", {"cost": 0.5}, None),
    ],
)
def test_what_providers_say_an_answer_took(provider: str, base_url: str, raw: dict[str, Any], dollars: str | None) -> None:
    told = providers.reported_cost(account(provider, base_url), raw)
    assert told == (None if dollars is None else Decimal(dollars))


HOSTILE = (None, True, -1, -0.01, 10_001, 1e300, "NaN", "Infinity", "1e999999999", "9" * 100, [], {}, {"cost": 1}, "free")


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_nonsense_is_no_price(value: Any) -> None:
    for provider, base_url, raw in (
        ("openrouter", "", {"cost": value}),
        ("xai", "", {"cost_in_usd_ticks": value if value != 10_001 else 10**15}),
        ("custom-openai", "https://api.perplexity.ai", {"cost": {"total_cost": value}}),
        ("openrouter", "", {"cost": 1, "is_byok": True, "cost_details": value}),
    ):
        assert providers.reported_cost(account(provider, base_url), raw) is None


def test_what_is_reported_wins_over_the_list_and_the_user_over_both() -> None:
    counts = Usage(input=1_000, output=100, raw={"cost": 0.25})
    assert prices.price(counts, account("openrouter"), "openai/gpt-5") == usage.Price(Decimal("0.25"), "reported")
    assert prices.price(counts, account("openrouter"), "no/such-model") == usage.Price(Decimal("0.25"), "reported")
    mine = PriceOverride("openai/gpt-5", per_request=Decimal(1))
    assert prices.price(counts, account("openrouter", prices=(mine,)), "openai/gpt-5") == usage.Price(Decimal(1), "override")
    free = account("openrouter", options={"price_id": "subscription"})
    assert prices.price(counts, free, "openai/gpt-5").cost == 0
    silent = prices.price(Usage(input=1_000, output=100), account("openrouter"), "openai/gpt-5")
    assert silent.source.startswith("genai-prices") and silent.cost
