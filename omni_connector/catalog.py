"""Models: what family a name belongs to, how much it holds, what it costs, how it wants to be spoken to.

Windows and prices come from genai-prices through `usage.py` (lazily: nothing here is imported at the start); largest answers
and dialect words come from the tables below. What nobody told us is None or absent, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TypeVar

from omni_connector import usage

T = TypeVar("T")

# ---------------------------------------------------------------- Facts by family (see `family` for the spelling)

WINDOWS: tuple[tuple[str, int], ...] = (
    # upstreams.md §10: windows of Kimi models as a peer lists them. Longest name first.
    (r"kimi-k3-256k$", 262_144),
    (r"kimi-k3", 1_048_576),
    (r"kimi-k2\.[567]", 262_144),
)
"""Context windows of models that the price data lacks: pattern on the family → tokens, first match wins."""

MAX_OUTPUT: tuple[tuple[str, int], ...] = (
    # platform.claude.com, "Models overview" (2026): current models 128K, Haiku 4.5 64K; 4.6–4.8 128K by the same pages;
    # older ones from the models' own pages of their time.
    (r"claude-(opus|sonnet|haiku)-4\.5$", 64_000),
    (r"claude-(fable|mythos|opus|sonnet)-5", 128_000),
    (r"claude-(opus|sonnet)-4\.[678]$", 128_000),
    (r"claude-opus-4(\.[01])?$", 32_000),
    (r"claude-sonnet-4(\.0)?$", 64_000),
    (r"claude-3\.7-sonnet$", 64_000),
    (r"claude-3\.5-(sonnet|haiku)$", 8_192),
    (r"claude-3-(opus|sonnet|haiku)$", 4_096),
)
"""Largest answers, pattern on the family → tokens. Anthropic's wire format demands max_tokens, so Claude comes first."""

PROFILES: tuple[tuple[str, frozenset[str]], ...] = (
    # upstreams.md §2: 5-series adaptive and effort only; 4.6–4.8 both; 4.5 and older budgets only. Sampling rules there too.
    (r"claude-(fable|mythos|opus|sonnet)-5", frozenset({"adaptive_thinking", "effort", "no_thinking_budget", "no_sampling"})),
    (r"claude-haiku-5", frozenset({"no_sampling"})),
    (r"claude-(opus|sonnet)-4\.[678]$", frozenset({"adaptive_thinking", "effort", "no_sampling_with_thinking"})),
    (r"claude-", frozenset({"no_sampling_with_thinking"})),
    # §1, quirks: reasoning models refuse sampling values other than the defaults.
    (r"(o[134](-|$)|gpt-[56](\.|-|$))", frozenset({"no_sampling"})),
    # §10: k2.7-code and k3 cannot switch thinking off.
    (r"kimi-k(2\.7-code|3)", frozenset({"always_thinking"})),
)
"""How a model differs from its provider: pattern on the family → words of providers.FEATURES, first match wins."""


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model at a provider. Tokens and dollars per million tokens; None = unknown."""

    id: str
    family: str
    context_window: int | None = None
    max_output: int | None = None
    input_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal | None = None
    profile: frozenset[str] = frozenset()


# ---------------------------------------------------------------- Names

_ROUTE = re.compile(r"^(models/|.*/)")
_TAIL = re.compile(r"(@[\w.-]+|:[a-z]+|-latest|-(19|20)\d\d-?\d\d-?\d\d|-\d{4})$")
_VERSION = re.compile(r"(?<=\d)-(?=\d{1,2}(-|$))")
_POINT = re.compile(r"(?<=\d)p(?=\d)")


@lru_cache(maxsize=4096)
def family(model_id: str) -> str:
    """The name without its route, date and tag, in one spelling: "anthropic/claude-sonnet-4-5-20250929" and
    "claude-sonnet-4.5:beta" are both "claude-sonnet-4.5"; Fireworks' "glm-5p2" is "glm-5.2"."""
    name = _ROUTE.sub("", model_id.strip().lower()) or model_id.strip().lower()
    while True:
        shorter = _TAIL.sub("", name)
        if shorter in ("", name):
            break
        name = shorter
    return _POINT.sub(".", _VERSION.sub(".", name))


def near(name: str, known: Iterable[str], limit: int = 5) -> list[str]:
    """Up to `limit` known names that somebody who typed `name` may have meant, best first."""
    wanted, wanted_family = name.lower(), family(name)
    scored: list[tuple[float, str]] = []
    for candidate in dict.fromkeys(known):
        other = candidate.lower()
        score = SequenceMatcher(None, wanted, other).ratio()
        if family(candidate) == wanted_family:
            score += 1
        elif wanted in other or other in wanted:
            score += 0.5
        if score >= 0.6:
            scored.append((-score, candidate))
    return [candidate for _, candidate in sorted(scored)[:limit]]


# ---------------------------------------------------------------- Facts


def _first(table: Iterable[tuple[str, T]], name: str) -> T | None:
    return next((value for pattern, value in table if re.match(pattern, name)), None)


@lru_cache(maxsize=4096)
def profile(model_id: str) -> frozenset[str]:
    """Words of providers.FEATURES that hold for this model wherever it is served. Empty: nothing special is known."""
    return _first(PROFILES, family(model_id)) or frozenset()


@lru_cache(maxsize=4096)
def max_output(model_id: str) -> int | None:
    """Tokens of the largest answer, where known."""
    return _first(MAX_OUTPUT, family(model_id))


def lookup(provider_price_id: str | None, model_id: str, at: int | None = None) -> Model | None:
    """What is known of a model: window, largest answer, list price at `at` (ms UTC, None = now). None: nothing at all.
    Imports the price data on its first call (0.25 s): call it from a thread, or after the first answer was sent."""
    name = family(model_id)
    priced = usage.priced_model(provider_price_id, model_id) if provider_price_id and provider_price_id not in usage.FREE else None
    found = usage.rates(provider_price_id, model_id, at) if provider_price_id and priced else None
    window = (priced.model.context_window if priced else None) or _first(WINDOWS, name)
    largest, words = max_output(model_id), profile(model_id)
    if priced is None and window is None and largest is None and not words:
        return None
    if found is None:
        return Model(model_id, name, window, largest, profile=words)
    return Model(model_id, name, window, largest, _per_million(found.input), _per_million(found.output), words)


def _per_million(rate: usage.Rate | None) -> Decimal | None:
    return None if rate is None else rate.base * usage.PER_MILLION
