"""How long an answer may get at most: as a request says it, and said in a request that is ready to be sent."""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import ceil, isfinite
from typing import Any

import msgspec

from omni_connector.values import dataclass
from omni_connector.wire import views


@dataclass(frozen=True, slots=True)
class Wanted:
    """`tokens`: the longest answer that the request allows; None: it does not say. `choices`: how many answers it wants. `service`: words
    that choose how dear it is, as (field, value). `thoughts`: tokens of the answer that are set apart for thinking."""

    tokens: int | None = None
    choices: int = 1
    service: tuple[tuple[str, str], ...] = ()
    thoughts: int = 0


class _Config(msgspec.Struct, rename={"camel_tokens": "maxOutputTokens", "camel_count": "candidateCount"}):
    camel_tokens: Any = None
    camel_count: Any = None
    max_output_tokens: Any = None
    candidate_count: Any = None


class _Fields(msgspec.Struct, rename={"config": "generationConfig"}):
    """The fields of all formats that say so; none means anything else in another."""

    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    prompt: Any = None
    service_tier: Any = None
    speed: Any = None
    thinking: Any = None
    config: _Config | None = None
    generation_config: _Config | None = None


NO_TEXT = Wanted(0)
"""Of a call that is answered with numbers, pictures or sounds."""
SAYS: Mapping[str, tuple[str, ...]] = {
    "openai-chat": ("max_completion_tokens", "max_tokens"),
    "openai-completions": ("max_tokens",),
    "openai-responses": ("max_output_tokens",),
    "anthropic-messages": ("max_tokens",),
    "gemini-generate": (),
}
"""Format → the field of the limit, the older name last. Gemini's stands in an object of its own."""
SERVICE = ("service_tier", "speed")
NEWER = "max_completion_tokens"
"""The feature of accounts that want the newer name."""
LEAST_THOUGHTS = 1024
"""Anthropic refuses a smaller budget for thinking (its guide to extended thinking)."""
_DECODER = msgspec.json.Decoder(_Fields)


def read(wire: str, body: bytes) -> Wanted:
    """What the body of a format of `views.WIRES` allows. A body that cannot be read allows anything: it is refused elsewhere."""
    if wire not in SAYS:
        return NO_TEXT
    try:
        fields = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Wanted()
    if wire == "gemini-generate":
        config = fields.config or fields.generation_config or _Config()
        tokens = _count(config.camel_tokens) or _count(config.max_output_tokens)
        return Wanted(tokens, max(_times(config.camel_count), _times(config.candidate_count)))
    # Where both names stand there, nobody knows which one a provider heeds.
    said = [tokens for name in SAYS[wire] if (tokens := _count(getattr(fields, name))) is not None]
    choices = max(_times(fields.n), _times(fields.best_of)) * (_prompts(fields.prompt) if wire == "openai-completions" else 1)
    service = tuple((name, value) for name in SERVICE if isinstance(value := getattr(fields, name), str))
    return Wanted(max(said, default=None), choices, service, _thoughts(fields.thinking))


def _count(value: object) -> int | None:
    """A number of tokens; -1 stands for no limit with some clients."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _times(value: object) -> int:
    """As the most lenient provider reads it: 3.0 and "3" are 3."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    return ceil(value) if isinstance(value, int | float) and isfinite(value) and value > 1 else 1


def _prompts(prompt: object) -> int:
    """Completions: texts, and lists of token ids, are answered one by one; a list of ids is one prompt."""
    return max(1, sum(isinstance(one, str | list) for one in prompt)) if isinstance(prompt, list) else 1


def capped(wire: str, body: bytes, tokens: int, features: Set[str] = frozenset(), *, yielding: bool = False) -> bytes | None:
    """The body with answers of at most `tokens`; one that allows less stays as it is. None: this format, or this request, cannot say it.
    `yielding`: how much is thought is no word of the client's, so thoughts make room for the answer."""
    if wire not in SAYS:
        return None
    now = read(wire, body)
    if now.tokens is not None and now.tokens <= tokens:
        return body
    if wire == "gemini-generate":
        return _capped_config(body, tokens)
    fields = views.decode(body)
    # Anthropic: thoughts are part of the answer, and a budget for them above its length is refused.
    crowded = _thoughts(fields.get("thinking")) >= tokens
    if crowded and not yielding:
        return None
    there = [name for name in SAYS[wire] if fields.get(name) is not None]
    names = there or [NEWER if wire == "openai-chat" and NEWER in features else SAYS[wire][-1]]
    fewer = {"thinking": _fewer(fields["thinking"], tokens // 2)} if crowded else {}
    return views.splice(body, {**dict.fromkeys(names, tokens), **fewer})


def _capped_config(body: bytes, tokens: int) -> bytes | None:
    fields = views.decode(body)
    name = "generation_config" if "generation_config" in fields else "generationConfig"
    config = fields.get(name)
    config = dict(config) if isinstance(config, Mapping) else {}
    spelled = "max_output_tokens" if "max_output_tokens" in config else "maxOutputTokens"
    return views.splice(body, {name: {**config, spelled: tokens}})


def _thoughts(thinking: object) -> int:
    return (_count(thinking.get("budget_tokens")) or 0) if isinstance(thinking, Mapping) else 0


def _fewer(thinking: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    return {"type": "disabled"} if tokens < LEAST_THOUGHTS else {**thinking, "budget_tokens": tokens}
