"""Looking at this machine: what is there, and what of it is connected already."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from omni_connector.admin import Admin, TestResult, discovering
from omni_connector.local_logins import Machine
from omni_connector.snapshot import Account

Json = dict[str, Any]
NOTHING = TestResult(False, None, "nothing answers")


def answering(admin: Admin, answers: dict[str, TestResult]) -> None:
    async def ask(account: Account) -> TestResult:
        return answers.get(account.provider, NOTHING)

    admin._test_account = ask


async def found(admin: Admin) -> dict[str, Json]:
    told = await admin.discover()
    assert "SECRET" not in json.dumps(told)
    return {one["id"]: one for one in told["found"]}


async def test_keys_servers_and_programs(admin: Admin, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    admin.machine = Machine(tmp_path, {"OPENAI_API_KEY": "sk-SECRET-1", "PATH": str(program.parent)})
    answering(admin, {"ollama": TestResult(True, 200, "", ("qwen3",)), "vllm": TestResult(True, 404, "")})
    there = await found(admin)
    assert set(there) == {"claude-code", "env:OPENAI_API_KEY", "ollama"}
    assert there["ollama"]["models"] == ["qwen3"]
    assert all(one["already"] is None for one in there.values())
    connected = {
        "env:OPENAI_API_KEY": await admin.add_account({"provider": "openai", "label": "mine", "api_key": "sk-SECRET-1", "discover": False}),
        "ollama": await admin.add_account(
            {"provider": "ollama", "label": "box", "base_url": "http://127.0.0.1:11434/v1", "discover": False}
        ),
        "claude-code": await admin.add_account({"provider": "claude-code", "label": "cc", "discover": False}),
    }
    assert {name: one["already"] for name, one in (await found(admin)).items()} == {name: one["id"] for name, one in connected.items()}


async def test_a_port_that_hangs_holds_nobody_up(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovering, "PORT_S", 0.01)

    async def ask(account: Account) -> TestResult:
        await asyncio.get_running_loop().create_future()
        return NOTHING

    admin._test_account = ask
    async with asyncio.timeout(30):
        assert await found(admin) == {}


async def test_a_broken_file_stops_nothing(admin: Admin, tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "auth.json").write_text('{"tokens": {"access_token": "at-SECRET')
    admin.machine = Machine(tmp_path, {})
    answering(admin, {})
    assert (await found(admin))["codex"]["why_not"] == "The file is not valid JSON."
