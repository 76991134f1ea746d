"""Local commands behind every client format, through a real server. (R-14…R-16, C-06, C-33, P-19)"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.live.processes import BUSY_S, CHAT, MESSAGES, soon
from tests.serving import Rig

Json = dict[str, Any]
RESPONSES, GEMINI = "/v1/responses", "/v1beta/models/echo:generateContent"

ECHO = """
import sys
print("You said:", end=" ", flush=True)
print(sys.stdin.read())
"""
CLAUDE = r"""#!{python}
import json, sys
def say(**value): print(json.dumps(value), flush=True)
args = sys.argv[1:]
if args[:2] == ["auth", "status"]:
    sys.exit({signed_out})
prompt, model = sys.stdin.read(), args[args.index("--model") + 1]
text = {{"type": "text", "text": model + " heard " + prompt}}
message = {{"id": "m1", "model": "claude-" + model + "-5", "role": "assistant", "content": [text]}}
say(type="system", subtype="init")
say(type="assistant", message=message, parent_tool_use_id=None)
limit = {{"status": "allowed", "rateLimitType": "five_hour", "resetsAt": 4102444800, "utilization": 0.25}}
say(type="rate_limit_event", rate_limit_info=limit)
say(type="result", subtype="success", is_error={is_error}, result={result!r}, stop_reason="end_turn", api_error_status={status},
    usage={{"input_tokens": 11, "output_tokens": 5}})
"""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path / "home", PATH=os.environ["PATH"], HOME=str(tmp_path), ANTHROPIC_API_KEY="") as found:
        yield found


async def ask(rig: Rig, path: str, body: Json, method: str = "POST") -> tuple[int, Any, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.request(method, rig.url + path, json=body, headers=rig.bearer) as response:
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text, dict(response.headers)


async def echo(rig: Rig, tmp_path: Path, **more: Any) -> Json:
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    options = {"command": {"argv": [sys.executable, str(script)], "models": ["echo"]}, **more.pop("options", {})}
    return await rig.gateway.admin.add_account({"provider": "command", "label": "shell", "options": options, **more})


async def claude(rig: Rig, tmp_path: Path, *, signed_out: int = 0, refusal: str = "", status: int | None = None) -> Json:
    program = tmp_path / "claude"
    script = CLAUDE.format(python=sys.executable, signed_out=signed_out, is_error=bool(refusal), result=refusal, status=status)
    program.write_text(script)
    program.chmod(0o700)
    return await rig.gateway.admin.add_account({"provider": "claude-code", "options": {"command": {"program": str(program)}}})


def chat(text: str = "hi", **more: Any) -> Json:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **more}


ASKED = {
    CHAT: (chat(), lambda told: told["choices"][0]["message"]["content"]),
    RESPONSES: ({"model": "echo", "input": "hi"}, lambda told: told["output"][-1]["content"][0]["text"]),
    MESSAGES: ({**chat(), "max_tokens": 100}, lambda told: told["content"][0]["text"]),
    GEMINI: (
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        lambda told: told["candidates"][0]["content"]["parts"][0]["text"],
    ),
    "/v1/completions": ({"model": "echo", "prompt": "hi"}, lambda told: told["choices"][0]["text"]),
}


@pytest.mark.parametrize("path", ASKED)
async def test_a_command_answers_every_client_format(rig: Rig, tmp_path: Path, path: str) -> None:
    added = await echo(rig, tmp_path)
    assert (added["auth"], added["status"], added["test"]["ok"], added["models"]) == ("cli", "ready", True, [])
    body, text = ASKED[path]
    status, told, headers = await ask(rig, path, body)
    assert (status, text(told)) == (200, "You said: hi")
    assert headers["x-omni-account"] == "shell"
    row = (await rig.rows())[0]
    assert (row["usage"]["source"], row["account"]["label"], row["outcome"]) == ("counted", "shell", "ok")
    assert row["usage"]["input"] > 0
    assert row["usage"]["output"] > 0


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
async def test_it_streams_in_every_format(rig: Rig, tmp_path: Path, path: str) -> None:
    await echo(rig, tmp_path)
    status, told, _ = await ask(rig, path, {**ASKED[path][0], "stream": True, "stream_options": {"include_usage": True}})
    assert status == 200
    assert "You said:" in told
    assert told.index("You said:") < told.index(" hi"), "the first words are there before the last"
    if path == CHAT:
        assert '"usage_source":"counted"' in told
        assert told.endswith("data: [DONE]\n\n")


async def test_it_counts_against_its_price_and_is_listed(rig: Rig, tmp_path: Path) -> None:
    added = await echo(
        rig, tmp_path, options={"price_id": "anthropic"}, model_map={"claude-sonnet-4-5": "claude-sonnet-4-5"}, budget={"amount": 5}
    )
    status, _, headers = await ask(rig, CHAT, chat("one two three", model="shell/claude-sonnet-4-5"))
    assert status == 200
    assert float(headers["x-omni-cost"]) > 0
    await rig.rows()
    shown = await rig.gateway.admin.account(added["id"])
    assert float(shown["cost_today"]) > 0
    assert (shown["budget"]["amount"], shown["budget"]["spent_usd"]) == ("5", shown["cost_today"])
    await rig.gateway.admin.edit_account(added["id"], {"budget": {"amount": shown["cost_today"]}})
    status, told, _ = await ask(rig, CHAT, chat("one two three", model="shell/claude-sonnet-4-5"))
    assert status == 503 and "the budget of shell is spent" in told["error"]["provider_failures"][0]["message"]
    names = [model["id"] for model in (await ask(rig, "/v1/models", {}, "GET"))[1]["data"]]
    assert "echo" in names


async def test_what_it_cannot_do_is_refused_and_what_it_does_not_hear_is_named(rig: Rig, tmp_path: Path) -> None:
    await echo(rig, tmp_path)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    status, told, _ = await ask(rig, CHAT, chat(tools=[tool]))
    assert (status, told["error"]["param"]) == (400, "tools")
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert (await ask(rig, CHAT, {"model": "echo", "messages": [{"role": "user", "content": picture}]}))[0] == 400
    assert (await ask(rig, "/v1/images/generations", {"model": "echo", "prompt": "x"}))[0] >= 400
    _, _, headers = await ask(rig, CHAT, chat(temperature=0.5, max_tokens=10, stop=["x"], seed=1))
    assert {"temperature", "max_tokens", "stop", "seed"} <= set(headers["x-omni-dropped"].split(", "))


async def test_a_client_that_leaves_ends_the_program(rig: Rig, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    script = tmp_path / "talks.py"
    script.write_text(
        f"import os, time\nopen({str(noted)!r}, 'w').write(str(os.getpid()))\nwhile True: print('x', flush=True); time.sleep(.05)"
    )
    await rig.gateway.admin.add_account(
        {"provider": "command", "label": "talks", "models": ["talks"], "options": {"command": {"argv": [sys.executable, str(script)]}}}
    )
    streamed = chat(model="talks", stream=True)
    async with aiohttp.ClientSession() as session, session.post(rig.url + CHAT, json=streamed, headers=rig.bearer) as response:
        await response.content.readany()
        await soon(lambda: noted.exists() and noted.read_text())
        response.close()
    await soon(lambda: not Path(f"/proc/{noted.read_text()}").exists())
    assert (await rig.rows())[0]["flag"] == "CLIENT_LEFT"


async def test_a_burst_waits_for_the_places_there_are(rig: Rig, tmp_path: Path) -> None:
    script = tmp_path / "counts.py"
    here = tmp_path / "on"
    here.mkdir()
    script.write_text(
        f"import os, time\nname = os.path.join({str(here)!r}, str(os.getpid()))\nopen(name, 'w')\ntime.sleep(.02)\n"
        f"print(len(os.listdir({str(here)!r})))\nos.remove(name)"
    )
    command = {"argv": [sys.executable, str(script)], "models": ["counts"], "max_in_flight": 2, "max_waiting": 18}
    await rig.gateway.admin.add_account({"provider": "command", "options": {"command": command}})
    told = await asyncio.gather(*(ask(rig, CHAT, chat(model="counts")) for _ in range(20)))
    assert {status for status, _, _ in told} == {200}
    assert max(int(body["choices"][0]["message"]["content"]) for _, body, _ in told) <= 2


# ---------------------------------------------------------------- Claude Code


@pytest.mark.parametrize("model", ["opus", "sonnet", "haiku"])
async def test_three_names_reach_claude_code_without_configuration(rig: Rig, tmp_path: Path, model: str) -> None:  # C-06, C-33, P-19
    await claude(rig, tmp_path)
    await rig.account("anthropic", "api", models=["claude-opus-5", "claude-sonnet-5", "claude-haiku-4-5"])
    status, told, headers = await ask(rig, MESSAGES, {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    assert (status, told["content"][0]["text"], told["model"]) == (200, f"{model} heard hi", model)
    assert (headers["x-omni-provider"], headers["x-omni-cost"]) == ("claude-code", "0.000000")
    row = (await rig.rows())[0]
    assert (row["usage"]["source"], row["usage"]["input"], row["usage"]["output"]) == ("reported", 11, 5)


async def test_its_limits_become_the_accounts_quota(rig: Rig, tmp_path: Path) -> None:
    added = await claude(rig, tmp_path)
    assert (await ask(rig, CHAT, chat(model="opus", stream=True)))[0] == 200
    await rig.rows()
    await rig.gateway.poller.arrange()
    quota = (await rig.gateway.admin.account(added["id"]))["quota"]
    assert [(window["name"], window["used"], window["resets_at"]) for window in quota] == [("5h", 25.0, 4102444800000)]


async def test_the_older_name_of_the_provider_leads_there_too(rig: Rig, tmp_path: Path) -> None:  # C-06
    await claude(rig, tmp_path)
    status, _, headers = await ask(rig, f"/claudeCode-custom{CHAT}", chat(model="sonnet"))
    assert (status, headers["x-omni-provider"]) == (200, "claude-code")


async def test_who_is_signed_out_is_told_how_to_sign_in(rig: Rig, tmp_path: Path) -> None:
    added = await claude(rig, tmp_path, signed_out=1)
    assert (added["test"]["ok"], added["status"]) == (False, "needs_login")
    assert "claude auth login" in added["test"]["message"]


async def test_a_sign_in_that_ended_takes_the_account_out_and_the_limit_does_for_its_time(rig: Rig, tmp_path: Path) -> None:
    added = await claude(rig, tmp_path, refusal="Please run /login")
    status, told, _ = await ask(rig, CHAT, chat(model="opus"))
    assert status == 503
    assert "/login" in told["error"]["provider_failures"][0]["message"]
    await _until(rig, added["id"], lambda account: account["status"] == "needs_login")
    await rig.gateway.admin.remove_account(added["id"])
    added = await claude(rig, tmp_path, refusal="Claude AI usage limit reached|9999999999")
    assert (await ask(rig, CHAT, chat(model="opus")))[0] == 503
    await _until(rig, added["id"], lambda account: (account["cooldown"] or {}).get("source") == "stated")


async def _until(rig: Rig, account_id: str, holds: Callable[[Json], bool]) -> None:
    """What a failure leaves is stored beside the answer, not before it."""
    async with asyncio.timeout(BUSY_S):
        while not holds(await rig.gateway.admin.account(account_id)):
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- Who may define one


async def test_no_client_key_can_define_a_command(rig: Rig) -> None:
    body = {"provider": "command", "label": "evil", "options": {"command": {"argv": ["id"]}}}
    for path in ("/api/accounts", "/v1/router/config/backend", "/api/accounts/import"):
        assert (await ask(rig, path, body))[0] in (401, 403, 404, 405)
    status, _, _ = await ask(rig, CHAT, {**chat(model="demo"), "options": body["options"], "command": body["options"]["command"]})
    assert status == 503, "nobody is connected, and nobody was run"
    assert not rig.gateway.snapshot.accounts


async def test_the_admin_is_told_what_is_wrong_with_one(rig: Rig, tmp_path: Path) -> None:
    from omni_connector.errors import GatewayError

    admin = rig.gateway.admin
    for body, param in (
        ({"options": {}}, "options.command.argv"),
        ({"options": {"command": {"argv": ["x", "a\0"]}}}, "options.command.argv"),
        ({"options": {"command": {"argv": ["x"]}}, "api_key": "sk-1234567890"}, "api_key"),
        ({"options": {"command": {"argv": ["x"]}}, "base_url": "http://x"}, "base_url"),
    ):
        with pytest.raises(GatewayError) as caught:
            await admin.add_account({"provider": "command", **body})
        assert caught.value.param == param
    added = await echo(rig, tmp_path)
    with pytest.raises(GatewayError, match=r"options\.command\.argv"):
        await admin.edit_account(added["id"], {"options": {"command": {"argv": []}}})
    with pytest.raises(GatewayError, match="no program of this machine"):
        await admin.add_account({"provider": "openai", "auth": "cli", "api_key": "sk-1234567890"})
    missing = await admin.add_account({"provider": "command", "label": "gone", "options": {"command": {"argv": ["no-such-program"]}}})
    assert "no program 'no-such-program'" in missing["test"]["message"]
    listed = {row["id"]: row for row in (await admin.providers())["providers"]}
    assert list(listed["claude-code"]["command"]) == ["claude-code"]
    assert {"codex-exec", "ollama-run", "generic"} <= set(listed["command"]["command"])
    assert listed["openai"]["command"] is None
