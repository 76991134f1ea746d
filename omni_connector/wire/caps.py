"""How long an answer may get at most: as a request says it, and said in a request that is ready to be sent."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import msgspec

from omni_connector.wire import views


@dataclass(frozen=True, slots=True)
class Wanted:
    """`tokens`: the longest answer that the request allows; None: it does not say. `choices`: how many answers it wants."""

    tokens: int | None = None
    choices: int = 1


class _Config(msgspec.Struct, rename="camel"):
    max_output_tokens: Any = None
    candidate_count: Any = None


class _Fields(msgspec.Struct, rename={"config": "generationConfig"}):
    """The fields of all formats that say so; none means anything else in another."""

    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
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
"""Format → the field of the limit, the one that counts first. Gemini's stands in an object of its own."""
NEWER = "max_completion_tokens"
"""The feature of accounts that want the newer name."""
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
        return Wanted(_count(config.max_output_tokens), _count(config.candidate_count) or 1)
    said = (_count(getattr(fields, name)) for name in SAYS[wire])
    return Wanted(next((tokens for tokens in said if tokens is not None), None), max(_count(fields.n) or 1, _count(fields.best_of) or 1))


def _count(value: object) -> int | None:
    """A number of tokens; -1 stands for no limit with some clients."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def capped(wire: str, body: bytes, tokens: int, features: Set[str] = frozenset()) -> bytes | None:
    """The body with answers of at most `tokens`; one that allows less stays as it is. None: this format, or this request, cannot say it."""
    if wire not in SAYS:
        return None
    now = read(wire, body)
    if now.tokens is not None and now.tokens <= tokens:
        return body
    if wire == "gemini-generate":
        return _capped_config(body, tokens)
    fields = views.decode(body)
    if _thinks_more(fields, tokens):
        return None
    there = [name for name in SAYS[wire] if fields.get(name) is not None]
    names = there or [NEWER if wire == "openai-chat" and NEWER in features else SAYS[wire][-1]]
    return views.splice(body, dict.fromkeys(names, tokens))


def _capped_config(body: bytes, tokens: int) -> bytes | None:
    fields = views.decode(body)
    name = "generation_config" if "generation_config" in fields else "generationConfig"
    config = fields.get(name)
    config = dict(config) if isinstance(config, Mapping) else {}
    spelled = "max_output_tokens" if "max_output_tokens" in config else "maxOutputTokens"
    return views.splice(body, {name: {**config, spelled: tokens}})


def _thinks_more(fields: Mapping[str, Any], tokens: int) -> bool:
    """Anthropic: thoughts are part of the answer, and a budget for them above its length is refused."""
    thinking = fields.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    return isinstance(budget, int) and budget >= tokens
