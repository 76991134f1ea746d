from __future__ import annotations

import dataclasses

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import hash_key, key_hint, mint_key
from omni_connector.snapshot import ClientKey
from omni_connector.store import keys
from omni_connector.store import settings as rows
from omni_connector.store.engine import Database

SECRET = mint_key()
KEY = ClientKey(
    id="key_1",
    name="laptop",
    hint=key_hint(SECRET),
    hash=hash_key(SECRET),
    created_at=10,
    expires_at=1 << 42,
    models=("a", "b/*"),
    providers=(),
    rpm=60,
    tpm=10**10,
    max_in_flight=4,
    budget={"amount": "5", "period": "month"},
)


async def test_a_key_comes_back_as_it_was(db: Database) -> None:  # O-20, J-16
    await db.tx(lambda conn: keys.insert(conn, KEY))
    plain = ClientKey(id="key_2", name="", hint="", hash="0", created_at=11)
    await db.tx(lambda conn: keys.insert(conn, plain))
    assert await db.run(keys.list_keys) == (KEY, plain)
    assert await db.run(rows.config_version) == 2


async def test_update_revoke_rotate(db: Database) -> None:  # J-16
    await db.tx(lambda conn: keys.insert(conn, KEY))
    changed = await db.tx(lambda conn: keys.update(conn, "key_1", {"name": "desk", "models": None, "budget": None}))
    assert changed == dataclasses.replace(KEY, name="desk", models=None, budget=None)

    rotated = await db.tx(lambda conn: keys.replace_hash(conn, "key_1", "f" * 64, "omni-new…"))
    assert (rotated.hash, rotated.hint, rotated.name) == ("f" * 64, "omni-new…", "desk")

    assert (await db.tx(lambda conn: keys.revoke(conn, "key_1", 77))).status(78) == "revoked"
    assert (await db.tx(lambda conn: keys.revoke(conn, "key_1", 99))).revoked_at == 77
    assert await db.run(rows.config_version) == 5


async def test_use_is_noted_forwards_only_and_is_no_configuration(db: Database) -> None:
    await db.tx(lambda conn: keys.insert(conn, KEY))
    for at in (50, 40):
        await db.tx(lambda conn, at=at: keys.touch(conn, {"key_1": at, "gone": at}))
    assert (await db.run(lambda conn: keys.get(conn, "key_1"))).last_used_at == 50
    assert await db.run(rows.config_version) == 1


async def test_what_cannot_be_done_is_said(db: Database) -> None:
    with pytest.raises(GatewayError) as caught:
        await db.tx(lambda conn: keys.revoke(conn, "key_x", 1))
    assert caught.value.kind is Kind.NOT_FOUND
    assert "key_x" in caught.value.message
    with pytest.raises(KeyError, match="hash, salary"):
        await db.tx(lambda conn: keys.update(conn, "key_1", {"hash": "x", "salary": 1}))
