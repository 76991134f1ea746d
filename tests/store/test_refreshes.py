from __future__ import annotations

from typing import Any

import pytest

from omni_connector.secrets import Vault
from omni_connector.snapshot import Account
from omni_connector.store import accounts, refreshes
from omni_connector.store.engine import Database
from omni_connector.store.refreshes import FOREVER, Refresh

NOW, TTL = 1_000_000, 60_000


@pytest.fixture
async def one(db: Database, vault: Vault) -> Database:
    await db.tx(lambda conn: accounts.insert(conn, vault, Account("acc_1", "demo", "one", auth="oauth")))
    return db


async def claim(db: Database, owner: str, now: int = NOW) -> Refresh | None:
    return await db.tx(lambda conn: refreshes.claim(conn, "acc_1", owner, now, TTL))


async def held_by(db: Database, owner: str, now: int = NOW) -> Refresh:
    found = await claim(db, owner, now)
    assert found is not None
    return found


async def row(db: Database) -> Refresh:
    found = await db.run(lambda conn: refreshes.read(conn, "acc_1"))
    assert found is not None
    return found


async def test_one_holds_it_until_the_lease_ends(one: Database) -> None:
    first = await held_by(one, "prc_1")
    assert (first.owner, first.lease_until, first.fence, first.unfinished) == ("prc_1", NOW + TTL, 1, False)
    assert await claim(one, "prc_2") is None and (await row(one)).held("prc_2", NOW)
    assert (await held_by(one, "prc_1")).fence == 2  # its own: a refresh of this process that was left behind
    assert (await held_by(one, "prc_2", NOW + TTL)).fence == 3
    assert await one.tx(lambda conn: refreshes.claim(conn, "acc_gone", "prc_1", NOW, TTL)) is None


async def test_the_journal_survives_its_process_and_counts(one: Database) -> None:
    for tries in (1, 2, 3):
        held = await held_by(one, f"prc_{tries}", NOW + tries * TTL)
        assert held.tries == tries - 1 and held.unfinished == (tries > 1)
        assert await one.tx(lambda conn, held=held: refreshes.begin(conn, held, "a" * 64, NOW))
        assert (await row(one)).tries == tries
    held = await held_by(one, "prc_9", NOW + 9 * TTL)
    assert await one.tx(lambda conn: refreshes.begin(conn, held, "b" * 64, NOW))
    assert ((await row(one)).tries, (await row(one)).spent) == (1, "b" * 64)  # another token begins anew
    assert await one.tx(lambda conn: refreshes.finish(conn, held, NOW + 5))
    assert not (await row(one)).unfinished and (await row(one)).owner is None


async def test_who_lost_the_lease_writes_nothing(one: Database) -> None:
    slow = await held_by(one, "prc_1")
    fast = await held_by(one, "prc_2", NOW + TTL)
    late: list[Any] = [
        lambda conn: refreshes.begin(conn, slow, "a", NOW),
        lambda conn: refreshes.finish(conn, slow, NOW),
        lambda conn: refreshes.fail(conn, slow, NOW, "no", FOREVER),
        lambda conn: refreshes.release(conn, slow),
    ]
    for work in late:
        assert await one.tx(work) is False
    assert await row(one) == fast


async def test_failures_are_counted_for_one_token(one: Database) -> None:
    for expected in (1, 2):
        held = await held_by(one, "prc_1")
        await one.tx(lambda conn, held=held: refreshes.begin(conn, held, "a", NOW))
        assert await one.tx(lambda conn, held=held: refreshes.fail(conn, held, NOW, "x" * 900, NOW + 7))
        after = await row(one)
        assert (after.failures, after.retry_at, after.tries, len(after.error or ""), after.owner) == (expected, NOW + 7, 0, 500, None)
    held = await held_by(one, "prc_1")
    await one.tx(lambda conn: refreshes.begin(conn, held, "b", NOW))
    assert ((await row(one)).failures, (await row(one)).retry_at, (await row(one)).error) == (0, None, None)


async def test_the_dead_hold_nothing_and_the_gone_leave_nothing(one: Database) -> None:
    held = await held_by(one, "prc_1")
    await one.tx(lambda conn: refreshes.begin(conn, held, "a", NOW))
    assert await one.tx(lambda conn: refreshes.unlease(conn, ["prc_1", "prc_7"])) == 1
    assert await one.tx(lambda conn: refreshes.finish(conn, held, NOW)) is False
    assert (await held_by(one, "prc_2")).unfinished
    assert await one.tx(refreshes.prune) == 0
    await one.tx(lambda conn: accounts.delete(conn, "acc_1"))
    assert await one.tx(refreshes.prune) == 1
