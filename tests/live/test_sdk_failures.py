"""Every SDK raises its own class for every kind of failure, over providers of all four formats; and a program that stops listening is
noticed: the provider's connection is closed and the books are settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors

from tests.live.answers import CHAT, MESSAGES, Said
from tests.live.answers_more import GEMINI, told
from tests.live.asking import Clients
from tests.live.conftest import Json, Stage
from tests.live.processes import soon
from tests.live.test_formats import PROVIDER, STREAMED, WAYS, WIRE, ask, user
from tests.serving import Answer, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI: dict[int, type[Exception]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}
ANTHROPIC: dict[int, type[Exception]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    422: anthropic.UnprocessableEntityError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.ServiceUnavailableError,
}
GOOGLE: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
"""Status → the word that Google's API has for it, which its SDK tells as `status`."""


async def refused(clients: Clients, client: str, status: int, asked: Json, *, streamed: bool = False) -> str:
    """The words of the exception, once its class, status and word were looked at."""
    expected: Any = {"openai": OPENAI, "responses": OPENAI, "anthropic": ANTHROPIC}.get(client)
    if expected is not None:
        with pytest.raises(expected[status]) as caught:
            await clients.ask(client, asked, streamed=streamed)
        assert caught.value.status_code == status
        return str(caught.value)
    with pytest.raises(errors.ClientError if status < 500 else errors.ServerError) as failed:
        await clients.ask(client, asked, streamed=streamed)
    assert (failed.value.code, failed.value.status) == (status, GOOGLE.get(status, failed.value.status))
    return str(failed.value.message)


def hello(client: str, **more: Any) -> Json:
    return {**ask(client, user(client, "hi")), **more}


# ---------------------------------------------------------------- Ours


@pytest.mark.parametrize("client", WIRE)
@STREAMED
# C-39 C-40 C-41 C-42 C-43 C-44 C-45 C-47 O-20 O-21 P-55
async def test_the_gateways_own_refusals(stage: Stage, client: str, streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, admin = stage.rig, stage.rig.gateway.admin
    assert "connect" in (await refused(stage.clients, client, 503, hello(client, model="auto"), streamed=streamed)).lower()

    account = await stage.account(PROVIDER[CHAT])
    stage.upstream.answer(told(Said("once"), CHAT, streamed))
    stranger = Clients(rig.url, "omni-nobody")
    assert "omni-nobody" not in await refused(stranger, client, 401, hello(client), streamed=streamed)
    await stranger.close()
    assert "test-model" in await refused(stage.clients, client, 404, hello(client, model="tset-model"), streamed=streamed)
    elsewhere = Clients(rig.url, (await admin.create_key({"name": f"elsewhere {client} {streamed}", "providers": ["groq"]}))["key"])
    await refused(elsewhere, client, 403, hello(client), streamed=streamed)
    await elsewhere.close()
    seldom = Clients(rig.url, (await admin.create_key({"name": f"seldom {client} {streamed}", "rpm": 1}))["key"])
    assert (await seldom.ask(client, hello(client), streamed=streamed)).text == "once"
    await refused(seldom, client, 429, hello(client), streamed=streamed)
    await seldom.close()
    assert len(stage.upstream.seen) == 1

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("secret inner life")

    monkeypatch.setattr(rig.gateway.relay, "_doors", replace(rig.gateway.relay._doors, plan=broken))
    assert "inner life" not in await refused(stage.clients, client, 500, hello(client), streamed=streamed)
    assert (await admin.account(account["id"]))["status"] == "ready"


# ---------------------------------------------------------------- The provider's


def mistake(wire: str, words: str) -> Answer:
    """What each kind of provider says to a request that is wrong."""
    if wire == GEMINI:
        return whole({"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}, 400)
    if wire == MESSAGES:
        return whole({"type": "error", "error": {"type": "invalid_request_error", "message": words}}, 400)
    return whole({"error": {"message": words, "type": "invalid_request_error", "param": None, "code": None}}, 400)


@WAYS
# C-39 C-45 C-47 O-21 P-55
async def test_the_providers_refusals(stage: Stage, client: str, wire: str) -> None:
    """The caller's mistake in the provider's words, at once; an account's fault as a 503 that tells whose it was."""
    account = await stage.account(PROVIDER[wire])
    for streamed in (False, True):
        await stage.rig.gateway.admin.clear_cooldown(account["id"])
        stage.upstream.answer(mistake(wire, "temperature: 7 is more than 2"))
        assert "7 is more than 2" in await refused(stage.clients, client, 400, hello(client), streamed=streamed)
        assert (await stage.rig.gateway.admin.account(account["id"]))["status"] == "ready"
        stage.upstream.answer(whole({"error": {"message": "The engine is on fire", "code": 500, "type": "server_error"}}, 500))
        await refused(stage.clients, client, 503, hello(client), streamed=streamed)
        row = await stage.row()
        assert (row["http_status"], row["attempts"][0]["status"]) == (503, 500) and "on fire" in row["attempts"][0]["message"]


@WAYS
# C-47 P-55
async def test_half_an_answer_is_no_answer(stage: Stage, client: str, wire: str) -> None:
    """clients.md finding 9: whoever forgets the end of a stream, the SDK raises instead of taking the torso for the whole."""
    account = await stage.account(PROVIDER[wire])
    for cut in (False, True):
        await stage.rig.gateway.admin.clear_cooldown(account["id"])
        stage.upstream.answer(torso(wire, cut=cut))
        if client == "responses":  # this SDK does not raise: it hands the failed response over, as the last event
            events = [event async for event in await stage.clients.openai.responses.create(**hello(client), stream=True)]
            last: Any = events[-1]
            assert (last.type, last.response.status) == ("response.failed", "failed") and "broke off" in last.response.error.message
        else:
            kinds: Any = {"openai": openai.APIError, "anthropic": anthropic.APIError, "gemini": errors.APIError}
            with pytest.raises(kinds[client], match="broke off"):
                await stage.ask(client, hello(client), streamed=True)
        row = await stage.row()
        assert (row["outcome"], row["http_status"]) == ("cut", 200) and row["usage"]["output"] > 0


def torso(wire: str, *, cut: bool = False, hang: bool = False) -> Answer:
    """The first words of a streamed answer."""
    end = b"\r\n\r\n" if wire == GEMINI else b"\n\n"
    raw = b"".join(piece for piece in told(Said("one two three four five six"), wire, True).pieces if isinstance(piece, bytes))
    begun = raw[: raw.index(end, raw.index(b"three")) + len(end)]
    return Answer(200, {"content-type": "text/event-stream"}, [begun, 0.02], cut=cut, hang=hang)


# ---------------------------------------------------------------- Who stops listening


async def first_words(clients: Clients, client: str) -> AsyncGenerator[str, None]:
    """The pieces of text as the SDK gives them; closing the iterator closes the SDK's stream."""
    asked = hello(client)
    if client == "anthropic":
        async with clients.anthropic.messages.stream(**asked) as stream:
            async for text in stream.text_stream:
                yield text
    elif client == "gemini":
        chunks = await clients.genai.aio.models.generate_content_stream(model=asked["model"], contents=asked["contents"])
        async for chunk in chunks:
            yield chunk.text or ""
    else:
        create: Any = clients.openai.responses.create if client == "responses" else clients.openai.chat.completions.create
        async with await create(**asked, stream=True) as events:
            async for event in events:
                yield (getattr(event, "delta", "") if client == "responses" else event.choices[0].delta.content) or ""


@pytest.mark.parametrize(
    ("client", "wire", "how"),
    # Google's SDK has no way to close a stream but to cancel whoever waits for it.
    [
        (client, wire, how)
        for client in WIRE
        for wire in PROVIDER
        for how in ("closed", "cancelled")
        if (client, how) != ("gemini", "closed")
    ],
)
# C-08
async def test_a_program_that_stops_listening(stage: Stage, client: str, wire: str, how: str) -> None:
    """The provider's connection is closed at once, so that it stops generating, and what came is booked."""
    account = await stage.account(PROVIDER[wire])
    stage.upstream.answer(torso(wire, hang=True))
    before, enough = stage.upstream.disconnects, asyncio.Event()

    async def listen() -> None:
        heard = ""
        async with aclosing(first_words(stage.clients, client)) as texts:
            async for text in texts:
                heard += text
                if "three" in heard:
                    enough.set()
                    if how == "closed":
                        return

    program = asyncio.create_task(listen())
    await enough.wait()
    if how == "cancelled":
        program.cancel()
    await asyncio.wait([program])
    await soon(lambda: stage.upstream.disconnects > before and not stage.upstream.open)
    row = (await stage.rig.rows())[0]
    assert (row["outcome"], row["flag"], row["http_status"]) == ("client_left", "CLIENT_LEFT", 499)
    assert row["usage"]["output"] > 0 and row["usage"]["input"] > 0
    assert not stage.rig.gateway.pool.cooldowns(account["id"])
