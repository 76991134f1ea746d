"""What `bench/codecs.py` feeds the answer codecs: streams and whole answers, in each provider's framing.

Made up, but with the shapes and sizes of recorded traffic; the same seed gives the same bytes every time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.codec_requests import ANTHROPIC, CHAT, GEMINI, LARGE, RESPONSES, WORDS, Json, conversation, listing, prose
from omni_connector.wire import views

# ---------------------------------------------------------------- Streams

KINDS = ("text", "thought", "call")


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer as the provider's network chunks: all that comes before the deltas, the deltas, the rest."""

    head: list[bytes]
    deltas: list[bytes]
    tail: list[bytes]

    @property
    def chunks(self) -> list[bytes]:
        return [*self.head, *self.deltas, *self.tail]


def stream(wire: str, kind: str, count: int) -> Stream:
    """`count` deltas of text, thoughts or one call's arguments, each in a network chunk of its own."""
    dice = random.Random(11)
    words = [f"{dice.choice(WORDS[:26])} " for _ in range(count)]
    if kind == "call":
        words = ['{"text":"', *words[2:], '"}']
    return _STREAMS[wire](kind, words)


def _data(value: Json) -> bytes:
    return b"data: " + _dumps(value) + b"\n\n"


def _named(value: Json) -> bytes:
    return b"event: " + str(value["type"]).encode() + b"\n" + _data(value)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


_CHAT_USAGE = {
    "prompt_tokens": 5000,
    "completion_tokens": 400,
    "total_tokens": 5400,
    "prompt_tokens_details": {"cached_tokens": 4096, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": 0},
}


def _chat_stream(kind: str, words: Sequence[str]) -> Stream:
    def chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
        head = {
            "id": "chatcmpl-CoDWyp2E1BNuDrOa4ZTIteBKS3LkS",
            "object": "chat.completion.chunk",
            "created": 1766084448,
            "model": "gpt-4.1",
        }
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        told: Json = {**head, "service_tier": "default", "system_fingerprint": "fp_deacdd5f6f", "choices": [choice], "usage": None}
        return _data({**told, "obfuscation": "VNnjaeIH5xHK", **more})

    opening: Json = {"role": "assistant", "content": None if kind == "call" else "", "refusal": None}
    head = [chunk(opening)]
    if kind == "call":
        called = {"index": 0, "id": "call_ZLW6rwgBZAlsBPJv2F9O3zhz", "type": "function", "function": {"name": "tool_1", "arguments": ""}}
        head.append(chunk({"tool_calls": [called]}))
    delta: Callable[[str], Json] = {
        "text": lambda word: {"content": word},
        "thought": lambda word: {"reasoning_content": word},
        "call": lambda word: {"tool_calls": [{"index": 0, "function": {"arguments": word}}]},
    }[kind]
    tail = [chunk({}, "tool_calls" if kind == "call" else "stop"), chunk({}, choices=[], usage=_CHAT_USAGE), b"data: [DONE]\n\n"]
    return Stream(head, [chunk(delta(word)) for word in words], tail)


_RESPONSES_USAGE = {
    "input_tokens": 5000,
    "input_tokens_details": {"cached_tokens": 4096},
    "output_tokens": 400,
    "output_tokens_details": {"reasoning_tokens": 128},
    "total_tokens": 5400,
}


def _response(status: str, output: list[Json], usage: Json | None) -> Json:
    """The object with its echo of the request, tools and all."""
    request = views.decode(conversation(replace(LARGE, total=0), RESPONSES, RESPONSES))
    return {
        "id": "resp_03b91364924fb0280169fb7cbb059881919d34ebddfdf6bfdb",
        "object": "response",
        "created_at": 1778089147,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request["instructions"],
        "max_output_tokens": 32000,
        "model": "gpt-5.5",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": request["tools"],
        "top_p": 1.0,
        "usage": usage,
    }


def _responses_stream(kind: str, words: Sequence[str]) -> Stream:
    text = "".join(words)
    match kind:
        case "text":
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
            item: Json = {"id": "msg_03b9136492", "type": "message", "status": "completed", "content": [part], "role": "assistant"}
            opened, name, place = {**item, "status": "in_progress", "content": []}, "output_text", {"content_index": 0, "logprobs": []}
            begun = [{"type": "response.content_part.added", "content_index": 0, "part": {**part, "text": ""}}]
            ended: list[Json] = [{"type": "response.output_text.done", **place, "text": text}]
            ended.append({"type": "response.content_part.done", "content_index": 0, "part": part})
        case "thought":
            part = {"type": "summary_text", "text": text}
            item = {"id": "rs_03b9136492", "type": "reasoning", "summary": [part], "encrypted_content": "gAAAA" * 200}
            opened, name, place = {**item, "summary": []}, "reasoning_summary_text", {"summary_index": 0}
            begun = [{"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}]
            ended = [{"type": "response.reasoning_summary_text.done", **place, "text": text}]
            ended.append({"type": "response.reasoning_summary_part.done", **place, "part": part})
        case _:
            item = {
                "id": "fc_03b9136492",
                "type": "function_call",
                "status": "completed",
                "arguments": text,
                "call_id": "call_ZLW6",
                "name": "tool_1",
            }
            opened, name, place = {**item, "status": "in_progress", "arguments": ""}, "function_call_arguments", {}
            begun, ended = [], [{"type": "response.function_call_arguments.done", "arguments": text}]
    where = {"item_id": item["id"], "output_index": 0}
    head: list[Json] = [{"type": f"response.{step}", "response": _response("in_progress", [], None)} for step in ("created", "in_progress")]
    head += [{"type": "response.output_item.added", "item": opened, "output_index": 0}, *({**one, **where} for one in begun)]
    deltas = [{"type": f"response.{name}.delta", "delta": word, **place, **where, "obfuscation": "VNnjaeIH5xHK"} for word in words]
    tail = [*({**one, **where} for one in ended), {"type": "response.output_item.done", "item": item, "output_index": 0}]
    tail.append({"type": "response.completed", "response": _response("completed", [item], _RESPONSES_USAGE)})
    events = [_named({**event, "sequence_number": number}) for number, event in enumerate([*head, *deltas, *tail])]
    return Stream(events[: len(head)], events[len(head) : -len(tail)], events[-len(tail) :])


def _anthropic_stream(kind: str, words: Sequence[str]) -> Stream:
    usage: Json = {"input_tokens": 900, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 4096, "output_tokens": 1}
    message = {"model": "claude-sonnet-4-6", "id": "msg_01WJn2D9FrjipEZ9u51siJHC", "type": "message", "role": "assistant", "content": []}
    started = {**message, "stop_reason": None, "stop_sequence": None, "usage": {**usage, "service_tier": "standard"}}
    block, delta = {
        "text": ({"type": "text", "text": ""}, ("text_delta", "text")),
        "thought": ({"type": "thinking", "thinking": "", "signature": ""}, ("thinking_delta", "thinking")),
        "call": (
            {"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "tool_1", "input": {}},
            ("input_json_delta", "partial_json"),
        ),
    }[kind]
    head = [_named({"type": "message_start", "message": started})]
    head.append(_named({"type": "content_block_start", "index": 0, "content_block": block}) + _named({"type": "ping"}))
    deltas = [_named({"type": "content_block_delta", "index": 0, "delta": {"type": delta[0], delta[1]: word}}) for word in words]
    tail: list[Json] = (
        [{"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB" * 100}}]
        if kind == "thought"
        else []
    )
    stopped = {"stop_reason": "tool_use" if kind == "call" else "end_turn", "stop_sequence": None}
    tail += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stopped, "usage": {**usage, "output_tokens": 400}},
    ]
    return Stream(head, deltas, [_named(event) for event in (*tail, {"type": "message_stop"})])


def _gemini_stream(kind: str, words: Sequence[str]) -> Stream:
    def chunk(part: Json, count: int, **more: Any) -> bytes:
        counts = {"promptTokenCount": 5000, "candidatesTokenCount": count, "totalTokenCount": 5000 + count, "thoughtsTokenCount": 128}
        usage = {**counts, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5000}]}
        candidate = {"content": {"parts": [part], "role": "model"}, "index": 0, **more}
        told = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3-flash-preview"}
        return b"data: " + _dumps({**told, "responseId": "dqHOab6xGLzWodAPkPuViA4"}) + b"\r\n\r\n"

    head, tail, parts = [], [], []
    match kind:
        case "text" | "thought":
            more = {"thought": True} if kind == "thought" else {}
            parts = [{"text": word, **more} for word in words]
        case _:
            # Arguments in pieces, as the API streams them when it is asked to.
            head = [chunk({"functionCall": {"name": "tool_1", "willContinue": True}, "thoughtSignature": "CiMB" * 60}, 0)]
            pieces = [{"jsonPath": "$.text", "stringValue": word, "willContinue": True} for word in words[1:-1]]
            parts = [{"functionCall": {"partialArgs": [piece], "willContinue": True}} for piece in pieces]
            tail = [chunk({"functionCall": {}}, len(words))]
    deltas = [chunk(part, number) for number, part in enumerate(parts)]
    return Stream(head, deltas, [*tail, chunk({"text": ""}, len(words), finishReason="STOP")])


_STREAMS: Mapping[str, Callable[[str, Sequence[str]], Stream]] = {
    CHAT: _chat_stream,
    RESPONSES: _responses_stream,
    ANTHROPIC: _anthropic_stream,
    GEMINI: _gemini_stream,
}


# ---------------------------------------------------------------- Whole answers


def whole(wire: str) -> bytes:
    """An answer in one piece: 2 kB of thoughts, 4 kB of words, three calls."""
    dice = random.Random(13)
    thought, words = prose(dice, 2000), prose(dice, 4000)
    calls = [(f"call_{n}", f"tool_{n}", {"field_0": listing(dice, 500), "field_1": n}) for n in range(3)]
    return _dumps(_WHOLE[wire](thought, words, calls))


_Calls = Sequence[tuple[str, str, Json]]


def _chat_whole(thought: str, words: str, calls: _Calls) -> Json:
    called = [{"id": one, "type": "function", "function": {"name": name, "arguments": json.dumps(args)}} for one, name, args in calls]
    message = {"role": "assistant", "content": words, "refusal": None, "reasoning_content": thought, "tool_calls": called}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    head = {"id": "chatcmpl-CoDWyp2E1BNu", "object": "chat.completion", "created": 1766084448, "model": "gpt-4.1"}
    return {**head, "choices": [choice], "usage": _CHAT_USAGE}


def _responses_whole(thought: str, words: str, calls: _Calls) -> Json:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": words}
    summary = [{"type": "summary_text", "text": thought}]
    items: list[Json] = [{"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": "gAAAA" * 200}]
    items.append({"id": "msg_1", "type": "message", "status": "completed", "content": [part], "role": "assistant"})
    for one, name, args in calls:
        said = {"id": f"fc_{one}", "type": "function_call", "status": "completed", "arguments": json.dumps(args)}
        items.append({**said, "call_id": one, "name": name})
    return _response("completed", items, _RESPONSES_USAGE)


def _anthropic_whole(thought: str, words: str, calls: _Calls) -> Json:
    blocks: list[Json] = [{"type": "thinking", "thinking": thought, "signature": "EqQB" * 100}, {"type": "text", "text": words}]
    blocks += [{"type": "tool_use", "id": f"toolu_{one}", "name": name, "input": args} for one, name, args in calls]
    usage = {"input_tokens": 900, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 4096, "output_tokens": 400}
    head = {"model": "claude-sonnet-4-6", "id": "msg_01WJn2D9", "type": "message", "role": "assistant", "content": blocks}
    return {**head, "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}


def _gemini_whole(thought: str, words: str, calls: _Calls) -> Json:
    parts: list[Json] = [{"text": thought, "thought": True}, {"text": words, "thoughtSignature": "CiMB" * 60}]
    parts += [{"functionCall": {"id": one, "name": name, "args": args}} for one, name, args in calls]
    usage = {"promptTokenCount": 5000, "candidatesTokenCount": 400, "totalTokenCount": 5528, "thoughtsTokenCount": 128}
    candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3-flash-preview", "responseId": "dqHOab6x"}


_WHOLE: Mapping[str, Callable[[str, str, _Calls], Json]] = {
    CHAT: _chat_whole,
    RESPONSES: _responses_whole,
    ANTHROPIC: _anthropic_whole,
    GEMINI: _gemini_whole,
}
