from __future__ import annotations

import dataclasses

import pytest

from omni_connector.secrets import Vault
from omni_connector.snapshot import Account, ClientKey, Cooldown
from omni_connector.store import accounts, keys
from omni_connector.store import settings as rows
from omni_connector.store.engine import Database
from omni_connector.store.snapshot import load_snapshot


async def test_one_picture_of_everything(db: Database, vault: Vault) -> None:
    account = Account(id="acc_1", provider="groq", label="main", secret="s")
    key = ClientKey(id="key_1", name="k", hint="h", hash="abc", created_at=1)
    cooldown = Cooldown("acc_1", "model:llama", 5, "stated", "429")
    await db.tx(lambda conn: accounts.insert(conn, vault, account))
    await db.tx(lambda conn: keys.insert(conn, key))
    await db.tx(lambda conn: accounts.extend_cooldown(conn, cooldown))
    await db.tx(lambda conn: rows.set_setting(conn, "strategy", "lru"))
    await db.tx(lambda conn: rows.set_alias(conn, "fast", ["a"]))
    await db.tx(lambda conn: rows.set_chain(conn, "solid", [["a"], ["b"]]))

    picture = await db.run(lambda conn: load_snapshot(conn, vault))
    assert (picture.version, picture.accounts, picture.cooldowns) == (6, (account,), (cooldown,))
    assert (dict(picture.keys), dict(picture.settings)) == ({"abc": key}, {"strategy": "lru"})
    assert (dict(picture.aliases), dict(picture.chains)) == ({"fast": ("a",)}, {"solid": (("a",), ("b",))})
    with pytest.raises(TypeError):
        picture.settings["strategy"] = "cost"  # type: ignore[index]

    completed = await db.run(lambda conn: load_snapshot(conn, vault, lambda a, _: dataclasses.replace(a, wire="openai-chat")))
    assert completed.accounts[0].wire == "openai-chat"
