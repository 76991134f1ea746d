"""Several nodes over one PostgreSQL: the whole product on it, changes that are live on all, one budget for all, sign-ins that begin
here and end there, and a database that goes away and comes back."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from bench.nodes_town import Wire
from omni_connector import frames, jobs, scraping, secrets, spill
from omni_connector.admin import now_ms
from omni_connector.doctor.database import database as examined
from omni_connector.errors import GatewayError
from omni_connector.gateway import Gateway
from omni_connector.jobs import DEAD_MS
from omni_connector.secrets import new_id
from omni_connector.settings import load
from omni_connector.snapshot import ClientKey, Cooldown
from omni_connector.store import accounts as account_rows
from omni_connector.store import allowances
from omni_connector.store import jobs as queue
from omni_connector.store.files import Away, Silent
from omni_connector.store.tables import processes, requests
from tests import postgres as machine
from tests.live.answers import CHAT, Said, Tokens
from tests.postgres import LocalServer, Server
from tests.relaying import Client, House
from tests.signing import opened_place

Json = dict[str, Any]
PRICED: Json = {"models": ["m"], "model_map": {"test-model": "m"}}
ANSWER = Said("all is well", tokens=Tokens(fresh=20, output=50)).answer(CHAT, False)
COST = Decimal("0.00044")
Opening = Callable[..., Awaitable[House]]


@pytest.fixture
async def node(postgres: Server, migrated_home: Path, tmp_path: Path) -> AsyncIterator[Opening]:
    """Opens one more node: a home of its own with the same keys, the same database, serving but for the clock of its jobs."""
    url = await postgres.fresh()
    opened: list[House] = []

    async def one(**env: str) -> House:
        home = Path(shutil.copytree(migrated_home, tmp_path / f"home-{len(opened)}"))
        gateway = await Gateway.open(home, {"OMNI_DATABASE_URL": url, **env})
        await gateway.serve(jobs=False)
        opened.append(House(gateway))
        return opened[-1]

    yield one
    for house in opened:
        await house.gateway.close()
    postgres.done(url)


async def key_with(house: House, **limits: Any) -> ClientKey:
    made = await house.gateway.admin.create_key({"name": "ci", **limits})
    return house.gateway.snapshot.keys[secrets.hash_key(made["key"])]


async def ask(house: House, key: ClientKey | None = None, **more: Any) -> Client:
    call, client = house.call(key=key, **more), Client()
    await house.gateway.relay.run(replace(call, id=new_id("req", call.started_at)), client)
    return client


async def until(holds: Callable[[], Any], within: float = 10.0) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + within, "it never happened"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def rows(house: House) -> list[tuple[str, str, int | None]]:
    query = sa.select(requests.c.id, requests.c.state, requests.c.cost_nano).order_by(requests.c.id)
    return [tuple(row) for row in await house.gateway.db.run(lambda conn: conn.execute(query).all())]


# ---------------------------------------------------------------- The whole product


async def test_the_whole_product_runs_on_postgresql(node: Opening, monkeypatch: pytest.MonkeyPatch) -> None:  # J-12
    house = await node()
    gateway, admin = house.gateway, house.gateway.admin
    await admin.add_account({"provider": "demo", "label": "demo", "discover": False})
    key = await key_with(house, budget={"amount": "1", "period": "day"}, rpm=100)
    house.network.send = gateway.upstream.send  # type: ignore[method-assign,assignment]
    client = await ask(house, key, model="demo/demo-chat")
    assert client.status == 200
    await admin.set_config({"strategy": "cost"})
    await admin.set_alias("quick", {"targets": ["demo-chat"]})
    assert gateway.settings.strategy == "cost" and "quick" in gateway.snapshot.aliases
    (row,) = (await admin.requests({"text": "DEMO"}))["requests"]
    assert (row["state"], row["model_requested"]) == ("settled", "demo/demo-chat")
    assert (await admin.usage({"group": "model"}))["rows"][0]["requests"] == 1
    told = await admin.system()
    assert told["database"].startswith("postgresql://") and told["database_away"] is None
    assert "nothing to copy" in await gateway.jobs._snapshot() and "0 request rows" in await gateway.jobs._bodies["retention"]()
    assert await gateway.jobs._bodies["usage-check"]() == "the sums of usage equal the rows"
    assert "omni_database_away 0" in await scraping.scrape(gateway)
    env = dict(gateway.env)
    found = await examined(gateway.home, env, load(env), gateway.vault)
    assert {finding.level for finding in found.findings} == {"ok"}, found.findings
    with pytest.raises(GatewayError, match="pg_dump"):
        await admin.backup({"passphrase": "correct horse battery", "download": False})


async def test_a_password_in_the_address_is_told_to_nobody(tmp_path: Path) -> None:
    pytest.importorskip("asyncpg")
    env = {"OMNI_DATABASE_URL": "postgresql://u:hunter2hunter2@127.0.0.1:1/x"}
    with pytest.raises(Away) as caught:
        await Gateway.open(tmp_path / "home", env)
    assert "hunter2" not in str(caught.value) and "does not answer" in caught.value.message


# ---------------------------------------------------------------- Many nodes


async def test_a_change_on_one_node_is_live_on_the_other_within_a_second(node: Opening) -> None:
    one, two = await node(), await node()
    await one.account("a", ANSWER)
    key = await key_with(one)
    await until(lambda: key.hash in two.gateway.snapshot.keys, 1)
    await one.gateway.admin.revoke_key(key.id)
    took = await until(lambda: two.gateway.snapshot.keys[key.hash].revoked_at, 1)
    await one.gateway.admin.set_config({"strategy": "cost"})
    took = max(took, await until(lambda: two.gateway.settings.strategy == "cost", 1))
    now, account = now_ms(), one.ids["a"]
    out = Cooldown(account, "", now + 60_000, "stated", "busy", 0, now)
    await one.gateway.db.tx(lambda conn: account_rows.extend_cooldown(conn, out))
    took = max(took, await until(lambda: two.gateway.pool.cooldowns(account), 1))
    assert took < 1


async def test_each_job_is_claimed_by_one_node(node: Opening) -> None:
    houses = [await node() for _ in range(2)]
    db, now = houses[0].gateway.db, now_ms()
    for number in range(40):
        await db.tx(lambda conn, n=number: queue.ensure(conn, "probe", str(n), None, None, now))  # type: ignore[misc]
    claimed: list[str] = []

    async def work(house: House, me: str) -> None:
        while got := await house.gateway.db.tx(lambda conn: queue.claim(conn, me, now + 1, 60_000, 5)):
            claimed.extend(job.id for job in got if job.kind == "probe")

    await asyncio.gather(*(work(house, f"prc_{n}{place}") for place, house in enumerate(houses) for n in range(3)))
    assert len(claimed) == len(set(claimed)) == 40


async def test_a_sign_in_begun_on_one_node_ends_on_another(
    postgres: Server, migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await postgres.fresh()
    async with opened_place(migrated_home, tmp_path / "home", monkeypatch, OMNI_DATABASE_URL=url) as place:
        flow = await place.start(label="work")
        page = await place.node().callback(await place.query(flow))
        assert page.ok and (await place.onboarding.status(flow["flow_id"]))["status"] == "done"
    postgres.done(url)


async def test_only_the_lease_tells_whether_a_process_of_another_node_lives(node: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers may all be called "gateway", and all have the process id 1."""
    house = await node()
    gateway = house.gateway
    asked: list[int] = []
    monkeypatch.setattr(jobs, "_alive", lambda pid: asked.append(pid) or False)
    monkeypatch.setattr(gateway.jobs, "_host", "gateway/11111111/1")
    await gateway.jobs.beat()
    now = now_ms()
    await gateway.db.tx(lambda conn: queue.beat(conn, "prc_there", "gateway/22222222/2", 1, now))
    await gateway.jobs.recover()

    def known(conn: sa.Connection) -> set[str]:
        return set(conn.execute(sa.select(processes.c.id)).scalars())

    assert (asked, "prc_there" in await gateway.db.run(known)) == ([], True)
    await gateway.db.tx(lambda conn: queue.beat(conn, "prc_there", "", 1, now - DEAD_MS - 1))
    await gateway.jobs.recover()
    assert "prc_there" not in await gateway.db.run(known)


async def test_a_node_whose_clock_is_wrong_takes_nobody_for_dead(node: Opening) -> None:
    house = await node()
    db = house.gateway.db
    wrong = jobs.Jobs(db, lambda: house.gateway.settings, house.gateway.home, "prc_wrong", lambda: now_ms() + 60_000, house.gateway.reload)
    wrong._host = "elsewhere"
    await wrong.beat()
    assert -61_000 < db.offset_ms < -59_000
    await wrong.recover()
    seen = dict(await db.run(lambda conn: conn.execute(sa.select(processes.c.id, processes.c.seen_at)).all()))
    assert house.gateway.process_id in seen and abs(seen["prc_wrong"] - now_ms()) < 2_000
    await house.gateway.jobs.beat()
    assert abs(db.offset_ms) < 1_000


@pytest.mark.parametrize("amount", ["0.02", "0.0075"])
async def test_nodes_share_one_budget_and_never_spend_more(node: Opening, amount: str) -> None:
    one, two = await node(), await node()
    await one.gateway.admin.set_price("m", {"input": "2", "output": "8"})
    await one.account("a", ANSWER, **PRICED)
    key = await key_with(one, budget={"amount": amount, "period": "month", "zone": "America/New_York"}, max_in_flight=8)
    await two.gateway.reload()
    two.network.scripts = {"a": [ANSWER]}
    statuses: list[int] = []

    async def work(house: House) -> None:
        statuses.extend([(await ask(house, key, max_tokens=60)).status for _ in range(12)])

    await asyncio.gather(*(work(house) for house in (one, two) * 5))
    await one.gateway.budgets.refresh()
    (shown,) = (await one.gateway.admin.keys())["keys"]
    spent = Decimal(shown["budget"]["spent_usd"])
    assert spent == statuses.count(200) * COST and Decimal(amount) - 3 * COST <= spent <= Decimal(amount)
    assert set(statuses) <= {200, 402, 429}
    settled = await rows(two)
    assert sum(cost or 0 for _, _, cost in settled) == int(spent * 10**9) and {state for _, state, _ in settled} == {"settled"}


# ---------------------------------------------------------------- The database is away


async def test_the_database_is_stopped_and_started_under_load(
    migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request fails that has no hard budget, no row is lost or doubled, and no budget is overshot."""
    if why := machine.missing():
        pytest.skip(why)
    server = await asyncio.to_thread(machine.start)
    if not isinstance(server, LocalServer):
        pytest.skip("the PostgreSQL of these tests is somebody else's, and is not stopped")
    monkeypatch.setattr(spill, "PAUSES_S", (0.05,))
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    gateway = await Gateway.open(home, {"OMNI_DATABASE_URL": await server.fresh()})
    await gateway.serve(jobs=False)
    house = House(gateway)
    try:
        await gateway.admin.set_price("m", {"input": "2", "output": "8"})
        await house.account("a", ANSWER, **PRICED)
        poor, rich = await key_with(house, budget={"amount": "0.01", "period": "total"}), await key_with(house)
        told: dict[str, list[int]] = {"poor": [], "rich": []}
        going = True

        async def work(name: str, key: ClientKey) -> None:
            while going:
                told[name].append((await ask(house, key, max_tokens=60)).status)
                await asyncio.sleep(0.002)

        load_ = [asyncio.create_task(work(name, key)) for name, key in (("poor", poor), ("rich", rich)) for _ in range(3)]
        await until(lambda: told["poor"].count(402) and told["rich"].count(200) > 20)
        await asyncio.to_thread(server.stop)
        await until(lambda: gateway.spill.away)
        told["poor"].clear()
        already = len(told["rich"])
        await until(lambda: len(told["rich"]) > already + 40)
        system = await gateway.admin.system()
        gateway.has_siblings = True
        assert await gateway.catch_up() is False, "who asks how it is gets an answer"
        assert system["database_away"]["rows"] > 0 and "omni_database_away 1" in await scraping.scrape(gateway)
        (found, books) = (await examined(home, dict(gateway.env), load(dict(gateway.env)), gateway.vault)).findings
        assert (found.level, books.level) == ("fail", "warn") and "spill" in books.message
        await asyncio.to_thread(server.start)
        await until(lambda: not gateway.spill.away, 20)
        already = len(told["rich"])
        await until(lambda: len(told["rich"]) > already + 10)
        going = False
        await asyncio.gather(*load_)
        assert set(told["rich"]) == {200} and 200 not in told["poor"], told
        for _ in range(100):  # who is refused does not wait until that is on record
            settled = await rows(house)
            if {state for _, state, _ in settled} == {"settled"}:
                break
            await asyncio.sleep(0.02)
        paid = [cost for _, state, cost in settled if state == "settled" and cost]
        assert {state for _, state, _ in settled} == {"settled"} and frames.left(home / "spill", "") == []
        assert len(paid) >= len(told["rich"]) and set(paid) == {int(COST * 10**9)}
        assert await gateway.jobs._bodies["usage-check"]() == "the sums of usage equal the rows"
        await gateway.budgets.refresh()
        shown = {key["id"]: key for key in (await gateway.admin.keys())["keys"]}
        assert Decimal(shown[poor.id]["budget"]["spent_usd"]) <= Decimal("0.01")
    finally:
        await gateway.close()
        server.close()


async def test_what_a_killed_process_spilled_is_in_the_books_after_the_next_start(node: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await node()
    gateway = house.gateway
    dead = spill.Spill(gateway.home / "spill", "prc_dead", lambda: gateway.settings, now_ms, server=True)
    row = {"id": "req_a", "started_at": now_ms(), "process_id": "prc_dead", "est_input": 5}
    settled = {"id": "req_a", "settled_at": now_ms(), "outcome": "ok", "http_status": 200, "input": 7, "output": 3, "cost_nano": 11}
    broken = {"id": "req_b", "settled_at": now_ms(), "outcome": "ok", "http_status": 200, "input": 2**62, "cost_nano": 2**63}
    await dead.put([row, {**row, "id": "req_b"}, {**row, "id": "req_open"}], [], [])
    await dead.put([], [broken], [])
    await dead.put([], [settled], [])
    assert dead._file is not None
    dead._file.close()
    await frames.inherit(gateway.home / "spill", spill.ENDING, gateway.booking.carry, gateway.booking.forget, lambda process_id: True)
    await frames.inherit(gateway.home / "spill", spill.ENDING, gateway.booking.carry, gateway.booking.forget, lambda process_id: True)
    assert await rows(house) == [("req_a", "settled", 11), ("req_b", "settled", None), ("req_open", "settled", None)]
    assert frames.left(gateway.home / "spill", "") == []


async def _settled(house: House) -> list[tuple[str, str, int | None]]:
    for _ in range(200):  # who is refused does not wait until that is on record
        found = await rows(house)
        if {state for _, state, _ in found} == {"settled"}:
            break
        await asyncio.sleep(0.02)
    return found


async def test_a_frozen_database_holds_nobody_up(postgres: Server, migrated_home: Path, tmp_path: Path) -> None:
    """Nothing says that it is gone: packets are dropped."""
    url, port = await postgres.fresh(), int(urlsplit(postgres.url("x")).port or 5432)
    wire = Wire(port)
    await wire.open()
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    through = {"OMNI_DATABASE_URL": url.replace(f":{port}/", f":{wire.port}/"), "OMNI_DATABASE_WAIT_S": "0.4"}
    gateway = await Gateway.open(home, through)
    await gateway.serve(jobs=False)
    house = House(gateway)
    try:
        await gateway.admin.set_price("m", {"input": "2", "output": "8"})
        await house.account("a", ANSWER, **PRICED)
        poor, rich = await key_with(house, budget={"amount": "0.01", "period": "total"}), await key_with(house)
        assert {(await ask(house, key)).status for key in (poor, rich)} == {200}
        wire.freeze()
        began = time.monotonic()
        statuses = [client.status for client in await asyncio.gather(*(ask(house, rich) for _ in range(5)), ask(house, poor))]
        took = time.monotonic() - began
        assert statuses[:5] == [200] * 5 and statuses[5] >= 500, statuses
        assert took < 3 and gateway.spill.away
        assert [(await ask(house, rich)).status for _ in range(3)] == [200] * 3
        wire.mend()
        await until(lambda: not gateway.spill.away, 20)
        assert (await ask(house, poor)).status == 200
        found = await _settled(house)
        assert [cost for _, _, cost in found if cost] == [int(COST * 10**9)] * 11 and {state for _, state, _ in found} == {"settled"}
        assert await gateway.jobs._bodies["usage-check"]() == "the sums of usage equal the rows"
        assert gateway.db._writer.in_use <= 1, "their connections are free again"
    finally:
        await gateway.close()
        await wire.close()
        postgres.done(url)


@pytest.mark.parametrize("late", [False, True])
async def test_what_was_done_unheard_counts_once(node: Opening, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Nobody heard that the commit went through, or it does so only when all is said again."""
    house = await node()
    gateway = house.gateway
    await gateway.admin.set_price("m", {"input": "2", "output": "8"})
    await house.account("a", ANSWER, **PRICED)
    poor, rich = await key_with(house, budget={"amount": "0.01", "period": "total"}), await key_with(house)
    assert (await ask(house, poor)).status == 200
    real, unheard = gateway.db.tx, []

    async def silent(fn: Any, *, soon: bool = False) -> Any:
        if not soon:
            return await real(fn)
        unheard.append(fn)
        if not late:
            await real(fn)
        raise Silent("silent")

    monkeypatch.setattr(gateway.db, "tx", silent)
    assert [client.status >= 500 for client in await asyncio.gather(ask(house, rich), ask(house, poor))] == [False, True]
    assert unheard and gateway.spill.away
    monkeypatch.setattr(gateway.db, "tx", real)
    await until(lambda: not gateway.spill.away)
    for fn in unheard if late else ():
        await real(fn)
    found = await _settled(house)
    assert [cost for _, _, cost in found if cost] == [int(COST * 10**9)] * 2 and {state for _, state, _ in found} == {"settled"}
    assert await gateway.jobs._bodies["usage-check"]() == "the sums of usage equal the rows"
    await real(lambda conn: allowances.tidy(conn, now_ms() + allowances.WINDOW + 1000))
    assert await gateway.db.run(allowances.held) == [], "what was granted unheard is held for a minute at most"
    await gateway.budgets.refresh()
    shown = {key["id"]: key for key in (await gateway.admin.keys())["keys"]}
    assert Decimal(shown[poor.id]["budget"]["spent_usd"]) == COST
