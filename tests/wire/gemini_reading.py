"""What the Gemini tests share: a reader of our streams that insists on their grammar, transcripts, cutting, recordings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from omni_connector.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Event,
    Finish,
    Fold,
    Opaque,
    Origin,
    PartEnd,
    PartStart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    Usage,
    fold,
    unfold,
)
from omni_connector.wire.gemini_generate import ArrayRenderer, ResponseParser, ResponseRenderer, parse_request
from omni_connector.wire.sse import Decoder

ORIGIN = Origin("gemini", "gemini-3-flash")
TRANSCRIPTS = Path(__file__).parent / "transcripts"
RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")
NAMES = ("thought_call", "sources", "partial_args", "blocked", "broken_off")


def transcript(name: str) -> bytes:
    return (TRANSCRIPTS / f"gemini_{name}.sse").read_bytes()


def array() -> bytes:
    return (TRANSCRIPTS / "gemini_thought_call.json").read_bytes()


def recordings() -> list[Path]:
    return sorted([*RECORDINGS.glob("gemini-generate--*.json"), *RECORDINGS.glob("gemini-stream--*.json")]) if RECORDINGS.is_dir() else []


def ask(*parts: Any, **fields: Any) -> ChatRequest:
    return parse_request({"model": "m", "contents": [{"role": "user", "parts": list(parts) or [{"text": "Hi"}]}], **fields})


def parse(chunks: Iterable[bytes], request: ChatRequest | None = None, origin: Origin = ORIGIN) -> list[Event]:
    parser = ResponseParser(origin, request)
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


def read(chunks: Iterable[bytes], request: ChatRequest | None = None) -> ChatResponse:
    events = parse(chunks, request)
    check_events(events)
    return fold(events)


def folded(events: Iterable[Event]) -> Fold:
    whole = Fold()
    for event in events:
        whole.feed(event)
    return whole


def counts(usage: Usage | None) -> Usage | None:
    """Without the provider's own block."""
    return None if usage is None else replace(usage, raw={})


def stream(response: ChatResponse, *, array: bool = False) -> bytes:
    renderer = (ArrayRenderer if array else ResponseRenderer)("asked")
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
                assert index in opened.values()
                opened = {choice: part for choice, part in opened.items() if part != index}
            case _ if hasattr(event, "index"):
                assert event.index in opened.values(), f"{event} outside its part"
    assert not opened
    assert names[-1] == "Ended"
    tail = [name for name in names if name in {"UsageSeen", "Finished"}]
    assert tail == sorted(tail, reverse=True), "usage comes before the finish"


def chunks_of(data: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream of ours: events with CRLF line ends and nothing else."""
    assert data.count(b"\n") == data.count(b"\r\n")
    assert all(line == b"" or line.startswith(b"data: {") for line in data.split(b"\r\n")), "no comments, no event lines"
    decoder = Decoder()
    events = decoder.feed(data)
    assert not decoder.close(), "every event ends with a blank line"
    return [json.loads(event.data) for event in events]


def check_stream(data: bytes, *, failed: bool = False) -> list[dict[str, Any]]:
    return check_chunks(chunks_of(data), failed=failed)


def check_chunks(chunks: list[dict[str, Any]], *, failed: bool = False) -> list[dict[str, Any]]:
    """Assert the grammar of a stream we send and give its chunks: each a whole response with one id and model, parts never
    missing, calls whole, a finish reason for every candidate in the last chunk and nowhere else, usage there too."""
    answers = list(chunks)
    if failed:
        error = answers.pop(-2)
        assert error.keys() == {"error"}
        assert error["error"].keys() >= {"code", "message", "status"}
    assert len({(chunk["modelVersion"], chunk["responseId"]) for chunk in answers}) == 1
    for chunk in answers[:-1]:
        (candidate,) = chunk["candidates"]
        assert candidate.keys() == {"content", "index"}
        (part,) = candidate["content"]["parts"]
        assert candidate["content"]["role"] == "model"
        assert part.get("text") or "thoughtSignature" in part or "text" not in part
        if "functionCall" in part:
            assert isinstance(part["functionCall"]["args"], dict)
    last = answers[-1]
    if "candidates" not in last:
        assert last["promptFeedback"]
        return chunks
    for candidate in last["candidates"]:
        assert candidate["finishReason"] == "OTHER" if failed else candidate["finishReason"]
        assert candidate["content"]["parts"] == [{"text": ""}]
    spoken = {candidate["index"] for chunk in answers for candidate in chunk["candidates"]}
    assert failed or spoken == {candidate["index"] for candidate in last["candidates"]}
    return chunks


def openai_answer() -> ChatResponse:
    return ChatResponse(
        "chatcmpl-7",
        "gpt-5.5",
        0,
        (
            Choice(
                (
                    ReasoningPart("hm", (Opaque("openai.encrypted", "gAAA", Origin("openai", "gpt-5.5")),)),
                    TextPart("Grüße 🌊\u2028"),
                    ToolCallPart("call_1", "tide", '{"harbour": "Cuxhaven", "n": [1, 2.5]}'),
                    ToolCallPart("functions.now:1", "now", "{}"),
                ),
                Finish.TOOL_CALLS,
                raw_finish="tool_calls",
            ),
        ),
        Usage(input=20, cache_read=80, output=9, reasoning=4),
    )
