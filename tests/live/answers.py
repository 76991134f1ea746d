"""What a provider says in the tests: one description, told in either wire format, whole or as a stream.

The words are ours; shapes, order of events and framing follow what the two vendors send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from tests.serving import Answer, stream, whole

Json = dict[str, Any]

MODEL = "test-model-2026-01-31"
"""What the provider calls itself in its answers; clients must see the name they asked for instead."""

CHAT, MESSAGES = "openai-chat", "anthropic-messages"


@dataclass(frozen=True)
class Tokens:
    """Counts that do not overlap, but for `reasoning`, which is part of `output`."""

    fresh: int = 21
    cached: int = 0
    written: int = 0
    output: int = 9
    reasoning: int = 0


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Said:
    """One answer. `finish` is the provider's own word; "" takes the usual one."""

    text: str = ""
    thoughts: str = ""
    signature: str = ""
    redacted: str = ""
    details: tuple[Json, ...] = ()
    """Entries of `reasoning_details`, as OpenRouter has them; only chat completions can tell these."""
    calls: tuple[Call, ...] = ()
    refusal: str = ""
    finish: str = ""
    stop_sequence: str | None = None
    tokens: Tokens = field(default_factory=Tokens)

    def answer(self, wire: str, streamed: bool) -> Answer:
        told = {
            (CHAT, False): _chat_whole,
            (CHAT, True): _chat_stream,
            (MESSAGES, False): _messages_whole,
            (MESSAGES, True): _messages_stream,
        }
        return told[wire, streamed](self)


def pieces(text: str, size: int = 7) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def dense(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# ---------------------------------------------------------------- Chat completions


def _chat_usage(tokens: Tokens) -> Json:
    prompt = tokens.fresh + tokens.cached + tokens.written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
    }


def _chat_finish(said: Said) -> str:
    return said.finish or ("tool_calls" if said.calls else "stop")


def _chat_whole(said: Said) -> Answer:
    message: Json = {"role": "assistant", "content": said.text or None, "refusal": said.refusal or None, "annotations": []}
    if said.thoughts:
        message["reasoning" if said.details else "reasoning_content"] = said.thoughts
    if said.details:
        message["reasoning_details"] = list(said.details)
    if said.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": dense(call.arguments)}} for call in said.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _chat_finish(said)}
    body = {"id": "chatcmpl-A1", "object": "chat.completion", "created": 1767225600, "model": MODEL, "choices": [choice]}
    return whole({**body, "usage": _chat_usage(said.tokens), "service_tier": "default", "system_fingerprint": "fp_1"})


def chat_chunk(delta: Json, finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-A1", "object": "chat.completion.chunk", "created": 1767225600, "model": MODEL, "system_fingerprint": "fp_1"}
    return f"data: {dense({**head, 'choices': [choice], 'usage': None, **more})}\n\n"


def chat_chunks(said: Said) -> Iterator[str]:
    """The stream up to the finish reason."""
    yield chat_chunk({"role": "assistant", "content": "" if said.text else None, "refusal": None})
    for piece in pieces(said.thoughts):
        yield chat_chunk({"reasoning" if said.details else "reasoning_content": piece})
    for entry in said.details:
        yield chat_chunk({"reasoning_details": [entry]})
    for piece in pieces(said.text):
        yield chat_chunk({"content": piece})
    for piece in pieces(said.refusal):
        yield chat_chunk({"refusal": piece})
    for number, call in enumerate(said.calls):
        function = {"name": call.name, "arguments": ""}
        yield chat_chunk({"tool_calls": [{"index": number, "id": call.id, "type": "function", "function": function}]})
    # The arguments of parallel calls come in turns, which the format allows and some hosts do.
    for row in zip_longest(*(pieces(dense(call.arguments)) for call in said.calls)):
        for number, piece in enumerate(row):
            if piece is not None:
                yield chat_chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield chat_chunk({}, _chat_finish(said))


def _chat_stream(said: Said) -> Answer:
    usage = chat_chunk({}, choices=[], usage=_chat_usage(said.tokens))
    return stream("".join([*chat_chunks(said), usage, "data: [DONE]\n\n"]))


def chat_error(status: int, message: str, code: str | None = None, type: str = "invalid_request_error", **headers: str) -> Answer:
    return whole({"error": {"message": message, "type": type, "param": None, "code": code}}, status, **headers)


# ---------------------------------------------------------------- Messages


def _messages_usage(tokens: Tokens) -> Json:
    usage: Json = {
        "input_tokens": tokens.fresh,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }
    return {**usage, "output_tokens_details": {"thinking_tokens": tokens.reasoning}} if tokens.reasoning else usage


def _blocks(said: Said) -> list[Json]:
    blocks: list[Json] = []
    if said.thoughts or said.signature:
        blocks.append({"type": "thinking", "thinking": said.thoughts, "signature": said.signature})
    if said.redacted:
        blocks.append({"type": "redacted_thinking", "data": said.redacted})
    if said.text or said.refusal:
        blocks.append({"type": "text", "text": said.text or said.refusal})
    return blocks + [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in said.calls]


def _stop_reason(said: Said) -> str:
    return said.finish or ("tool_use" if said.calls else "end_turn")


def _message(content: list[Json], usage: Json, reason: str | None, sequence: str | None = None) -> Json:
    head = {"id": "msg_01A", "type": "message", "role": "assistant", "model": MODEL}
    return {**head, "content": content, "stop_reason": reason, "stop_sequence": sequence, "usage": usage}


def _messages_whole(said: Said) -> Answer:
    return whole(_message(_blocks(said), _messages_usage(said.tokens), _stop_reason(said), said.stop_sequence))


def event(kind: str, **data: Any) -> str:
    return f"event: {kind}\ndata: {dense({'type': kind, **data})}\n\n"


def message_events(said: Said) -> Iterator[str]:
    """The stream up to the end of the last block."""
    begun = {**_messages_usage(said.tokens), "output_tokens": 1}
    yield event("message_start", message=_message([], begun, None))
    for number, block in enumerate(_blocks(said)):
        yield from _block_events(number, block)
        if number == 0:
            yield event("ping")


def _block_events(number: int, block: Json) -> Iterator[str]:
    deltas: list[Json]
    match block["type"]:
        case "text":
            start, deltas = {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        case "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "tool_use":
            start = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(dense(block["input"]))]]
        case _:
            start, deltas = block, []
    yield event("content_block_start", index=number, content_block=start)
    for delta in deltas:
        yield event("content_block_delta", index=number, delta=delta)
    yield event("content_block_stop", index=number)


def message_end(said: Said) -> str:
    delta = {"stop_reason": _stop_reason(said), "stop_sequence": said.stop_sequence}
    return event("message_delta", delta=delta, usage=_messages_usage(said.tokens)) + event("message_stop")


def _messages_stream(said: Said) -> Answer:
    return stream("".join(message_events(said)) + message_end(said))


def messages_error(status: int, message: str, type: str = "invalid_request_error", **headers: str) -> Answer:
    return whole({"type": "error", "error": {"type": type, "message": message}, "request_id": "req_011"}, status, **headers)
