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
from omni_connector.ledger import Ledger
from omni_connector.pinging import Pinger
from omni_connector.probing import Hands, Prober
from omni_connector.record import Record
from omni_connector.routing.health import FOREVER, RULES, HealthSettings, cooldown_for, scope_of
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.settings import load
from omni_connector.snapshot import Account, Cooldown, Snapshot
from omni_connector.store import books, requests
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database
from omni_connector.tokens import Tokens
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
        self.learned: list[tuple[tuple[str, ...], Any]] = []
        self.renewable = True
        self.newer: set[str] = set()
        """Accounts that failed anew in another process, which only the database knows of."""
        self.ledger = Ledger(self._write)

    def account(self, label: str = "main", **more: Any) -> Account:
        fields: dict[str, Any] = {"provider": "groq", "secret": "gsk_0123456789", "models": (MODEL,)} | more
        account = providers.complete(Account(id=f"acc_{label}", label=label, **fields))
        self.pool.sync(Snapshot(1, (*self.pool.accounts.values(), account)), self.now)
        return account

    def cool(self, account: Account, kind: Kind, source: Any = "guessed", seconds: float = 600, scope: str = "") -> None:
        until = FOREVER if kind is Kind.ACCOUNT_REJECTED else self.now + int(seconds * 1000)
        self.pool.cool(Cooldown(account.id, scope, until, source, RULES[kind].reason, 0, self.now))

    def prober(self, name: str = "prc_1") -> Prober:
        hands = Hands(
            accounts=lambda: self.pool.accounts,
            cooldowns=self.pool.cooldowns,
            endpoints=dict,
            ask=self._ask,
            recovered=self._recovered,
            accepted=self._accepted,
            renew=self._renew,
            failed=self._failed,
            learned=self._learned,
        )
        network: Any = self
        pinger = Pinger(network, self.ledger, name, lambda: self.now, lambda record: None, self._admit)
        return Prober(self.db, network, pinger, hands, lambda: self.settings, lambda: self.now, Still())

    def jobs(self, name: str = "prc_1") -> Jobs:
        async def reload() -> None:
            """Nothing here is read from the database."""

        return Jobs(self.db, lambda: self.settings, self.home, name, lambda: self.now, reload, by_need=(self.prober(name),))

    async def row(self) -> queue.JobRow | None:
        return next((job for job in await self.db.run(queue.list_jobs) if job.kind == "probe"), None)

    async def pinged(self) -> list[tuple[Any, ...]]:
        """Of each billed probe's row, the oldest first: outcome, flag, process, account."""
        rows = await self.db.run(requests.list_requests)
        assert {(row["client"], row["key_id"]) for row in rows} <= {("probe", None)}
        return [(row["outcome"], row["flag"], row["process_id"], row["account_id"]) for row in reversed(rows)]

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        if request.method == "GET":
            return self.balance[0], {}, json.dumps(self.balance[1]).encode()
        self.pings.append(request)
        return self.answer[0], {"content-type": "application/json"}, json.dumps(self.answer[1]).encode()

    async def _ask(self, account: Account) -> TestResult:
        self.asked.append(account)
        return self.listed(account)

    async def _admit(self, record: Record, account: Account, body: bytes) -> None:
        """No limits."""

    async def _write(self, opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        def write(conn: Any) -> None:
            requests.insert_open(conn, opens)
            books.settle(conn, settles)

        await self.db.tx(write)
        return []

    async def _renew(self, account: Account, refused: str) -> Account:
        if not self.renewable:
            raise GatewayError(Kind.ACCOUNT_REJECTED, "Sign in again.")
        return replace(account, access="fresh", access_until=None)

    async def _recovered(self, account_id: str, scope: str, asked_at: int) -> bool:
        if account_id in self.newer:
            return False
        self.pool.clear(account_id, scope)
        return True

    async def _accepted(self, account_id: str) -> None:
        self.accepted.append(account_id)
        self._changed(account_id, state="ok")

    async def _learned(self, account_id: str, models: tuple[str, ...], balance: Any) -> None:
        self.learned.append((models, balance))
        self._changed(account_id, **({"discovered": models} if models else {}), **({"balance": balance} if balance else {}))

    def _changed(self, account_id: str, **fields: Any) -> None:
        accounts = self.pool.accounts | {account_id: replace(self.pool.accounts[account_id], **fields)}
        self.pool.sync(Snapshot(1, tuple(accounts.values())), self.now)

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
    made = House(database, home)
    made.ledger.start()
    yield made
    await made.ledger.close()
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
    assert await house.pinged() == [], "what costs nothing leaves no row"


async def test_what_a_free_question_tells_beside_is_kept_where_it_is_news(house: House) -> None:
    main, jobs = house.account(provider="deepseek", models=("deepseek-chat",)), house.jobs()
    house.cool(main, Kind.ACCOUNT_UNPAID, "terminal", 6 * 3600)
    house.listed = lambda account: TestResult(True, 200, "fine", ("deepseek-chat", "deepseek-new"))

    async def told(balance: str) -> list[tuple[tuple[str, ...], Any]]:
        house.balance = (200, {"is_available": False, "balance_infos": [{"currency": "USD", "total_balance": balance}]})
        house.now += HOUR
        house.learned.clear()
        await jobs.tick()
        return [(models, found and found["amount"]) for models, found in house.learned]

    await jobs.tick()
    assert await told("0.00") == [(("deepseek-chat", "deepseek-new"), "0.00")]
    assert await told("0.00") == []
    assert await told("0.50") == [((), "0.50")]
    house.listed = lambda account: TestResult(False, 429, "slow down", ())
    house.balance = (500, {})
    house.now += HOUR
    await jobs.tick()
    assert len(house.learned) == 1, "silence is no news"


async def test_what_the_old_credential_was_told_is_not_kept_for_the_new_one(house: House) -> None:
    main, jobs = house.account(), house.jobs()
    house.cool(main, Kind.UPSTREAM_UNREACHABLE)

    def replaced_meanwhile(account: Account) -> TestResult:
        house._changed(main.id, secret="gsk_another")
        return OK

    house.listed = replaced_meanwhile
    await jobs.tick()
    house.now += 31 * SECOND
    await jobs.tick()
    assert (len(house.asked), house.learned) == (1, [])


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


@pytest.mark.parametrize(("check", "accepted"), [({"login": "tool login"}, ["acc_main"]), ({}, [])])
async def test_a_command_proves_a_sign_in_only_where_its_check_needs_one(house: House, check: dict[str, str], accepted: list[str]) -> None:
    command = {"argv": ["tool"], "check": ["tool", "status"], **check}
    main = house.account(provider="command", auth="cli", secret="", options={"command": command}, state="needs_login")
    house.cool(main, Kind.ACCOUNT_REJECTED, "terminal")
    jobs = house.jobs()
    await jobs.tick()
    house.now += 31 * SECOND
    await jobs.tick()
    assert (house.accepted, house.pings) == (accepted, [])


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


async def test_nobody_is_let_in_whose_credential_was_refused_anew_in_another_process(house: House) -> None:
    main, jobs = house.account(state="needs_login"), house.jobs()
    house.cool(main, Kind.ACCOUNT_REJECTED, "terminal")
    house.listed = lambda account: OK if account.secret else TestResult(False, 401, "no", ())
    house.newer.add(main.id)
    for _ in range(2):
        await jobs.tick()
        house.now += 31 * SECOND
    assert (len(house.asked), house.accepted) == (2, []), "with the credential, and as a stranger"


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


@pytest.mark.parametrize("noticed", [True, False], ids=["its end is noticed", "its lease runs out"])
async def test_a_probe_goes_on_in_another_process_when_its_own_is_killed(house: House, noticed: bool) -> None:  # R-09, J-05
    main, killed, heir = house.account(), house.jobs("prc_killed"), house.jobs("prc_heir")
    house.cool(main, Kind.UPSTREAM_FAILED, seconds=3 * 3600, scope=SCOPE)
    await killed.beat()
    await killed.tick()
    house.now += 31 * SECOND
    sent, never, answers = asyncio.Event(), asyncio.Event(), house.fetch

    async def silent(request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        house.pings.append(request)
        sent.set()
        await never.wait()
        return 200, {"content-type": "application/json"}, json.dumps(ANSWER).encode()

    house.fetch = silent  # type: ignore[method-assign]
    gone = asyncio.create_task(killed.tick())
    await sent.wait()
    house.fetch = answers  # type: ignore[method-assign]
    assert await house.pinged() == [(None, None, "prc_killed", main.id)]

    await heir.tick()
    assert len(house.pings) == 1, "as long as the other may be at work, nobody else is"
    await heir.beat()
    house.now += SECOND if noticed else LEASE_MS + 1
    if noticed:
        await heir.recover()
    await heir.tick()
    assert (len(house.pings), house.pool.cooldown(main.id, SCOPE)) == (2, None)
    await heir.recover()
    ended = [("recovered", "RECOVERED", "prc_killed", main.id), ("ok", None, "prc_heir", main.id)]
    assert await house.pinged() == ended
    row = await house.row()
    assert row is not None
    assert (row.state, row.payload["billed"]) == ("done", 2), "what was spent before the end counts"

    never.set()  # it was not dead but asleep: what it brings home is too late for the job, and true for the books
    await gone
    assert (await house.row(), await house.pinged()) == (row, [("ok", None, "prc_killed", main.id), ended[1]])


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


@pytest.mark.parametrize("renewable", [True, False])
async def test_a_token_that_has_ended_is_renewed_before_anything_is_asked(house: House, renewable: bool) -> None:  # R-09, C-66
    """An ended token would be refused, and the account locked for it."""
    house.renewable = renewable
    secret = Tokens("old", "refresh", house.now + 1_000).encode()
    main, jobs = house.account(auth="oauth", secret=secret), house.jobs()
    house.cool(main, Kind.UPSTREAM_OVERLOADED)
    await jobs.tick()
    house.now += 60_000
    await jobs.tick()
    assert [account.access for account in house.asked] == (["fresh"] if renewable else [])
    row = await house.row()
    assert row is not None and row.last_error == (None if renewable else "Sign in again.")
