"""ChatGPT plans over the wire: the vendors' SDKs in front, the strict mock behind. P-02, P-08, P-20, P-48, P-49"""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest

from omni_connector.pinging import hear, ping
from omni_connector.store import accounts as rows
from omni_connector.tokens import Tokens
from tests.codex_server import ACCOUNT, TOKEN, Codex, failing, limited, refusal
from tests.live.answers import Call, Said
from tests.live.answers_more import responses_stream
from tests.live.conftest import Json, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
EACH = pytest.mark.parametrize("provider", ["codex", "chatgpt"])
MODEL = "gpt-5.5"
HI: Json = {"messages": [{"role": "user", "content": "Hi"}]}
ASKING: dict[str, Json] = {
    "openai": {
        "messages": [{"role": "system", "content": "Be brief."}, *HI["messages"]],
        "max_tokens": 99,
        "temperature": 0.2,
        "user": "u",
    },
    "anthropic": {**HI, "system": "Be brief.", "max_tokens": 99, "extra_body": {"temperature": 0.2}},
    "responses": {
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_output_tokens": 99,
        "temperature": 0.2,
        "truncation": "auto",
        "store": True,
        "metadata": {"a": "b"},
    },
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 99, "temperature": 0.2}},
}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
LONG = "mcp__some_server_with_a_long_name__" + "get_the_weather_of_a_city_" * 3


async def signed_in(stage: Stage, provider: str, label: str = "", **more: Any) -> Codex:
    """A signed-in account whose every address is the mock."""
    codex = Codex(plan=provider == "chatgpt")
    stage.upstream.answer(codex)
    await connected(stage, provider, label or provider, **more)
    return codex


async def connected(stage: Stage, provider: str, label: str, **more: Any) -> Json:
    options = {"endpoints": {"inference": f"{stage.upstream.url}/backend-api/codex"}, "identity": {"account_id": ACCOUNT}}
    fields: Any = {"base_url": "", "model_map": {}, "models": [MODEL], "options": options, **more}
    account = await stage.rig.account(provider, label, **fields)
    gateway = stage.rig.gateway
    change = {"auth": "oauth", "secret": Tokens(TOKEN, "refresh").encode()}
    await gateway.db.tx(lambda conn: rows.update(conn, gateway.vault, account["id"], change))
    await gateway.reload()
    return dict(account)


@EACH
@STREAMED
@pytest.mark.parametrize("client", ASKING)
async def test_every_client_is_answered(stage: Stage, client: str, streamed: bool, provider: str) -> None:  # P-20
    codex = await signed_in(stage, provider)
    codex.says = [responses_stream(Said("Good day.", thoughts="Hm.", signature="gAAAA-mine"))]
    heard = await stage.ask(client, {"model": MODEL, **ASKING[client]}, streamed=streamed)
    assert (heard.text, heard.model) == ("Good day.", MODEL)
    (body,) = codex.seen
    assert (body["store"], body["stream"], body["include"]) == (False, True, ["reasoning.encrypted_content"])
    said = body["instructions"] or body["input"][0]["content"][0]["text"]
    assert said == "Be brief." or client == "gemini"
    row = await stage.row()
    assert (row["usage"]["input"], row["usage"]["source"], row["provider"]) == (21, "reported", provider)
    assert any("max" in name for name in row["dropped"]), row["dropped"]


async def test_it_says_who_it_is_and_whose_account(stage: Stage) -> None:
    codex = await signed_in(stage, "codex")
    codex.says = [responses_stream(Said("ok"))]
    await stage.ask("openai", {"model": MODEL, **HI})
    (headers,) = codex.headers
    assert (headers["originator"], headers["chatgpt-account-id"]) == ("omni-connector", ACCOUNT)
    assert headers["user-agent"].startswith("omni-connector/")


@EACH
@STREAMED
async def test_a_tool_loop_with_names_that_are_too_long(stage: Stage, provider: str, streamed: bool) -> None:
    codex = await signed_in(stage, provider)
    tools = [{"name": LONG, "input_schema": SCHEMA}, {"name": "ping", "input_schema": SCHEMA}]
    ask: Json = {"model": MODEL, "max_tokens": 4000, "tools": tools}
    question = {"role": "user", "content": "And?"}

    def called(seen: Json) -> Said:
        listed = seen["tools"][0]["tools"] if provider == "chatgpt" else seen["tools"]
        return Said(signature="gAAAA-mine", calls=(Call("call_1", listed[0]["name"], {"city": "Berlin"}), Call("call_2", "ping", {})))

    await _first_seen(stage, codex, ask, question)
    codex.says = [responses_stream(called(codex.seen[0])), responses_stream(Said("Sunny."))]
    first = await stage.ask("anthropic", {**ask, "messages": [question]}, streamed=streamed)
    assert [(name, given) for _, name, given in first.calls] == [(LONG, {"city": "Berlin"}), ("ping", {})]
    said = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.message.content]}
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": "fine"} for call_id, *_ in first.calls]
    again = await stage.ask("anthropic", {**ask, "messages": [question, said, {"role": "user", "content": results}]}, streamed=streamed)
    assert again.text == "Sunny."
    items = codex.seen[-1]["input"]
    assert [item["type"] for item in items] == [
        *("message", "reasoning", "function_call", "function_call", "function_call_output", "function_call_output")
    ]
    assert items[1]["encrypted_content"] == "gAAAA-mine"


async def _first_seen(stage: Stage, codex: Codex, ask: Json, question: Json) -> None:
    """What the tools are called there."""
    codex.says = [responses_stream(Said("ok"))]
    await stage.ask("anthropic", {**ask, "messages": [question]})


@STREAMED
async def test_thoughts_that_nobody_there_can_read_are_left_out_once(stage: Stage, streamed: bool) -> None:
    codex = await signed_in(stage, "codex")
    codex.says = [responses_stream(Said("ok"))]
    items = [
        {"type": "reasoning", "id": "rs_0", "summary": [], "encrypted_content": "gAAAA-of-somebody-else"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And?"}]},
    ]
    heard = await stage.ask("responses", {"model": MODEL, "input": items}, streamed=streamed)
    assert heard.text == "ok"
    assert [[item["type"] for item in body["input"]] for body in codex.seen] == [
        ["reasoning", "message", "message"],
        ["message", "message"],
    ]
    row = await stage.row()
    assert [attempt["kind"] for attempt in row["attempts"]] == ["bad_request", None]
    assert "messages[].reasoning" in row["dropped"]


async def test_and_not_a_second_time(stage: Stage) -> None:
    codex = await signed_in(stage, "codex")
    codex.says = [refusal(400, "invalid_encrypted_content")]
    with pytest.raises(openai.BadRequestError):
        await stage.ask("responses", {"model": MODEL, "input": "Hi"})
    assert len(codex.seen) == 2


@STREAMED
@pytest.mark.parametrize("inside", [False, True], ids=["status", "stream"])
async def test_a_used_up_plan_waits_until_it_says(stage: Stage, inside: bool, streamed: bool) -> None:
    codex = await signed_in(stage, "codex", "first", priority=9)
    await connected(stage, "codex", "second")
    until = int(time.time()) + 7200
    spent = failing("rate_limit_exceeded", type="usage_limit_reached", resets_at=until) if inside else limited(until)
    codex.says = [spent, responses_stream(Said("ok"))]
    heard = await stage.ask("openai", {"model": MODEL, **HI}, streamed=streamed)
    assert heard.text == "ok"
    accounts = {account["label"]: account for account in (await stage.rig.gateway.admin.accounts())["accounts"]}
    (cooldown,) = await _cooldowns(stage, accounts["first"]["id"])
    assert (cooldown.scope, cooldown.source) == ("", "stated")
    assert abs(cooldown.until_at / 1000 - until) < 5
    assert not await _cooldowns(stage, accounts["second"]["id"])


async def _cooldowns(stage: Stage, account_id: str) -> list[Any]:
    gateway = stage.rig.gateway
    await stage.until(lambda account: True, account_id)
    return list(gateway.pool.cooldowns(account_id))


async def test_a_plan_that_shares_no_more_names_the_page(stage: Stage) -> None:
    codex = await signed_in(stage, "chatgpt")
    codex.says = [refusal(429, "subscription_sharing_usage_limit_exceeded", message="Limit reached")]
    answer = await stage.clients.http.post(f"{stage.rig.url}/v1/chat/completions", json={"model": MODEL, **HI}, headers=stage.rig.bearer)
    assert answer.status_code in (429, 503) and "https://chatgpt.com/settings/usage" in answer.text and TOKEN not in answer.text


async def test_a_request_that_is_wrong_puts_nobody_out(stage: Stage) -> None:
    codex = await signed_in(stage, "codex")
    codex.says = [refusal(400, "context_length_exceeded", message="Your input exceeds the context window")]
    with pytest.raises(openai.BadRequestError) as caught:
        await stage.ask("openai", {"model": MODEL, **HI})
    assert caught.value.code == "context_length_exceeded"
    (account,) = stage.rig.gateway.snapshot.accounts
    assert not stage.rig.gateway.pool.cooldowns(account.id)


@pytest.mark.parametrize("level", ["low", "medium", "high", "xhigh"])
async def test_the_level_in_a_name(stage: Stage, level: str) -> None:  # P-08, P-49
    codex = await signed_in(stage, "codex")
    codex.says = [responses_stream(Said("ok"))]
    await stage.ask("openai", {"model": f"codex/{level}/{MODEL}", **HI})
    assert codex.seen[0]["reasoning"]["effort"] == level


@EACH
async def test_the_name_of_the_vendor_means_the_plan_while_there_is_no_key(stage: Stage, provider: str) -> None:  # P-48
    codex = await signed_in(stage, provider)
    codex.says = [responses_stream(Said("ok"))]
    for head in ("openai", "codex"):
        assert (await stage.ask("openai", {"model": f"{head}/{MODEL}", **HI})).text == "ok"


async def test_one_plan_at_a_time_where_the_terms_forbid_pooling(stage: Stage) -> None:
    codex = await signed_in(stage, "chatgpt", "first")
    await connected(stage, "chatgpt", "second")
    first, second = stage.rig.gateway.snapshot.accounts
    assert first.enabled and not second.enabled and "first" in second.switched_off
    codex.says = [refusal(429, "subscription_sharing_usage_limit_exceeded")]
    answer = await stage.clients.http.post(f"{stage.rig.url}/v1/chat/completions", json={"model": MODEL, **HI}, headers=stage.rig.bearer)
    assert answer.status_code >= 429 and len(codex.seen) == 1  # the second one's limits are not the first one's


async def test_it_is_not_asked_for_what_it_has_not(stage: Stage) -> None:
    codex = await signed_in(stage, "codex")
    with pytest.raises(openai.APIStatusError):
        await stage.clients.openai.embeddings.create(model=MODEL, input="Hi")
    assert not codex.headers


async def test_a_probe_is_answered(stage: Stage) -> None:
    codex = await signed_in(stage, "codex")
    codex.says = [responses_stream(Said("p"))]
    (account,) = stage.rig.gateway.snapshot.accounts
    request, streamed = ping(account, MODEL, {})
    status, headers, body = await stage.rig.gateway.upstream.fetch(request, 5)
    assert (streamed, hear(account.wire, status, headers, body, stream=streamed, estimated_input=1).usage.input) == (True, 21)
