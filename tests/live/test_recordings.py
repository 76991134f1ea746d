"""Recorded answers of real providers, played back by the upstream of a live gateway: asked for in the same format they pass
through unchanged, asked for in the other one the vendor's SDK can read them, and errors keep their class and words.

The folder is no part of the project: OMNI_RECORDINGS names it, ../shared/recordings beside the checkout is looked at, and
without either the tests are skipped.
"""

from __future__ import annotations

import json

import anthropic
import msgspec
import openai
import pytest

from tests.live.answers import CHAT, MESSAGES
from tests.live.conftest import Json, Stage
from tests.live.recorded import (
    CUT,
    PATH,
    answer,
    blocks,
    counts,
    error_status,
    finish_word,
    load,
    models,
    raw_answer,
    recordings,
    request,
    said,
    said_by_provider,
    unnamed,
    values,
    without_model,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROVIDER = {CHAT: "custom-openai", MESSAGES: "custom-anthropic"}
OTHER = {CHAT: "anthropic", MESSAGES: "openai"}
"""Wire of the recording → the SDK of the other format."""


# ---------------------------------------------------------------- Asked for in the same format


@recordings(errors=False)
# C-03 C-05 P-40 P-42
async def test_the_same_format(stage: Stage, wire: str, name: str) -> None:
    recording = load(name)
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
        if "no_done" in recording["features"]:
            assert told.pop() == {CHAT: b"data: [DONE]", MESSAGES: b'event: message_stop\ndata: {"type":"message_stop"}'}[wire]
        assert len(told) == len(expected)
        for one, other in zip(told, expected, strict=True):
            assert one == other or (unnamed(one) == unnamed(other) and without_model(one) == without_model(other))
        assert list(models(told)) == ["asked-model"] * len(list(models(expected)))
    else:
        told_fields, fields = (msgspec.json.decode(body, type=dict[str, msgspec.Raw]) for body in (got.content, original))
        assert fields.pop("model", None) is None or bytes(told_fields.pop("model")) == b'"asked-model"'
        assert {name: bytes(value) for name, value in told_fields.items()} == {name: bytes(value) for name, value in fields.items()}
    _check_books(await stage.row(), recording, wire)


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
    assert [one[1] for one in heard.calls] == [one[0] for one in calls]
    for (_, _, told), (_, arguments) in zip(heard.calls, calls, strict=True):
        assert told == arguments or arguments == CUT
    word = FINISH[wire][finish_word(recording, wire) or "end_turn"]
    if wire == CHAT and word == "end_turn":
        # Several hosts say "stop" beside a tool call or a refusal; an Anthropic client acts on the reason alone.
        word = "tool_use" if calls else "refusal" if any('"refusal": "' in json.dumps(value) for value in values(recording)) else word
    assert heard.finish == word
    row = await stage.row()
    _check_books(row, recording, wire)
    if row["usage"]["source"] == "reported" and "compaction" not in recording["features"]:
        booked = row["usage"]
        assert heard.input == (booked["input"] or 0) + (booked["cache_read"] or 0) + (booked["cache_write"] or 0)
        assert (heard.output, heard.cached) == (booked["output"], booked["cache_read"] or 0)


# ---------------------------------------------------------------- Errors


@recordings(errors=True)
@pytest.mark.parametrize("client", ["openai", "anthropic"])
# C-39 C-42 C-45 C-46 C-47 O-21 P-55
async def test_errors(stage: Stage, wire: str, name: str, client: str) -> None:
    """A caller's mistake keeps its 4xx; an account's fault is a 503 that tells the provider's status; nothing is a 500."""
    recording = load(name)
    status = error_status(recording)
    assert status is not None
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    if client == ("openai" if wire == CHAT else "anthropic"):
        got = await stage.clients.http.post(f"{stage.rig.url}{PATH[wire]}", json=request(recording, wire), headers=stage.rig.bearer)
    else:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
            asked = {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "hi"}]}
            await stage.ask(client, asked, streamed="sse" in recording["response"])
        got = caught.value.response
    error = got.json()["error"]
    if not stage.upstream.seen:
        # The recorded request was refused by the provider, and is by us.
        assert got.status_code == status == 400 and error["message"]
        return
    if got.status_code == 503:
        (failure,) = error["provider_failures"]
        assert failure["status"] == status and not failure["skipped"]
    else:
        assert got.status_code == (status if status in (413, 415, 422, 404) else 400) and 400 <= status < 500
    assert said_by_provider(recording) in error["message"]
    row = await stage.row()
    assert (row["outcome"], row["http_status"], row["attempts"][0]["status"]) == ("failed", got.status_code, status)
