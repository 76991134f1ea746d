"""What the Responses tests share: a reader of our streams that insists on their grammar, transcripts, cutting, recordings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from omni_connector.chat import ChatRequest, ChatResponse, Event, Fold, Origin, fold, unfold
from omni_connector.wire.openai_responses import ResponseParser, ResponseRenderer, parse_request
from omni_connector.wire.sse import Decoder

ORIGIN = Origin("openai", "gpt-5.5")
TRANSCRIPTS = Path(__file__).parent / "transcripts"
RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")
NAMES = ["proper", "codex", "loose_host", "incomplete", "hosted"]
"""Transcripts of answers that do not fail."""

_DELTAS = {"output_text": "output_text", "refusal": "refusal", "summary_text": "reasoning_summary_text", "reasoning_text": "reasoning_text"}
_CALLS = {"function_call": ("function_call_arguments", "arguments"), "custom_tool_call": ("custom_tool_call_input", "input")}


def transcript(name: str) -> bytes:
    return (TRANSCRIPTS / f"openai_responses_{name}.sse").read_bytes()


def request(**fields: Any) -> ChatRequest:
    return parse_request({"model": "m", "input": "Hi", **fields})


def parse(chunks: Iterable[bytes], asked: ChatRequest | None = None) -> list[Event]:
    parser = ResponseParser(ORIGIN, asked)
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


def read(chunks: Iterable[bytes], asked: ChatRequest | None = None) -> ChatResponse:
    return fold(parse(chunks, asked))


def folded(events: Iterable[Event]) -> Fold:
    whole = Fold()
    for event in events:
        whole.feed(event)
    return whole


def tell(events: Iterable[Event], asked: ChatRequest | None = None, origin: Origin | None = None) -> bytes:
    renderer = ResponseRenderer("asked-for", asked, now=lambda: 1_700_000_000, origin=origin)
    return b"".join(renderer.feed(event) for event in events)


def stream(response: ChatResponse, asked: ChatRequest | None = None, origin: Origin | None = None) -> bytes:
    return tell(unfold(response), asked, origin)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def sse_of(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def bodies(data: bytes) -> list[dict[str, Any]]:
    decoder = Decoder()
    events = decoder.feed(data)
    assert not decoder.close(), "every event ends with a blank line"
    assert all(event.event == json.loads(event.data)["type"] for event in events)
    return [json.loads(event.data) for event in events]


def check_stream(data: bytes, *, failed: bool = False) -> dict[str, Any]:
    """Assert the grammar of a stream and give its last response object: created, in_progress, items one after the other (added,
    their parts with start, deltas, done, then done), a terminal event with all of it. Sequence numbers count from 0."""
    events = bodies(data)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:2] == ["created", "in_progress"]
    assert kinds[-1] in ({"failed"} if failed else {"completed", "incomplete"})
    output: list[dict[str, Any]] = []
    todo = list(zip(kinds[2:-1], events[2:-1], strict=True))
    while todo:
        item = _check_item(todo, len(output), failed)
        if item is not None:
            output.append(item)
    last: dict[str, Any] = events[-1]["response"]
    assert {(event["response"]["id"], event["response"]["model"]) for event in (*events[:2], events[-1])} == {(last["id"], last["model"])}
    assert last["status"] == kinds[-1]
    assert without_logprobs(last["output"]) == without_logprobs(output)
    if failed:
        assert last["error"]["message"]
    else:
        usage = last["usage"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage.keys() >= {"input_tokens_details", "output_tokens_details"}
    assert last.keys() >= {"created_at", "object", "tools", "tool_choice", "parallel_tool_calls", "instructions", "temperature", "text"}
    return last


def without_logprobs(output: list[dict[str, Any]]) -> Any:
    return json.loads(json.dumps(output), object_hook=lambda value: {key: one for key, one in value.items() if key != "logprobs"})


def _check_item(todo: list[tuple[str, dict[str, Any]]], index: int, failed: bool) -> dict[str, Any] | None:
    kind, event = todo.pop(0)
    assert kind == "output_item.added"
    assert event["output_index"] == index
    item = event["item"]
    told: dict[str, list[dict[str, Any]]] = {"content": [], "summary": []}
    text = ""
    while todo:
        kind, event = todo.pop(0)
        assert event["output_index"] == index
        if kind == "output_item.done":
            done: dict[str, Any] = event["item"]
            assert (done["type"], done.get("id")) == (item["type"], item.get("id"))
            assert done.get("status") != "in_progress"
            if item["type"] in _CALLS:
                assert done[_CALLS[item["type"]][1]] == text
            if item["type"] == "message":
                assert without_logprobs(done["content"]) == without_logprobs(told["content"])
            elif item["type"] == "reasoning":
                assert all(done[key] == told[key] for key in told if told[key])
            return done
        assert event["item_id"] == item["id"]
        if item["type"] in _CALLS:
            name, field = _CALLS[item["type"]]
            assert kind in {f"{name}.delta", f"{name}.done"}
            text += event.get("delta", "")
            assert event.get(field, text) == text
        else:
            part = _check_part(kind, event, todo, told)
            if part is not None:
                told["summary" if part["type"] == "summary_text" else "content"].append(part)
    assert failed, "an item was left open"
    return None


def _check_part(
    kind: str, event: dict[str, Any], todo: list[tuple[str, dict[str, Any]]], told: dict[str, list[dict[str, Any]]]
) -> dict[str, Any] | None:
    assert kind in {"content_part.added", "reasoning_summary_part.added"}
    part = event["part"]
    field, counter = ("summary", "summary_index") if part["type"] == "summary_text" else ("content", "content_index")
    assert event[counter] == len(told[field])
    name, key = _DELTAS[part["type"]], "refusal" if part["type"] == "refusal" else "text"
    text, notes = "", []
    while todo:
        kind, event = todo.pop(0)
        assert event[counter] == len(told[field])
        if kind.endswith("part.done"):
            assert event["part"][key] == text
            assert event["part"].get("annotations", []) == notes
            done: dict[str, Any] = event["part"]
            return done
        if kind == "output_text.annotation.added":
            assert event["annotation_index"] == len(notes)
            notes.append(event["annotation"])
            continue
        assert kind in {f"{name}.delta", f"{name}.done"}
        text += event.get("delta", "")
        assert event.get(key, text) == text
    return None


def recordings() -> list[Path]:
    return sorted(RECORDINGS.glob("openai-responses--*.json")) if RECORDINGS.is_dir() else []
