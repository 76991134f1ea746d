"""What is set for a provider as a whole, from its route to the request that it decides about; here and in every other process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_connector.gateway import Gateway
from tests.desk import Desk, closed, opened

Json = dict[str, Any]
ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home")
    await desk.gateway.admin.add_account({"provider": "demo", "label": "one", "models": ["demo-chat"], "discover": False})
    yield desk
    await closed(desk)


async def test_names_and_switch_decide_about_the_next_request(desk: Desk) -> None:  # J-03, J-22, R-18
    key = (await desk.gateway.admin.create_key({"name": "client"}))["key"]
    client: Json = {"authorization": f"Bearer {key}"}

    async def change(method: str, path: str, body: Any = None) -> tuple[int, Json]:
        answer = await desk.ask(method, f"/api/providers/{path}", body, **desk.admin)
        return answer.status_code, await answer.get_json()

    async def models() -> set[str]:
        return {model["id"] for model in (await (await desk.ask("GET", "/v1/models", **client)).get_json())["data"]}

    assert (await desk.ask("POST", "/v1/chat/completions", ASK, **client)).status_code == 404
    assert (await change("PATCH", "demo", {"model_map": {"gpt-5": "demo-chat"}}))[0] == 200
    answer = await desk.ask("POST", "/v1/chat/completions", ASK, **client)
    assert (answer.status_code, answer.headers["x-omni-model"]) == (200, "demo-chat")
    assert {"gpt-5", "demo-chat", "demo"} <= await models()

    assert (await change("POST", "demo/disable"))[1]["enabled"] is False
    assert not {"gpt-5", "demo-chat", "demo"} & await models()
    answer = await desk.ask("POST", "/v1/chat/completions", ASK, **client)
    failures = (await answer.get_json())["error"]["provider_failures"]
    assert answer.status_code == 503
    assert [(one["account"], one["message"], one["skipped"]) for one in failures] == [("one", "provider demo is switched off", True)]
    assert (await change("POST", "demo/enable"))[1]["enabled"] is True
    assert (await desk.ask("POST", "/v1/chat/completions", ASK, **client)).status_code == 200

    assert (await change("PATCH", "demo", {"nope": 1}))[0] == 400
    assert (await change("PATCH", "opnai", {"enabled": False}))[0] == 404
    assert (await desk.ask("PATCH", "/api/providers/demo", {}, **client)).status_code == 401


async def test_another_process_and_its_dashboards_hear_of_it(desk: Desk) -> None:  # J-22, R-18
    here = desk.gateway
    await here.db.watch(here._moved, since=here.snapshot.version)
    stream = here.live.stream(dict)
    await anext(stream)
    other = await Gateway.open(here.home, {})
    await other.admin.disable_provider("demo")
    heard = b""
    async with asyncio.timeout(30):
        while b"event: provider\n" not in heard:
            heard += await anext(stream)
    assert here.snapshot.accounts[0].switched_off == "provider demo is switched off"
    await stream.aclose()
    await other.close()
