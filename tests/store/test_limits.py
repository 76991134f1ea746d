"""Limits of the installation, of providers and of models, as they are stored."""

from __future__ import annotations

from omni_connector.secrets import Vault
from omni_connector.snapshot import Limit
from omni_connector.store import limits, settings
from omni_connector.store.engine import Database
from omni_connector.store.snapshot import load_snapshot


async def test_a_limit_is_set_whole_and_moves_the_configuration(db: Database, vault: Vault) -> None:
    before = await db.run(settings.config_version)
    whole = Limit("installation", "", {"amount": "5", "period": "day", "zone": "Asia/Kathmandu", "mode": "soft"}, 60, 10**10, 4, 7)
    await db.tx(lambda conn: limits.put(conn, whole))
    await db.tx(lambda conn: limits.put(conn, Limit("model", "gpt-4o", rpm=3)))
    assert (await db.run(lambda conn: load_snapshot(conn, vault))).limits == (whole, Limit("model", "gpt-4o", rpm=3))
    await db.tx(lambda conn: limits.put(conn, Limit("installation", tpm=9)))
    assert await db.run(limits.list_limits) == (Limit("installation", tpm=9), Limit("model", "gpt-4o", rpm=3))
    assert await db.tx(lambda conn: limits.delete(conn, "model", "gpt-4o"))
    assert not await db.tx(lambda conn: limits.delete(conn, "model", "gpt-4o"))
    assert await db.run(settings.config_version) == before + 4
