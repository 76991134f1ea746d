"""Accounts behind a Google sign-in, over the wire: the vendors' SDKs in front, the strict mock behind. R-39, R-53, P-18, P-21, P-50"""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.pinging import hear, ping
from omni_connector.store import accounts as rows
from omni_connector.tokens import Tokens
from tests.code_assist_server import PLAIN, PROJECT, SKIP, TOKEN, VARIANT, CodeAssist, google_error
from tests.live.answers import Call, Said
from tests.live.answers_more import gemini_stream, gemini_whole
from tests.live.conftest import Json, Stage
from tests.serving import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
SERVED = {"gemini-cli": "gemini-2.5-pro", "antigravity": "gemini-3-flash"}
EACH = pytest.mark.parametrize("provider", SERVED)
WEATHER = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Berlin"]}}}
ASKING: dict[str, Json] = {
    "openai": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 17_777},
    "anthropic": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 17_777},
    "responses": {"input": "Hi", "max_output_tokens": 17_777},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 17_777}},
}


async def signed_in(stage: Stage, provider: str, *models: str) -> CodeAssist:
    """A signed-in account whose every address is the mock."""
    google = CodeAssist(variant=provider == "antigravity")
    stage.upstream.answer(google)
    options = {"endpoints": {"inference": stage.upstream.url}, "project": PROJECT}
    more: Any = {"base_url": "", "model_map": {}, "models": list(models or (SERVED[provider],)), "options": options}
    account = await stage.rig.account(provider, provider, **more)
    gateway = stage.rig.gateway
    change = {"auth": "oauth", "secret": Tokens(TOKEN, "refresh").encode()}
    await gateway.db.tx(lambda conn: rows.update(conn, gateway.vault, account["id"], change))
    await gateway.reload()
    return google


def told(said: Said, streamed: bool) -> Answer:
    return gemini_stream(said) if streamed else gemini_whole(said)


@EACH
@STREAMED
@pytest.mark.parametrize("client", ASKING)
async def test_every_client_is_answered(stage: Stage, client: str, streamed: bool, provider: str) -> None:
    google = await signed_in(stage, provider)
    google.says = [told(Said("Good day.", thoughts="Hm.", signature="c2ln"), streamed)]
    heard = await stage.ask(client, {"model": SERVED[provider], **ASKING[client]}, streamed=streamed)
    assert (heard.text, heard.model) == ("Good day.", SERVED[provider])
    ((call, body),) = google.seen
    assert call == ("streamGenerateContent" if streamed else "generateContent")
    assert body.keys() == (VARIANT if google.variant else PLAIN) and body["project"] == PROJECT
    assert body["request"]["generationConfig"]["maxOutputTokens"] == 17_777
    row = await stage.row()
    assert (row["usage"]["input"], row["usage"]["source"], row["provider"]) == (21, "reported", provider)


@EACH
async def test_without_a_limit_none_is_put_in(stage: Stage, provider: str) -> None:
    google = await signed_in(stage, provider)
    google.says = [gemini_whole(Said("ok"))]
    await stage.ask("openai", {"model": SERVED[provider], "messages": [{"role": "user", "content": "Hi"}]})
    assert "maxOutputTokens" not in google.seen[0][1]["request"].get("generationConfig", {})


@STREAMED
@pytest.mark.parametrize(
    ("provider", "model"), [("gemini-cli", "gemini-3-pro-preview"), ("antigravity", "gemini-3-flash"), ("antigravity", "claude-sonnet-4-6")]
)
async def test_a_tool_loop_keeps_its_signatures(stage: Stage, provider: str, model: str, streamed: bool) -> None:
    google = await signed_in(stage, provider, model)
    calls = (Call("call_1", "get_weather", {"city": "Berlin"}), Call("call_2", "ping", {}))
    google.says = [told(Said(thoughts="Hm.", signature="c2ln", calls=calls), streamed), told(Said("Sunny."), streamed)]
    tools = [{"name": "get_weather", "input_schema": WEATHER}, {"name": "ping", "input_schema": {"type": "object"}}]
    ask: Json = {"model": model, "max_tokens": 4000, "tools": tools, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    question = {"role": "user", "content": "And?"}
    first = await stage.ask("anthropic", {**ask, "messages": [question]}, streamed=streamed)
    assert [(name, given) for _, name, given in first.calls] == [("get_weather", {"city": "Berlin"}), ("ping", {})]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": "fine"} for call_id, *_ in first.calls]
    said = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.message.content]}
    again = await stage.ask("anthropic", {**ask, "messages": [question, said, {"role": "user", "content": results}]}, streamed=streamed)
    assert again.text == "Sunny."
    contents = google.seen[-1][1]["request"]["contents"]
    parts = [part for content in contents for part in content["parts"]]
    assert [part["thoughtSignature"] for part in parts if "thoughtSignature" in part][:1] == ["c2ln"]
    assert SKIP not in json.dumps(contents) or provider == "gemini-cli" or model.startswith("gemini")
    assert [part["functionResponse"]["name"] for part in parts if "functionResponse" in part] == ["get_weather", "ping"]


@pytest.mark.parametrize(
    ("name", "told_how"),
    [
        ("antigravity/high/gemini-3-flash", {"thinkingLevel": "HIGH"}),
        ("antigravity/minimal/gemini-3-flash", {"thinkingLevel": "MINIMAL"}),
        ("antigravity/medium/claude-sonnet-4-6", {"thinkingBudget": 8192}),
        ("antigravity/low/claude-opus-4-6-thinking", {"thinkingBudget": 1024}),
    ],
)
async def test_the_level_in_a_name(stage: Stage, name: str, told_how: Json) -> None:  # P-48, P-50
    google = await signed_in(stage, "antigravity", "gemini-3-flash", "claude-sonnet-4-6", "claude-opus-4-6-thinking")
    google.says = [gemini_whole(Said("ok"))]
    await stage.ask("openai", {"model": name, "messages": [{"role": "user", "content": "Hi"}]})
    thinking = google.seen[0][1]["request"]["generationConfig"]["thinkingConfig"]
    assert {key: value for key, value in thinking.items() if key != "includeThoughts"} == told_how


async def test_what_the_owner_must_do_reaches_the_client(stage: Stage) -> None:
    google = await signed_in(stage, "gemini-cli")
    link = "https://accounts.google.com/verify"
    google.says = [google_error(403, "PERMISSION_DENIED", "Verify your account", "VALIDATION_REQUIRED", validation_link=link)]
    body = {"model": SERVED["gemini-cli"], "messages": [{"role": "user", "content": "Hi"}]}
    answer = await stage.clients.http.post(f"{stage.rig.url}/v1/chat/completions", json=body, headers=stage.rig.bearer)
    assert answer.status_code == 503 and link in answer.text and TOKEN not in answer.text


@EACH
async def test_a_probe_is_answered(stage: Stage, provider: str) -> None:
    google = await signed_in(stage, provider)
    google.says = [gemini_whole(Said("p"))]
    (account,) = stage.rig.gateway.snapshot.accounts
    request, streamed = ping(account, SERVED[provider], {})
    status, headers, body = await stage.rig.gateway.upstream.fetch(request, 5)
    heard = hear(account.wire, status, headers, body, stream=streamed, estimated_input=1)
    assert (heard.usage.input, google.seen[0][1]["request"]["generationConfig"]["maxOutputTokens"]) == (21, 1)


@EACH
async def test_its_counter_and_its_models_are_asked(stage: Stage, provider: str) -> None:  # P-43, R-37
    google = await signed_in(stage, provider)
    google.quota = {"buckets": [{"modelId": "gemini-9-pro"}]}
    google.listed = {"gemini-9-pro": {}, "tab_x": {}}
    count = await stage.clients.anthropic.messages.count_tokens(
        model=SERVED[provider], messages=[{"role": "user", "content": "Hi"}], system="Be brief."
    )
    assert count.input_tokens == 11
    (account,) = (await stage.rig.gateway.admin.accounts())["accounts"]
    result = await stage.rig.gateway.admin.test(account["id"])
    assert result["ok"] and "gemini-9-pro" in result["models"]
    assert ("gemini-2.5-flash" in result["models"]) == (provider == "gemini-cli")
