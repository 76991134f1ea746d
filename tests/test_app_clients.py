"""Setting programs up over HTTP, and what an agent is told: only this machine's owner may ask for the first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.desk import ELSEWHERE, Desk, closed, error_of, opened


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    (tmp_path / "user").mkdir()
    found = await opened(migrated_home, tmp_path / "omni", HOME=str(tmp_path / "user"), OMNI_ALLOW_REMOTE="1")
    yield found
    await closed(found)


async def test_a_program_is_set_up_and_taken_back(desk: Desk, tmp_path: Path) -> None:  # P-57
    listed = await (await desk.ask("GET", "/api/clients", **desk.admin)).get_json()
    assert {row["name"] for row in listed["clients"]} >= {"claude-code", "codex", "cursor", "other"}
    answer = await desk.ask("POST", "/api/clients/claude-code/setup", {"prove": False}, **desk.admin)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    assert (tmp_path / "user/.claude/settings.json").exists()
    assert (await desk.ask("POST", "/api/clients/claude-code/undo", **desk.admin)).status_code == 200
    assert list((tmp_path / "user").iterdir()) == []
    missing = await desk.ask("POST", "/api/clients/nope/setup", **desk.admin)
    assert missing.status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/codex/setup"), ("POST", "/codex/undo")])
async def test_only_from_this_machine_and_only_for_the_owner(desk: Desk, method: str, path: str) -> None:
    from_elsewhere = await desk.ask(method, f"/api/clients{path}", peer=ELSEWHERE, **desk.admin)
    assert from_elsewhere.status_code == 403
    assert "own machine" in (await error_of(from_elsewhere))["message"]
    assert (await desk.ask(method, f"/api/clients{path}", x_forwarded_for="192.0.2.7", **desk.admin)).status_code == 403
    assert (await desk.ask(method, f"/api/clients{path}", signed=False)).status_code == 401


async def test_what_an_agent_is_told_has_the_address_filled_in(desk: Desk) -> None:  # O-06
    text = await (await desk.ask("GET", "/llms.txt", signed=False, host="gate.example:1")).get_data(as_text=True)
    block = (await (await desk.ask("GET", "/api/agent-prompt", host="gate.example:1", **desk.admin)).get_json())["text"]
    assert "Base URL: http://gate.example:1/v1\n" in block
    assert block in text
    assert "omni-connector setup NAME" in text
