"""Recorded answers of real providers, played back by the upstream of a live gateway: asked for in the same format they pass
through unchanged, asked for in the other one the vendor's SDK can read them, and errors keep their class and words.

The folder is no part of the project: OMNI_RECORDINGS names it, ../shared/recordings beside the checkout is looked at, and
without either the tests are skipped.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.live.answers import CHAT, MESSAGES
from tests.live.conftest import Json, Stage
from tests.serving import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLDER = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[2].parent / "shared" / "recordings")
PATH = {CHAT: "/v1/chat/completions", MESSAGES: "/v1/messages"}
PROVIDER = {CHAT: "custom-openai", MESSAGES: "custom-anthropic"}
OTHER = {CHAT: "anthropic", MESSAGES: "openai"}
"""Wire of the recording → the SDK of the other format."""
NETWORK_CHUNK = 509
"""Bytes a read where the recording does not know: a prime, so that no event begins where a read does."""


@cache
def load(name: str) -> Json:
    recording: Json = json.loads((FOLDER / name).read_text())
    return recording


def names(wire: str, *, errors: bool) -> list[Any]:
    found = sorted(path.name for path in FOLDER.glob(f"{wire}--*.json")) if FOLDER.is_dir() else []
    fitting = [name for name in found if (load(name)["response"]["status"] >= 400) == errors]
    if not fitting:
        return [pytest.param("", marks=pytest.mark.skip(reason="no recordings here; OMNI_RECORDINGS names their folder"))]
    return [pytest.param(name, id=name.removesuffix(".json").removeprefix(f"{wire}--")[-70:]) for name in fitting]


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
    raw, lengths = raw_answer(recording), recording["response"].get("chunks")
    headers = {name: value for name, value in recording["response"]["headers"].items() if name.lower() not in ("content-length", "date")}
    cuts = [0]
    while cuts[-1] < len(raw):
        cuts.append(cuts[-1] + (lengths.pop(0) if lengths else NETWORK_CHUNK))
    return Answer(recording["response"]["status"], headers, [raw[start:end] for start, end in zip(cuts, cuts[1:], strict=False)])


def request(recording: Json, wire: str) -> Json:
    """What was asked, where the recording has it, under our model name."""
    asked: Json = recording["request"].get("body") or {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 300}
    streamed = "sse" in recording["response"]
    if recording["response"]["status"] < 400:
        asked = {**asked, "stream": streamed}
    options = {"stream_options": {"include_usage": True}} if wire == CHAT and asked.get("stream") else {}
    return {**asked, "model": "asked-model", **options}


def blocks(raw: bytes) -> list[bytes]:
    """The events of a stream; one that was recorded without its last blank line is one too."""
    return [block for block in re.split(rb"\r\n\r\n|\n\n|\r\r", raw) if block.strip()]


def without_model(block: bytes) -> Any:
    """Event lines as they are, data as values without the model's name."""
    lines: list[Any] = []
    for line in block.splitlines():
        data = line.removeprefix(b"data:").strip()
        lines.append(_nameless(json.loads(data)) if line.startswith(b"data:") and data.startswith(b"{") else line)
    return lines


def _nameless(value: Json) -> Json:
    inner = {"message": _nameless(value["message"])} if isinstance(value.get("message"), dict) else {}
    return {key: one for key, one in {**value, **inner}.items() if key != "model"}


# ---------------------------------------------------------------- Asked for in the same format


@recordings(errors=False)
# C-03 C-05 P-40 P-42
async def test_the_same_format(stage: Stage, wire: str, name: str) -> None:
    recording = load(name)
    if "error_in_stream" in recording["features"]:
        pytest.skip("no answer: see test_an_error_inside_a_stream")
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    asked = request(recording, wire)
    got = await stage.clients.http.post(f"{stage.rig.url}{PATH[wire]}", json=asked, headers=stage.rig.bearer)
    assert got.status_code == 200, got.text
    assert stage.upstream.seen[-1].body == {**asked, "model": "test-model"}

    original = raw_answer(recording)
    if "sse" in recording["response"]:
        expected = [block for block in blocks(original) if block.strip()]
        told = blocks(got.content)
        if "no_done" in recording["features"] or "no_terminal" in recording["features"]:
            assert told.pop() == {CHAT: b"data: [DONE]", MESSAGES: b'event: message_stop\ndata: {"type":"message_stop"}'}[wire]
        assert len(told) == len(expected)
        for one, other in zip(told, expected, strict=True):
            assert one == other or without_model(one) == without_model(other)
        assert list(_models(told)) == ["asked-model"] * len(list(_models(expected)))
    else:
        assert _nameless(got.json()) == _nameless(json.loads(original))
        assert got.json().get("model", "asked-model") == "asked-model"
    _check_books(await stage.row(), recording, wire)


def _models(told: list[bytes]) -> Iterator[str]:
    for block in told:
        for line in block.splitlines():
            data = line.removeprefix(b"data:").strip()
            value = json.loads(data) if line.startswith(b"data:") and data.startswith(b"{") else {}
            for place in (value, value.get("message")):
                if isinstance(place, dict) and "model" in place:
                    yield place["model"]


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


def _check_books(row: Json, recording: Json, wire: str) -> None:
    assert (row["outcome"], row["http_status"]) == ("ok", 200)
    used, booked = counts(recording, wire), row["usage"]
    total = (booked["input"] or 0) + (booked["cache_read"] or 0) + (booked["cache_write"] or 0)
    if wire == MESSAGES:
        compacted = any(step.get("type") == "compaction" for step in used.get("iterations") or ())
        if not compacted:
            assert (booked["input"], booked["output"]) == (used["input_tokens"], used["output_tokens"])
            assert booked["cache_read"] == used.get("cache_read_input_tokens")
        assert booked["source"] == "reported"
    elif used.get("prompt_tokens") and "completion_tokens" in used:
        assert total + booked["output"] == max(used["prompt_tokens"] + used["completion_tokens"], used.get("total_tokens", 0)) or (
            booked["output"] == used["completion_tokens"] + booked["reasoning"]
        )
        assert booked["source"] == "reported"
    else:
        assert booked["source"] in ("counted", "estimated")


# ---------------------------------------------------------------- Asked for in the other format

FINISH = {
    CHAT: {"stop": "end_turn", "eos": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "tool_call": "tool_use",
           "function_call": "tool_use", "content_filter": "refusal"},
    MESSAGES: {"end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls",
               "refusal": "content_filter"},
}  # fmt: skip


@recordings(errors=False)
# C-21 C-24 P-40 P-42
async def test_the_other_format(stage: Stage, wire: str, name: str) -> None:
    recording = load(name)
    if "error_in_stream" in recording["features"]:
        pytest.skip("no answer: see test_an_error_inside_a_stream")
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    streamed = "sse" in recording["response"]
    asked: Json = {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "hi"}]}
    if streamed and wire == MESSAGES:
        asked["stream_options"] = {"include_usage": True}
    heard = await stage.ask(OTHER[wire], asked, streamed=streamed)
    assert heard.model == "asked-model"

    text, calls = said(recording, wire)
    assert heard.text.strip() == text.strip()
    assert [one[1:] for one in heard.calls] == calls
    word = FINISH[wire][finish_word(recording, wire) or "end_turn"]
    assert heard.finish in (word, "tool_use" if calls and wire == CHAT else word)
    row = await stage.row()
    _check_books(row, recording, wire)
    if row["usage"]["source"] == "reported" and "compaction" not in recording["features"]:
        booked = row["usage"]
        assert heard.input == (booked["input"] or 0) + (booked["cache_read"] or 0) + (booked["cache_write"] or 0)
        assert (heard.output, heard.cached) == (booked["output"], booked["cache_read"] or 0)


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
            text.append(content if isinstance(content, str) else "".join(one.get("text") or "" for one in content))
            text.append(delta.get("refusal") or "")
            listed = list(delta.get("tool_calls") or ())
            if delta.get("function_call"):
                listed.append({"function": delta["function_call"]})
            for position, call in enumerate(listed):
                inner = call.get("function") or call.get("custom")
                known = calls.setdefault(call.get("index") or position, ["", ""])
                known[0] = inner.get("name") or known[0]
                known[1] += inner.get("arguments") or inner.get("input") or ""
    return "".join(text), [(name, _arguments(arguments)) for name, arguments in calls.values()]


def _arguments(text: str) -> Json:
    value = json.loads(text or "{}")
    assert isinstance(value, dict)
    return value


# ---------------------------------------------------------------- Errors


@recordings(errors=True)
@pytest.mark.parametrize("client", ["openai", "anthropic"])
# C-39 C-42 C-45 C-46 C-47 O-21 P-55
async def test_errors(stage: Stage, wire: str, name: str, client: str) -> None:
    """A caller's mistake keeps its 4xx; an account's fault is a 503 that tells the provider's status; nothing is a 500."""
    recording = load(name)
    status = recording["response"]["status"]
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    if client == ("openai" if wire == CHAT else "anthropic"):
        got = await stage.clients.http.post(f"{stage.rig.url}{PATH[wire]}", json=request(recording, wire), headers=stage.rig.bearer)
    else:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
            await stage.ask(client, {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "hi"}]})
        got = caught.value.response
    error = got.json()["error"]
    if got.status_code == 503:
        (failure,) = error["provider_failures"]
        assert failure["status"] == status and not failure["skipped"]
    else:
        assert got.status_code == (status if status in (413, 415, 422, 404) else 400) and 400 <= status < 500
    assert said_by_provider(recording) in error["message"]
    row = await stage.row()
    assert (row["outcome"], row["http_status"], row["attempts"][0]["status"]) == ("failed", got.status_code, status)


def said_by_provider(recording: Json) -> str:
    """Some of the provider's own words."""
    body = json.loads(raw_answer(recording))
    while isinstance(body, list | dict):
        if isinstance(body, list):
            body = body[0]
            continue
        key = next(key for key in ("error", "message", "msg", "detail", "details") if body.get(key))
        body = body[key]
    return str(body)[:60]
