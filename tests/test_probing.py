"""Accounts that are out are asked whether they are back: for free first, rarely, and never before an announced time."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from omni_connector import catalog, providers
from omni_connector.admin.shapes import TestResult
from omni_connector.errors import GatewayError, Kind
from omni_connector.jobs import LEASE_MS, Jobs
from omni_connector.probing import Hands, Prober, model_for, ping
from omni_connector.routing.health import FOREVER, RULES, HealthSettings, cooldown_for, scope_of
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.settings import load
from omni_connector.snapshot import Account, Cooldown, Snapshot
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database
from omni_connector.upstream import UpstreamRequest

START = 20_000 * 86_400_000
SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000
MODEL = "llama-3.3-70b-versatile"
OK = TestResult(True, 200, "fine", (MODEL,))
DOWN = TestResult(False, None, "cannot be reached")
ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "p"}, "finish_reason": "length"}],
}


class Still(Random):
    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class House:
    """The gateway's part: a pool, its hands, and a network that answers as it is told."""

    def __init__(self, db: Database, home: Path) -> None:
        self.db, self.home, self.now = db, home, START
        self.settings = load({}, {})
        self.pool = Pool(catalog.family)
        self.listed: Callable[[Account], TestResult] = lambda account: OK
        self.answer: tuple[int, Any] = (200, ANSWER)
        self.balance: tuple[int, Any] = (404, {})
        self.asked: list[Account] = []
        self.pings: list[UpstreamRequest] = []
        self.accepted: list[str] = []

    def account(self, label: str = "main", **more: Any) -> Account:
        fields: dict[str, Any] = {"provider": "groq", "secret": "gsk_0123456789", "models": (MODEL,)} | more
        account = providers.complete(Account(id=f"acc_{label}", label=label, **fields))
        self.pool.sync(Snapshot(1, (*self.pool.accounts.values(), account)), self.now)
        return account

    def cool(self, account: Account, kind: Kind, source: Any = "guessed", seconds: float = 600, scope: str = "") -> None:
        until = FOREVER if kind is Kind.ACCOUNT_REJECTED else self.now + int(seconds * 1000)
        self.pool.cool(Cooldown(account.id, scope, until, source, RULES[kind].reason, 0, self.now))

    def prober(self) -> Prober:
        hands = Hands(lambda: self.pool.accounts, self.pool.cooldowns, dict, self._ask, self._recovered, self._accepted, self._failed)
        return Prober(self.db, self, hands, lambda: self.settings, lambda: self.now, Still())  # type: ignore[arg-type]

    def jobs(self, name: str = "prc_1") -> Jobs:
        async def reload() -> None:
            """Nothing here is read from the database."""

        return Jobs(self.db, lambda: self.settings, self.home, name, lambda: self.now, reload, by_need=(self.prober(),))

    async def row(self) -> queue.JobRow | None:
        return next((job for job in await self.db.run(queue.list_jobs) if job.kind == "probe"), None)

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        if request.method == "GET":
            return self.balance[0], {}, json.dumps(self.balance[1]).encode()
        self.pings.append(request)
        return self.answer[0], {"content-type": "application/json"}, json.dumps(self.answer[1]).encode()

    async def _ask(self, account: Account) -> TestResult:
        self.asked.append(account)
        return self.listed(account)

    async def _recovered(self, account_id: str, scope: str) -> None:
        self.pool.clear(account_id, scope)

    async def _accepted(self, account_id: str) -> None:
        self.accepted.append(account_id)
        self.pool.sync(Snapshot(1, tuple(replace(a, state="ok") for a in self.pool.accounts.values())), self.now)

    def _failed(self, candidate: Candidate, error: GatewayError) -> None:
        family = catalog.family(candidate.model)
        scope = scope_of(error, family)
        previous = None if scope is None else self.pool.cooldown(candidate.account.id, scope)
        found = cooldown_for(error, candidate.account, family, previous, self.now, HealthSettings(), Still())
        if found is not None:
            self.pool.cool(found)


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield House(database, home)
    await database.close()


SCOPE = f"model:{catalog.family(MODEL)}"


async def test_healthy_accounts_are_never_asked_and_have_no_job(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.cool(main, Kind.UPSTREAM_FAILED, seconds=5, scope=SCOPE)  # over before anybody would ask
    house.cool(house.account("limited"), Kind.ACCOUNT_RATE_LIMITED, "stated", 3 * 3600)
    house.cool(house.account("off", enabled=False), Kind.UPSTREAM_UNREACHABLE)
    for _ in range(50):
        await jobs.tick()
        house.now += 60 * SECOND
    assert (await house.row(), house.asked, house.pings) == (None, [], [])


async def test_an_account_that_cannot_be_reached_comes_back_without_a_request_or_a_restart(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.cool(main, Kind.UPSTREAM_UNREACHABLE, seconds=10 * 3600)
    house.listed = lambda account: DOWN
    await jobs.tick()
    at: list[int] = []
    for _ in range(10):
        row = await house.row()
        assert row is not None
        house.now = row.due_at - 1
        await jobs.tick()
        assert len(house.asked) == len(at)
        house.now += 1
        await jobs.tick()
        at.append((house.now - START) // SECOND)
    assert at == [30, 90, 210, 450, 930, 1890, 3810, 7410, 11010, 14610]  # doubling, then every hour
    assert len(house.asked) == 10
    row = await house.row()
    assert row is not None
    assert row.last_error == "cannot be reached"
    house.listed = lambda account: TestResult(False, 401, "no", ())  # an answer is an answer
    house.now = row.due_at
    await jobs.tick()
    assert house.pool.cooldowns(main.id) == []
    assert house.pings == []
    row = await house.row()
    assert row is not None
    assert (row.state, row.payload["step"], row.last_error) == ("done", 0, None)
    house.now += DAY
    await jobs.tick()
    assert await house.row() is None


async def test_a_probe_waits_for_the_announced_time(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.cool(main, Kind.UPSTREAM_FAILED, seconds=600, scope=SCOPE)
    await jobs.tick()
    house.cool(main, Kind.ACCOUNT_RATE_LIMITED, "stated", 500)
    house.now += 31 * SECOND
    await jobs.tick()
    row = await house.row()
    assert row is not None
    assert (row.state, row.due_at, house.asked) == ("ready", START + 500 * SECOND, [])
    house.now = row.due_at
    await jobs.tick()
    assert len(house.asked) == len(house.pings) == 1
    assert house.pool.cooldown(main.id, SCOPE) is None


async def test_only_where_nothing_else_can_tell_one_token_is_sent_and_few_a_day(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.cool(main, Kind.ACCOUNT_UNPAID, "terminal", 6 * 3600)
    house.answer = (402, {"error": {"message": f"no credit for {main.secret}", "type": "insufficient_quota"}})
    for _ in range(40):
        await jobs.tick()
        house.now += 1800 * SECOND
    assert len(house.pings) == 4  # 20 hours, one day
    body = json.loads(house.pings[0].body)
    assert body["messages"] == [{"role": "user", "content": "ping"}]
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 1
    row = await house.row()
    assert row is not None
    assert row.payload["billed"] == 4
    assert row.last_error is not None
    assert main.secret not in row.last_error
    assert "today's 4 were sent" in row.last_error
    house.now = START + DAY + HOUR
    house.answer = (200, ANSWER)
    await jobs.tick()
    assert (len(house.pings), house.pool.cooldowns(main.id)) == (5, [])


async def test_the_count_of_a_day_outlives_a_recovery(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.settings = load({"OMNI_PROBE_BILLED_PER_DAY": "2"}, {})
    for _ in range(4):  # it answers one token each time, and then fails again
        house.cool(main, Kind.UPSTREAM_FAILED, seconds=600, scope=SCOPE)
        for _ in range(4):
            await jobs.tick()
            house.now += 31 * SECOND
        house.pool.clear(main.id)
    assert len(house.pings) == 2
    house.settings = load({"OMNI_PROBE_BILLED_PER_DAY": "0"}, {})
    house.now += DAY
    house.cool(main, Kind.UPSTREAM_FAILED, seconds=600, scope=SCOPE)
    for _ in range(20):
        await jobs.tick()
        house.now += 31 * SECOND
    assert len(house.pings) == 2


async def test_a_balance_decides_whether_there_is_credit(house: House) -> None:
    main, jobs = house.account(provider="deepseek", models=("deepseek-chat",)), house.jobs()
    house.cool(main, Kind.ACCOUNT_UNPAID, "terminal", 6 * 3600)
    house.balance = (200, {"is_available": False, "balance_infos": [{"currency": "USD", "total_balance": "0.00"}]})
    for _ in range(3):
        await jobs.tick()
        house.now += 70 * SECOND
    assert (len(house.pool.cooldowns(main.id)), house.pings) == (1, [])
    house.balance = (200, {"is_available": True, "balance_infos": [{"currency": "USD", "total_balance": "5.00"}]})
    house.now += HOUR
    await jobs.tick()
    assert (house.pool.cooldowns(main.id), house.pings) == ([], [])


@pytest.mark.parametrize(("open_list", "accepted"), [(False, ["acc_main"]), (True, [])])
async def test_a_refused_credential_is_accepted_again_only_on_proof(house: House, open_list: bool, accepted: list[str]) -> None:
    main, jobs = house.account(state="needs_login", state_reason="revoked"), house.jobs()
    house.cool(main, Kind.ACCOUNT_REJECTED, "terminal")
    house.listed = lambda account: OK if account.secret or open_list else TestResult(False, 401, "no", ())
    await jobs.tick()
    house.now += 31 * SECOND
    await jobs.tick()
    assert house.accepted == accepted
    assert house.pings == []  # never a request with a refused credential
    assert bool(house.pool.cooldowns(main.id)) is open_list


async def test_a_failure_while_it_was_asked_is_newer_than_the_answer(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.cool(main, Kind.UPSTREAM_UNREACHABLE)
    await jobs.tick()
    house.now += 31 * SECOND

    def fails_meanwhile(account: Account) -> TestResult:
        house.now += SECOND
        house.pool.clear(main.id)
        house.cool(main, Kind.UPSTREAM_UNREACHABLE)
        return OK

    house.listed = fails_meanwhile
    await jobs.tick()
    assert len(house.pool.cooldowns(main.id)) == 1


async def test_two_processes_and_a_restart_ask_once(house: House) -> None:
    main = house.account()
    house.cool(main, Kind.UPSTREAM_UNREACHABLE)
    house.listed = lambda account: DOWN
    first, second = house.jobs("prc_1"), house.jobs("prc_2")
    await asyncio.gather(first.tick(), second.tick())
    house.now += 31 * SECOND
    await asyncio.gather(first.tick(), second.tick(), first.tick(), second.tick())
    assert len(house.asked) == 1
    again = house.jobs("prc_3")
    await again.tick()
    row = await house.row()
    assert row is not None
    assert (len(house.asked), row.payload["step"], row.due_at) == (1, 1, house.now + 60 * SECOND)


async def test_a_lease_that_was_lost_spends_nothing(house: House) -> None:
    main = house.account()
    house.cool(main, Kind.UPSTREAM_FAILED, scope=SCOPE)
    prober = house.prober()
    await prober.arrange()
    house.now += 31 * SECOND
    (old,) = await house.db.tx(lambda conn: queue.claim(conn, "prc_slow", house.now, LEASE_MS))
    house.now += LEASE_MS + 1
    await house.db.tx(lambda conn: queue.claim(conn, "prc_quick", house.now, LEASE_MS))
    house.cool(main, Kind.UPSTREAM_FAILED, scope=SCOPE)
    report = await prober.run(old)
    assert house.pings == []
    assert "another process took over" in (report.error or "")


async def test_a_stop_does_not_wait_for_an_answer_and_the_next_process_asks_anew(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.cool(main, Kind.UPSTREAM_UNREACHABLE)
    await jobs.tick()
    house.now += 31 * SECOND
    begun = asyncio.Event()

    async def silent(account: Account) -> TestResult:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("it was told to stop")

    house._ask = silent  # type: ignore[method-assign]
    slow = house.jobs("prc_2")
    ticking = asyncio.create_task(slow.tick())
    await begun.wait()
    await slow.close()
    assert await ticking == 1
    row = await house.row()
    assert row is not None
    assert (row.state, row.lease_owner) == ("ready", None)


async def test_probes_are_switched_off_by_a_setting(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.cool(main, Kind.UPSTREAM_UNREACHABLE)
    await jobs.tick()
    house.settings = load({"OMNI_PROBE_MAX_S": "0"}, {})
    house.now += HOUR
    await jobs.tick()
    row = await house.row()
    assert row is not None
    assert (row.state, house.asked) == ("done", [])


@pytest.mark.parametrize(
    ("provider", "model", "tokens"),
    [
        ("anthropic", "claude-haiku-4-5", ("max_tokens", 1)),
        ("google", "gemini-2.5-flash", ("maxOutputTokens", 1)),
        ("openai", "gpt-4.1-mini", ("max_completion_tokens", 1)),
        ("groq", MODEL, ("max_tokens", 1)),
    ],
)
def test_the_smallest_request_of_each_format(provider: str, model: str, tokens: tuple[str, int]) -> None:
    account = providers.complete(Account("acc_1", provider, "main", secret="key-0123456789", models=(model,)))
    request, stream = ping(account, model, {})
    body = json.loads(request.body)
    assert (body.get("generationConfig") or body)[tokens[0]] == tokens[1]
    assert not stream
    assert not body.get("stream")
    facing = providers.facing(account, "openai-responses")
    if facing.wire == "openai-responses":
        assert json.loads(ping(facing, model, {})[0].body)["max_output_tokens"] == 16


def test_the_cheapest_model_that_can_tell() -> None:
    models = ("gpt-5", "gpt-4.1-nano", "text-embedding-3-small", "unknown-model")
    account = providers.complete(Account("acc_1", "openai", "main", models=models))
    assert model_for(account, "", paying=True) == "gpt-4.1-nano"
    assert model_for(account, f"model:{catalog.family('gpt-5')}", paying=False) == "gpt-5"
    assert model_for(account, "model:never-heard-of", paying=False) == ""
    assert model_for(account, f"model:{catalog.family('text-embedding-3-small')}", paying=False) == ""
    assert model_for(providers.complete(Account("acc_2", "demo", "d", models=("demo-chat",))), "", paying=True) == "demo-chat"
