"""What the chat-completions tests share: a reader of our streams that insists on their grammar, transcripts, cutting, recordings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from omni_connector.chat import ChatRequest, ChatResponse, Event, Fold, Origin, PartEnd, PartStart, fold, unfold
from omni_connector.wire.openai_chat import ResponseParser, ResponseRenderer, parse_request
from omni_connector.wire.sse import Decoder

ORIGIN = Origin("openrouter", "vendor/model")
TRANSCRIPTS = Path(__file__).parent / "transcripts"
RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")

_DELTA_FIELDS = {
    "role",
    "content",
    "reasoning_content",
    "reasoning_details",
    "refusal",
    "tool_calls",
    "function_call",
    "annotations",
    "images",
}


def transcript(name: str) -> bytes:
    return (TRANSCRIPTS / f"openai_chat_{name}.sse").read_bytes()


def request(**fields: Any) -> ChatRequest:
    return parse_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields})


def parse(chunks: Iterable[bytes], asked: ChatRequest | None = None) -> list[Event]:
    parser = ResponseParser(ORIGIN, asked)
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


def read(chunks: Iterable[bytes], asked: ChatRequest | None = None) -> ChatResponse:
    events = parse(chunks, asked)
    check_events(events)
    return fold(events)


def folded(events: Iterable[Event]) -> Fold:
    whole = Fold()
    for event in events:
        whole.feed(event)
    return whole


def stream(response: ChatResponse, asked: ChatRequest, model: str = "asked-for") -> bytes:
    renderer = ResponseRenderer(model, asked, now=lambda: 1_700_000_000)
    return b"".join(renderer.feed(event) for event in unfold(response))


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def check_events(events: Sequence[Event]) -> None:
    """The order other formats rely on: Started first, one part of a choice open at a time, usage before Finished, Ended last."""
    names = [type(event).__name__ for event in events]
    assert names[0] == "Started"
    assert names.count("Started") == 1
    opened: dict[int, int] = {}
    for event in events:
        match event:
            case PartStart(index):
                assert event.choice not in opened, f"part {index} opens inside part {opened[event.choice]}"
                opened[event.choice] = index
            case PartEnd(index):
                opened = {choice: part for choice, part in opened.items() if part != index}
            case _ if hasattr(event, "index"):
                assert event.index in opened.values(), f"{event} outside its part"
    assert not opened
    assert names[-1] == "Ended"
    tail = [name for name in names if name in {"UsageSeen", "Finished"}]
    assert tail == sorted(tail, reverse=True), "usage comes before the finish"


def check_stream(data: bytes, *, usage: bool = False, failed: bool = False) -> list[dict[str, Any]]:
    """Assert the grammar of a stream we send and give its chunks: role first, every chunk with id, object, created and
    model, tool calls opened in order with id and name only once, one finish reason a choice, then usage, then [DONE]."""
    decoder = Decoder()
    texts = [event.data for event in decoder.feed(data)]
    assert not decoder.close(), "every event ends with a blank line"
    if failed:
        error = json.loads(texts.pop())
        assert error.keys() == {"error"}
        assert b"[DONE]" not in data
        assert b'"finish_reason":"' not in data
        chunks = [json.loads(text) for text in texts]
    else:
        assert texts.pop() == b"[DONE]"
        chunks = [json.loads(text) for text in texts]
        if usage:
            last = chunks[-1]
            assert last["choices"] == []
            assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    heads = {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks}
    assert len(heads) <= 1
    assert all(chunk["id"].startswith("chatcmpl-") and chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    spoken = [chunk for chunk in chunks if chunk["choices"]]
    assert sum("usage" in chunk for chunk in chunks) == int(usage and not failed)
    for number in sorted({chunk["choices"][0]["index"] for chunk in spoken}):
        _check_choice([chunk["choices"][0] for chunk in spoken if chunk["choices"][0]["index"] == number], failed)
    return chunks


def _check_choice(pieces: list[dict[str, Any]], failed: bool) -> None:
    assert pieces[0]["delta"] == {"role": "assistant", "content": ""}
    assert all("role" not in piece["delta"] for piece in pieces[1:])
    assert all(piece["delta"].keys() <= _DELTA_FIELDS for piece in pieces)
    reasons = [piece["finish_reason"] for piece in pieces]
    if failed:
        assert not any(reasons)
    else:
        assert all(reason is None for reason in reasons[:-1])
        assert reasons[-1]
        assert pieces[-1]["delta"] == {}
    opened = 0
    for call in [call for piece in pieces for call in piece["delta"].get("tool_calls", ())]:
        if "id" in call:
            assert call["index"] == opened
            assert "name" in call[call["type"]]
            opened += 1
        else:
            assert call["index"] < opened
            assert "name" not in (call.get("function") or call.get("custom") or {})


def recordings() -> list[Path]:
    return sorted(RECORDINGS.glob("openai-chat--*.json")) if RECORDINGS.is_dir() else []
