"""Alerts end to end: a provider refuses a key, the jobs notice, a robot on this machine hears of it, and again when it is over. J-09"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from omni_connector.gateway import Gateway
from tests.serving import FakeUpstream, Rig, whole

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def robot() -> AsyncIterator[FakeUpstream]:
    server = FakeUpstream()
    await server.start()
    server.answer(whole({"errcode": 0, "errmsg": "ok"}))
    yield server
    await server.stop()


async def call(rig: Rig, method: str, path: str, body: Any = None) -> tuple[int, Any, str]:
    headers = {"authorization": f"Bearer {rig.gateway.admin_key}"}
    async with aiohttp.ClientSession() as session, session.request(method, rig.url + path, headers=headers, json=body) as answer:
        text = await answer.text()
        return answer.status, json.loads(text), text


async def test_a_robot_hears_of_a_refused_key_and_of_its_return(robot: FakeUpstream, tmp_path: Path) -> None:  # J-09, J-20
    url = f"{robot.url}/robot/send?access_token={TOKEN}"
    env = {"OMNI_ALERT_PRIVATE_TARGETS": "1", "ONEAPI_ALERT_DING": url, "ONEAPI_ALERT_DING_SECRET": "SEC-of-mine-1"}
    async with Rig(tmp_path / "home", **env) as rig:
        stream = rig.gateway.live.stream(dict)
        await anext(stream)
        rig.upstream.answer(whole({"error": {"message": "Incorrect API key provided"}}, 401))
        account = await rig.account()
        async with aiohttp.ClientSession() as session:
            await session.post(f"{rig.url}/v1/chat/completions", json=CHAT, headers=rig.bearer)
        while rig.gateway._tasks:
            await next(iter(rig.gateway._tasks))
        await rig.gateway.jobs.tick()
        await rig.gateway.jobs.tick()
        assert [seen.body["text"]["content"].split("\n")[0] for seen in robot.seen] == ["omni-connector: Sign-in needed"]
        assert "openai/main needs to be signed in again" in robot.seen[0].body["text"]["content"]
        status, told, text = await call(rig, "GET", "/api/alerts")
        (alert,) = told["alerts"]
        (channel,) = told["channels"]
        assert (status, alert["state"], alert["subject"]) == (200, "open", account["id"])
        assert list(alert["told"]) == [channel["id"]]
        assert (channel["name"], channel["hint"], channel["signed"]) == ("dingtalk-env", "127.0.0.1", True)
        heard = b""
        while b"event: alert\n" not in heard:
            heard += await anext(stream)
        await stream.aclose()
        for secret in (TOKEN, "SEC-of-mine"):
            assert secret not in text + heard.decode() + json.dumps(await rig.gateway.admin.config())

        status, tested, _ = await call(rig, "POST", f"/api/alerts/channels/{channel['id']}/test")
        assert (status, tested["ok"]) == (200, True)
        await rig.gateway.admin.clear_cooldown(account["id"])
        assert await rig.gateway.watch.look(rig.gateway.pool.accounts, {}, alert["at"] + 1) == 1
        (ended,) = (await call(rig, "GET", "/api/alerts"))[1]["alerts"]
        assert ended["state"] == "ended"
        assert (await call(rig, "PATCH", f"/api/alerts/channels/{channel['id']}", {"enabled": False}))[1]["enabled"] is False
        assert (await call(rig, "DELETE", f"/api/alerts/channels/{channel['id']}"))[1]["removed"]
        status, refused, text = await call(rig, "POST", "/api/alerts/channels", {"url": "ftp://" + TOKEN})
        assert (status, refused["error"]["param"]) == (400, "url")
        status, made, _ = await call(rig, "POST", "/api/alerts/channels", {"url": url, "kind": "dingtalk"})
        assert (status, made["kind"]) == (201, "dingtalk")


async def test_a_restart_in_the_middle_tells_once(robot: FakeUpstream, tmp_path: Path) -> None:
    """Noticed by one process, told by the next, and not again by the one after."""
    home = tmp_path / "home"
    env = {"OMNI_ALERT_PRIVATE_TARGETS": "1"}

    async def process() -> Gateway:
        gateway = await Gateway.open(home, env)
        await gateway.serve(jobs=False)
        return gateway

    first = await process()
    await first.admin.add_alert_channel({"url": f"{robot.url}/robot/send?access_token={TOKEN}", "kind": "dingtalk"})
    await first.watch.begin("budget_reached", "key_1", "key laptop has spent its budget")
    await first.close()
    for number in range(3):
        gateway = await process()
        await gateway.jobs.tick()
        if number == 1:
            assert not await gateway.watch.begin("budget_reached", "key_1", "said by another process")
        await gateway.close()
    assert len(robot.seen) == 1
