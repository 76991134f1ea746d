"""What is left is asked in the background: once, in time, and never of somebody who wants to be left alone. P-05, P-30, J-07"""

from __future__ import annotations

import asyncio
import itertools
import timeit
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.jobs import LEASE_MS
from omni_connector.settings import load
from omni_connector.store import accounts as rows
from omni_connector.store import jobs as queue
from omni_connector.tokens import Tokens
from omni_connector.upstream import UpstreamRequest
from tests.quotas.conftest import HOUR, MINUTE, SECOND, START, House, Reply, usage

EVERY = 5 * MINUTE
RATES = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "40", "x-ratelimit-reset-requests": "10m"}


async def test_an_account_is_asked_in_the_background_and_only_news_is_written(house: House) -> None:  # P-05, J-07
    await house.account()
    jobs = house.jobs()
    await jobs.tick()
    assert [request.url for request in house.asked] == ["https://chatgpt.com/backend-api/wham/usage"]
    assert house.quota() == [
        {"name": "5h", "used": 40.0, "limit": 100.0, "unit": "%", "resets_at": START + 5 * HOUR, "state": "live"},
    ]
    assert house.pool.accounts["acc_main"].options["identity"] == {"email": "main@example.com", "account_id": "a-1", "plan": "plus"}
    row, reloads = await house.row(), house.reloads
    assert row is not None
    assert (row.due_at, row.last_error, (await house.memory()).polled_at) == (START + EVERY, None, START)
    for _ in range(3):
        house.now += EVERY
        await jobs.tick()
    assert (len(house.asked), house.reloads) == (4, reloads), "the same answer is no news"
    assert house.shown == ["acc_main"] * 4
    house.says = lambda request: usage(55)
    house.now += EVERY
    await jobs.tick()
    assert (house.quota()[0]["used"], house.reloads) == (55.0, reloads + 1)
    seen = (await house.memory()).of(house.quota()[0])
    assert [used for _, used in seen] == [40.0, 40.0, 40.0, 40.0, 55.0]


async def test_who_cannot_be_asked_has_no_job(house: House) -> None:
    keyed: dict[str, Any] = {"auth": "api_key", "secret": "sk-0123456789", "options": {}}
    await house.account("plain", provider="openai", **keyed)
    await house.account("general", provider="glm", **keyed)  # no coding plan
    await house.account("off", enabled=False)
    await house.account("out", state="needs_login")
    await house.account("unknown", provider="gone", **keyed)
    jobs = house.jobs()
    for _ in range(5):
        await jobs.tick()
        house.now += EVERY
    assert (await house.row(), house.asked) == (None, [])


async def test_a_job_goes_and_comes_with_its_account(house: House) -> None:
    await house.account()
    jobs = house.jobs()
    await jobs.tick()
    await house.change("acc_main", enabled=False)
    house.now += EVERY
    await jobs.tick()
    row = await house.row()
    assert row is not None
    assert (row.state, len(house.asked)) == ("done", 1)
    await house.change("acc_main", enabled=True)
    await jobs.tick()
    assert (len(house.asked), len((await house.memory()).of(house.quota()[0]))) == (2, 2), "what was seen before still counts"
    house.settings = load({"OMNI_QUOTA_REFRESH_INTERVAL": "0"}, {})
    house.now += EVERY
    await jobs.tick()
    assert len(house.asked) == 2
    await house.db.tx(lambda conn: rows.delete(conn, "acc_main"))
    await house.reload()
    house.now += 2 * MINUTE
    await jobs.tick()
    assert await house.row() is None


async def test_a_429_is_never_hammered(house: House) -> None:  # P-05
    account = await house.account()
    jobs, poller = house.jobs(), house.poller("prc_2")
    house.says = lambda request: (429, {"retry-after": "3000"}, {"error": {"message": "slow down"}})
    for _ in range(7):
        await jobs.tick()
        house.now += 7 * MINUTE
    assert len(house.asked) == 1
    said = await poller.refresh(account)
    assert ("left alone for another" in said, len(house.asked)) == (True, 1), "not even when the user asks"
    house.now += 2 * MINUTE
    house.says = lambda request: (429, {}, {})
    at = []
    for _ in range(40):
        before = len(house.asked)
        await jobs.tick()
        at += [house.now] * (len(house.asked) - before)
        house.now += EVERY
    waits = [(later - earlier) // MINUTE for earlier, later in itertools.pairwise(at)]
    assert waits == [20, 40, 80], "without a word of the provider ever rarer"
    house.says = lambda request: usage(1)
    house.now += 6 * HOUR
    await jobs.tick()
    row = await house.row()
    assert row is not None
    assert (row.due_at - house.now, row.last_error, (await house.memory()).failed) == (EVERY, None, 0)


async def test_failures_make_it_rarer_and_what_is_known_stale(house: House) -> None:  # P-05
    await house.account()
    jobs = house.jobs()
    await jobs.tick()

    def down(request: UpstreamRequest) -> Reply:
        raise GatewayError(Kind.UPSTREAM_UNREACHABLE, "chatgpt.com: nothing answers at the address, t-1")

    house.says = down
    states, at = [], []
    for _ in range(20):
        before = len(house.asked)
        house.now += EVERY
        await jobs.tick()
        if len(house.asked) > before:
            at.append((house.now - START) // MINUTE)
            states.append(house.quota()[0]["state"])
    assert at == [5, 15, 35, 75]
    assert states == ["live", "live", "stale", "stale"]
    row = await house.row()
    assert row is not None
    assert row.last_error == "chatgpt.com: nothing answers at the address, t-1"  # too short to be a secret
    house.says = lambda request: usage(41)
    house.now += 2 * HOUR
    await jobs.tick()
    assert house.quota()[0]["state"] == "live"


async def test_two_processes_poll_once(house: House) -> None:  # P-05
    await house.account("a")
    await house.account("b")
    first, second = house.jobs("prc_1"), house.jobs("prc_2")
    await asyncio.gather(first.tick(), second.tick())
    await asyncio.gather(first.tick(), second.tick())
    assert len(house.asked) == 2
    house.now += EVERY
    await asyncio.gather(first.tick(), second.tick(), first.tick(), second.tick())
    assert len(house.asked) == 4


async def test_who_lost_its_lease_writes_nothing(house: House) -> None:
    await house.account()
    poller = house.poller()
    await poller.arrange()
    (old,) = await house.db.tx(lambda conn: queue.claim(conn, "prc_slow", house.now, LEASE_MS))
    house.now += LEASE_MS + 1
    await house.db.tx(lambda conn: queue.claim(conn, "prc_quick", house.now, LEASE_MS))
    await poller.run(old)
    assert (house.quota(), house.shown) == ([], [])


async def test_what_the_old_credential_was_told_is_not_kept_for_another(house: House) -> None:
    await house.account()

    def somebody_else(request: UpstreamRequest) -> Reply:
        account = house.pool.accounts["acc_main"]
        identity = {"email": "else@example.com", "account_id": "a-2"}
        changed = house.pool.accounts | {"acc_main": account.__class__(**{**_fields(account), "options": {"identity": identity}})}
        house.pool.accounts = changed
        return usage(99)

    house.says = somebody_else
    await house.jobs().tick()
    assert (house.shown, (await house.memory()).polled_at) == ([], None)


def _fields(account: Any) -> dict[str, Any]:
    return {name: getattr(account, name) for name in account.__slots__}


async def test_a_sign_in_is_renewed_ahead_and_when_it_is_refused(house: House) -> None:
    await house.account(secret=Tokens("t-1", "r-1", expires_at=START + 10 * SECOND).encode())
    jobs = house.jobs()
    await jobs.tick()
    assert (house.renewed, house.asked[0].headers["authorization"]) == ([""], "Bearer t-2")
    await house.change("acc_main", secret=Tokens("t-1", "r-1").encode())
    house.says = lambda request: usage(7) if request.headers["authorization"].endswith("t-2") else (401, {}, {"detail": "expired"})
    house.now += EVERY
    await jobs.tick()
    assert (house.renewed, house.quota()[0]["used"]) == (["", "t-1"], 7.0)
    await house.account("dead")
    await jobs.tick()
    dead = next(job for job in await house.db.run(queue.list_jobs) if job.key == "acc_dead")
    assert dead.last_error == "Its sign-in has ended; sign in again."


# ---------------------------------------------------------------- money


async def test_a_balance_is_refreshed_by_itself(house: House) -> None:  # J-07
    await house.account("deep", provider="deepseek", auth="api_key", secret="sk-0123456789", options={})
    told = {"is_available": True, "balance_infos": [{"currency": "USD", "total_balance": "5.00"}]}
    house.says = lambda request: (200, {}, told)
    jobs = house.jobs()
    await jobs.tick()
    assert house.pool.accounts["acc_deep"].balance == {
        "amount": "5.00",
        "currency": "USD",
        "usable": True,
        "items": [{"amount": "5.00", "currency": "USD"}],
    }
    assert ((await house.memory()).polled_at, house.quota("deep")) == (START, [])
    house.says = lambda request: (200, {}, b"<html>")
    house.now += EVERY
    await jobs.tick()
    assert house.pool.accounts["acc_deep"].balance is not None, "an answer that does not say takes nothing away"


async def test_what_a_provider_tells_replaces_what_the_owner_set(house: House) -> None:  # J-08
    manual = {"amount": "9", "currency": "USD", "manual": True, "set_at": 5}
    account = await house.account("or", provider="openrouter", auth="api_key", secret="sk-or-0123456789", options={}, balance=manual)
    key = {"data": {"limit": 10, "limit_remaining": 4, "is_free_tier": False}}
    house.says = lambda request: (200, {}, key) if request.url.endswith("/key") else (403, {}, {"error": {"message": "sk-or-0123456789?"}})
    jobs = house.jobs()
    await jobs.tick()
    row = await house.row()
    assert row is not None
    assert row.last_error is not None and "403" in row.last_error and account.secret not in row.last_error
    assert (house.pool.accounts["acc_or"].balance, house.quota("or")[0]["used"], row.due_at) == (manual, 6.0, START + EVERY)
    house.says = lambda request: (200, {}, key if request.url.endswith("/key") else {"data": {"total_credits": 20, "total_usage": 5}})
    house.now += EVERY
    await jobs.tick()
    balance = house.pool.accounts["acc_or"].balance
    assert balance is not None
    assert (balance["amount"], balance.get("manual")) == ("15", None)


# ---------------------------------------------------------------- guesses


async def test_a_good_answer_ends_a_guess_but_no_promise_and_no_newer_failure(house: House) -> None:
    await house.account("a")
    await house.account("b")
    for label in ("a", "b"):
        house.cool(label, Kind.UPSTREAM_UNREACHABLE)
    house.cool("a", Kind.ACCOUNT_RATE_LIMITED, "stated", "model:x")
    house.newer.add("acc_b")
    jobs = house.jobs()
    await jobs.tick()
    assert [cooldown.scope for cooldown in house.pool.cooldowns("acc_a")] == ["model:x"]
    assert len(house.pool.cooldowns("acc_b")) == 1
    house.pool.clear("acc_a")

    def fails_meanwhile(request: UpstreamRequest) -> Reply:
        house.now += SECOND
        house.cool("a", Kind.UPSTREAM_UNREACHABLE, ago=0)
        return usage(1)

    house.says = fails_meanwhile
    house.now += EVERY
    await jobs.tick()
    assert len(house.pool.cooldowns("acc_a")) == 1


# ---------------------------------------------------------------- the user asks


async def test_refresh_asks_now_and_once(house: House) -> None:  # P-30
    account = await house.account()
    poller, other = house.poller(), house.poller("prc_2")
    said = await asyncio.gather(poller.refresh(account), other.refresh(account))
    assert len(house.asked) == 1
    assert "main was asked what is left." in said
    assert house.quota()[0]["used"] == 40.0
    assert await poller.refresh(account) == "It was asked a moment ago."
    house.now += 11 * SECOND
    house.says = lambda request: (500, {}, {"error": {"message": "broken"}})
    assert "broken" in await poller.refresh(account)
    row = await house.row()
    assert row is not None
    assert (row.state, row.due_at) == ("ready", house.now + 2 * EVERY)


async def test_refresh_of_one_that_is_off_or_tells_nothing(house: House) -> None:  # P-30
    off = await house.account(enabled=False)
    plain = await house.account("plain", provider="openai", auth="api_key", secret="sk-0123456789", options={})
    poller = house.poller()
    assert await poller.refresh(off) == "main was asked what is left."
    row = await house.row()
    assert row is not None
    assert (row.state, house.quota()[0]["used"]) == ("done", 40.0)
    assert (await poller.refresh(plain)).startswith("There is nobody to ask what is left on plain")
    assert len(house.asked) == 1


# ---------------------------------------------------------------- what answers tell by the way


async def test_headers_of_answers_are_overheard_and_written_rarely(house: House) -> None:  # P-05
    account = await house.account("plain", provider="openai", auth="api_key", secret="sk-0123456789", options={})
    poller = house.poller()
    reloads = house.reloads
    for left in range(40, 20, -1):
        poller.harvest(account, {**RATES, "x-ratelimit-remaining-requests": str(left)}, "gpt-4o")
        poller.harvest(account, {"content-type": "text/plain"}, "gpt-4o")
        await poller.arrange()
        house.now += SECOND
    assert house.reloads == reloads + 1, "one write a minute at most"
    (window,) = house.quota("plain")
    assert (window["name"], window["used"], window["model"], window["source"]) == ("requests", 60.0, "gpt-4o", "headers")
    house.now += MINUTE
    await poller.arrange()
    assert (house.quota("plain")[0]["used"], house.reloads) == (79.0, reloads + 2), "the last word is not lost"
    poller.harvest(account, RATES | {"x-ratelimit-remaining-requests": "20"}, "gpt-4o")
    house.now += MINUTE
    await poller.arrange()
    assert house.reloads == reloads + 3
    poller.harvest(account, RATES | {"x-ratelimit-remaining-requests": "18"}, "gpt-4o")
    house.now += MINUTE
    await poller.arrange()
    assert house.reloads == reloads + 3, "a small move is no news"


async def test_a_refusal_tells_which_limit_it_was(house: House) -> None:  # P-05
    account = await house.account("plain", provider="openai", auth="api_key", secret="sk-0123456789", options={})
    poller = house.poller()
    words = b'{"error": {"message": "Rate limit reached on tokens per day (TPD): Limit 100, Used 97. Please try again in 9m"}}'
    poller.harvest(account, {}, "gpt-4o", words)
    poller.harvest(account, {}, "gpt-5", b"<html>")
    await poller.arrange()
    (window,) = house.quota("plain")
    assert (window["name"], window["used"], window["state"], window["model"]) == ("tokens/day", 97.0, "estimated", "gpt-4o")


async def test_overhearing_costs_a_request_nothing(house: House) -> None:
    account = await house.account()
    poller = house.poller()
    headers = {f"x-header-{number}": "value" for number in range(30)}
    took = timeit.repeat(lambda: poller.harvest(account, headers, "gpt-5.4"), number=200, repeat=20)
    assert min(took) / 200 < 5e-6
    for number in range(2000):
        poller.harvest(account, RATES, f"model-{number}")
    assert len(poller._heard) <= 512


@pytest.mark.parametrize("gone", [True, False])
async def test_an_account_that_is_gone_is_no_failure(house: House, gone: bool) -> None:
    account = await house.account()
    poller = house.poller()
    poller.harvest(account, RATES, "m")

    def removed(request: UpstreamRequest) -> Reply:
        house.pool.accounts = {}
        return usage(4)

    house.says = removed if gone else house.says
    await house.jobs().tick()
    await poller.arrange()
    assert bool(house.shown) is not gone
