"""Budgets: periods, what counts, who is left out, what the client and the owner are told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from omni_connector import gateway as gateway_module
from omni_connector import secrets
from omni_connector.admin import now_ms
from omni_connector.budgets import Budgets
from omni_connector.gateway import Gateway
from omni_connector.periods import period_end
from omni_connector.record import Record
from omni_connector.secrets import new_id
from omni_connector.snapshot import Account, ClientKey, Limit, Snapshot
from omni_connector.store import alerts, books
from omni_connector.store import requests as rows
from omni_connector.store.engine import Database
from omni_connector.usage import nano
from omni_connector.wire.anthropic_messages import NAME as MESSAGES
from omni_connector.wire.gemini_generate import NAME as GEMINI
from tests.live.answers import CHAT, Said, Tokens, chat_error
from tests.relaying import Client, House

Json = dict[str, Any]
PRICED: Json = {"models": ["gpt-5.5"], "model_map": {"test-model": "gpt-5.5"}}
FREE: Json = {"options": {"price_id": "subscription"}}
UNPRICED: Json = {"models": ["nobody-knows-1"], "model_map": {"test-model": "nobody-knows-1"}}
OK = Said("all is well", tokens=Tokens(fresh=100_000)).answer(CHAT, False)
"""Half a dollar at gpt-5.5's price, and more."""


def at(text: str, zone: tzinfo = UTC) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


# ---------------------------------------------------------------- Counting, with a clock that the test turns


class Book:
    """Budgets on a fresh database: `one` as in this process, `other` as in another."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = at("2026-03-31T12:00")
        self.one, self.other = (Budgets(db, lambda: self.now) for _ in range(2))

    async def follow(self, *limits: Limit, **budgets: Json | None) -> None:
        accounts = tuple(Account(f"acc_{name}", "openai", name, budget=budget) for name, budget in budgets.items())
        for process in (self.one, self.other):
            await process.follow(Snapshot(accounts=accounts, limits=limits))

    async def spend(self, cost: str, name: str = "a", began: int | None = None) -> None:
        """By this process."""
        record = self.record(began)
        record.account_id, record.cost = f"acc_{name}", Decimal(cost)
        record.end(self.now, "ok", 200)
        await self.db.tx(lambda conn: rows.insert_open(conn, [record.opened()]))
        self.one.note(await self.db.tx(lambda conn: books.settle(conn, [record.settled()])))

    def record(self, began: int | None = None) -> Record:
        began = self.now if began is None else began
        return Record(new_id("req", began), began, "prc_1", CHAT, "/v1", "pytest", "key_1", "laptop")

    def spent(self, name: str = "a") -> list[str]:
        shown = [process.shape(f"acc_{name}", {"amount": "1", "period": "x"}) or {} for process in (self.one, self.other)]
        return [each["spent_usd"] for each in shown]


@pytest.fixture
async def book(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Book]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    db = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield Book(db)
    await db.close()


def budget(amount: str, period: str = "month") -> Json:
    return {"amount": amount, "period": period}


def fits(process: Budgets, price: str | None, name: str = "a") -> bool:
    account = Account(f"acc_{name}", "openai", name)
    return process.over("key_1", account, "gpt-4o", lambda: None if price is None else nano(Decimal(price))) is None


async def test_to_the_nano_dollar(book: Book) -> None:
    await book.follow(a=budget("1"))
    await book.spend("0.999999998")
    assert fits(book.one, "0.000000002") and not fits(book.one, "0.000000003")
    assert fits(book.one, None), "an unknown price is allowed as long as something is left"
    await book.spend("0.000000002")
    assert not fits(book.one, "0.000000001") and not fits(book.one, None)
    assert fits(book.one, "0") and fits(book.one, "5", "nobody-has-a-budget")


async def test_a_new_month_begins_at_nothing_and_late_answers_belong_to_the_old_one(book: Book) -> None:
    await book.follow(a=budget("1"), b=budget("1", "total"))
    began = book.now
    for name in "ab":
        await book.spend("2", name)
    over = book.one.over("key_1", Account("acc_a", "openai", "a"), "gpt-4o", lambda: 10**9)
    assert over is not None and over.until_at == at("2026-04-01")
    assert over.reason == "the budget of a is spent ($2.000000 of $1 this month, at least $1.000000 for this request)"
    forever = book.one.over("key_1", Account("acc_b", "openai", "b"), "gpt-4o", lambda: None)
    assert forever is not None and forever.until_at is None and "in total" in forever.reason and "unknown" in forever.reason
    book.now = at("2026-04-01")
    await book.spend("0.75", began=began)
    assert book.spent() == ["0.000000", "0.000000"] and fits(book.one, "1")
    await book.one.refresh()
    await book.spend("0.25")
    await book.spend("0.25", began=began)
    await book.other.refresh()
    assert (book.spent(), book.spent("b")) == (["0.250000"] * 2, ["2.000000"] * 2)
    assert not fits(book.one, "0.000000001", "b")


async def test_soft_budgets_tell_and_let_through(book: Book) -> None:
    everything = Limit("installation", "", {"amount": "1", "period": "week", "mode": "soft", "zone": "Asia/Kathmandu"})
    await book.follow(everything, a={**budget("1"), "mode": "soft"})
    await book.spend("5")
    assert fits(book.one, "1") and book.one.watching
    shown = book.one.shape_limit("installation", "", everything.budget)
    assert shown == {**(everything.budget or {}), "spent_usd": "5.000000", "held_usd": "0.000000", "resets_at": at("2026-04-05T18:15")}
    heard: list[str] = []

    async def begin(kind: str, subject: str, words: str) -> bool:
        heard.append(f"{subject}: {words}")
        return True

    await book.one.tell(begin, begin_never)
    assert heard == [
        "installation: The budget of this installation is spent: $5.000000 of $1 this week",
        "acc_a: The budget of a is spent: $5.000000 of $1 this month",
    ]


async def begin_never(kind: str, subject: str) -> bool:
    raise AssertionError(subject)


async def test_a_budget_given_later_counts_from_the_beginning_of_its_period(book: Book) -> None:
    await book.spend("1", began=at("2026-03-30T23:59"))
    await book.spend("2")
    await book.follow(a=budget("10", "day"))
    assert book.spent() == ["2.000000"] * 2
    await book.follow(a=budget("10", "week"))
    assert book.spent() == ["3.000000"] * 2
    await book.follow(a={**budget("10", "day"), "zone": "Europe/Berlin"})
    assert book.spent() == ["3.000000"] * 2
    await book.follow(a=None)
    assert book.one.shape("acc_a", None) is None and not book.one.watching


async def test_an_alert_begins_and_ends_once(book: Book) -> None:
    heard: list[tuple[str, str]] = []

    async def begin(kind: str, subject: str, words: str) -> bool:
        heard.append((subject, words))
        return await book.db.tx(lambda conn: alerts.open_alert(conn, kind, subject, words, book.now)) is not None

    async def over(kind: str, subject: str) -> bool:
        heard.append((subject, "over"))
        return await book.db.tx(lambda conn: alerts.end_alert(conn, kind, subject, book.now)) is not None

    await book.follow(a=budget("1"), zero=budget("0"))
    await book.one.tell(begin, over)
    await book.spend("1")
    await book.other.refresh()
    for process in (book.one, book.other, book.one):
        await process.tell(begin, over)
    assert heard == [("acc_a", "The budget of a is spent: $1.000000 of $1 this month")]
    book.now = at("2026-04-01")
    for process in (book.one, book.other):
        await process.tell(begin, over)
    assert heard[1:] == [("acc_a", "over")]


# ---------------------------------------------------------------- Routing


async def opened(home: Path) -> House:
    gateway = await Gateway.open(home, {})
    gateway.ledger.start()
    return House(gateway)


async def closed(house: House) -> None:
    await asyncio.gather(*house.gateway._tasks)
    await house.gateway.ledger.close()
    await house.gateway.close()


@pytest.fixture
def home(migrated_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(migrated_home, tmp_path / "home"))


@pytest.fixture
async def house(home: Path) -> AsyncIterator[House]:
    house = await opened(home)
    yield house
    await closed(house)


async def ask(house: House, key: ClientKey | None = None, **more: Any) -> Client:
    headers = more.pop("headers", {})
    call, client = house.call(key=key, **more), Client()
    # Ids as they are outside of tests: they sort by time.
    await house.gateway.relay.run(replace(call, id=new_id("req", call.started_at), headers=headers), client)
    return client


async def key_with(house: House, **limits: Any) -> ClientKey:
    made = await house.gateway.admin.create_key({"name": "ci", **limits})
    assert "warning" not in made
    return house.gateway.snapshot.keys[secrets.hash_key(made["key"])]


def told(client: Client) -> dict[str, str]:
    return {line["account"]: line["message"] for line in client.error["provider_failures"]}


async def test_an_account_that_has_spent_its_budget_gives_way(house: House) -> None:
    await house.account("a", OK, **PRICED, budget={"amount": "0.5", "period": "day"})
    await house.account("b", OK, **PRICED)
    served = [(await ask(house)).headers["x-omni-account"] for _ in range(3)]
    assert served == ["a", "b", "b"]
    (line,) = (await house.row())["skipped"]
    assert line["account"] == "a" and line["reason"].startswith("the budget of a is spent ($0.5") and "today" in line["reason"]
    plan = await house.gateway.admin.explain({"model": "test-model"})
    (skipped,) = plan["skipped"]
    assert skipped["until"] == period_end("day", now_ms()) and not skipped["guess"] and "is spent" in skipped["reason"]
    shown = await house.gateway.admin.account(house.ids["a"])
    assert shown["budget"] | {"spent_usd": ""} == {
        "amount": "0.5",
        "period": "day",
        "spent_usd": "",
        "held_usd": "0.000000",
        "resets_at": skipped["until"],
    }
    assert shown["budget"]["spent_usd"] == shown["cost_today"]
    assert (await house.gateway.admin.account(house.ids["b"]))["budget"] is None


async def test_nobody_left_who_can_pay_is_no_fault_of_the_caller(house: House) -> None:
    await house.account("a", OK, **PRICED, budget={"amount": "0"})
    client = await ask(house)
    assert client.status == 503 and "the budget of a is spent" in told(client)["a"]
    assert house.network.asked == []
    await house.gateway.admin.edit_account(house.ids["a"], {"budget": {"amount": "0.5"}})
    assert (await ask(house)).status == 200
    spent = (await house.gateway.admin.account(house.ids["a"]))["budget"]
    raised = await house.gateway.admin.edit_account(house.ids["a"], {"budget": {**spent, "amount": "5"}})
    assert raised["budget"] == {**spent, "amount": "5"}, "what was read may be sent back"
    assert (await ask(house)).status == 200


async def test_free_models_stay_allowed_and_unknown_prices_until_it_is_spent(house: House) -> None:
    key = await key_with(house, budget={"amount": "0.5"})
    await house.account("dear", OK, **PRICED)
    await house.account("odd", OK, **UNPRICED)
    await house.account("free", OK, **FREE)
    assert (await ask(house, key, headers={"x-omni-only": "odd"})).status == 200
    assert [(await ask(house, key)).headers["x-omni-account"] for _ in range(2)] == ["dear", "free"]
    reasons = {line["account"]: line["reason"] for line in (await house.row())["skipped"]}
    assert "key ci is spent" in reasons["dear"] and "what this request costs is unknown" in reasons["odd"]
    assert (await ask(house)).headers["x-omni-account"] == "dear", "it is the budget of that key alone"


@pytest.mark.parametrize(
    ("wire", "code", "kind"),
    [(CHAT, "budget_exceeded", "budget_exceeded"), (MESSAGES, None, "billing_error"), (GEMINI, 402, "RESOURCE_EXHAUSTED")],
)
async def test_a_key_that_has_spent_its_budget_is_told_in_its_format(house: House, wire: str, code: Any, kind: str) -> None:
    key = await key_with(house, budget={"amount": "0.5", "period": "week"})
    await house.account("a", OK, **PRICED)
    assert (await ask(house, key)).status == 200
    client = await ask(house, key, wire=wire, contents=[{"role": "user", "parts": [{"text": "hi"}]}])
    error = client.error
    assert client.status == 402 and error.get("code") == code and kind in (error.get("type"), error.get("status"))
    renewed = datetime.fromtimestamp((period_end("week", now_ms()) or 0) / 1000, UTC)
    assert "The budget of key ci is spent ($0.5" in error["message"] and "of $0.5 this week" in error["message"]
    assert f"{renewed:%Y-%m-%d} 00:00 UTC" in error["message"]
    assert "retry-after" not in client.headers
    row = await house.row()
    assert (row["flag"], row["http_status"], row["error"]["kind"]) == ("BUDGET", 402, "budget_spent")
    (shown,) = (await house.gateway.admin.keys())["keys"]
    assert shown["budget"]["resets_at"] == period_end("week", now_ms()) and float(shown["budget"]["spent_usd"]) > 0.5
    explained = await house.gateway.admin.explain({"model": "test-model", "key": "ci"})
    assert explained["refusal"]["status"] == 402 and explained["attempts"] == []


async def test_requests_at_the_same_time_see_each_other_as_estimated(house: House) -> None:
    """The second one is planned while the first is on its way."""
    await house.account("a", OK, **PRICED, budget={"amount": "0.003"})
    await house.account("b", OK, **PRICED)
    go = asyncio.Event()

    async def slow() -> Any:
        await go.wait()
        return OK

    house.network.scripts["a"] = [slow]
    first = asyncio.create_task(ask(house))
    async with asyncio.timeout(30):
        while not house.network.asked:
            await asyncio.sleep(0)
    assert (await ask(house)).headers["x-omni-account"] == "b"
    go.set()
    assert (await first).headers["x-omni-account"] == "a"


async def test_an_attempt_that_comes_too_late_for_the_money_goes_elsewhere(house: House) -> None:
    """Money that was there when the plan was made, and is gone when its second account would be tried."""
    key = await key_with(house, budget={"amount": "0.5"})

    async def fails() -> Any:
        assert (await ask(house, key)).status == 200
        return chat_error(500, "boom")

    await house.account("a", fails, OK, **PRICED)
    await house.account("b", OK, **PRICED)
    client = await ask(house, key)
    assert client.status == 503 and "key ci is spent" in told(client)["b"]
    assert house.network.asked == ["a", "a"]


async def test_a_restart_forgets_nothing(home: Path) -> None:
    first = await opened(home)
    await first.account("a", OK, **PRICED, budget={"amount": "0.5"})
    assert (await ask(first)).status == 200
    spent = (await first.gateway.admin.account(first.ids["a"]))["budget"]
    await closed(first)
    again = await opened(home)
    assert (await again.gateway.admin.account(first.ids["a"]))["budget"] == spent
    assert (await ask(again)).status == 503
    await closed(again)


async def test_two_processes_share_a_budget(home: Path) -> None:
    one, two = await opened(home), await opened(home)
    await one.account("a", OK, **PRICED, budget={"amount": "0.5"})
    two.network.scripts["a"] = [OK]
    await two.gateway.reload()
    assert (await ask(one)).status == 200
    await two.gateway.budgets.refresh()
    assert (await ask(two)).status == 503 and two.network.asked == []
    await asyncio.gather(closed(one), closed(two))


async def test_a_server_looks_by_itself_and_says_when_one_is_reached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "TOUCH_S", 0.01)
    gateway = await Gateway.open(home, {})
    await gateway.serve(jobs=False)
    house = House(gateway)
    key = await key_with(house, budget={"amount": "0.5"})
    await house.account("a", OK, **PRICED)
    assert (await ask(house, key)).status == 200
    try:
        async with asyncio.timeout(30):
            while not (begun := (await gateway.admin.alerts())["alerts"]):
                await asyncio.sleep(0.01)
    finally:
        await gateway.close()
    assert [(alert["kind"], alert["subject"]) for alert in begun] == [("budget_reached", key.id)]
    assert begun[0]["message"].startswith("The budget of key ci is spent: $0.5")
