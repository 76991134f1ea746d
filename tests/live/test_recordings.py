"""Recorded answers of real providers, read by the vendors' own SDKs through a live gateway.

`tests/replay` proves what comes out, exchange by exchange and format by format; here each answer is read once by the SDK of
another format than its own, because a program sees what its SDK makes of the bytes. Without recordings the tests are skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import cache
from itertools import cycle
from typing import Any

import pytest
import pytest_asyncio

from tests.live.asking import Clients, Heard
from tests.replay.checks import PROVIDER
from tests.replay.recordings import FOLDER, NotARecording, Recording, files, load
from tests.replay.stage import Play, stage
from tests.replay.told import CHAT, FORMATS, GEMINI, MESSAGES, RESPONSES, Json, exact, is_json

pytestmark = pytest.mark.asyncio(loop_scope="module")

SDK = {CHAT: "openai", RESPONSES: "responses", MESSAGES: "anthropic", GEMINI: "gemini"}
HI: dict[str, Json] = {
    CHAT: {"max_tokens": 300, "messages": [{"role": "user", "content": "hi"}]},
    MESSAGES: {"max_tokens": 300, "messages": [{"role": "user", "content": "hi"}]},
    RESPONSES: {"input": "hi"},
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}


@cache
def answers() -> dict[str, tuple[Recording, str]]:
    """Name → an answer that is no failure, and the format of the SDK that reads it: each other one in turn."""
    found: dict[str, tuple[Recording, str]] = {}
    turns = {name: cycle([other for other in FORMATS if other != name]) for name in FORMATS}
    for path in files(FOLDER) if FOLDER.is_dir() else ():
        try:
            recording = load(path)
        except NotARecording:
            continue
        if recording.format and not recording.failed and not recording.breaks_off:
            found[recording.name] = recording, next(turns[recording.format])
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Clients, dict[str, Play]]]:
    """The SDKs, and every answer as a model of its own."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(stage(tmp_path_factory.mktemp("home")))
        plays = {name: here.play(recording, client) for name, (recording, client) in answers().items()}
        for provider in FORMATS:
            theirs = [play for play in plays.values() if play.recording.format == provider]
            await stack.enter_async_context(here.account(PROVIDER[provider], theirs))
        clients = Clients(here.rig.url, here.rig.key)
        yield clients, plays
        await clients.close()


NOTHING = pytest.param("", marks=pytest.mark.skip(reason="no recordings here; OMNI_RECORDINGS names their folder"))


@pytest.mark.parametrize("name", [pytest.param(name, id=f"{name[:30]}-{name[-40:]}") for name in answers()] or [NOTHING])
# C-21 C-24 C-25 C-26 P-40 P-42
async def test_an_sdk_of_another_format_reads_it(theatre: tuple[Clients, dict[str, Play]], name: str) -> None:
    clients, plays = theatre
    play = plays[name]
    told, streamed = play.recording.told, play.recording.streamed
    asked: Json = {"model": play.asked, **HI[play.client]}
    if streamed and play.client == CHAT:
        asked["stream_options"] = {"include_usage": True}
    heard = await clients.ask(SDK[play.client], asked, streamed=streamed)

    assert heard.model == play.asked
    assert _words(heard) == told.text
    assert [(call[0] if told_call.id else "", call[1]) for call, told_call in zip(heard.calls, told.calls, strict=True)] == [
        (told_call.id, told_call.name) for told_call in told.calls
    ]
    for call, told_call in zip(heard.calls, told.calls, strict=True):
        assert exact(call[2]) == told_call.arguments or not is_json(told_call.arguments)
    usage = told.usage
    if usage.input is not None and usage.output is not None:
        assert (heard.input, heard.output, heard.cached) == (usage.input, usage.output, usage.cached or 0)


def _words(heard: Heard) -> str:
    """With those of a refusal, which the chat SDK has beside the others."""
    refusal: Any = getattr(heard.message, "refusal", None)
    return heard.text + (refusal or "")
