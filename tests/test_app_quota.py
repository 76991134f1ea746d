"""What is left, from the provider's answer to the dashboard's: asked, overheard, refused. P-05, P-30, P-34, J-07, J-08"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from omni_connector.store import accounts as rows
from omni_connector.store import jobs
from omni_connector.tokens import Tokens
from tests.serving import Answer, Rig, Seen, whole

Json = dict[str, Any]
CHAT = {
    "id": "x",
    "object": "chat.completion",
    "model": "test-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
RATES = {"x_ratelimit_limit_requests": "100", "x_ratelimit_remaining_requests": "25", "x_ratelimit_reset_requests": "1h"}
TIRED = "Rate limit reached for test-model in organization o on tokens per day (TPD): Limit 1000, Used 990, Requested 50. "


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path / "home") as found:
        yield found


class Admin:
    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._headers = {"authorization": f"Bearer {rig.gateway.admin_key}"}

    async def __call__(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        url = self._rig.url + path
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=self._headers, json=body) as answer:
            return answer.status, await answer.json()


async def codex(rig: Rig) -> str:
    """A signed-in account of the Codex backend whose quota is asked at the fake upstream."""
    endpoints = {"inference": f"{rig.upstream.url}/v1", "quota": f"{rig.upstream.url}/backend-api/wham/usage"}
    more: Json = {"base_url": "", "options": {"endpoints": endpoints}}
    account = await rig.account("openai", "plus", **more)
    options = {"endpoints": endpoints, "identity": {"account_id": "acct-1", "email": "me@example.com"}}
    change = {"provider": "codex", "auth": "oauth", "secret": Tokens("access-1", "refresh-1").encode(), "options": options}
    await rig.gateway.db.tx(lambda conn: rows.update(conn, rig.gateway.vault, account["id"], change))
    await rig.gateway.reload()
    return str(account["id"])


def usage(percent: float) -> Answer:
    end = int(time.time()) + 18_000
    window = {"used_percent": percent, "limit_window_seconds": 18_000, "reset_after_seconds": 18_000, "reset_at": end}
    return whole({"plan_type": "plus", "rate_limit": {"allowed": True, "primary_window": window}, "credits": {"has_credits": False}})


async def chat(rig: Rig) -> int:
    body = {"model": "test-model", "messages": [{"role": "user", "content": "Hi"}]}
    url = f"{rig.url}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, headers=rig.bearer, json=body) as answer:
        await answer.read()
        return answer.status


async def test_the_refresh_button_and_the_table(rig: Rig) -> None:  # P-05, P-30
    admin = Admin(rig)
    account_id = await codex(rig)
    rig.upstream.answer(usage(40))
    status, told = await admin("POST", f"/api/accounts/{account_id}/refresh")
    assert status == 200, told
    assert (told["message"], told["plan"], told["can_refresh"], told["quota_error"]) == ("plus was asked what is left.", "plus", True, None)
    (asked,) = rig.upstream.seen
    assert asked.path == "/backend-api/wham/usage"
    assert (asked.headers["authorization"], asked.headers["chatgpt-account-id"]) == ("Bearer access-1", "acct-1")
    status, table = await admin("GET", "/api/quota")
    (row,) = table["accounts"]
    assert (status, table["interval_min"], row["label"], row["plan"], row["balance"]) == (200, 5, "plus", "plus", None)
    (window,) = row["quota"]
    assert (window["name"], window["used"], window["limit"], window["state"], window["forecast"]) == ("5h", 40.0, 100.0, "live", None)
    assert row["polled_at"] > 0
    assert (await admin("GET", f"/api/accounts/{account_id}"))[1]["quota"] == row["quota"]
    assert (await admin("POST", "/api/accounts/acc_none/refresh"))[0] == 404


async def test_the_clock_asks_by_itself_and_not_on_the_way_of_a_request(rig: Rig) -> None:  # P-05, P-34
    await codex(rig)
    rig.upstream.answer(usage(12))
    await rig.gateway.jobs.tick()
    await rig.gateway.db.tx(_due_now)
    await rig.gateway.jobs.tick()
    assert [seen.path for seen in rig.upstream.seen] == ["/backend-api/wham/usage"]
    assert rig.gateway.snapshot.accounts[0].quota[0]["used"] == 12.0


def _due_now(conn: Any) -> None:
    mine = next(job for job in jobs.list_jobs(conn) if job.kind == "quota")
    jobs.run_now(conn, mine.id, 0)


async def test_ordinary_answers_are_overheard(rig: Rig) -> None:  # P-05
    admin = Admin(rig)
    await rig.account("openai", "plain")
    rig.upstream.answer(whole(CHAT, **RATES))
    assert await chat(rig) == 200
    await rig.gateway.jobs.tick()
    (row,) = (await admin("GET", "/api/quota"))[1]["accounts"]
    (window,) = row["quota"]
    assert (window["name"], window["used"], window["limit"], window["model"]) == ("requests", 75.0, 100.0, "test-model")
    assert ("source" in window, row["can_refresh"], row["polled_at"]) == (False, False, None)


async def test_a_refusal_is_overheard(rig: Rig) -> None:  # P-05
    admin = Admin(rig)
    await rig.account("groq", "tired")
    refusal = {"error": {"message": f"{TIRED}Please try again in 9m38.016s.", "type": "tokens", "code": "rate_limit_exceeded"}}
    rig.upstream.answer(whole(refusal, 429, retry_after="578"))
    assert await chat(rig) in (429, 503)
    await rig.gateway.jobs.tick()
    (window,) = (await admin("GET", "/api/quota"))[1]["accounts"][0]["quota"]
    assert (window["name"], window["used"], window["limit"], window["state"]) == ("tokens/day", 990.0, 1000.0, "estimated")


async def test_a_balance_that_the_owner_sets(rig: Rig) -> None:  # J-08
    admin = Admin(rig)
    account = await rig.account("mistral", "by-hand")
    path = f"/api/accounts/{account['id']}"
    status, told = await admin("PATCH", path, {"balance": {"amount": 12.5, "currency": "eur"}})
    assert (status, told["balance"]["amount"], told["balance"]["currency"], told["balance"]["manual"]) == (200, "12.5", "EUR", True)
    assert abs(told["balance"]["set_at"] - time.time() * 1000) < 60_000
    assert (await admin("PATCH", path, {"balance": {"amount": "lots"}}))[0] == 400
    assert (await admin("PATCH", path, {"balance": None}))[1]["balance"] is None


async def test_a_balance_that_the_provider_tells(rig: Rig) -> None:  # J-07
    admin = Admin(rig)
    account = await rig.account("deepseek", "deep", base_url="", options={"endpoints": {"balance": f"{rig.upstream.url}/user/balance"}})

    def money(seen: Seen) -> Answer:
        return whole({"is_available": True, "balance_infos": [{"currency": "CNY", "total_balance": "110.00"}]})

    rig.upstream.answer(money)
    status, told = await admin("POST", f"/api/accounts/{account['id']}/refresh")
    assert (status, told["balance"]["amount"], told["balance"]["currency"]) == (200, "110.00", "CNY")
