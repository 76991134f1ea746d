"""What recordings of the Responses and Gemini formats hold, read by the tests themselves: nothing here comes from the product."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.live.recorded import FOLDER, load, raw_answer, values

Json = dict[str, Any]

RESPONSES, GEMINI, GEMINI_STREAM = "openai-responses", "gemini-generate", "gemini-stream"
"""The recordings' own names of formats; Gemini's streams have one of their own."""
PROVIDER = {RESPONSES: "custom-responses", GEMINI: "custom-gemini", GEMINI_STREAM: "custom-gemini"}


@dataclass
class Told:
    """`finish`: stop, length, filter, refusal, tool_calls or other. Counts are None where the recording has none."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """(name, arguments)."""
    finish: str = "stop"
    input: int | None = None
    output: int | None = None
    cached: int = 0


def streamed(recording: Json) -> bool:
    return "body" not in recording["response"]


MID_STREAM = "error-mid-stream"
"""A recording (by part of its name) in which the provider gives up in the middle, outside every event."""


def failed(recording: Json) -> bool:
    return recording["response"]["status"] >= 400 or "error_in_stream" in recording["features"]


def recordings(*, errors: bool) -> pytest.MarkDecorator:
    found = [
        pytest.param(wire, path.name, id=f"{wire}-{path.stem.removeprefix(f'{wire}--')[-70:]}")
        for wire in PROVIDER
        for path in (sorted(FOLDER.glob(f"{wire}--*.json")) if FOLDER.is_dir() else ())
        if failed(load(path.name)) == errors and MID_STREAM not in path.name
    ]
    nothing = pytest.mark.skip(reason="no recordings here; OMNI_RECORDINGS names their folder")
    return pytest.mark.parametrize(("wire", "name"), found or [pytest.param("", "", marks=nothing)])


def request(recording: Json, wire: str) -> tuple[str, Json]:
    """(path and query, body) of what was asked, under our model name."""
    if wire == RESPONSES:
        asked = recording["request"].get("body") or {"input": "hi"}
        return "/v1/responses", {**asked, "model": "asked-model", "stream": streamed(recording)}
    asked = recording["request"].get("body") or {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    verb = "streamGenerateContent?alt=sse" if wire == GEMINI_STREAM else "generateContent"
    return f"/v1beta/models/asked-model:{verb}", asked


def read(recording: Json, wire: str) -> Told:
    return _responses(recording) if wire == RESPONSES else _gemini(recording)


# ---------------------------------------------------------------- Responses


ENDS = ("response.completed", "response.incomplete", "response.failed")


def final(recording: Json) -> Json:
    """The response object with the last word; its items, where the host leaves them out, from the events before. One fixture
    has two answers in a row; the second one is nobody's."""
    told = values(recording)
    if not streamed(recording):
        return told[0]
    last = next(one["response"] for one in told if one["type"] in ENDS)
    items = [one["item"] for one in told if one["type"] == "response.output_item.done"]
    return {**last, "output": last.get("output") or items}


def _responses(recording: Json) -> Told:
    response = final(recording)
    told, refused = Told(), False
    for item in response["output"]:
        if item["type"] == "message":
            told.text += "".join(part.get("text", part.get("refusal")) for part in item["content"])
            refused = refused or any(part["type"] == "refusal" for part in item["content"])
        elif item["type"] == "function_call":
            told.calls.append((item["name"], json.loads(item["arguments"] or "{}")))
        elif item["type"] == "custom_tool_call":
            # A free-text tool that the client did not offer has no place in another format: its words are one argument.
            told.calls.append((item["name"], {"input": item["input"]}))
    reason = (response.get("incomplete_details") or {}).get("reason")
    told.finish = {"max_output_tokens": "length", "content_filter": "filter"}.get(
        reason or "", "tool_calls" if told.calls else "refusal" if refused else "stop"
    )
    usage = response.get("usage") or {}
    told.input, told.output = usage.get("input_tokens"), usage.get("output_tokens")
    told.cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
    return told


# ---------------------------------------------------------------- Gemini

_FINISH = {"STOP": "stop", 1: "stop", "MAX_TOKENS": "length", 2: "length"} | dict.fromkeys(
    ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY"), "filter"
)


def chunks(recording: Json) -> list[Json]:
    """The chunks of a stream, also of one that was recorded as an array, or the one body."""
    if "raw_base64" in recording["response"]:
        listed: list[Json] = json.loads(raw_answer(recording))
        return listed
    return values(recording)


def _gemini(recording: Json) -> Told:
    told = Told()
    word: Any = "STOP"
    for chunk in chunks(recording):
        if "promptFeedback" in chunk and not chunk.get("candidates"):
            word = "SAFETY"  # a prompt that was blocked, with or without a reason
        for candidate in chunk.get("candidates") or ():
            if candidate.get("index", 0) != 0:
                continue
            word = candidate.get("finishReason", word)
            for part in (candidate.get("content") or {}).get("parts") or ():
                _part(part, told)
        _count(chunk.get("usageMetadata") or {}, told)
    told.finish = _FINISH.get(word, "other")
    if told.calls and told.finish == "stop":
        told.finish = "tool_calls"
    return told


def _part(part: Json, told: Told) -> None:
    if "text" in part and not part.get("thought"):
        told.text += part["text"]
    call = part.get("functionCall")
    if call is None:
        return
    if "name" in call:
        told.calls.append((call["name"], call.get("args") or {}))
    for piece in call.get("partialArgs") or ():
        _put(told.calls[-1][1], piece)


_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def _put(arguments: Any, piece: Json) -> None:
    """One piece of arguments that are told in pieces: `{"jsonPath": "$.a[0].b", "stringValue": "…"}`; strings grow."""
    *steps, last = [name or int(number) for name, number in _STEP.findall(piece["jsonPath"])]
    place = arguments
    for step, after in zip(steps, [*steps, last][1:], strict=True):
        fresh: Any = [] if isinstance(after, int) else {}
        if isinstance(place, list) and step == len(place):
            place.append(fresh)
        place = place[step] if isinstance(place, list) else place.setdefault(step, fresh)
    values_of = [value for key, value in piece.items() if key.endswith("Value")]
    value = values_of[0] if values_of else ""
    if isinstance(place, list):
        if last == len(place):
            place.append("" if isinstance(value, str) else value)
        place[last] = place[last] + value if isinstance(value, str) else value
    else:
        place[last] = place.get(last, "") + value if isinstance(value, str) else value


def _count(usage: Json, told: Told) -> None:
    if "promptTokenCount" not in usage:
        return
    told.input = usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0)
    told.cached = usage.get("cachedContentTokenCount", 0)
    if "candidatesTokenCount" in usage:
        told.output = usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0)
    else:
        total: int = usage.get("totalTokenCount", told.input)
        told.output = total - told.input if total > told.input else usage.get("thoughtsTokenCount")
