"""Arbitrary conversations and answers, and what they say once the manner of a wire format is taken off them."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from omni_connector.chat import (
    ENVELOPE,
    ChatRequest,
    ChatResponse,
    Choice,
    Finish,
    Json,
    MediaPart,
    Message,
    Opaque,
    Origin,
    OutputFormat,
    Part,
    ReasoningPart,
    RefusalPart,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    Usage,
    unseal,
)
from omni_connector.wire import FORMATS
from omni_connector.wire.anthropic_words import from_wire_id
from omni_connector.wire.gemini_signatures import SEALED_HEAD, open_signature
from omni_connector.wire.openai_chat_details import restore
from omni_connector.wire.openai_responses_words import open_encrypted, unpack

CHAT, RESPONSES, MESSAGES, GEMINI = "openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"
ORIGIN = Origin("minter", "model-1")
PROOF = {CHAT: "openrouter.detail", RESPONSES: "openai.encrypted", MESSAGES: "anthropic.signature", GEMINI: "gemini.thought_signature"}
"""Format → the kind of opaque value that its providers mint for a thought."""

# ---------------------------------------------------------------- Small things

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=12) | st.sampled_from(
    ["", " ", "Größe 🌍", "a\u2028b\x85c", '"quoted" \\ {"model":"x"}', "data: [DONE]", "null", "<system>", "\x00\x1f"]
)
NAMES = st.from_regex(r"[a-z][a-z_]{0,7}", fullmatch=True)
IDS = st.from_regex(r"call_[A-Za-z0-9.:-]{1,12}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=3).filter(lambda value: "_raw_arguments" not in value)
ARGUMENTS = OBJECTS.map(json.dumps) | st.sampled_from(
    ['{"n":1e400}', '{ "n" : 1.10 }', '{"n":-0.0,"m":1E5}', '{"n":12345678901234567890123456789}', "[1,2]", '"x"', "null", '{"cut', "", " "]
)
"""JSON objects, and what models write instead."""


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


PLACES = st.lists(st.integers(0, 10**6), max_size=6)

# ---------------------------------------------------------------- Conversations

IMAGES = st.binary(min_size=3, max_size=9).map(
    lambda raw: MediaPart("image", "image/png", data=base64.b64encode(b"\x89PNG" + raw).decode())
)


@st.composite
def tools(draw: st.DrawFn) -> tuple[Tool, ...]:
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    properties = st.dictionaries(NAMES, st.fixed_dictionaries({"type": st.sampled_from(["string", "integer"])}), min_size=1, max_size=2)
    made = []
    for name in names:
        schema: Json = {"type": "object", "properties": draw(properties)}
        made.append(Tool("function", name, draw(st.none() | WORDS.filter(bool)), schema, draw(st.none() | st.booleans())))
    return tuple(made)


def results(call: ToolCallPart) -> st.SearchStrategy[ToolResultPart]:
    parts = st.lists(st.builds(TextPart, WORDS.filter(lambda text: not text.lstrip().startswith("{"))) | IMAGES, max_size=2)
    return st.builds(ToolResultPart, st.just(call.id), parts.map(tuple), st.booleans(), st.just(call.name))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Instructions, words, pictures, calls (several at once) and their results, in turns."""
    text = st.builds(TextPart, WORDS)
    messages = [Message("system", tuple(draw(st.lists(text, min_size=1, max_size=2))))] if draw(st.booleans()) else []
    ids = draw(st.lists(IDS, min_size=9, max_size=9, unique=True))
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message("user", (TextPart("ask"), *draw(st.lists(text | IMAGES, max_size=2)))))
        words: list[Part] = list(draw(st.lists(text, max_size=2)))
        calls = [ToolCallPart(ids.pop(), draw(NAMES), draw(ARGUMENTS)) for _ in range(draw(st.integers(0, 3)))]
        messages.append(Message("assistant", (*words, *calls) if calls else (*words, TextPart("answer"))))
        messages += [Message("tool", (draw(results(call)),)) for call in calls]
    return (*messages, Message("user", (TextPart("go on"),)))


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    offered = draw(tools())
    named = st.sampled_from([tool.name for tool in offered]).map(lambda name: ToolChoice("named", name)) if offered else st.nothing()
    number, few = st.none() | st.sampled_from([0.0, 0.5, 1.0]), st.none() | st.integers(1, 40)
    return ChatRequest(
        wire="",
        model="m",
        messages=draw(conversations()),
        tools=offered,
        tool_choice=draw(st.none() | st.sampled_from([ToolChoice(mode) for mode in ("auto", "none", "required")]) | named)
        if offered
        else None,
        parallel_tools=draw(st.none() | st.booleans()) if offered else None,
        output=draw(st.none() | st.sampled_from([OutputFormat("json_object"), OutputFormat("json_schema", "n", {"type": "object"})])),
        sampling=Sampling(temperature=draw(number), top_p=draw(number), top_k=draw(few), seed=draw(few), presence_penalty=draw(number)),
        max_tokens=draw(st.integers(16, 5000)),
        stop=tuple(draw(st.lists(st.sampled_from(["END", "\n\n", "###"]), max_size=2, unique=True))),
        stream=draw(st.booleans()),
        user=draw(st.none() | st.just("someone")),
    )


_LABEL = re.compile(r"\[image \d+ of tool call [^\]]*\]( follows in the next user message)?|\[What \w+ gave besides its text:\]")
"""Words with which a renderer shows where a tool's picture went."""


def said(messages: Iterable[Message], *, exact: bool) -> list[Any]:
    """A conversation without its turns: who said, called or answered what, in order, and behind it all pictures, since those of a
    tool may follow all results. Texts of one voice in a row are one, blanks are nothing. `exact`: arguments as text, for formats
    that both carry them so."""
    out: list[Any] = []
    pictures: list[Any] = []
    for message in messages:
        for part in message.parts:
            match part:
                case TextPart(text):
                    _speak(out, message.role, text)
                case MediaPart():
                    pictures.append(part.data)
                case ToolCallPart():
                    out.append(("call", part.id, part.name, arguments(part.arguments, exact=exact)))
                case ToolResultPart():
                    out.append(["result", part.call_id, ""])
                    for piece in part.parts:
                        if isinstance(piece, TextPart):
                            _speak(out[-1:], "result", piece.text, at=2)
                    pictures += [piece.data for piece in part.parts if isinstance(piece, MediaPart)]
                case _:
                    raise AssertionError(part)
    return [*out, pictures]


def _speak(out: list[Any], who: str, text: str, at: int = 1) -> None:
    text = "".join(_LABEL.sub("", text).split())
    if out and isinstance(out[-1], list) and out[-1][0] == who:
        out[-1][at] += text
    elif text:
        out.append([who, text])


def arguments(text: str, *, exact: bool) -> Any:
    if not text.strip():
        return "{}" if exact else {}
    if exact:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) and _finite(value) else text


def _finite(value: Any) -> bool:
    """False where a number is beyond what JSON readers can hold: then the text itself travels."""
    if isinstance(value, dict | list):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


# ---------------------------------------------------------------- Answers

COUNT = st.integers(0, 10**6)
CALLS = st.builds(ToolCallPart, IDS, NAMES, OBJECTS.map(json.dumps))


def proofs(wire: str) -> st.SearchStrategy[tuple[Opaque, ...]]:
    """What a provider of this format mints for one thought."""
    if wire == CHAT:
        entry = st.builds(
            lambda data: {"type": "reasoning.encrypted", "data": data, "index": 0}, st.from_regex(r"[a-z]{4}", fullmatch=True)
        )
        return entry.map(lambda value: (Opaque(PROOF[CHAT], json.dumps(value, separators=(",", ":")), ORIGIN),))
    return st.from_regex(r"[A-Za-z0-9+/]{4,12}", fullmatch=True).map(lambda value: (Opaque(PROOF[wire], value, ORIGIN),))


@st.composite
def answers(draw: st.DrawFn, wire: str) -> ChatResponse:
    """An answer of a provider that speaks `wire`: a thought, words or a refusal, calls."""
    parts: list[Part] = []
    if draw(st.booleans()):
        parts.append(ReasoningPart(draw(WORDS), draw(st.just(()) | proofs(wire))))
    refused = not draw(st.integers(0, 4))
    parts += [RefusalPart(draw(WORDS.filter(bool)))] if refused else draw(st.lists(st.builds(TextPart, WORDS), max_size=2))
    calls = [] if refused else draw(st.lists(CALLS, max_size=3, unique_by=lambda call: call.id))
    finish = Finish.TOOL_CALLS if calls else draw(st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.FILTER]))
    finish = Finish.REFUSAL if refused else finish
    reasoning = draw(st.none() | COUNT)
    usage = Usage(draw(COUNT), draw(st.none() | COUNT), None, draw(COUNT) + (reasoning or 0), reasoning)
    return ChatResponse("id-1", "asked", 1_700_000_000, (Choice((*parts, *calls), finish),), usage)


@dataclass(frozen=True)
class Told:
    """What an answer says in any format."""

    thoughts: str
    words: str
    calls: tuple[tuple[str, str, Any], ...]
    finish: Finish
    counts: tuple[int, ...]
    proofs: tuple[str, ...]


def told(response: ChatResponse) -> Told:
    (choice,) = response.choices
    usage = response.usage or Usage()
    finish = {Finish.REFUSAL: Finish.FILTER}.get(choice.finish, choice.finish)
    return Told(
        "".join(part.text for part in choice.parts if isinstance(part, ReasoningPart)),
        "".join(part.text for part in choice.parts if isinstance(part, TextPart | RefusalPart)),
        tuple(
            (from_wire_id(part.id), part.name, arguments(part.arguments, exact=False))
            for part in choice.parts
            if isinstance(part, ToolCallPart)
        ),
        finish,
        (usage.prompt, usage.cache_read or 0, usage.output or 0, usage.reasoning or 0),
        tuple(sorted(f"{one.kind} {unpack(one.value)[1]} {one.origin}" for one in minted(choice.parts))),
    )


def minted(parts: Iterable[Part]) -> list[Opaque]:
    """The opaque values of an answer, out of the envelopes in which another format's client holds them. Placeholders are none."""
    held = [one for part in parts if isinstance(part, ReasoningPart | ToolCallPart) for one in part.opaque]
    found = []
    while held:
        opaque = held.pop()
        inner = _inside(opaque)
        held += inner
        if not inner and opaque.kind != "none":
            found.append(opaque)
    return found


def _inside(opaque: Opaque) -> list[Opaque]:
    """What an envelope of ours holds; [] for a value that is none."""
    text = opaque.value
    if opaque.kind == PROOF[CHAT]:
        parts, calls, _ = restore([json.loads(text)])
        return [one for part in parts for one in part.opaque] + [one for many in calls.values() for one in many]
    if opaque.kind == PROOF[RESPONSES] and unpack(text)[1].startswith(ENVELOPE):
        thought, calls = open_encrypted(unpack(text)[1], "")
        return [*thought, *(one for many in calls.values() for one in many)]
    if opaque.kind == PROOF[GEMINI] and text.startswith(SEALED_HEAD):
        return list(open_signature(text))
    return [one for piece in text.split(",") if (one := unseal(piece)) is not None] if opaque.kind == PROOF[MESSAGES] else []


ASKED: dict[str, Json] = {
    CHAT: {"model": "asked", "messages": [{"role": "user", "content": "hi"}], "stream_options": {"include_usage": True}},
    RESPONSES: {"model": "asked", "input": "hi"},
    MESSAGES: {"model": "asked", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]},
    GEMINI: {"model": "asked", "contents": [{"parts": [{"text": "hi"}]}]},
}


def asked(wire: str) -> ChatRequest:
    request: ChatRequest = FORMATS[wire].parse_request(ASKED[wire])
    return request
