"""Anthropic Messages, read for the tests: an answer of any host, or one of ours, which must keep to the grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.replay.told import Call, Counts, Event, Json, Told, exact, expect, objects

FINISH = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "context",
    "tool_use": "tool_calls", "refusal": "filter", "pause_turn": "pause",
}  # fmt: skip
"""`refusal` is this format's one word for an answer that a filter stopped and for one that the model refused."""


def whole(body: Json) -> Told:
    told = Told(error=error_words(body), model=body.get("model") or "")
    for block in body.get("content") or ():
        _block(told, block)
    _end(told, body)
    told.usage = counts(body.get("usage") or {})
    return told


def _block(told: Told, block: Json) -> None:
    match block["type"]:
        case "text":
            told.say(block.get("text") or "")
            for note in block.get("citations") or ():
                _cite(told, note)
        case "thinking":
            told.think(block.get("thinking") or "")
        case "redacted_thinking":
            pass
        case "tool_use":
            told.note("call")
            given = block["json"] if block.get("json") else block.get("input") or {}
            told.calls.append(Call(block.get("id") or "", block["name"], exact(given)))
        case kind:
            told.hosted.append(kind)


def _cite(told: Told, note: Json) -> None:
    if note["type"] == "web_search_result_location":
        told.cite(note.get("url"), note.get("title"))
    elif note["type"] == "search_result_location":
        told.cite(note.get("source"), note.get("title"))
    else:
        told.cite("", note.get("document_title") or note.get("cited_text"))


def stream(told: Sequence[Event]) -> Told:
    """The blocks as they grow, then read as a whole answer is."""
    message: Json = {"content": []}
    used: Json = {}
    open_blocks: dict[int, Json] = {}
    error = ""
    for data in objects(told):
        match data.get("type"):
            case "message_start":
                message |= {key: value for key, value in data["message"].items() if key != "content"}
                used |= _said(data["message"].get("usage"))
            case "content_block_start":
                block = dict(data["content_block"])
                open_blocks[data["index"]] = block
                message["content"].append(block)
            case "content_block_delta":
                _grow(open_blocks[data["index"]], data["delta"])
            case "message_delta":
                message |= {key: value for key, value in data["delta"].items() if value is not None}
                used |= _said(data.get("usage"))
            case "error":
                error = error_words(data)
    answer = whole({**message, "usage": used})
    answer.error = error
    return answer


def _said(usage: Any) -> Json:
    return {key: value for key, value in (usage or {}).items() if value is not None}


def _grow(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
        case "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        case "input_json_delta":
            block["json"] = block.get("json", "") + delta["partial_json"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]


def _end(told: Told, body: Json) -> None:
    word = body.get("stop_reason")
    told.finish = FINISH.get(word or "", "other" if word else "")
    told.stop_sequence = body.get("stop_sequence")


def counts(usage: Json) -> Counts:
    """Cache reads and writes stand beside the fresh input. A compaction is a request of its own, told only in `iterations`."""
    if "input_tokens" not in usage:
        return Counts()
    details = usage.get("output_tokens_details") or {}
    steps = usage.get("iterations") or ()
    if any(step.get("type") == "compaction" for step in steps):
        usage = {**usage, **{key: sum(step.get(key) or 0 for step in steps) for key in _COUNTED}}
    fresh, written, cached, output = (usage.get(key) or 0 for key in _COUNTED)
    return Counts(fresh + written + cached, output, cached, written, details.get("thinking_tokens"))


_COUNTED = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def error_words(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message") or error) if isinstance(error, dict) else str(error or "")


# ---------------------------------------------------------------- Our own streams

_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "compaction": {"compaction_delta"},
}


def check(told: Sequence[Event]) -> None:
    """message_start, blocks one after the other, message_delta, message_stop; every event named as its type."""
    expect(all(isinstance(event.data, dict) and event.name == event.data["type"] for event in told), "an event is not named as its type")
    said = [event.data for event in told if event.name != "ping"]
    kinds = [data["type"] for data in said]
    expect(kinds[:1] == ["message_start"] and kinds[-2:] == ["message_delta", "message_stop"], f"begins or ends wrongly: {kinds[-3:]}")
    open_block: Json | None = None
    index = -1
    for data in said[1:-2]:
        match data["type"]:
            case "content_block_start":
                index += 1
                expect(open_block is None and data["index"] == index, "a block begins inside another one")
                open_block = data["content_block"]
            case "content_block_delta":
                kind = open_block["type"] if open_block else ""
                fits = data["delta"]["type"] in _DELTAS.get(kind, {"input_json_delta"})
                expect(data["index"] == index and fits, f"{data['delta']['type']} in a block of type {kind}")
            case "content_block_stop":
                expect(open_block is not None and data["index"] == index, "a block ends that is not open")
                open_block = None
            case other:
                raise AssertionError(f"{other} among the blocks")
    expect(open_block is None, "a block stays open")
