"""Recorded answers in the chat and Messages formats, asked for by clients of the Responses and Gemini formats: see test_recordings.py."""

from __future__ import annotations

import pytest

from tests.live.answers import CHAT, MESSAGES
from tests.live.conftest import Stage
from tests.live.recorded import CUT, answer, error_status, finish_word, load, recordings, said, said_by_provider
from tests.live.test_recordings_more import FINISH, plain, question

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROVIDER = {CHAT: "custom-openai", MESSAGES: "custom-anthropic"}
CLIENTS = pytest.mark.parametrize("client", ["responses", "gemini"])
MEANING = {
    CHAT: {"stop": "stop", "eos": "stop", "length": "length", "content_filter": "filter"},
    MESSAGES: {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "refusal": "filter", "pause_turn": "other"},
}
"""A provider's word → ours; those for tool calls are told by the calls."""


@recordings(errors=False)
@CLIENTS
# C-21 C-24 C-25 C-26 P-40 P-42
async def test_the_newer_formats(stage: Stage, wire: str, name: str, client: str) -> None:
    recording = load(name)
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    heard = await stage.ask(client, question(client), streamed="sse" in recording["response"])
    assert heard.model == "asked-model"
    text, calls = said(recording, wire)
    assert heard.text.strip() == text.strip()
    assert [one[1] for one in heard.calls] == [one[0] for one in calls]
    for (_, _, told), (_, arguments) in zip(heard.calls, calls, strict=True):
        assert told == arguments or arguments == CUT
    word = finish_word(recording, wire)
    meaning = MEANING[wire].get(word or "stop", "tool_calls" if calls else "stop")
    assert heard.finish == FINISH[client][meaning]
    row = await stage.row()
    assert (row["outcome"], row["http_status"]) == ("ok", 200)
    booked = row["usage"]
    if booked["source"] == "reported":
        assert heard.input == (booked["input"] or 0) + (booked["cache_read"] or 0) + (booked["cache_write"] or 0)
        assert (heard.output, heard.cached) == (booked["output"], booked["cache_read"] or 0)


@recordings(errors=True)
@CLIENTS
# C-39 C-42 C-45 C-46 C-47 O-21 P-55
async def test_errors_in_the_newer_formats(stage: Stage, wire: str, name: str, client: str) -> None:
    recording = load(name)
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(answer(recording))
    address, asked = plain(client, "sse" in recording["response"])
    got = await stage.clients.http.post(stage.rig.url + address, json=asked, headers=stage.rig.bearer)
    status = error_status(recording)
    assert got.status_code == 503 or got.status_code == (status if status in (413, 415, 422, 404) else 400)
    assert said_by_provider(recording) in got.json()["error"]["message"]
    row = await stage.row()
    assert (row["outcome"], row["http_status"], row["attempts"][0]["status"]) == ("failed", got.status_code, status)
