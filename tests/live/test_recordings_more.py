"""Recorded answers in the Responses and Gemini formats, played back by the upstream of a live gateway: see test_recordings.py."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from tests.live.conftest import Json, Stage
from tests.live.recorded import FOLDER, answer, blocks, load, raw_answer, said_by_provider, unnamed
from tests.live.recorded_more import (
    ENDS,
    GEMINI,
    GEMINI_STREAM,
    MID_STREAM,
    PROVIDER,
    RESPONSES,
    Told,
    final,
    read,
    recordings,
    request,
    streamed,
)
from tests.serving import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

# ---------------------------------------------------------------- Asked for in the same format


@recordings(errors=False)
# C-03 C-05 C-25 C-26 P-40 P-42
async def test_the_same_format(stage: Stage, wire: str, name: str) -> None:
    recording = load(name)
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    address, asked = request(recording, wire)
    sent = json.dumps(asked, ensure_ascii=False).encode()
    got = await stage.clients.http.post(stage.rig.url + address, content=sent, headers=stage.rig.bearer)
    assert got.status_code == 200, got.text
    seen, original = stage.upstream.seen[-1], raw_answer(recording)
    if wire == RESPONSES:
        assert seen.path == "/v1/responses" and seen.body == {**asked, "model": "test-model"}
        _same_responses(got.content, original, streamed(recording))
    else:
        assert seen.path == address.partition("?")[0].replace("/v1beta/models/asked-model", "/v1/models/test-model")
        assert seen.raw == sent
        if "raw_base64" not in recording["response"]:
            assert got.content == original or got.content == original.rstrip() + b"\r\n\r\n"
    _check_books(await stage.row(), read(recording, wire))


def _same_responses(got: bytes, original: bytes, stream: bool) -> None:
    if not stream:
        told, fields = (msgspec.json.decode(body, type=dict[str, msgspec.Raw]) for body in (got, original))
        assert fields.pop("model", None) is None or bytes(told.pop("model")) == b'"asked-model"'
        assert {name: bytes(value) for name, value in told.items()} == {name: bytes(value) for name, value in fields.items()}
        return
    told, expected = blocks(got), blocks(original)
    last = next(number for number, block in enumerate(expected) if any(f'"type":"{end}"'.encode() in block for end in ENDS))
    # One fixture has two answers in a row: how much of the second one comes along is up to the network.
    assert len(expected) == last + 1 or b"response.created" in expected[last + 1]
    assert len(told) == last + 1 or len(expected) > last + 1
    for one, other in zip(told[: last + 1], expected[: last + 1], strict=True):
        assert unnamed(one) == unnamed(other)
        (line,) = re.findall(rb"^data: ?(.*)", one, re.M)
        (there,) = re.findall(rb"^data: ?(.*)", other, re.M)
        if not there.startswith(b"{"):
            assert line == there
            continue
        value: Any = json.loads(there)
        if "model" in (value.get("response") or {}):
            value["response"]["model"] = "asked-model"
        assert json.loads(line) == value


def _check_books(row: Json, told: Told) -> None:
    assert (row["outcome"], row["http_status"]) == ("ok", 200)
    booked = row["usage"]
    if told.input is None or told.output is None:
        assert booked["source"] in ("reported", "counted", "estimated")
        return
    assert booked["source"] == "reported"
    assert (booked["input"] or 0) + (booked["cache_read"] or 0) + (booked["cache_write"] or 0) == told.input
    assert (booked["output"], booked["cache_read"] or 0) == (told.output, told.cached)


# ---------------------------------------------------------------- Asked for in the other formats

FINISH: dict[str, Json] = {
    "openai": {
        "length": "length",
        "filter": "content_filter",
        "tool_calls": "tool_calls",
        "stop": "stop",
        "refusal": "stop",
        "other": "stop",
    },
    "anthropic": {"length": "max_tokens", "filter": "refusal", "tool_calls": "tool_use"}
    | {"stop": "end_turn", "refusal": "refusal", "other": "end_turn"},
    "responses": {"length": "max_output_tokens", "filter": "content_filter"} | dict.fromkeys(("stop", "tool_calls", "other"), "completed"),
    "gemini": {"length": "MAX_TOKENS", "filter": "SAFETY", "tool_calls": "STOP", "stop": "STOP", "refusal": "STOP", "other": "OTHER"},
}
"""Client → what its format says of an ending."""
OWN = {RESPONSES: "responses", GEMINI: "gemini", GEMINI_STREAM: "gemini"}
"""Wire of the recording → the client of the same format."""


def question(client: str) -> Json:
    if client == "responses":
        return {"model": "asked-model", "input": "hi"}
    if client == "gemini":
        return {"model": "asked-model", "contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    return {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "hi"}]}


def plain(client: str, stream: bool) -> tuple[str, Json]:
    """(path and query, body) of the same question without an SDK."""
    asked = question(client)
    if client == "gemini":
        return f"/v1beta/models/{asked.pop('model')}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}", asked
    paths = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "responses": "/v1/responses"}
    return paths[client], {**asked, "stream": stream}


@recordings(errors=False)
@pytest.mark.parametrize("client", list(FINISH))
# C-21 C-24 C-25 C-26 P-40 P-42
async def test_the_other_formats(stage: Stage, wire: str, name: str, client: str) -> None:
    if OWN.get(wire) == client:
        pytest.skip("its own format")
    recording = load(name)
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    asked = question(client)
    stream = streamed(recording)
    if client == "openai" and stream:
        asked["stream_options"] = {"include_usage": True}
    heard = await stage.ask(client, asked, streamed=stream)
    told = read(recording, wire)

    assert heard.model == "asked-model"
    words = heard.message.refusal if client == "openai" and told.finish == "refusal" else heard.text
    assert words.strip() == told.text.strip()
    assert [(one[1], one[2]) for one in heard.calls] == told.calls
    # An Anthropic client runs tools only when the reason says so, whatever Google thinks of the call.
    finish = "tool_calls" if client == "anthropic" and told.calls and told.finish == "other" else told.finish
    assert heard.finish == FINISH[client][finish]
    row = await stage.row()
    _check_books(row, told)
    if told.input is not None and told.output is not None:
        assert (heard.input, heard.output, heard.cached) == (told.input, told.output, told.cached)


# ---------------------------------------------------------------- Errors


@recordings(errors=True)
@pytest.mark.parametrize("client", list(FINISH))
# C-39 C-42 C-45 C-46 C-47 O-21 P-55
async def test_errors(stage: Stage, wire: str, name: str, client: str) -> None:
    """A caller's mistake keeps its 4xx; an account's fault is a 503 that tells the provider's status; nothing is a 500."""
    recording = load(name)
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    stream = streamed(recording) or "streamGenerate" in recording["request"].get("path", "")
    address, asked = request(recording, wire) if OWN[wire] == client else plain(client, stream)
    got = await stage.clients.http.post(stage.rig.url + address, json=asked, headers=stage.rig.bearer)

    status = recording["response"]["status"]
    words = said_by_provider(recording) if status >= 400 else final(recording)["error"]["message"][:60]
    error = got.json()["error"]
    if not stage.upstream.seen:
        # The recorded request was refused by the provider, and is by us.
        assert got.status_code == status == 400 and error["message"]
        return
    row = await stage.row()
    assert (row["outcome"], row["http_status"]) == ("failed", got.status_code)
    assert words in row["error"]["message"]
    assert words in error["message"]
    assert row["attempts"][0]["status"] == status
    if got.status_code != 503:
        assert 400 <= got.status_code < 500
        assert got.status_code == (status if status in (413, 415, 422, 404) else 400)


BROKEN = [path.name for path in sorted(FOLDER.glob(f"*{MID_STREAM}*"))] if FOLDER.is_dir() else []


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("client", list(FINISH))
# C-47 P-55
async def test_a_stream_that_breaks_in_the_middle(stage: Stage, name: str, client: str) -> None:
    """What was said stays said, and the provider's words follow as the format's own error, without a proper end."""
    recording = load(name)
    raw = raw_answer(recording)
    place = raw.index(b"{\n")
    await stage.account("custom-gemini")
    stage.upstream.answer(Answer(200, recording["response"]["headers"], [raw[:place], 0.1, raw[place:]]))
    address, asked = plain(client, True)
    got = await stage.clients.http.post(stage.rig.url + address, json=asked, headers=stage.rig.bearer)
    assert got.status_code == 200
    assert b"First " in got.content and b"Second " in got.content
    assert b"The operation was cancelled." in got.content
    assert not re.search(rb"\[DONE\]|message_stop|response\.completed", got.content)
    row = await stage.row()
    assert (row["outcome"], row["http_status"]) == ("cut", 200)
