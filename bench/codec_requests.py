"""What `bench/codecs.py` feeds the request codecs: an agent's conversation, in each client's format.

Made up, but with the shapes and sizes of real traffic; the same seed gives the same bytes every time.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from omni_connector import catalog, providers
from omni_connector.chat import (
    ChatRequest,
    Message,
    Opaque,
    Origin,
    Part,
    ReasoningPart,
    Target,
    TextPart,
    Thinking,
    Tool,
    ToolCallPart,
    ToolResultPart,
    seal,
)
from omni_connector.wire import FORMATS, views
from omni_connector.wire.openai_chat_details import entries_of

Json = dict[str, Any]
CHAT, RESPONSES, ANTHROPIC, GEMINI = "openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"
WIRES = (CHAT, RESPONSES, ANTHROPIC, GEMINI)
SHORT: Mapping[str, str] = {CHAT: "chat", RESPONSES: "responses", ANTHROPIC: "anthropic", GEMINI: "gemini"}

_SERVED: Mapping[str, tuple[str, str]] = {
    CHAT: ("openai", "gpt-4.1"),
    RESPONSES: ("openai-responses", "gpt-5.5"),
    ANTHROPIC: ("anthropic", "claude-sonnet-4-6"),
    GEMINI: ("gemini", "gemini-3-flash-preview"),
}
_PROOF: Mapping[str, str] = {
    CHAT: "none",
    RESPONSES: "openai.encrypted",
    ANTHROPIC: "anthropic.signature",
    GEMINI: "gemini.thought_signature",
}
"""Kind of the opaque value that a provider's thoughts come with."""


def target(wire: str) -> Target:
    """A provider that speaks the format, with the words of its row and model."""
    provider, model = _SERVED[wire]
    return Target(Origin(provider, model), providers.get(provider).features | catalog.profile(model), catalog.max_output(model))


# ---------------------------------------------------------------- Conversations

WORDS = [
    "the",
    "file",
    "reads",
    "value",
    "from",
    "cache",
    "when",
    "request",
    "is",
    "parsed",
    "and",
    "returns",
    "error",
    "if",
    "token",
    "expired",
    "so",
    "we",
    "must",
    "check",
    "it",
    "first",
    "then",
    "call",
    "handler",
    "with",
    "context",
    "before",
    "writing",
    "résumé",
    "to",
    "disk",
    "–",
    "naïve",
    "“quotes”",
    "\t",
    "tabs\n",
    "lines\n\n",
    "paths/like/this.py",
    "{braces}",
    "[lists]",
    "x=1;",
]
_CODE = '    if not self._buffer.startswith(b"data:"):\n        raise ValueError(f"bad line {line!r} at {at}")  # § 9.2\n'


@dataclass(frozen=True, slots=True)
class Size:
    """How large a conversation is, in characters."""

    system: int
    tools: int
    total: int
    results: tuple[int, ...] = (120, 800, 2500, 6000)
    """Of tools; one of them each time."""
    edits: bool = True
    """Whether some calls have a piece of a file in their arguments."""


LARGE = Size(system=40_000, tools=30, total=2_000_000)
DENSE = Size(system=40_000, tools=30, total=2_000_000, results=(300,), edits=False)
"""As many bytes in four times as many turns."""
SMALL = Size(system=300, tools=1, total=1_300)


def prose(dice: random.Random, length: int) -> str:
    words = " ".join(dice.choices(WORDS, k=max(1, length // 5)))
    return (words + " ." * length)[:length]


def listing(dice: random.Random, length: int) -> str:
    return (prose(dice, 200) + "\n" + _CODE * (length // len(_CODE) + 1))[:length]


def _tool(dice: random.Random, number: int, fields: int) -> Tool:
    described = {
        f"field_{n}": {"type": dice.choice(["string", "integer", "boolean"]), "description": prose(dice, 120)} for n in range(fields)
    }
    nested = {"type": "array", "items": {"type": "object", "properties": described, "required": ["field_0"], "additionalProperties": False}}
    schema: Json = {"type": "object", "properties": {**described, "items": nested}, "required": ["field_0"], "additionalProperties": False}
    return Tool(
        "function", f"tool_{number}", prose(dice, 600 if fields > 2 else 60), schema if fields > 2 else {**schema, "properties": described}
    )


def _proofs(client: str, upstream: str, text: str, number: int, dice: random.Random) -> tuple[Opaque, ...]:
    """What the client has in its history of a thought that this upstream had: its own format's proof, or our envelope."""
    proof = base64.b64encode(dice.randbytes(420)).decode()
    if client == upstream:
        return () if client == CHAT else (Opaque(_PROOF[client], proof),)
    opaque = Opaque(_PROOF[upstream], "" if upstream == CHAT else proof, target(upstream).origin)
    match client:
        case "openai-chat":
            return tuple(Opaque("openrouter.detail", json.dumps(one)) for one in entries_of(ReasoningPart(text, (opaque,)), number))
        case "gemini-generate":
            return (Opaque(_PROOF[GEMINI], base64.b64encode(seal(opaque).encode()).decode()),)
        case _:
            return (Opaque(_PROOF[client], seal(opaque)),)


def _step(number: int, client: str, upstream: str, size: Size, dice: random.Random) -> list[Message]:
    """One turn of a tool loop: a thought now and then, a few words, one or two calls, their results."""
    said: list[Part] = []
    if number % 2 == 0:
        text = prose(dice, dice.randint(200, 900))
        said.append(ReasoningPart(text, _proofs(client, upstream, text, number, dice)))
    said.append(TextPart(prose(dice, dice.randint(40, 250))))
    results: list[Part] = []
    for place in range(dice.choice([1, 1, 2])):
        call_id, name = f"call_{number:05}{place}{dice.randbytes(6).hex()}", f"tool_{dice.randrange(30)}"
        arguments: Json = {"field_0": f"src/module_{number}.py", "field_1": dice.randrange(5000)}
        if dice.random() < 0.3 and size.edits:
            arguments["field_2"] = listing(dice, dice.randint(300, 3000))
        said.append(ToolCallPart(call_id, name, json.dumps(arguments, separators=(",", ":"))))
        results.append(ToolResultPart(call_id, (TextPart(listing(dice, dice.choice(size.results))),), name=name))
    return [Message("assistant", tuple(said)), *(Message("tool", (result,)) for result in results)]


def conversation(size: Size, client: str, upstream: str, *, stream: bool = True) -> bytes:
    """An agent's request as the client sends it, after earlier turns that the upstream served."""
    dice = random.Random(7)
    marked: Json | None = {"type": "ephemeral"} if client == ANTHROPIC else None
    messages = [Message("system", (TextPart(prose(dice, size.system), marked),)), Message("user", (TextPart(prose(dice, 200)),))]
    length, number = size.system + size.tools * 4_000, 0
    while length < size.total:
        turn = _step(number, client, upstream, size, dice)
        if number % 40 == 39 and size.tools > 1:
            turn.append(Message("user", (TextPart(listing(dice, dice.randint(10_000, 50_000))),)))
        messages += turn
        length += sum(_length(part) for message in turn for part in message.parts)
        number += 1
    messages.append(Message("user", (TextPart(prose(dice, 300), marked),)))
    tools = tuple(_tool(dice, n, 8 if size.tools > 1 else 2) for n in range(size.tools))
    request = ChatRequest(
        wire=client,
        model="bench-model",
        messages=tuple(messages),
        tools=(*tools[:-1], replace(tools[-1], cache=marked)),
        thinking=Thinking(enabled=True, budget=8000) if client == ANTHROPIC else Thinking(effort="medium"),
        max_tokens=32_000,
        stream=stream,
        include_usage=True,
    )
    body = FORMATS[client].render_request(request, "bench-model", Target(Origin("client", "bench-model"))).body
    return views.encode(body)


def _length(part: Part) -> int:
    match part:
        case TextPart(text) | ReasoningPart(text):
            return len(text) + 50
        case ToolCallPart():
            return len(part.arguments) + 120
        case ToolResultPart():
            return 120 + sum(_length(inner) for inner in part.parts)
    return 0
