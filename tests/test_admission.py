"""What a request can cost, and how it is kept within what is left."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from omni_connector import secrets
from omni_connector.admission import UNSAID_ANSWER, Stake, stake
from omni_connector.chat import Usage
from omni_connector.errors import GatewayError
from omni_connector.gateway import Gateway
from omni_connector.record import Record
from omni_connector.secrets import new_id
from omni_connector.snapshot import ClientKey
from omni_connector.store import allowances
from omni_connector.usage import own_rates
from omni_connector.wire.caps import Wanted
from tests.live.answers import CHAT, Said, Tokens
from tests.relaying import Client, House

Json = dict[str, Any]
RATES = own_rates(Decimal(2), Decimal(8), cache_write=Decimal("2.5"))
"""Dollars per million tokens."""
PRICED: Json = {"models": ["m"], "model_map": {"test-model": "m"}}
ANSWER = Said("all is well", tokens=Tokens(fresh=20, output=50)).answer(CHAT, False)


# ---------------------------------------------------------------- What it can cost


def test_the_worst_case_is_the_longest_answer() -> None:
    found = stake(RATES, False, Wanted(100, 2), 1000, b"", "m")
    assert found == Stake(2_000_000, Decimal(16_000), 100)
    assert (found.most, found.least) == (2_000_000 + 1_600_000, 2_000_000 + 64 * 16_000)
    assert found.answer(found.most or 0) == 100 and found.answer(2_000_000 + 16_000 * 70) == 70
    cost = RATES.cost(Usage(input=1000, output=200))
    assert cost is not None and cost * 10**9 == found.most, "as it is billed"


def test_what_is_not_said_is_as_long_as_the_model_can() -> None:
    assert stake(RATES, False, Wanted(), 10, b"", "nobody-knows").tokens == UNSAID_ANSWER
    assert stake(RATES, False, Wanted(), 10, b"", "claude-haiku-4-5").tokens == 64_000


def test_writing_to_a_cache_costs_more_than_reading() -> None:
    assert stake(RATES, False, Wanted(0), 1000, b'{"cache_control":1}', "m").fixed == 2_500_000


def test_free_is_nothing_and_unknown_is_not_free() -> None:
    assert stake(None, True, Wanted(5), 10, b"", "m").most == 0
    assert stake(None, False, Wanted(5), 10, b"", "m").most is None
    assert stake(own_rates(), False, Wanted(), 10, b"", "m").most == 0


# ---------------------------------------------------------------- In a house


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    house = House(gateway)
    await gateway.admin.set_price("m", {"input": "2", "output": "8"})
    yield house
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


async def key_with(house: House, **limits: Any) -> ClientKey:
    made = await house.gateway.admin.create_key({"name": "ci", **limits})
    return house.gateway.snapshot.keys[secrets.hash_key(made["key"])]


async def ask(house: House, key: ClientKey | None = None, **more: Any) -> Client:
    call, client = house.call(key=key, **more), Client()
    await house.gateway.relay.run(replace(call, id=new_id("req", call.started_at)), client)
    return client


async def held(house: House) -> list[tuple[str, str, int]]:
    return await house.gateway.db.run(allowances.held)


async def test_an_answer_is_shortened_to_what_the_budget_pays_for(house: House) -> None:
    await house.account("a", ANSWER, ANSWER, **PRICED)
    key = await key_with(house, budget={"amount": "0.002", "period": "total"})
    client = await ask(house, key, max_tokens=None)
    body = house.network.bodies[-1]
    assert client.status == 200 and 150 < body["max_completion_tokens"] < 250 and "x-omni-dropped" in client.headers
    asked = json.loads(house.call(max_tokens=None).body) | {"model": "m"}
    assert body == asked | {"max_completion_tokens": body["max_completion_tokens"]}
    short = await ask(house, key, max_tokens=20)
    assert short.status == 200 and house.network.bodies[-1]["max_tokens"] == 20
    assert "x-omni-dropped" not in short.headers and await held(house) == []


async def test_at_the_same_time_they_never_spend_more_and_use_nearly_all(house: House) -> None:
    await house.account("a", ANSWER, **PRICED)
    key = await key_with(house, budget={"amount": "0.02", "period": "day"})
    statuses: list[int] = []

    async def work() -> None:
        statuses.extend([(await ask(house, key, max_tokens=60)).status for _ in range(12)])

    await asyncio.gather(*(work() for _ in range(8)))
    (shown,) = (await house.gateway.admin.keys())["keys"]
    spent, served = Decimal(shown["budget"]["spent_usd"]), statuses.count(200)
    assert spent == served * Decimal("0.00044") and Decimal("0.019") <= spent <= Decimal("0.02")
    assert set(statuses) == {200, 402} or set(statuses) == {200, 402, 429}
    assert await held(house) == []


async def test_two_processes_share_one_budget(migrated_home: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    houses = [House(await Gateway.open(home, {})) for _ in range(2)]
    for house in houses:
        house.gateway.ledger.start()
    one, two = houses
    await one.gateway.admin.set_price("m", {"input": "2", "output": "8"})
    await one.account("a", ANSWER, **PRICED)
    key = await key_with(one, budget={"amount": "0.02", "period": "month", "zone": "America/New_York"}, max_in_flight=6)
    await two.gateway.reload()
    two.network.scripts = {"a": [ANSWER]}
    statuses: list[int] = []

    async def work(house: House) -> None:
        statuses.extend([(await ask(house, key, max_tokens=60)).status for _ in range(16)])

    await asyncio.gather(*(work(house) for house in houses * 4))
    await one.gateway.budgets.refresh()
    (shown,) = (await one.gateway.admin.keys())["keys"]
    spent = Decimal(shown["budget"]["spent_usd"])
    assert spent == statuses.count(200) * Decimal("0.00044") and Decimal("0.019") <= spent <= Decimal("0.02")
    for house in houses:
        await asyncio.gather(*house.gateway._tasks)
        await house.gateway.ledger.close()
        await house.gateway.close()


async def test_the_limits_of_a_key_are_told_in_full(house: House) -> None:
    await house.account("a", ANSWER, **PRICED)
    key = await key_with(house, rpm=2)
    assert [(await ask(house, key)).status for _ in range(3)] == [200, 200, 429]
    client = await ask(house, key)
    assert client.error["message"] == "This key may send 2 requests a minute. Wait, or raise the limit."
    assert 50 < float(client.headers["retry-after"]) <= 60
    row = await house.row()
    assert (row["http_status"], row["flag"]) == (429, "RATE_LIMIT") and house.network.asked == ["a", "a"]
    assert (await ask(house)).status == 200


async def test_an_account_that_may_not_gives_way_and_is_not_cooled(house: House) -> None:
    await house.account("a", ANSWER, **PRICED, rpm=1)
    await house.account("b", ANSWER, **PRICED)
    served = [(await ask(house)).headers["x-omni-account"] for _ in range(3)]
    assert served == ["a", "b", "b"] and house.cooling() == set()


async def test_who_leaves_at_the_door_holds_nothing(house: House) -> None:
    await house.account("a", ANSWER, **PRICED)
    key = await key_with(house, budget={"amount": "1"}, max_in_flight=3)
    run = asyncio.create_task(ask(house, key))
    for _ in range(3):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert (await ask(house, key)).status == 200
    count = await house.gateway.db.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM holds WHERE open").scalar())
    assert count == 0


async def test_a_probe_counts_against_the_budget_of_its_account(house: House) -> None:
    await house.account("a", ANSWER, **PRICED, budget={"amount": "0.00001", "period": "total"})
    gateway = house.gateway
    now = gateway.planner._now()
    record = Record(new_id("req", now), now, gateway.process_id, CHAT, "/v1", "probe")
    record.model_requested, record.est_input = "m", 10
    account = gateway.pool.accounts[house.ids["a"]]
    opened, admitted = gateway.ledger.open(record.opened()), gateway.admission.probe(record, account, b'{"max_tokens": 1}')
    await opened
    with pytest.raises(GatewayError) as caught:
        await admitted
    assert "the budget of a has no room for this request" in caught.value.message
    await gateway.admin.edit_account(house.ids["a"], {"budget": {"amount": "0.01", "period": "total"}})
    await gateway.admission.probe(record, gateway.pool.accounts[house.ids["a"]], b'{"max_tokens": 1}')
    assert [scope for scope, _, _ in await held(house)] == ["account"]
