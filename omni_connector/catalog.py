"""Models: what family a name belongs to, how much it holds, what it costs, how it wants to be spoken to.

Windows and prices come from genai-prices through `usage.py` (lazily: nothing here is imported at the start); largest answers
and dialect words come from the tables below. What nobody told us is None or absent, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TypeVar

from omni_connector import usage
from omni_connector.values import dataclass

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
    # platform.claude.com, "What's new in Claude Haiku 5.5": adaptive and effort as the others of the series.
    (r"claude-(fable|mythos|opus|sonnet|haiku)-5", frozenset({"adaptive_thinking", "effort", "no_thinking_budget", "no_sampling"})),
    (r"claude-(opus|sonnet)-4\.[678]$", frozenset({"adaptive_thinking", "effort", "no_sampling_with_thinking"})),
    (r"claude-", frozenset({"no_sampling_with_thinking"})),
    # §1, quirks: reasoning models refuse sampling values other than the defaults.
    (r"(o[134](-|$)|gpt-[56](\.|-|$))", frozenset({"no_sampling"})),
    # §10: k2.7-code and k3 cannot switch thinking off; platform.kimi.ai, "thinking effort": k3 takes `reasoning_effort`.
    (r"kimi-k2\.7-code", frozenset({"always_thinking"})),
    (r"kimi-k3", frozenset({"always_thinking", "reasoning_effort"})),
    # docs.z.ai: `reasoning_effort` from 5.2 on, and 5.3 always thinks.
    (r"glm-5\.2", frozenset({"reasoning_effort"})),
    (r"glm-5\.3", frozenset({"always_thinking", "reasoning_effort"})),
    # platform.openai.com, "Completions (Legacy)": these complete prompts and know no messages.
    (r"(gpt-3\.5-turbo-instruct|davinci|babbage|curie|ada)(-|$)", frozenset({"completions"})),
    # docs.x.ai, console.groq.com/docs/reasoning: not every model of these hosts takes `reasoning_effort`, but these do everywhere.
    (r"grok-(4\.3|3-mini)", frozenset({"reasoning_effort"})),
    (r"gpt-oss", frozenset({"reasoning_effort"})),
)
"""How a model differs from its provider: pattern on the family → words of providers.FEATURES, first match wins."""

NONE, LOW, MEDIUM, HIGH, XHIGH, MAX = "none", "low", "medium", "high", "xhigh", "max"
GRADES = (LOW, MEDIUM, HIGH)
ANYWHERE: frozenset[str] = frozenset()
SWITCHED = frozenset({"thinking_toggle", "enable_thinking", "reasoning_object"})
BUDGETED = frozenset({"enable_thinking", "reasoning_object"})
CODEX = frozenset({"codex_backend"})

THINKING: tuple[tuple[str, frozenset[str], tuple[str, ...]], ...] = (
    # §6A: the Codex backend lists levels of its own; nothing there can be told not to think.
    (r"gpt-5\.6", CODEX, (*GRADES, XHIGH, MAX)),
    (r"gpt-5(\.1)?(-codex)?(-mini)?$", CODEX, GRADES),
    (r"gpt-5\.", CODEX, (*GRADES, XHIGH)),
    # §1 and developers.openai.com/api/docs/models, each model's page; the API's own 400 names the same values.
    (r"gpt-5-chat$", ANYWHERE, ()),
    (r"gpt-5\.\d-chat$", ANYWHERE, (MEDIUM,)),
    (r"gpt-5-pro$", ANYWHERE, (HIGH,)),
    (r"gpt-5\.\d-pro$", ANYWHERE, (MEDIUM, HIGH, XHIGH)),
    (r"(gpt-5(\.1)?-codex(-mini)?|codex-mini)$", ANYWHERE, GRADES),
    (r"gpt-5\.\d-codex", ANYWHERE, (*GRADES, XHIGH)),
    (r"gpt-5(-mini|-nano)?$", ANYWHERE, ("minimal", *GRADES)),
    (r"gpt-5\.1$", ANYWHERE, (NONE, *GRADES)),
    (r"gpt-5\.[2-5](-mini|-nano)?$", ANYWHERE, (NONE, *GRADES, XHIGH)),
    (r"gpt-5\.6(-sol|-terra|-luna)?$", ANYWHERE, (NONE, *GRADES, XHIGH, MAX)),
    (r"o1-(mini|preview)$", ANYWHERE, ()),
    (r"o[134](-mini|-pro)?$", ANYWHERE, GRADES),
    (r"o\d(-mini)?-deep-research$", ANYWHERE, (MEDIUM,)),
    (r"gpt-oss", ANYWHERE, GRADES),
    (r"gpt-(3|4|image)|chatgpt-4|davinci|babbage|text-embedding|whisper|tts-|dall-e", ANYWHERE, ()),
    # §2 and platform.claude.com, "Effort" and the models' pages: always on in Fable, Mythos, Opus 5.5; Sonnet 5.5 has another word
    # for off. Up to 4.5 by budget: what fits into the largest answer (§0.2 for the numbers).
    (r"claude-mythos-preview", ANYWHERE, (*GRADES, MAX)),
    (r"claude-(fable|mythos|(opus|sonnet)-5\.5)", ANYWHERE, (*GRADES, XHIGH, MAX)),
    (r"claude-(opus|sonnet|haiku)-5", ANYWHERE, (NONE, *GRADES, XHIGH, MAX)),
    (r"claude-opus-4\.[78]$", ANYWHERE, (NONE, *GRADES, XHIGH, MAX)),
    (r"claude-(opus|sonnet)-4\.6$", ANYWHERE, (NONE, *GRADES, MAX)),
    (r"claude-(opus|sonnet|haiku)-4\.5$|claude-sonnet-4(\.0)?$|claude-3\.7-sonnet$", ANYWHERE, (NONE, *GRADES, XHIGH)),
    (r"claude-opus-4(\.[01])?$", ANYWHERE, (NONE, *GRADES)),
    (r"claude-(2|3|instant)", ANYWHERE, ()),
    # §3 and cloud.google.com, "Thinking": levels from 3 on, budgets before; pro models cannot switch it off.
    (r"gemini-.*(image|tts|live|audio|embedding)|gemini-(1|2\.0)|gemma-", ANYWHERE, ()),
    (r"gemini-2\.5-pro", ANYWHERE, ("minimal", *GRADES)),
    (r"gemini-2\.5-flash", ANYWHERE, (NONE, "minimal", *GRADES)),
    (r"gemini-(3-)?pro", ANYWHERE, (LOW, HIGH)),
    (r"gemini-3\.\d-pro", ANYWHERE, GRADES),
    (r"gemini-3(\.[1-6])?-flash", ANYWHERE, ("minimal", *GRADES)),
    (r"gemini-(3\.\d-)?flash", ANYWHERE, GRADES),
    # §10, §11, §14 and the vendors' "thinking" pages. "high" is on where there is nothing but on and off.
    (r"kimi-k3", ANYWHERE, (LOW, HIGH, MAX)),
    (r"kimi-k2\.[56]", SWITCHED, (NONE, HIGH)),
    (r"kimi-k2(-|\.7|$)|moonshot-v1", ANYWHERE, ()),
    (r"glm-5\.3", ANYWHERE, (LOW, HIGH, MAX)),
    (r"glm-5\.2", ANYWHERE, (NONE, HIGH, MAX)),
    (r"glm-(4\.[5-7]|5|5\.1)(-|$)", SWITCHED, (NONE, HIGH)),
    (r"deepseek-(chat|reasoner)$", frozenset({"thinking_toggle"}), (NONE, LOW, HIGH, MAX)),
    (r"deepseek-(v4|flash|pro)", ANYWHERE, (NONE, LOW, HIGH, MAX)),
    (r"deepseek-v3\.[12]", SWITCHED, (NONE, HIGH)),
    (r"deepseek-(r1|coder)|minimax-m2", ANYWHERE, ()),
    # §13, end: a budget of thinking tokens.
    (r"qwen.*(coder|instruct|embedding)|qwen-max$|qwen2", ANYWHERE, ()),
    (r"qwen3.*thinking|qwq", BUDGETED, GRADES),
    (r"qwen(3(\.\d)?-|-plus|-flash|-turbo)", BUDGETED, (NONE, *GRADES)),
    # docs.x.ai, "Reasoning": all others of these think in one way, or not at all.
    (r"grok-4\.3", ANYWHERE, (NONE, *GRADES)),
    (r"grok-3-mini", ANYWHERE, (LOW, HIGH)),
    (r"grok-(2|3|4|4\.1|code)(-|$)", ANYWHERE, ()),
    (r"(meta-)?llama-?[234]|codestral|ministral|pixtral|(open-)?mixtral", ANYWHERE, ()),
)
"""Levels of thinking: pattern on the family → words of which the provider must have one (`ANYWHERE`: none) → levels of
chat.LEVELS, least first. First match wins; () is a model without a choice."""


RANKS: tuple[tuple[str, int], ...] = (
    # The small ones of any generation first, since their names go on where the large ones' names end.
    (r"gpt-(4o|4\.1)-mini|gpt-[56].*-(nano|luna)|gpt-3\.5|gemini-.*-flash-lite|gemini-(1|2\.0)|claude-3(\.5)?-haiku", 5),
    (r"(mistral-small|ministral|gemma|gpt-oss-20b|llama-?3|meta-llama-3|glm-.*-(air|flash)|qwen3(\.\d)?-(flash|\d))", 5),
    (r"(gpt-5(\.\d)?(-codex)?|o[134])-mini|grok-3-mini|grok-.*fast|claude-haiku-4|deepseek-(v4.*-)?flash|deepseek-chat", 4),
    # 1: what the vendors call their most capable, in the newest generation.
    (r"claude-(fable|mythos|opus)-5|gpt-6(\.\d)?-(astra|sol)$|gpt-5\.\d-pro$|gemini-4-", 1),
    # 2: one step below it, or the most capable of the generation before.
    (r"claude-sonnet-5|claude-opus-4\.[5-8]$|gpt-6(\.\d)?-terra$|gpt-5\.6-sol$|gpt-5\.[45]$|gpt-5-pro$|o3-pro$", 2),
    (r"gemini-3(\.\d)?-pro(-preview)?$|grok-4\.[5-9]$|kimi-k3", 2),
    # 3: the best of smaller vendors and open weights, and the large ones' middle.
    (r"claude-(sonnet|opus)-4|claude-haiku-5|gpt-5\.6(-terra)?$|gpt-5(\.[1-3])?(-codex)?$|o3$|gemini-2\.5-pro|gemini-3.*-flash", 3),
    (r"grok-4(\.\d+)?$|glm-5\.[1-3]$|deepseek-v4-pro|kimi-k2\.[5-7]|qwen3\.\d-max|minimax-m3$|mistral-(large-4|medium-3\.5)$", 3),
    # 4: older, or made to be cheap.
    (r"claude-3\.[57]-sonnet|claude-3-opus|gpt-4|o1(-preview|-pro)?$|gemini-2\.5-flash|deepseek-|glm-|kimi-|qwen3|minimax-m2", 4),
    (r"mistral-(large|medium)|magistral-medium|devstral|gpt-oss-120b|llama-?4|grok-3", 4),
    (r"claude-3|mixtral|open-mi|codestral|magistral-small", 5),
)
"""Our ranking, for `intelligence-priority`: pattern on the family → class, 1 is the best; first match wins. Made from what each
vendor's model list calls more capable and from the price class, across vendors by judgement; it is not a benchmark. Models of one
class count as equal. A name that is not here has no rank."""


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


@lru_cache(maxsize=4096)
def covers(name: str, model_id: str) -> bool:
    """Whether a name that the user gave means this model: its own id, or its family. "gpt-4o-2024-08-06" means that edition only."""
    plain, whole = name.strip().lower(), family(name)
    # A family has lost nothing by being looked up as one.
    return plain == model_id.lower() or (whole == family(model_id) and len(whole) == len(plain))


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
def rank(model_id: str) -> int | None:
    """The model's class in our ranking, 1 is the best; None: it has none."""
    return _first(RANKS, family(model_id))


@lru_cache(maxsize=8192)
def levels(model_id: str, features: frozenset[str]) -> tuple[str, ...] | None:
    """Levels of thinking that may be asked of this model at a provider with these words of providers.FEATURES, least first;
    "none" only where thinking can be switched off. (): there is no choice, it does not think or only in its own way. None: unknown,
    the provider decides."""
    name, words = family(model_id), features | profile(model_id)
    known = next((found for pattern, needs, found in THINKING if (not needs or needs & words) and re.match(pattern, name)), None)
    if known is not None and "always_thinking" in words:
        return tuple(level for level in known if level != NONE)
    return known


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
