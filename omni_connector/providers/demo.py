"""The built-in demo provider: speaks the OpenAI chat format, needs no key and no network, and fails on demand.

It is a provider like any other down to the byte, so everything else in the house is exercised by it, failover included; and it
says of itself in every answer that it is a demo. Pure: no I/O, no clock, no state. `upstream.py` plays the chunks at their pace.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from omni_connector.providers.sample import instance
from omni_connector.snapshot import Json
from omni_connector.values import dataclass

MODELS: Mapping[str, str] = {
    "demo-chat": "answers in text and echoes a bit of the prompt; `[[tool]]` in the prompt makes it call a tool",
    "demo-slow": "waits three seconds, then answers word by word",
    "demo-tool": "calls the first offered tool; after its result answers in text",
    "demo-reasoning": "thinks aloud before it answers",
    "demo-429": "is rate limited, with Retry-After",
    "demo-500": "fails with an internal error",
    "demo-silent": "accepts the request and then says nothing, for ever",
    "demo-cut": "breaks off in the middle of the answer",
    "demo-wrong-usage": "answers well and reports absurd token counts",
}

OPTIONS: Mapping[str, str] = {
    "behaviour": "one of the models' names without `demo-`; the account then behaves so whatever model is asked for",
    "latency_ms": "time until the first byte (60)",
    "chunk_ms": "time between two chunks (15)",
    "tokens": "length of the answer in words (40)",
    "retry_after": "seconds in Retry-After of a 429 (5)",
    "fail_rate": "share of requests that fail, 0 to 1 (0)",
    "fail_as": "how those fail: `500`, `429`, `cut` or `silent` (`500`)",
}

BEHAVIOURS = frozenset(model.removeprefix("demo-") for model in MODELS)
PACE: Mapping[str, tuple[int, int]] = {"slow": (3_000, 150)}
"""Behaviour → (latency, chunk) in ms, where it is not (60, 15)."""

SENTENCES = (
    "A real account would have written something useful here.",
    "Connect one on the Accounts page and send the same request again.",
    "Every chunk you see took the same road that a provider's answer takes.",
    "Tokens were counted, the row was settled, and the price is zero.",
    "Try demo-429 with a second account to watch the failover.",
    "Nothing left this machine.",
)
WORD = re.compile(r"\S+\s*|\s+")
TOOL_MARK, TOOLS_MARK = "[[tool]]", "[[tools]]"
HEADERS: Mapping[str, str] = {"x-omni-demo": "1"}
MAX_TOKENS, MAX_CHOICES = 20_000, 8


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """`chunks`: (seconds to wait before it, bytes). After the last one: `stall` → nothing comes any more and the connection stays
    open; `cut` → the connection breaks; neither → a clean end."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterable[tuple[float, bytes]]
    stall: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said, before it is put into bytes."""

    id: str
    model: str
    text: tuple[str, ...] = ()
    thoughts: tuple[str, ...] = ()
    calls: tuple[Json, ...] = ()
    finish: str = "stop"
    choices: int = 1
    usage: Json = field(default_factory=dict)


# ---------------------------------------------------------------- The door


def respond(url: str, body: bytes, options: Mapping[str, Any], turn: int | None = None) -> DemoAnswer:
    """Answers one request.

    `url` "demo://local/models" lists the models; anything else is a chat completion. `options`: the account's options.demo, see
    OPTIONS; nonsense in them counts as absent. `turn`: how many requests the account had before, so that `fail_rate` 0.25 fails
    every fourth one; None: the conversation decides, always in the same way.
    """
    if url.partition("?")[0].rstrip("/").endswith("/models"):
        return _json(200, models_body())
    try:
        request = json.loads(body)
        said = request.get("messages") if isinstance(request, dict) else None
        seed = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    except (ValueError, RecursionError):
        return _error(400, "The body is not JSON, or nested too deep.", "invalid_request_error")
    problem = _problem(request)
    if problem:
        return _error(400, problem, "invalid_request_error")
    model = str(request["model"]).removeprefix("models/")
    if model not in MODELS:
        return _error(404, f"The model `{model}` does not exist. Known: {', '.join(MODELS)}.", "invalid_request_error", "model_not_found")
    behaviour = _behaviour(model, options, turn, seed)
    if behaviour == "429":
        wait = str(max(0, round(_number(options, "retry_after", 5))))
        return _error(
            429, f"Demo rate limit reached. Try again in {wait} s.", "rate_limit_exceeded", "rate_limit_exceeded", {"retry-after": wait}
        )
    if behaviour == "500":
        return _error(500, "The demo provider failed, as it was asked to.", "server_error")
    reply = _reply(request, model, behaviour, options, seed)
    return _played(reply, request, behaviour, options)


def models_body() -> Json:
    """The model list in OpenAI's form."""
    return {
        "object": "list",
        "data": [{"id": model, "object": "model", "created": 0, "owned_by": "omni-connector demo"} for model in MODELS],
    }


def _problem(request: Any) -> str:
    """The first thing wrong with a request, in a sentence; "" when it is fine."""
    if not isinstance(request, dict):
        return "The body must be a JSON object."
    if not isinstance(request.get("model"), str):
        return "`model` must be a string."
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        return "`messages` must be a list of messages, each with a role."
    if not isinstance(request.get("tools") or [], list):
        return "`tools` must be a list of tools."
    choices = request.get("n")
    if choices is not None and not (isinstance(choices, int) and 1 <= choices <= MAX_CHOICES):
        return f"`n` must be between 1 and {MAX_CHOICES}."
    return ""


def _behaviour(model: str, options: Mapping[str, Any], turn: int | None, seed: str) -> str:
    rate = min(1.0, max(0.0, _number(options, "fail_rate", 0)))
    if turn is None:
        failing = int(seed[:8], 16) / 0x1_0000_0000 < rate
    else:
        failing = int((turn + 1) * rate + 1e-9) > int(turn * rate + 1e-9)
    if failing:
        named = str(options.get("fail_as", "500"))
        return named if named in ("429", "500", "cut", "silent") else "500"
    named = str(options.get("behaviour", ""))
    return named if named in BEHAVIOURS else model.removeprefix("demo-")


def _number(options: Mapping[str, Any], name: str, default: float) -> float:
    value = options.get(name, default)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 else default


# ---------------------------------------------------------------- What is said


def _reply(request: Json, model: str, behaviour: str, options: Mapping[str, Any], seed: str) -> Reply:
    messages = request["messages"]
    prompt = _last_said(messages)
    tools = _wanted_tools(request, behaviour, prompt)
    reply_id = f"chatcmpl-demo-{seed[:24]}"
    calls = tuple(_call(tool, f"call_demo_{seed[24:40]}{number}") for number, tool in enumerate(tools))
    thoughts = (
        tuple(WORD.findall("The demo provider pretends to think. It reads the prompt, and then it says so."))
        if behaviour == "reasoning"
        else ()
    )
    pieces: tuple[str, ...] = ()
    finish = "tool_calls"
    if not calls:
        pieces, finish = _text(request, prompt, int(_number(options, "tokens", 40)), seed)
    words = len(pieces) + sum(len(WORD.findall(_arguments(call))) + 4 for call in calls)
    choices = request.get("n") or 1
    usage = _usage(len(json.dumps(messages)) // 4, words * choices, len(thoughts) * choices)
    if behaviour == "wrong-usage":
        usage = {"prompt_tokens": 0, "completion_tokens": 987_654_321, "total_tokens": -1, "prompt_tokens_details": {"cached_tokens": 42}}
    return Reply(reply_id, model, pieces, thoughts, calls, finish, choices, usage)


def _usage(prompt: int, said: int, thought: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said + thought,
        "total_tokens": prompt + said + thought,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _text(request: Json, prompt: str, tokens: int, seed: str) -> tuple[tuple[str, ...], str]:
    """The answer in pieces, and why it ends: "stop" or "length"."""
    text = _said(request, prompt, tokens, seed)
    stops = request.get("stop")
    for stop in stops if isinstance(stops, list) else [stops]:
        if isinstance(stop, str) and stop:
            text = text.partition(stop)[0]
    pieces, finish = WORD.findall(text), "stop"
    limits = (request.get("max_completion_tokens"), request.get("max_tokens"))
    limit = next((limit for limit in limits if limit is not None), None)
    if isinstance(limit, int) and 0 <= limit < len(pieces):
        pieces, finish = pieces[:limit], "length"
    return tuple(pieces), finish


def _said(request: Json, prompt: str, tokens: int, seed: str) -> str:
    wanted = request.get("response_format")
    wanted = wanted if isinstance(wanted, dict) else {}
    kind = wanted.get("type")
    if kind == "json_object":
        return json.dumps({"demo": True, "note": "omni-connector demo answer", "you_said": prompt[:80]}, ensure_ascii=False)
    if kind == "json_schema":
        return json.dumps(instance(_inner(wanted).get("schema")), ensure_ascii=False)
    if request["messages"][-1]["role"] == "tool":
        opening = f"omni-connector demo answer: the tool said “{prompt[:200]}”."
    else:
        opening = f"This is an omni-connector demo answer; no AI model was asked. You said: “{_short(prompt)}”."
    order = random.Random(seed)  # not for secrets: the same conversation gets the same words
    sentences, words = [opening], len(opening.split())
    while words < min(tokens, MAX_TOKENS):
        sentences.append(order.choice(SENTENCES))
        words += len(sentences[-1].split())
    return " ".join(sentences)


def _short(prompt: str, limit: int = 120) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= limit else line[:limit].rstrip() + "…"


def _last_said(messages: list[Json]) -> str:
    """The text of the last message of a user or a tool, with a word for each picture or file in it."""
    for message in reversed(messages):
        if message["role"] in ("user", "tool"):
            return _flat(message.get("content"))
    return ""


def _flat(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") if part.get("type") == "text" else f"[{part.get('type')}]" for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))


# ---------------------------------------------------------------- Tools


def _wanted_tools(request: Json, behaviour: str, prompt: str) -> list[Json]:
    """The tools to call now: those that tool_choice forces, else the first (`[[tools]]`: the first two) where the demo is asked
    to use tools. None after a tool's result."""
    tools = [tool for tool in request.get("tools") or () if isinstance(tool, dict) and _name(tool)]
    choice = request.get("tool_choice")
    if not tools or choice == "none" or request["messages"][-1]["role"] == "tool":
        return []
    if isinstance(choice, dict) and _name(choice):
        return [tool for tool in tools if _name(tool) == _name(choice)][:1]
    if TOOLS_MARK in prompt and request.get("parallel_tool_calls") is not False:
        return tools[:2]
    return tools[:1] if choice == "required" or behaviour == "tool" or TOOL_MARK in prompt or TOOLS_MARK in prompt else []


def _inner(tool: Json) -> Json:
    inner = tool.get(str(tool.get("type")))
    return inner if isinstance(inner, dict) else {}


def _name(tool: Json) -> str:
    name = _inner(tool).get("name")
    return name if isinstance(name, str) else ""


def _call(tool: Json, call_id: str) -> Json:
    if tool.get("type") == "custom":
        return {"id": call_id, "type": "custom", "custom": {"name": _name(tool), "input": "demo"}}
    arguments = instance(_inner(tool).get("parameters") or {"type": "object"})
    return {"id": call_id, "type": "function", "function": {"name": _name(tool), "arguments": json.dumps(arguments, ensure_ascii=False)}}


def _arguments(call: Json) -> str:
    inner = _inner(call)
    return str(inner["arguments"] if "arguments" in inner else inner["input"])


# ---------------------------------------------------------------- Bytes


def _played(reply: Reply, request: Json, behaviour: str, options: Mapping[str, Any]) -> DemoAnswer:
    latency, pace = PACE.get(behaviour, (60, 15))
    first = max(0.0, _number(options, "latency_ms", latency)) / 1000
    later = max(0.0, _number(options, "chunk_ms", pace)) / 1000
    streamed = request.get("stream") is True
    headers = {**HEADERS, "content-type": "text/event-stream; charset=utf-8" if streamed else "application/json", "x-request-id": reply.id}
    if behaviour == "silent":
        return DemoAnswer(200, headers, (), stall=True)
    asked = request.get("stream_options")
    pieces = list(_stream(reply, isinstance(asked, dict) and asked.get("include_usage") is True)) if streamed else [_dump(_whole(reply))]
    if behaviour == "cut":
        pieces = pieces[: max(1, len(pieces) // 2)] if streamed else [pieces[0][: len(pieces[0]) // 2]]
    paced = [(first if number == 0 else later, piece) for number, piece in enumerate(pieces)]
    return DemoAnswer(200, headers, paced, cut=behaviour == "cut")


def _whole(reply: Reply) -> Json:
    message: Json = {"role": "assistant", "content": "".join(reply.text) if not reply.calls else None, "refusal": None}
    if reply.thoughts:
        message["reasoning_content"] = "".join(reply.thoughts)
    if reply.calls:
        message["tool_calls"] = list(reply.calls)
    choice = {"message": message, "logprobs": None, "finish_reason": reply.finish}
    choices = [{"index": number, **choice} for number in range(reply.choices)]
    return {**_frame(reply, "chat.completion"), "choices": choices, "usage": reply.usage}


def _stream(reply: Reply, with_usage: bool) -> Iterator[bytes]:
    frame = {**_frame(reply, "chat.completion.chunk"), **({"usage": None} if with_usage else {})}

    def event(number: int, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + _dump({**frame, "choices": [choice]}) + b"\n\n"

    for number in range(reply.choices):
        yield event(number, {"role": "assistant", "content": None if reply.calls else ""})
        for thought in reply.thoughts:
            yield event(number, {"reasoning_content": thought})
        for piece in reply.text:
            yield event(number, {"content": piece})
        for place, call in enumerate(reply.calls):
            yield from (event(number, {"tool_calls": [fragment]}) for fragment in _fragments(place, call))
        yield event(number, {}, reply.finish)
    if with_usage:
        yield b"data: " + _dump({**frame, "choices": [], "usage": reply.usage}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _fragments(place: int, call: Json) -> Iterator[Json]:
    """A call as OpenAI streams it: id and name first, then its arguments in pieces."""
    kind = call["type"]
    field_name = "arguments" if kind == "function" else "input"
    yield {"index": place, "id": call["id"], "type": kind, kind: {"name": call[kind]["name"], field_name: ""}}
    for piece in WORD.findall(call[kind][field_name]):
        yield {"index": place, kind: {field_name: piece}}


def _frame(reply: Reply, kind: str) -> Json:
    # No clock here: `created` 0 is true to "unknown", and the wire format puts the time of the answer there for clients.
    return {"id": reply.id, "object": kind, "created": 0, "model": reply.model, "system_fingerprint": "omni-demo"}


def _error(status: int, message: str, kind: str, code: str | None = None, headers: Mapping[str, str] | None = None) -> DemoAnswer:
    return _json(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, headers)


def _json(status: int, value: Json, headers: Mapping[str, str] | None = None) -> DemoAnswer:
    return DemoAnswer(status, {**HEADERS, "content-type": "application/json", **(headers or {})}, [(0.0, _dump(value))])


def _dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()
