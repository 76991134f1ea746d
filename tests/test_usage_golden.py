"""Usage blocks that providers really sent → the counts and the cost they come to, per provider (tests/golden/usage_cost).

The files hold the prices, typed from the vendors' pages; cost is worked out here once more from those, in whole numbers, and has to be
what the product makes of the block alone: its reader of the format, its price list, its reader of reported costs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from omni_connector import prices, providers, usage
from omni_connector.chat import Usage
from omni_connector.snapshot import Account
from omni_connector.wire import anthropic_words, gemini_words, openai_chat_words, openai_responses_words

Json = dict[str, Any]
FILES = sorted((Path(__file__).parent / "golden" / "usage_cost").glob("*.json"))
CASES = [(path.stem, case) for path in FILES for case in json.loads(path.read_text("utf-8"))]
READERS: Mapping[str, Callable[[Json, str | None], Usage | None]] = {
    "openai-chat": lambda block, tier: openai_chat_words.usage_in({"service_tier": tier}, block),
    "openai-responses": lambda block, tier: openai_responses_words.usage_of({"usage": block, "service_tier": tier}),
    "anthropic-messages": lambda block, tier: anthropic_words.to_usage(block),
    "gemini-generate": lambda block, tier: gemini_words.to_usage(block),
}
NAMES = ("input", "cache_read", "cache_write", "output", "reasoning", "cache_write_1h", "web_searches")


def used(case: Json) -> Usage:
    found = Usage()
    for block in case["blocks"]:
        read = READERS[case["wire"]](block, case["service_tier"])
        found = found if read is None else found.merged(read)  # a stream may begin with a block that states nothing
    return found


def by_hand(counts: Json, listed: Json) -> int:
    """Nano-dollars. One dollar per million tokens is a thousand nano-dollars a token; a long prompt has prices of its own."""
    fresh, read, written, output, _, hour, searches = (counts[name] or 0 for name in NAMES)
    long = listed.get("long")
    rates = long if long and fresh + read + written > long["above"] else listed
    a_token = {name: Fraction(rates.get(name, rates["input"])) * 1_000 for name in (*NAMES[:4], "cache_write_1h")}
    total = fresh * a_token["input"] + read * a_token["cache_read"] + output * a_token["output"]
    total += (written - hour) * a_token["cache_write"] + hour * a_token["cache_write_1h"]
    total += searches * Fraction(listed.get("web_search", "0")) * 10**9
    return int(total + Fraction(1, 2))


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{name}-{case['model']}-{case['from'][-12:]}") for name, case in CASES])
def test_used_and_paid(case: Json) -> None:
    found = used(case)
    assert {name: getattr(found, name) for name in NAMES} == case["counts"]
    account = providers.complete(Account("acc_1", case["provider"], "a", secret="k"))
    price = prices.price(found, account, case["model"], case["at"])
    assert usage.nano(price.cost) == case["nano"]
    if case["prices"] is None:
        assert price.source == "unknown"
    elif case["prices"] == "reported":
        assert price.source == "reported"
    else:
        assert price.source.startswith("genai-prices") and by_hand(case["counts"], case["prices"]) == case["nano"]


def test_the_files_show_what_matters() -> None:
    """Every kind of count and price occurs, so that a reader that forgets one is found."""
    assert len(CASES) >= 30 and {case["provider"] for _, case in CASES} >= {
        "openai", "anthropic", "gemini", "deepseek", "mistral", "groq", "openrouter", "xai", "kimi", "glm",
    }  # fmt: skip
    for name in NAMES:
        assert any(case["counts"][name] for _, case in CASES), name
    long = [case for _, case in CASES if isinstance(case["prices"], dict) and "long" in case["prices"]]
    assert len(long) >= 3 and {case["service_tier"] for _, case in CASES} >= {"flex", "priority", "default"}
    words = json.dumps(CASES)
    assert '"content"' not in words and '"messages"' not in words, "usage only, nobody's words"
