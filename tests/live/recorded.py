"""What a recording holds, read by the tests themselves: nothing here comes from the product."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.live.answers import CHAT, MESSAGES
from tests.serving import Answer

Json = dict[str, Any]

FOLDER = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[2].parent / "shared" / "recordings")
PATH = {CHAT: "/v1/chat/completions", MESSAGES: "/v1/messages"}
NETWORK_CHUNK = 509
"""Bytes a read where the recording does not know: a prime, so that no event begins where a read does."""


@cache
def load(name: str) -> Json:
    recording: Json = json.loads((FOLDER / name).read_text())
    return recording


def names(wire: str, *, errors: bool) -> list[Any]:
    found = sorted(path.name for path in FOLDER.glob(f"{wire}--*.json")) if FOLDER.is_dir() else []
    fitting = [name for name in found if (error_status(load(name)) is not None) == errors]
    if not fitting:
        return [pytest.param("", marks=pytest.mark.skip(reason="no recordings here; OMNI_RECORDINGS names their folder"))]
    return [pytest.param(name, id=name.removesuffix(".json").removeprefix(f"{wire}--")[-70:]) for name in fitting]


def error_status(recording: Json) -> int | None:
    """None: an answer. An error may also come with status 200, as the first event of a stream."""
    if "error_in_stream" in recording["features"]:
        return int(values(recording)[0]["error"]["status_code"])
    status: int = recording["response"]["status"]
    return status if status >= 400 else None


def recordings(*, errors: bool) -> pytest.MarkDecorator:
    both = [pytest.param(wire, *one.values, id=f"{wire}-{one.id}", marks=one.marks) for wire in PATH for one in names(wire, errors=errors)]
    return pytest.mark.parametrize(("wire", "name"), both)


def raw_answer(recording: Json) -> bytes:
    response = recording["response"]
    if "sse" in response:
        return str(response["sse"]).encode()
    if "raw_base64" in response:
        return base64.b64decode(response["raw_base64"])
    return json.dumps(response["body"], separators=(", ", ":"), ensure_ascii=False).encode()


def answer(recording: Json) -> Answer:
    raw, lengths = raw_answer(recording), list(recording["response"].get("chunks") or ())
    headers = {name: value for name, value in recording["response"]["headers"].items() if name.lower() not in ("content-length", "date")}
    cuts = [0]
    while cuts[-1] < len(raw):
        cuts.append(cuts[-1] + (lengths.pop(0) if lengths else NETWORK_CHUNK))
    return Answer(recording["response"]["status"], headers, [raw[start:end] for start, end in pairwise(cuts)])


def request(recording: Json, wire: str) -> Json:
    """What was asked, where the recording has it, under our model name."""
    asked: Json = recording["request"].get("body") or {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 300}
    streamed = "sse" in recording["response"]
    if streamed or recording["response"]["status"] < 400:
        asked = {**asked, "stream": streamed}
    options = {"stream_options": {"include_usage": True}} if wire == CHAT and asked.get("stream") else {}
    return {**asked, "model": "asked-model", **options}


def blocks(raw: bytes) -> list[bytes]:
    """The events of a stream; one that was recorded without its last blank line is one too."""
    return [block for block in re.split(rb"\r\n\r\n|\n\n|\r\r", raw) if block.strip()]


def unnamed(block: bytes) -> bytes:
    """The exact bytes but for every model's name."""
    return re.sub(rb'"model"\s*:\s*"[^"]*"', b"", block)


def without_model(block: bytes) -> Any:
    """Event lines as they are, data as values without the model's name."""
    lines: list[Any] = []
    for line in block.splitlines():
        data = line.removeprefix(b"data:").strip()
        lines.append(nameless(json.loads(data)) if line.startswith(b"data:") and data.startswith(b"{") else line)
    return lines


def models(told: list[bytes]) -> Iterator[str]:
    for block in told:
        for line in block.splitlines():
            data = line.removeprefix(b"data:").strip()
            value = json.loads(data) if line.startswith(b"data:") and data.startswith(b"{") else {}
            for place in (value, value.get("message")):
                if isinstance(place, dict) and "model" in place:
                    yield place["model"]


def nameless(value: Json) -> Json:
    inner = {"message": nameless(value["message"])} if isinstance(value.get("message"), dict) else {}
    return {key: one for key, one in {**value, **inner}.items() if key != "model"}


# ---------------------------------------------------------------- What a recording says, read by the test itself


def values(recording: Json) -> list[Json]:
    """The whole body, or the data of the stream's events."""
    if "sse" not in recording["response"]:
        return [json.loads(raw_answer(recording))]
    lines = (line for block in blocks(raw_answer(recording)) for line in block.splitlines())
    return [json.loads(line[5:]) for line in lines if line.startswith(b"data:") and line[5:].strip().startswith(b"{")]


def finish_word(recording: Json, wire: str) -> str | None:
    word = None
    for value in values(recording):
        if wire == CHAT:
            for choice in value.get("choices") or ():
                if choice.get("index", 0) == 0:
                    word = choice.get("finish_reason") or word
        else:
            word = value.get("stop_reason") or (value.get("delta") or {}).get("stop_reason") or word
    return word


def counts(recording: Json, wire: str) -> Json:
    """The last word on usage, in the provider's own fields."""
    used: Json = {}
    for value in values(recording):
        inner = value.get("message") if isinstance(value.get("message"), dict) else {}
        for usage in (inner.get("usage"), value.get("usage"), (value.get("x_groq") or {}).get("usage")):
            used |= {key: one for key, one in (usage or {}).items() if one is not None}
    return used


def said(recording: Json, wire: str) -> tuple[str, list[tuple[str, Json]]]:
    """Words (refusals too, where the other format has only words) and tool calls of the first choice."""
    if wire == CHAT:
        return _chat_said(recording)
    text: list[str] = []
    calls: dict[int, tuple[str, list[str], Json]] = {}
    for value in values(recording):
        listed = enumerate(value["content"]) if "content" in value else [(value.get("index", 0), value.get("content_block") or {})]
        for index, block in listed:
            if block.get("type") == "text":
                text.append(block["text"])
            elif block.get("type") == "tool_use":
                calls[index] = (block["name"], [], block["input"])
        delta = value.get("delta") or {}
        text.append(delta.get("text") or "")
        if value.get("index") in calls and "partial_json" in delta:
            calls[value["index"]][1].append(delta["partial_json"])
    return "".join(text), [(name, _arguments("".join(pieces)) if "".join(pieces) else given) for name, pieces, given in calls.values()]


def _chat_said(recording: Json) -> tuple[str, list[tuple[str, Json]]]:
    text: list[str] = []
    calls: dict[int, list[str]] = {}
    for value in values(recording):
        for choice in value.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            delta = choice.get("delta") or choice.get("message") or {}
            content = delta.get("content") or ""
            text.append(_words(content))
            text.append(delta.get("refusal") or "")
            listed = list(delta.get("tool_calls") or ())
            if delta.get("function_call"):
                listed.append({"function": delta["function_call"]})
            for position, call in enumerate(listed):
                inner = call.get("function") or call.get("custom")
                known = calls.setdefault(call.get("index") or position, ["", ""])
                known[0] = inner.get("name") or known[0]
                # A free-text tool has no place in the other format: its words are the one argument of a function.
                known[1] += json.dumps({"input": inner["input"]}) if "input" in inner else inner.get("arguments") or ""
    return "".join(text), [(name, _arguments(arguments)) for name, arguments in calls.values()]


def _words(content: Any) -> str:
    """Mistral sends parts, Cloudflare structured output as an object."""
    if isinstance(content, list):
        return "".join(one.get("text") or "" for one in content)
    return content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))


CUT: Json = {"cut": True}
"""Arguments that end within a word, because the answer did."""


def _arguments(text: str) -> Json:
    try:
        value: Json = json.loads(text or "{}")
    except ValueError:
        return CUT
    return value


def said_by_provider(recording: Json) -> str:
    """Some of the provider's own words."""
    body: Any = values(recording)[0]
    while isinstance(body, list | dict):
        if isinstance(body, list):
            body = body[0]
            continue
        key = next(key for key in ("error", "message", "msg", "detail", "details") if body.get(key))
        body = body[key]
    return str(body)[:60]
