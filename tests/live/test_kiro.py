"""Kiro accounts over the wire: SDKs in front, the strict mock behind, tokens of the mock authorization server. P-02, P-22, P-48"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from omni_connector.pinging import hear, ping
from omni_connector.providers.kiro_login import read_login
from omni_connector.store import accounts as rows
from omni_connector.tokens import decode
from omni_connector.wire.kiro_words import to_wire_name
from tests.auth_server import CLIENT, AuthServer
from tests.event_frames import event
from tests.kiro_server import KEY, Kiro, failing, refusal, stream, told
from tests.live.answers import Call, Said
from tests.live.conftest import Json, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
MODEL = "claude-sonnet-4.5"
ARN = "arn:aws:codewhisperer:us-east-1:1234:profile/TEST"
ASKING: dict[str, Json] = {
    "openai": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "max_tokens": 177},
    "anthropic": {"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 177},
    "responses": {"instructions": "Be brief.", "input": "Hi", "max_output_tokens": 177},
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {"maxOutputTokens": 177},
    },
}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": [], "additionalProperties": False}
LONG = "mcp__weather__" + "x" * 60


async def keyed(stage: Stage, **more: Any) -> Kiro:
    """An account with an API key, every address of which is the mock."""
    kiro = Kiro()
    stage.upstream.answer(kiro)
    options = {"endpoints": {"inference": stage.upstream.url}}
    await stage.rig.account("kiro", "kiro", api_key=KEY, base_url="", model_map={}, models=[MODEL], options=options, **more)
    return kiro


async def signed_in(stage: Stage, server: AuthServer, flavour: str) -> Kiro:
    """An account made of what a Kiro on this machine keeps."""
    kiro = Kiro(good=server.good, profile=ARN)
    stage.upstream.answer(kiro)
    said = server.issue("" if flavour == "kiro-social" else CLIENT)
    cache = {"accessToken": said["access_token"], "refreshToken": said["refresh_token"], "expiresAt": "2099-01-01T00:00:00Z"}
    cache |= {"authMethod": "social" if flavour == "kiro-social" else "IdC", "profileArn": ARN, "region": "us-east-1"}
    tokens, options = read_login(cache, None if flavour == "kiro-social" else {"clientId": CLIENT, "clientSecret": ""})
    options["endpoints"] = {"inference": stage.upstream.url, **server.endpoints(flavour)}
    account = await stage.rig.account("kiro", "kiro", base_url="", model_map={}, models=[MODEL], options=options)
    gateway = stage.rig.gateway
    change = {"auth": "oauth", "secret": tokens.encode()}
    await gateway.db.tx(lambda conn: rows.update(conn, gateway.vault, account["id"], change))
    await gateway.reload()
    return kiro


@STREAMED
@pytest.mark.parametrize("client", ASKING)
async def test_every_client_is_answered(stage: Stage, client: str, streamed: bool) -> None:
    kiro = await keyed(stage)
    kiro.says = [told(Said("Good day.", thoughts="Hm."), "END_TURN", size=7)]
    heard = await stage.ask(client, {"model": MODEL, **ASKING[client]}, streamed=streamed)
    assert (heard.text, heard.model) == ("Good day.", MODEL) and not kiro.refused
    assert (heard.input > 0 and heard.output == 3) or (client == "openai" and streamed), "there only when it is asked for"
    (body,) = kiro.bodies
    assert body["conversationState"]["currentMessage"]["userInputMessage"]["content"] == "Be brief.\n\nHi"
    assert body["inferenceConfig"] == {"maxTokens": 177} and "profileArn" not in body
    row = await stage.row()
    assert (row["usage"]["source"], row["usage"]["output"], row["provider"], row["outcome"]) == ("counted", 3, "kiro", "ok")


@STREAMED
@pytest.mark.parametrize("client", ["openai", "anthropic"])
async def test_a_tool_loop(stage: Stage, client: str, streamed: bool) -> None:
    kiro = await keyed(stage)
    asked = [{"role": "user", "content": "Weather?"}]
    ask: Json = {"model": f"kiro/{MODEL}", "max_tokens": 400}  # P-48
    if client == "openai":
        ask["tools"] = [{"type": "function", "function": {"name": name, "parameters": WEATHER}} for name in (LONG, "ping")]
    else:
        ask["tools"] = [{"name": name, "input_schema": WEATHER} for name in (LONG, "ping")]
    calls = (Call("tooluse_1", to_wire_name(LONG), {"city": "Köln"}), Call("tooluse_2", "ping", {}))
    kiro.says = [told(Said("Let me see.", calls=calls), "TOOL_USE"), told(Said("Sunny."))]
    first = await stage.ask(client, {**ask, "messages": asked}, streamed=streamed)
    assert [(name, given) for _, name, given in first.calls] == [(LONG, {"city": "Köln"}), ("ping", {})]
    assert first.finish == ("tool_calls" if client == "openai" else "tool_use")
    said: Json = first.message.model_dump(exclude_none=True)
    if client == "openai":
        results = [{"role": "tool", "tool_call_id": call_id, "content": "fine"} for call_id, *_ in first.calls]
        messages = [*asked, said, *results]
    else:
        blocks = [{"type": "tool_result", "tool_use_id": call_id, "content": "fine"} for call_id, *_ in first.calls]
        messages = [*asked, {"role": "assistant", "content": said["content"]}, {"role": "user", "content": blocks}]
    again = await stage.ask(client, {**ask, "messages": messages}, streamed=streamed)
    assert again.text == "Sunny." and not kiro.refused
    state = kiro.bodies[-1]["conversationState"]
    assert state["conversationId"] == kiro.bodies[0]["conversationState"]["conversationId"]
    uses = state["history"][1]["assistantResponseMessage"]["toolUses"]
    assert [(use["name"], use["input"]) for use in uses] == [(calls[0].name, {"city": "Köln"}), ("ping", {})]
    results = state["currentMessage"]["userInputMessage"]["userInputMessageContext"]["toolResults"]
    assert [one["toolUseId"] for one in results] == ["tooluse_1", "tooluse_2"]


async def test_thoughts_by_the_level_in_a_name(stage: Stage) -> None:  # P-48
    kiro = await keyed(stage)
    kiro.says = [told(Said("<thinking>Hm.</thinking>\n\nHello"))]
    body = {"model": f"kiro/high/{MODEL}", "max_tokens": 400, "messages": [{"role": "user", "content": "Hi"}]}
    heard = await stage.ask("anthropic", body, streamed=True)
    assert (heard.thoughts, heard.text) == ("Hm.", "Hello")
    assert ">24576<" in kiro.bodies[0]["conversationState"]["currentMessage"]["userInputMessage"]["content"]


async def test_pictures(stage: Stage) -> None:
    kiro = await keyed(stage)
    kiro.says = [told(Said("A dot."))]
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    await stage.ask("openai", {"model": MODEL, "messages": [{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}]})
    (body,) = kiro.bodies
    assert body["conversationState"]["currentMessage"]["userInputMessage"]["images"] == [{"format": "png", "source": {"bytes": data}}]


@STREAMED
@pytest.mark.parametrize("flavour", ["kiro-social", "aws-sso"])
async def test_an_ended_token_is_renewed_and_nobody_notices(stage: Stage, flavour: str, streamed: bool) -> None:  # P-02, P-22
    async with AuthServer() as server:
        kiro = await signed_in(stage, server, flavour)
        kiro.says = [told(Said("Hello"))]
        (account,) = stage.rig.gateway.snapshot.accounts
        server._access.clear()  # the provider forgot the access token ahead of its time
        asks = [stage.ask("openai", {"model": MODEL, **ASKING["openai"]}, streamed=streamed) for _ in range(5)]
        assert [heard.text for heard in await asyncio.gather(*asks)] == ["Hello"] * 5
        assert (server.count("refresh"), server.reused, kiro.refused) == (1, [], [])
        fresh = decode(stage.rig.gateway.snapshot.accounts[0].secret)
        old = decode(account.secret)
        assert fresh is not None and old is not None and fresh.access_token != old.access_token
        assert fresh.extra == old.extra and fresh.client_id == old.client_id and fresh.refresh_token != old.refresh_token
        assert all(body["profileArn"] == ARN for body in kiro.bodies)
        assert 200 in [each["status"] for each in (await stage.row())["attempts"]]


async def test_a_dead_sign_in_says_so(stage: Stage) -> None:  # P-02
    async with AuthServer() as server:
        await signed_in(stage, server, "aws-sso")
        server.revoke_all()
        body = {"model": MODEL, **ASKING["openai"]}
        answer = await stage.clients.http.post(f"{stage.rig.url}/v1/chat/completions", json=body, headers=stage.rig.bearer)
        assert answer.status_code == 503 and "sign in again" in answer.text.lower() and "at_" not in answer.text
        account = await stage.until(lambda one: one["status"] == "needs_login", stage.rig.gateway.snapshot.accounts[0].id)
        assert "sign in again" in account["status_reason"].lower()


async def raw(stage: Stage, **more: Any) -> tuple[int, str]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **more}
    answer = await stage.clients.http.post(f"{stage.rig.url}/v1/chat/completions", json=body, headers=stage.rig.bearer)
    return answer.status_code, answer.text


async def test_throttled_in_the_middle(stage: Stage) -> None:
    kiro = await keyed(stage)
    kiro.says = [failing(Said("Hello, how are you?"), "ThrottlingException", "Too many requests.")]
    status, text = await raw(stage, stream=True)
    assert status == 200 and "Hello" in text and "Too many requests." in text and "[DONE]" not in text
    row = await stage.row()
    assert (row["outcome"], row["error"]["kind"]) == ("cut", "account_rate_limited")
    (account,) = (await stage.rig.gateway.admin.accounts())["accounts"]
    await stage.until(lambda one: bool(one["cooldowns"]), account["id"])


async def test_throttled_before_the_first_word_another_account_answers(stage: Stage) -> None:
    kiro = await keyed(stage, priority=1)
    options = {"endpoints": {"inference": stage.upstream.url}}
    await stage.rig.account("kiro", "second", api_key=KEY, base_url="", model_map={}, models=[MODEL], options=options)
    kiro.says = [failing(Said(), "ThrottlingException", "Too many requests."), told(Said("Hello"))]
    for streamed in (False, True):
        heard = await stage.ask("openai", {"model": MODEL, **ASKING["openai"]}, streamed=streamed)
        assert heard.text == "Hello"


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_cut_is_no_answer(stage: Stage, streamed: bool) -> None:
    kiro = await keyed(stage)
    data = event("assistantResponseEvent", {"content": "Hello"}) + event("assistantResponseEvent", {"content": "you"})
    kiro.says = [stream(data[:-3])]
    status, text = await raw(stage, stream=streamed)
    assert ("Hello" in text, "[DONE]" in text, status) == (streamed, False, 200 if streamed else 503)
    assert "broke off" in text


async def test_a_used_up_month_takes_the_account_out_until_it_is_over(stage: Stage) -> None:
    kiro = await keyed(stage)
    kiro.says = [refusal(402, "ServiceQuotaExceededException", "You have reached the limit.", "MONTHLY_REQUEST_COUNT")]
    status, text = await raw(stage)
    assert status in (429, 503) and "You have reached the limit." in text and KEY not in text


async def test_a_probe_is_answered(stage: Stage) -> None:
    kiro = await keyed(stage)
    kiro.says = [told(Said("p"))]
    (account,) = stage.rig.gateway.snapshot.accounts
    request, streamed = ping(account, MODEL, {})
    status, headers, body = await stage.rig.gateway.upstream.fetch(request, 5)
    heard = hear(account.wire, status, headers, body, stream=streamed, estimated_input=9)
    assert streamed and (heard.usage.input, heard.usage.output, heard.source) == (9, 1, "counted")


async def test_its_models_are_asked(stage: Stage) -> None:
    await keyed(stage)
    (account,) = (await stage.rig.gateway.admin.accounts())["accounts"]
    result = await stage.rig.gateway.admin.test(account["id"])
    assert result["ok"] and result["models"] == ["auto", "claude-sonnet-4.5"]
