"""Which of the user's prices names a model, what it makes an answer cost, and rows that are priced anew."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import prices, usage
from omni_connector.chat import Usage
from omni_connector.snapshot import Account, PriceOverride

ROW: dict[str, Any] = {
    "account_id": "acc_1", "provider": "openai", "model": "gpt-4o", "flag": None, "price_source": "genai-prices 0", "cost_nano": 1,
    "usage_raw": None, "settled_at": 1_763_726_400_000, "input": 1_000_000, "cache_read": None, "cache_write": None, "output": 0,
    "reasoning": None, "cache_write_1h": None, "web_searches": None,
}  # fmt: skip


def entry(pattern: str, scope: str = "", rate: str = "1") -> PriceOverride:
    return PriceOverride(pattern, scope, Decimal(rate), Decimal(rate))


def account(*own: PriceOverride, **more: Any) -> Account:
    return Account("acc_1", "openai", "work", prices=own, **more)


@pytest.mark.parametrize(
    ("pattern", "model", "how"),
    [
        ("gpt-4o-2024-08-06", "GPT-4o-2024-08-06", prices.ID),
        ("claude-sonnet-4.5", "claude-sonnet-4-5-20250929", prices.FAMILY),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4.5:beta", prices.FAMILY),
        ("claude-*", "anthropic/claude-opus-4-5-20251101", prices.PATTERN),
        ("opus[1m]", "opus[1m]", prices.ID),
        ("opus[1m]*", "opus[1m]", prices.PATTERN),
        ("opus[1m]*", "opus1", None),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", None),
        ("gpt-4o", "gpt-4o-mini", None),
    ],
)
def test_what_a_pattern_names(pattern: str, model: str, how: int | None) -> None:
    found = prices.fits(pattern, model)
    assert (None if found is None else found[0]) == how


def test_the_nearest_price_wins() -> None:
    model = "gpt-5-2025-08-07"
    nearest_first = [
        entry(model, "account:acc_1"), entry("gpt-5", "account:acc_1"), entry("*", "account:acc_1"),
        entry(model, "provider:openai"), entry("gpt-5", "provider:openai"), entry("gpt-5*", "provider:openai"),
        entry(model), entry("gpt-5"), entry("gpt-5*"), entry("gpt*"), entry("*"),
    ]  # fmt: skip
    for n, wanted in enumerate(nearest_first):
        assert prices.find(account(*reversed(nearest_first[n:])), model) is wanted
        assert prices.find(account(*nearest_first[n:]), model) is wanted
    assert prices.find(account(entry("gpt-4*")), model) is None


def test_a_price_of_ones_own_also_where_the_account_is_free_or_unknown() -> None:
    counts = Usage(input=2_000_000, output=0)
    for price_id in ("subscription", "local", "no-such-provider"):
        mine = account(entry("x", rate="0.25"), options={"price_id": price_id})
        assert prices.price(counts, mine, "x") == usage.Price(Decimal("0.5"), "override")
    free = account(PriceOverride("*", subscription=True))
    assert prices.price(counts, free, "gpt-4o") == usage.Price(Decimal(0), "override", worth=Decimal(5))
    assert prices.price(counts, account(), "gpt-4o").source == usage.source_name()


rate = st.decimals(0, 1_000_000, places=12)
tokens = st.integers(0, 10_000_000)


@given(st.tuples(rate, rate, rate, rate, rate), st.tuples(tokens, tokens, tokens, tokens))
def test_to_the_last_nano_dollar(rates: tuple[Decimal, ...], counts: tuple[int, ...]) -> None:
    read, written, cached, stored, each = rates
    fresh, hits, writes, out = counts
    own = PriceOverride("m", "", read, written, cached, stored, each)
    found = prices.price(Usage(fresh, hits, writes, out), account(own), "m")
    exact = Fraction(each)
    for rate_, count in ((read, fresh), (cached, hits), (stored, writes), (written, out)):
        exact += Fraction(rate_) * count / 1_000_000
    nanos = exact * 10**9
    assert usage.nano(found.cost) == int(nanos + Fraction(1, 2)), "half a nano-dollar is rounded up"


def test_a_row_again() -> None:
    mine = account(entry("gpt-4o", rate="3"))
    assert prices.again(ROW, mine, mine.prices) == usage.Price(Decimal(3), "override")
    assert prices.again(ROW, account(), ()) == usage.Price(Decimal("2.5"), usage.source_name())
    assert prices.again({**ROW, "price_source": "reported"}, mine, mine.prices) == "reported"
    assert prices.again({**ROW, "flag": "CONTINUED"}, mine, mine.prices) == "continued"
    assert prices.again(ROW, None, (entry("gpt-4o", "provider:groq"),)) == "removed"
    assert prices.again(ROW, None, mine.prices) == usage.Price(Decimal(3), "override")


def test_a_row_again_knows_all_that_it_was_billed_by() -> None:
    counts = {"model": "claude-sonnet-4-5", "cache_write": 2_000, "cache_write_1h": 500, "web_searches": 3, "input": 0}
    there = Account("acc_1", "anthropic", "a")
    found = prices.again({**ROW, **counts, "provider": "anthropic"}, there, ())
    assert isinstance(found, usage.Price)
    assert found.cost == Decimal("0.005625") + Decimal("0.003") + Decimal("0.03")


@pytest.mark.parametrize(
    ("provider", "model", "worth"),
    [
        # Dollars of a million tokens read, as each vendor lists them.
        ("codex", "gpt-5", "1.25"),
        ("codex", "gpt-5-codex-high", "1.25"),
        ("kiro", "claude-sonnet-4.5", "6"),
        ("gemini-cli", "gemini-2.5-pro", "2.5"),
        ("antigravity", "claude-opus-4-6-thinking", "5"),
        ("kimi-code", "kimi-for-coding", None),
        ("codex", "nobody-knows", None),
    ],
)
def test_what_a_plan_pays_for_is_worth_its_list_price(provider: str, model: str, worth: str | None) -> None:
    found = prices.price(Usage(input=1_000_000, output=0), replace(account(), provider=provider), model)
    assert (found.cost, found.source) == (Decimal(0), "subscription")
    assert found.worth == (None if worth is None else Decimal(worth))


def test_the_user_says_what_it_is_worth() -> None:
    mine = PriceOverride("*", input=Decimal(2), output=Decimal(3), subscription=True)
    found = prices.price(Usage(input=1_000_000, output=1_000_000), replace(account(mine), provider="codex"), "gpt-5")
    assert found == usage.Price(Decimal(0), "override", worth=Decimal(5))
    local = prices.price(Usage(input=5, output=5), replace(account(), provider="ollama"), "qwen3")
    assert local == usage.Price(Decimal(0), "local")
