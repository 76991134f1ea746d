"""What the Anthropic tests share: a reader of our streams that insists on their grammar, transcripts, and cutting."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from omni_connector.chat import ChatResponse, Event, Origin, Part, fold
from omni_connector.wire.anthropic_messages import ResponseParser
from omni_connector.wire.sse import Decoder

ORIGIN = Origin("anthropic", "claude-opus-4-8")
TRANSCRIPTS = Path(__file__).parent / "transcripts"

_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "compaction": {"compaction_delta"},
}


def transcript(name: str) -> bytes:
    return (TRANSCRIPTS / f"anthropic_{name}.sse").read_bytes()


def parse(chunks: Iterable[bytes], origin: Origin = ORIGIN) -> list[Event]:
    parser = ResponseParser(origin)
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


def read(chunks: Iterable[bytes], origin: Origin = ORIGIN) -> ChatResponse:
    return fold(parse(chunks, origin))


def parts_of(response: ChatResponse) -> tuple[Part, ...]:
    (choice,) = response.choices
    return choice.parts


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def check_stream(data: bytes, *, failed: bool = False) -> list[dict[str, Any]]:
    """Assert the event order of a stream and give its events: message_start, blocks one after the other counted from 0, each
    start, deltas of its kind, stop; then message_delta, message_stop, or an error in their place. Every event has its name."""
    decoder = Decoder()
    events = [(event.event, json.loads(event.data)) for event in decoder.feed(data)]
    assert not decoder.close(), "every event ends with a blank line"
    assert all(name == body["type"] for name, body in events)
    bodies = [body for _, body in events]
    kinds = [body["type"] for body in bodies]
    assert kinds[0] == "message_start"
    assert bodies[0]["message"]["usage"].keys() >= {"input_tokens", "output_tokens"}
    end = ["error"] if failed else ["message_delta", "message_stop"]
    assert kinds[-len(end) :] == end
    open_block: str | None = None
    count = 0
    for body in bodies[1 : -len(end)]:
        assert body["index"] == count
        if body["type"] == "content_block_start":
            assert open_block is None
            open_block = body["content_block"]["type"]
        elif body["type"] == "content_block_stop":
            assert open_block is not None
            open_block, count = None, count + 1
        else:
            assert body["type"] == "content_block_delta"
            assert open_block is not None
            assert body["delta"]["type"] in _DELTAS.get(open_block, {"input_json_delta"})
    assert open_block is None
    if not failed:
        assert bodies[-2]["delta"]["stop_reason"] is not None
        assert bodies[-2]["usage"].keys() >= {"input_tokens", "output_tokens"}
    return bodies
