"""What holds for every wire format alike: the names of its module, and that no word of a provider's row is idle."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from omni_connector.chat import (
    ChatRequest,
    MediaPart,
    Message,
    Opaque,
    Origin,
    OutputFormat,
    ReasoningPart,
    Sampling,
    Target,
    TextPart,
    Thinking,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from omni_connector.errors import GatewayError
from omni_connector.providers import FEATURES
from omni_connector.wire import FORMATS, TWO_WAY

ROOT = Path(__file__).resolve().parents[2]
each_format = pytest.mark.parametrize("module", FORMATS.values(), ids=FORMATS)
FACING_PROVIDERS = {"render_request", "parse_error", "ResponseParser", "Listener"}
"""What a format has that no client speaks."""
BY_LOT = ("requestId", "user_prompt_id")
"""Fields of a body that are another each time."""

FUNCTIONS = {
    "parse_request": ["body"],
    "render_request": ["request", "model", "target"],
    "parse_error": ["status", "headers", "body"],
    "render_error": ["error"],
    "render_response": ["response", "model", "request", "origin"],
}
CLASSES = {
    "ResponseParser": ("feed", "close", "whole"),
    "ResponseRenderer": ("feed", "fail"),
    "Listener": ("feed", "close", "whole", "usage", "finish", "error", "ended", "output_chars", "first_output"),
}


@each_format
def test_every_format_gives_the_same_names(module: ModuleType) -> None:
    assert isinstance(module.NAME, str) and module.PATH.startswith("/") and isinstance(module.KEEPALIVE, bytes)
    two_way = module.NAME in TWO_WAY
    for name, wanted in [(name, wanted) for name, wanted in FUNCTIONS.items() if two_way or name in FACING_PROVIDERS]:
        parameters = inspect.signature(getattr(module, name)).parameters
        assert list(parameters)[: len(wanted) - (name == "render_response")] == wanted[: len(wanted) - (name == "render_response")]
        assert set(wanted) <= set(parameters)
    for name, members in [(name, members) for name, members in CLASSES.items() if two_way or name in FACING_PROVIDERS]:
        made = getattr(module, name)(*{"ResponseParser": (Origin("p", "m"),), "ResponseRenderer": ("m",)}.get(name, ()))
        assert all(hasattr(made, member) for member in members)


# ---------------------------------------------------------------- The words of providers' rows

ORIGIN = Origin("provider", "model")
THOUGHT = ReasoningPart("Hm.", (Opaque("openrouter.detail", '{"type":"reasoning.text","text":"Hm.","signature":"x"}', ORIGIN),))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "$defs": {}}
FUNCTION = Tool("function", "f", "does", SCHEMA, strict=True, cache={"type": "ephemeral"})
CUSTOM = Tool("custom", "run", "runs", raw={"namespace": "hub", "name": "run"})
IMAGE = MediaPart("image", url="https://a.example/x.png", cache={"type": "ephemeral"})
BYTES = MediaPart("image", "image/png", data="iVBORw0KGgo=")
DOCUMENT = MediaPart("document", "text/plain", data="SGk=")
SAMPLING = Sampling(0.5, 0.9, 40, 0.1, 7, 0.2, 0.3, {"1": 1}, True, 3, 2)


def user(*parts: TextPart | MediaPart | ToolResultPart) -> Message:
    return Message("user", parts)


HI = user(TextPart("Hi"))
LOOP = (
    HI,
    Message("assistant", (ReasoningPart("Hm."), ToolCallPart("call_1", "f", "{}"), ToolCallPart("call_2", "run", "ls", custom=True))),
    Message("tool", (ToolResultPart("call_1", (TextPart("x"), BYTES)), ToolResultPart("call_2", (TextPart("y"),)))),
)
REQUESTS = (
    {"messages": (Message("system", (TextPart("S"),)), Message("developer", (TextPart("D", {"type": "ephemeral"}),)), HI)},
    {"messages": LOOP, "tools": (FUNCTION, CUSTOM), "parallel_tools": False, "stream": True},
    {"messages": (HI, Message("assistant", (THOUGHT, TextPart("a"))), Message("system", (TextPart("Now."),)), HI)},
    {"messages": (HI,), "tools": (FUNCTION,), "tool_choice": ToolChoice("auto", allowed=("f",), raw={"type": "allowed_tools"})},
    {"messages": (HI,), "tools": (FUNCTION,), "output": OutputFormat("json_schema", "n", SCHEMA, True)},
    {"messages": (HI,), "output": OutputFormat("json_object"), "max_tokens": 5000, "stop": ("a", "b"), "user": "me"},
    {"messages": (HI,), "output": OutputFormat("json_schema", "n", SCHEMA), "thinking": Thinking(True, "high"), "max_tokens": 9000},
    {"messages": (HI,), "thinking": Thinking(False), "sampling": SAMPLING},
    {"messages": (HI,), "thinking": Thinking(True, budget=2000), "sampling": Sampling(temperature=0.5), "max_tokens": 9000},
    {"messages": (HI,), "thinking": Thinking(effort="low"), "sampling": Sampling(n=1)},
    *({"messages": (user(TextPart("See"), part),)} for part in (IMAGE, BYTES, DOCUMENT, MediaPart("audio", "audio/wav", data="AA=="))),
    {"messages": (user(MediaPart("document", "application/pdf", url="https://a.example/x.pdf")),)},
)
BESIDE = (
    frozenset[str](),
    frozenset({"thinking_toggle"}),
    frozenset({"json_schema"}),
    frozenset({"json_object"}),
    frozenset({"adaptive_thinking"}),
)
"""Words beside which another one means something."""
MODELS = ("m", "gemini-3-pro", "gemini-2.5-pro")

BY_NEED = {"no_tools", "no_json"}
"""Read by the plan as `no_` and the name of a need (chat.needs)."""
FACTS = {"vision", "audio"}
"""Told to the reader of docs/providers.md. Absent they mean "unknown", and then the provider decides: nothing hangs on them."""


@cache
def said(wire: str, asked: str, number: int, model: str, features: frozenset[str]) -> str:
    request = ChatRequest(asked, "m", **REQUESTS[number])  # type: ignore[arg-type]
    try:
        rendered = FORMATS[wire].render_request(request, model, Target(ORIGIN, features))
    except GatewayError as error:
        return error.message
    return json.dumps([{key: value for key, value in rendered.body.items() if key not in BY_LOT}, rendered.dropped])


def differences(word: str) -> Iterator[tuple[str, str, int]]:
    for wire in FORMATS:
        for asked in TWO_WAY:
            for number in range(len(REQUESTS)):
                for model in MODELS if wire in ("gemini-generate", "code-assist") else MODELS[:1]:
                    for beside in BESIDE:
                        if said(wire, asked, number, model, beside) != said(wire, asked, number, model, beside | {word}):
                            yield wire, asked, number


@cache
def others() -> str:
    """The code of everybody who is neither a codec nor a row."""
    files = sorted((ROOT / "omni_connector").rglob("*.py"))
    codecs = ("openai_chat", "openai_responses", "anthropic", "gemini", "code_assist", "kiro")
    return "\n".join(path.read_text() for path in files if path.parent.name != "providers" and not path.name.startswith(codecs))


@pytest.mark.parametrize("word", [word for word in FEATURES if word not in BY_NEED | FACTS])
def test_every_word_of_a_row_makes_a_difference(word: str) -> None:
    """In some body that is sent, or to somebody else who asks for it."""
    if next(differences(word), None) is None:
        assert re.search(rf'"{word}" (?:not )?in |^[A-Z_]+ = "{word}"$', others(), re.MULTILINE)
