"""What an answer costs, and how many tokens a text has: `Decimal` dollars, nano-dollars for the ledger, honest unknowns.

Prices come from genai-prices (offline data, 0.2.x), read through this module only. Its `input_tokens` *includes* both
cache counts, ours exclude them (chat.Usage); its tiers are cliffs on the whole prompt. Rates are compiled once per
provider and model, because a call of its own costs more than the rest of settling a request.

genai-prices and its pydantic take long to import and much room, so they are imported at the first priced request, not before, and
a server (`tables_in`) reads a compact table that was made of them once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from omni_connector import price_table
from omni_connector.chat import ChatRequest, MediaPart, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart, ToolResultPart, Usage
from omni_connector.values import dataclass, quick

FREE: Mapping[str, str] = {"local": "local", "demo": "demo", "subscription": "subscription"}
"""Price ids that stand for "no money changes hands per token", and the source written on the row."""

PER_MILLION = Decimal(1_000_000)
PER_THOUSAND = Decimal(1_000)
NANO = Decimal(1_000_000_000)
TIER, STANDARD_TIER = "service_tier", "default"
CONTEXT_KEYS = (TIER, "speed")
"""Words of a provider's usage block that choose a price variant (OpenAI flex and priority, Anthropic fast)."""

STANDARD = frozenset({"default", "standard", "standard_only", "auto", "on_demand"})
"""Classes of service, in the providers' words, that cost what the list says."""
TIERED = frozenset({"openai", "azure", "google"})
"""Whose other classes cost more or less than the list: without a price of its own, such an answer's price is unknown."""

OVERRIDE = "override"
REPORTED = "reported"
"""Sources of prices: the user set it; the provider itself said what it took, which nobody here knows better."""

log = logging.getLogger("omni.usage")


@quick(frozen=True, slots=True)
class Price:
    """`cost` in dollars, None = unknown (never 0). `source`: "genai-prices 0.2.3", "override", "reported", "local",
    "demo", "subscription" or "unknown"."""

    cost: Decimal | None
    source: str
    worth: Decimal | None = None
    """What it would have cost where it is paid for by a subscription; None: unknown, or it is paid for by the token."""


UNKNOWN = Price(None, "unknown")


# ---------------------------------------------------------------- Rates


@dataclass(frozen=True, slots=True)
class Rate:
    """Dollars per token, by size of the whole prompt: `steps` are (start, rate), the last start that was passed counts."""

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()

    def at(self, prompt: int) -> Decimal:
        for start, rate in reversed(self.steps):
            if prompt > start:
                return rate
        return self.base


@dataclass(frozen=True, slots=True)
class Rates:
    """All that a chat answer is billed by. None: not priced on its own, so the wider count's rate holds."""

    input: Rate | None
    output: Rate | None
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    reasoning: Rate | None = None
    web_search: Rate | None = None
    per_request: Decimal = Decimal(0)

    @property
    def flat(self) -> bool:
        """Tokens cost nothing, so the cost is known where nobody counted them."""
        tokens = (self.input, self.output, self.cache_read, self.cache_write, self.cache_write_1h, self.reasoning)
        return all(rate is None or (rate.base == 0 and not rate.steps) for rate in tokens)

    def cost(self, usage: Usage) -> Decimal | None:
        """Dollars for one answer. None when a count that was used has no rate."""
        prompt = usage.prompt
        write, output = usage.cache_write or 0, usage.output or 0
        hour = min(usage.cache_write_1h or 0, write)
        reasoning = min(usage.reasoning or 0, output) if self.reasoning is not None else 0
        written = self.cache_write or self.input
        parts = (
            (usage.input or 0, self.input),
            (usage.cache_read or 0, self.cache_read or self.input),
            (write - hour, written),
            (hour, self.cache_write_1h or written),
            (output - reasoning, self.output),
            (reasoning, self.reasoning),
            (usage.web_searches or 0, self.web_search),
        )
        total = self.per_request
        for count, rate in parts:
            if count <= 0:  # an upstream that lies may report negative counts: they never lower a bill
                continue
            if rate is None:
                return None
            total += count * rate.at(prompt)
        return total


@dataclass(frozen=True, slots=True)
class _Priced:
    """A model of the price data. `steady`: its rates when neither hour, date nor variant matters, else None.
    `model`: price_table.Model or genai-prices' ModelInfo."""

    model: Any
    steady: Rates | None


def tables_in(home: Path) -> None:
    """Loads the price data for a server of that home, from the table kept there (`price_table.py`). Call it from a thread: where there
    is none yet it takes a second. Does nothing where the data is loaded already."""
    _homes.append(home)
    _library()


_homes: list[Path] = []
"""The first one keeps the table; none: no server runs here, and the library itself tells."""


def source_name() -> str:
    """ "genai-prices <version>": what is written beside a price."""
    return _library()[1]


@lru_cache(maxsize=1)
def _library() -> tuple[Callable[[str, str], Any], str]:
    """(price id, model) → its entry or None, and where that comes from."""
    from importlib.metadata import version as version_of

    version = version_of("genai-prices")
    source = f"genai-prices {version}"
    if _homes:
        try:
            return price_table.opened(_homes[0], version).find, source
        except price_table.NotMade as error:
            log.warning("the price table could not be made, so more memory is needed: %s", error)
    return _find, source


def _find(price_id: str, model: str) -> Any:
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider_model(model, None, price_id, None)[1]
    except LookupError:
        return None


@lru_cache(maxsize=4096)
def priced_model(price_id: str, model: str) -> _Priced | None:
    """The price data's entry for a provider's model, by its own id or a dated variant of it. None: it knows neither."""
    found = _library()[0](price_id, model)
    if found is None:
        return None
    plain = not isinstance(found.prices, list | tuple) and not found.price_variants
    return _Priced(found, _compile(found.prices) if plain else None)


def rates(price_id: str, model: str, at: int | None = None, context: tuple[tuple[str, str], ...] = ()) -> Rates | None:
    """The rates that hold at `at` (ms UTC; None: now). `context`: (word, value) pairs that choose a variant of the price,
    such as ("service_tier", "flex"). None: the price data knows no token price for this model."""
    priced = priced_model(price_id, model)
    if priced is None:
        return None
    if priced.steady is not None:
        return None if _costs_otherwise(priced, price_id, context) else priced.steady
    stamp = int(time.time() * 1000) if at is None else at
    # Every time rule of the data changes on whole minutes, so one compilation serves all requests of a minute.
    return _rates_in_minute(price_id, model, stamp // 60_000, context)


@lru_cache(maxsize=1024)
def _rates_in_minute(price_id: str, model: str, minute: int, context: tuple[tuple[str, str], ...]) -> Rates | None:
    priced = priced_model(price_id, model)
    if priced is None:
        return None
    moment = datetime.fromtimestamp(minute * 60, tz=UTC)
    if _costs_otherwise(priced, price_id, context, moment):
        return None
    return _compile(priced.model.get_prices(moment, dict(context) or None))


def _costs_otherwise(priced: _Priced, price_id: str, context: tuple[tuple[str, str], ...], moment: datetime | None = None) -> bool:
    """Whether it was served in a class whose price the data does not know: the standard one would be wrong."""
    tier = next((value for key, value in context if key == TIER), STANDARD_TIER)
    if price_id not in TIERED or tier in STANDARD:
        return False
    return not any(
        variant.when.get(TIER) == tier and (variant.constraint is None or moment is None or variant.constraint.active(moment))
        for variant in priced.model.price_variants or ()
    )


def _compile(prices: Any) -> Rates | None:
    """price_table.Prices or genai-prices' ModelPrice → Rates. None: it has no token price (speech, OCR, images)."""
    compiled = Rates(
        input=_rate(prices.input_mtok, PER_MILLION),
        output=_rate(prices.output_mtok, PER_MILLION),
        cache_read=_rate(prices.cache_read_mtok, PER_MILLION),
        cache_write=_rate(prices.cache_write_mtok, PER_MILLION),
        cache_write_1h=_rate(prices.cache_write_1h_mtok, PER_MILLION),
        reasoning=_rate(prices.output_reasoning_mtok, PER_MILLION),
        web_search=_rate(prices.web_searches_kcount, PER_THOUSAND),
        per_request=Decimal(0) if prices.requests_kcount is None else prices.requests_kcount / PER_THOUSAND,
    )
    return None if compiled.input is None and compiled.output is None else compiled


def _rate(value: Any, per: Decimal) -> Rate | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return Rate(value / per)
    return Rate(value.base / per, tuple((tier.start, tier.price / per) for tier in value.tiers))


def own_rates(
    input: Decimal = Decimal(0),
    output: Decimal = Decimal(0),
    cache_read: Decimal | None = None,
    cache_write: Decimal | None = None,
    per_request: Decimal = Decimal(0),
) -> Rates:
    """Rates that the user set: dollars per million tokens, and per request. A cache count without a rate costs what fresh tokens do."""
    return Rates(
        Rate(input / PER_MILLION),
        Rate(output / PER_MILLION),
        _rate(cache_read, PER_MILLION),
        _rate(cache_write, PER_MILLION),
        per_request=per_request,
    )


NOTHING = Rates(Rate(Decimal(0)), Rate(Decimal(0)), web_search=Rate(Decimal(0)))
"""The rates of what is paid for otherwise."""


# ---------------------------------------------------------------- Price of one answer


def price(
    usage: Usage,
    provider_price_id: str | None,
    model: str,
    *,
    override: Rates | None = None,
    at: int | None = None,
    service_tier: str | None = None,
) -> Price:
    """What one answer costs.

    `provider_price_id` is `Provider.price_id` (see `providers.price_id`); "local", "demo" and "subscription" cost 0 and say so.
    `override`: what the user set for this model there; it wins over everything (`prices.rates`). `at`: ms UTC, None = now.
    `service_tier`: where `usage.tier` does not say it; one inside `usage.raw` is found by itself.
    An unknown model, a count without a rate, or no counts at all: cost None. Raises nothing.
    """
    if override is not None and override.web_search is not None:
        return _priced(override, usage, OVERRIDE)
    free = provider_price_id in FREE
    if override is not None and (free or not usage.web_searches):
        return _priced(replace(override, web_search=NOTHING.web_search) if free else override, usage, OVERRIDE)
    if provider_price_id is None:
        return UNKNOWN
    if free:
        return Price(Decimal(0), FREE[provider_price_id])
    found = rates(provider_price_id, model, at, _context(usage, service_tier))
    if override is not None:
        # The user's word is about tokens; a search keeps its list price.
        return _priced(replace(override, web_search=None if found is None else found.web_search), usage, OVERRIDE)
    return UNKNOWN if found is None else _priced(found, usage, source_name())


def _priced(found: Rates, usage: Usage, source: str) -> Price:
    if usage.input is None and usage.output is None and not (source == OVERRIDE and found.flat):
        return UNKNOWN
    cost = found.cost(usage)
    return UNKNOWN if cost is None else Price(cost, source)


def _context(usage: Usage, service_tier: str | None) -> tuple[tuple[str, str], ...]:
    named = {TIER: service_tier or usage.tier, **{key: usage.raw.get(key) for key in CONTEXT_KEYS if usage.raw.get(key)}}
    return tuple((key, value) for key, value in named.items() if isinstance(value, str))


def nano(cost: Decimal | None) -> int | None:
    """Dollars → nano-dollars for the database, half a nano-dollar rounded up. None stays None."""
    return None if cost is None else int((cost * NANO).quantize(Decimal(1), ROUND_HALF_UP))


def usd(nanos: int | None) -> str | None:
    """Nano-dollars → the API's string of dollars: "0.001230", nine decimals where they are needed, never an exponent."""
    if nanos is None:
        return None
    whole, rest = divmod(abs(nanos), 1_000_000_000)
    decimals = f"{rest:09d}"
    if decimals.endswith("000"):
        decimals = decimals[:6]
    return f"{'-' if nanos < 0 else ''}{whole}.{decimals}"


# ---------------------------------------------------------------- Estimates

WINDOW = 1024
MAX_WINDOWS = 64
"""A text is looked at in windows of `WINDOW` bytes. Of a text longer than `MAX_WINDOWS` of them, so many evenly spread ones stand
for all, which bounds the time."""

TOKENS_PER_BYTE: Mapping[str, float] = {"a": 0.26, "d": 0.44, "p": 0.40, "n": 0.30, "u": 0.30, "c": 0.75, "e": 2.0}
"""By class: ASCII letter, digit, punctuation, line break; first byte of a 2-byte (Latin with marks, Cyrillic, Arabic …), 3-byte
(Chinese, Japanese, Korean …) and 4-byte (emoji) character. Blanks and continuation bytes are free. Fitted to o200k_base: within
−9 … +9 % on English prose, Markdown, Python and dense JSON, −22 % on indented JSON, −15 … +20 % on eight other languages and
on digits. Claude's own tokenizer counts more."""

ENCODED_TOKENS_PER_BYTE = 0.005
"""A window of nothing but letters, digits, "+", "/" and "=" is base64: a picture or a document, about 1,300 tokens for 256 KiB.
What it really costs depends on its size in pixels or pages, which nobody looked at: a guess."""

IMAGE_TOKENS = 1_100
"""A picture of about one megapixel, in the order of what the vendors document. Not read from the picture: a guess."""
DOCUMENT_BYTES_PER_TOKEN = 40
"""A PDF's bytes (decoded) for one token: a guess between a scan and plain text."""
MESSAGE_TOKENS = 4


def _classes() -> bytes:
    table = bytearray(b"x" * 256)
    for code in range(128):
        char = chr(code)
        table[code] = ord("a" if char.isalpha() else "d" if char.isdigit() else "n" if char == "\n" else "p" if code > 32 else "x")
    table[0xC0:0xE0] = b"u" * 0x20
    table[0xE0:0xF0] = b"c" * 0x10
    table[0xF0:] = b"e" * 0x10
    return bytes(table)


CLASSES = _classes()
ENCODED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_WEIGHTS = tuple((name.encode(), weight) for name, weight in TOKENS_PER_BYTE.items())
IN_ASCII = 4
"""So many of the classes, the first ones, are of ASCII."""


def estimate_tokens(data: str | bytes) -> int:
    """How many tokens a text or a request's body probably has: 0 for nothing, else at least 1. Bounded time."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if not raw:
        return 0
    count = -(-len(raw) // WINDOW)
    if count <= MAX_WINDOWS and not _holds_encoded(raw):
        return max(1, round(_plain_tokens(raw)))
    starts = range(0, len(raw), WINDOW)
    if count > MAX_WINDOWS:
        step = (len(raw) - WINDOW) // (MAX_WINDOWS - 1)
        starts = range(0, step * MAX_WINDOWS, step)
    tokens = seen = 0.0
    for start in starts:
        window = raw[start : start + WINDOW]
        seen += len(window)
        tokens += _window_tokens(window)
    return max(1, round(tokens * len(raw) / seen))


def _window_tokens(window: bytes) -> float:
    return WINDOW * ENCODED_TOKENS_PER_BYTE if _is_encoded(window) else _plain_tokens(window)


def _holds_encoded(raw: bytes) -> bool:
    for start in range(0, len(raw), WINDOW):
        if raw.find(b" ", start, start + WINDOW) >= 0:
            continue  # as in nearly every one: not even taken out
        if _is_encoded(raw[start : start + WINDOW]):
            return True
    return False


def _is_encoded(window: bytes) -> bool:
    # A blank or a quotation mark is in nearly every window that is not, and found at once.
    return len(window) == WINDOW and b" " not in window and b'"' not in window and not window.translate(None, ENCODED)


def _plain_tokens(text: bytes) -> float:
    classes = text.translate(CLASSES)
    tokens = 0.0
    for name, weight in _WEIGHTS[:IN_ASCII] if text.isascii() else _WEIGHTS:
        tokens += classes.count(name) * weight
    return tokens


def estimate_request(request: ChatRequest) -> int:
    """How many tokens a request's prompt probably has: texts, tool schemas, and a flat guess for each picture or document."""
    total = sum(MESSAGE_TOKENS + sum(map(part_tokens, message.parts)) for message in request.messages)
    for tool in request.tools:
        total += MESSAGE_TOKENS + estimate_tokens(f"{tool.name}{tool.description or ''}{tool.schema or tool.format or tool.raw}")
    if request.output is not None and request.output.schema:
        total += estimate_tokens(str(request.output.schema))
    return total


def part_tokens(part: Part) -> int:
    """The same of one part."""
    match part:
        case TextPart() | RefusalPart() | ReasoningPart():
            return estimate_tokens(part.text)
        case ToolCallPart():
            return MESSAGE_TOKENS + estimate_tokens(part.name) + estimate_tokens(part.arguments)
        case ToolResultPart():
            return MESSAGE_TOKENS + sum(map(part_tokens, part.parts))
        case MediaPart(kind="image"):
            return IMAGE_TOKENS
        case MediaPart():
            return estimate_tokens(part.text) if part.text else max(IMAGE_TOKENS, len(part.data or "") * 3 // 4 // DOCUMENT_BYTES_PER_TOKEN)
        case _:
            return estimate_tokens(str(part.value))
