"""Sign-ins under way: found by their state's hash, claimed once, forgotten in time."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import SecretsError, Vault
from omni_connector.store import flows
from omni_connector.store.engine import Database
from omni_connector.store.flows import LIFE_MS, STALE_CLAIM_MS, Flow
from omni_connector.store.tables import flows as table

NOW = 1_795_000_000_000


def flow(id: str = "flw_1", at: int = NOW) -> Flow:
    return Flow(id, "openai-codex", created_at=at, expires_at=at + LIFE_MS, shown={"way": "browser"}, secret={"verifier": "v3rifier"})


async def put(db: Database, vault: Vault, item: Flow, state: str = "st4te") -> None:
    await db.tx(lambda conn: flows.insert(conn, vault, item, state))


async def test_what_is_stored_is_found_by_its_state_and_holds_no_secret_in_the_clear(db: Database, vault: Vault) -> None:
    await put(db, vault, flow())
    assert await db.run(lambda conn: flows.by_state(conn, vault, "st4te")) == flow()
    assert await db.run(lambda conn: flows.by_state(conn, vault, "other")) is None
    rows = str(await db.run(lambda conn: conn.execute(sa.select(table)).all()))
    assert "st4te" not in rows and "v3rifier" not in rows
    with pytest.raises(GatewayError) as missing:
        await db.run(lambda conn: flows.get(conn, vault, "flw_2"))
    assert missing.value.kind is Kind.NOT_FOUND


async def test_a_secret_moved_to_another_row_does_not_decrypt(db: Database, vault: Vault) -> None:
    await put(db, vault, flow())
    await put(db, vault, flow("flw_2"), "second")

    def swap(conn: sa.Connection) -> None:
        stolen = conn.execute(sa.select(table.c.secret).where(table.c.id == "flw_1")).scalar()
        conn.execute(sa.update(table).where(table.c.id == "flw_2").values(secret=stolen))

    await db.tx(swap)
    with pytest.raises(SecretsError):
        await db.run(lambda conn: flows.get(conn, vault, "flw_2"))


async def test_one_of_many_claims_it_and_a_replay_finds_nothing(db: Database, vault: Vault) -> None:
    await put(db, vault, flow())
    won = await asyncio.gather(*(db.tx(lambda conn: flows.claim(conn, flow(), NOW)) for _ in range(10)))
    assert won.count(True) == 1
    await db.tx(lambda conn: flows.finish(conn, "flw_1", "acc_1", {"way": "browser"}))
    assert not await db.tx(lambda conn: flows.claim(conn, flow(), NOW))
    ended = await db.run(lambda conn: flows.get(conn, vault, "flw_1"))
    assert (ended.state, ended.account_id, ended.secret) == ("done", "acc_1", {})
    assert not await db.tx(lambda conn: flows.fail(conn, "flw_1", "too late"))


async def test_a_flow_ends_after_twenty_minutes(db: Database, vault: Vault) -> None:
    await put(db, vault, flow())
    end = NOW + LIFE_MS
    assert not await db.tx(lambda conn: flows.claim(conn, flow(), end))
    assert await db.tx(lambda conn: flows.tidy(conn, end - 1)) == 0
    assert await db.tx(lambda conn: flows.tidy(conn, end)) == 1
    ended = await db.run(lambda conn: flows.get(conn, vault, "flw_1"))
    assert (ended.state, ended.secret, ended.error) == ("expired", {}, flows.TOO_LATE)
    await db.tx(lambda conn: flows.tidy(conn, end + 86_400_000))
    assert await db.run(lambda conn: flows.by_state(conn, vault, "st4te")) is None


async def test_a_claim_whose_process_died_fails_and_a_living_one_does_not(db: Database, vault: Vault) -> None:
    await put(db, vault, flow())
    late = NOW + LIFE_MS - 1
    assert await db.tx(lambda conn: flows.claim(conn, flow(), late))
    assert await db.tx(lambda conn: flows.tidy(conn, late + STALE_CLAIM_MS - 1)) == 0
    assert await db.tx(lambda conn: flows.tidy(conn, late + STALE_CLAIM_MS)) == 1
    assert (await db.run(lambda conn: flows.get(conn, vault, "flw_1"))).error == flows.INTERRUPTED


async def test_of_two_processes_one_polls(db: Database, vault: Vault) -> None:
    await put(db, vault, flow(), "")
    await put(db, vault, flow("flw_2"), "")  # no state is no clash
    seen = await db.run(lambda conn: flows.get(conn, vault, "flw_1"))
    turns = [await db.tx(lambda conn: flows.take_turn(conn, seen, {"next_poll_at": NOW + 5000})) for _ in range(2)]
    assert turns == [True, False]


async def test_cancelling_is_for_what_waits(db: Database, vault: Vault) -> None:
    await put(db, vault, flow())
    assert [await db.tx(lambda conn: flows.cancel(conn, "flw_1")) for _ in range(2)] == [True, False]
    assert not await db.tx(lambda conn: flows.claim(conn, flow(), NOW))


async def test_terms_are_remembered_with_their_words(db: Database, vault: Vault) -> None:
    assert await db.run(lambda conn: flows.acknowledged(conn, "codex")) is None
    await db.tx(lambda conn: flows.acknowledge(conn, "codex", "Terms of 2026", NOW))
    await db.tx(lambda conn: flows.acknowledge(conn, "codex", "Terms of 2027", NOW + 1))
    assert await db.run(lambda conn: flows.acknowledged(conn, "codex")) == "Terms of 2027"
