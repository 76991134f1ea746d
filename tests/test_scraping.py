"""GET /metrics and GET /provider_health as a monitoring system meets them."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from omni_connector.errors import GatewayError, Kind
from omni_connector.metrics import CONTENT_TYPE, FAMILIES
from omni_connector.scraping import scrape
from tests.metrics.test_counting import record
from tests.serving import Rig, whole

CHAT = {"model": "test-model", "messages": [{"role": "user", "content": "the secret plan"}]}
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3},
}


def figure(text: str, start: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(start)).rpartition(" ")[2])


async def test_a_scrape_tells_what_happened(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig, aiohttp.ClientSession(headers=rig.bearer) as web:
        await rig.account("openai", "anna@example.com")
        rig.upstream.answer(whole({"error": {"message": "busy"}}, 500), whole(ANSWER))
        for model in ("test-model", "test-model", "no/such"):
            async with web.post(f"{rig.url}/v1/chat/completions", json={**CHAT, "model": model}) as got:
                await got.read()
            for account in (await rig.gateway.admin.accounts())["accounts"]:
                await rig.gateway.admin.clear_cooldown(account["id"])
        async with web.get(f"{rig.url}/metrics", headers={"authorization": f"Bearer {rig.gateway.admin_key}"}) as got:
            assert (got.status, got.headers["content-type"], got.headers["cache-control"]) == (200, CONTENT_TYPE, "no-store")
            text = await got.text()
    assert figure(text, 'omni_requests_total{protocol="openai-chat",provider="openai",outcome="ok"}') == 1
    assert figure(text, 'omni_requests_total{protocol="openai-chat",provider="none",outcome="failed"}') == 1
    assert figure(text, 'omni_attempts_total{provider="openai",result="answered"}') == 1
    assert figure(text, 'omni_tokens_total{provider="openai",model="test-model",kind="input"}') == 11
    assert figure(text, 'omni_accounts{provider="openai",status="ready"}') == 1
    assert figure(text, "omni_requests_in_flight ") == 0
    assert figure(text, "omni_ledger_rows_total ") >= 5
    assert 'omni_jobs{kind="' in text
    for hidden in ("anna", "secret", rig.key, "no/such"):
        assert hidden not in text, hidden


async def test_every_family_has_its_turn(tmp_path: Path) -> None:
    """What the table promises is told by a server that had one of each."""
    async with Rig(tmp_path) as rig:
        rig.gateway.sight.metrics.settled(record())
        rig.gateway.sight.metrics.settled(record(cost=None))
        failed = record()
        failed.end(failed.started_at + 1, "failed", 500, GatewayError(Kind.INTERNAL, "x"))
        rig.gateway.sight.metrics.settled(failed)
        await rig.account("openai", "main")
        text = await scrape(rig.gateway)
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert set(FAMILIES) - told <= {"omni_cooldowns", "process_open_fds", "process_max_fds"}


async def test_a_monitor_s_key_opens_two_doors_only(tmp_path: Path) -> None:  # C-77
    async with Rig(tmp_path, OMNI_MONITOR_KEY="look-only-1") as rig, aiohttp.ClientSession() as web:
        await rig.account("openai", "main")

        async def ask(method: str, path: str, key: str) -> int:
            async with web.request(method, rig.url + path, headers={"authorization": f"Bearer {key}"} if key else {}) as got:
                return got.status

        assert await ask("GET", "/metrics", "") == 401
        assert await ask("GET", "/metrics", rig.key) == 401, "a client's key is none"
        assert await ask("GET", "/metrics", "look-only-2") == 401
        assert [await ask("GET", path, "look-only-1") for path in ("/metrics", "/provider_health")] == [200, 200]
        for method, path in (("GET", "/api/accounts"), ("GET", "/v1/router/status"), ("POST", "/metrics"), ("GET", "/metrics/x")):
            assert await ask(method, path, "look-only-1") in (401, 404, 405), path
        assert await ask("HEAD", "/provider_health", "look-only-1") == 200
        async with web.get(f"{rig.url}/provider_health?max_unhealthy=9", headers={"authorization": "Bearer look-only-1"}) as got:
            assert got.status == 400


async def test_the_status_tells_a_monitor_all_it_needs(tmp_path: Path) -> None:  # C-77
    async with Rig(tmp_path) as rig, aiohttp.ClientSession(headers={"authorization": f"Bearer {rig.gateway.admin_key}"}) as web:

        async def status(query: str = "") -> int:
            async with web.get(f"{rig.url}/provider_health{query}") as got:
                assert (await got.json())["healthy"] is (got.status == 200)
                return got.status

        assert await status() == 503, "nobody is connected"
        account = await rig.account("openai", "main")
        await rig.account("groq", "other", enabled=False)
        assert await status() == 200
        await rig.gateway.admin.disable(account["id"])
        assert await status() == 503


async def test_without_a_monitor_s_key_there_is_none(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig, aiohttp.request("GET", f"{rig.url}/metrics", headers={"authorization": "Bearer "}) as got:
        assert got.status == 401
