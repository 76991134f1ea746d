from __future__ import annotations

import dataclasses

import pytest
import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import SecretsError, Vault
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import accounts, tables
from omni_connector.store import settings as rows
from omni_connector.store.engine import Database

ACCOUNT = Account(
    id="acc_1",
    provider="groq",
    label="main",
    secret="gsk_0123456789abcdefghij",
    base_url="https://example.org/v1",
    models=("a", "b"),
    discovered=("a", "b", "c"),
    prefix="g-",
    model_map={"x": "y"},
    enabled=False,
    priority=-1,
    weight=3,
    max_in_flight=8,
    budget={"amount": "5", "period": "day"},
    headers={"X-Team": "secret-team"},
    proxy_url="http://user:pass@proxy:8080",
    options={"demo": {"latency_ms": 5}},
    state="error",
    state_reason="why",
    quota=({"name": "rpm", "used": 3},),
    balance={"usd": "1.50"},
    key_hint="gsk_…ghij",
    created_at=5,
    updated_at=6,
    last_used_at=7,
)
OTHER = Account(id="acc_2", provider="demo", label="demo", auth="none", created_at=6)


@pytest.fixture
async def two(db: Database, vault: Vault) -> Database:
    for account in (ACCOUNT, OTHER):
        await db.tx(lambda conn, account=account: accounts.insert(conn, vault, account))
    return db


async def test_accounts_come_back_as_they_were(two: Database, vault: Vault) -> None:
    assert await two.run(lambda conn: accounts.list_accounts(conn, vault)) == (ACCOUNT, OTHER)
    assert await two.run(rows.config_version) == 2


async def test_nothing_secret_is_readable_in_the_database(two: Database) -> None:
    content = str(await two.run(lambda conn: conn.execute(sa.select(tables.accounts)).all()))
    for secret in (ACCOUNT.secret, "secret-team", "user:pass"):
        assert secret not in content


async def test_a_secret_moved_to_another_row_or_column_does_not_decrypt(two: Database, vault: Vault) -> None:
    t = tables.accounts
    stolen = sa.select(t.c.secret).where(t.c.id == "acc_1").scalar_subquery()
    for column in ("secret", "proxy_url"):
        await two.tx(lambda conn, c=column: conn.execute(sa.update(t).where(t.c.id == "acc_2").values({"proxy_url": None, c: stolen})))
        with pytest.raises(SecretsError, match=f"accounts:acc_2:{column}"):
            await two.run(lambda conn: accounts.list_accounts(conn, vault))
        await two.tx(lambda conn: conn.execute(sa.update(t).where(t.c.id == "acc_2").values(secret=None)))


async def test_a_taken_label_is_named(two: Database, vault: Vault) -> None:
    for clash in (
        lambda conn: accounts.insert(conn, vault, dataclasses.replace(OTHER, id="acc_3", label="main")),
        lambda conn: accounts.update(conn, vault, "acc_2", {"label": "main"}),
    ):
        with pytest.raises(GatewayError, match="'main'") as caught:
            await two.tx(clash)
        assert (caught.value.kind, caught.value.param) == (Kind.CONFLICT, "label")
    assert (await two.tx(lambda conn: accounts.update(conn, vault, "acc_1", {"label": "main"}))).label == "main"


async def test_update_and_delete(two: Database, vault: Vault) -> None:
    changes = {"secret": "new", "headers": {}, "models": ("z",), "budget": None, "enabled": True, "updated_at": 9}
    changed = await two.tx(lambda conn: accounts.update(conn, vault, "acc_1", changes))
    assert changed == dataclasses.replace(ACCOUNT, **changes)
    await two.tx(lambda conn: accounts.extend_cooldown(conn, Cooldown("acc_1", "", 9, "guessed", "x")))
    await two.tx(lambda conn: accounts.delete(conn, "acc_1"))
    assert await two.run(accounts.list_cooldowns) == ()
    assert await two.run(lambda conn: accounts.list_accounts(conn, vault)) == (OTHER,)
    assert await two.run(rows.config_version) == 5
    for gone in (
        lambda conn: accounts.delete(conn, "acc_1"),
        lambda conn: accounts.update(conn, vault, "acc_1", {"enabled": True}),
        lambda conn: accounts.get(conn, vault, "acc_1"),
    ):
        with pytest.raises(GatewayError, match="acc_1") as caught:
            await two.tx(gone)
        assert caught.value.kind is Kind.NOT_FOUND
    with pytest.raises(KeyError, match="id, wire"):
        await two.tx(lambda conn: accounts.update(conn, vault, "acc_2", {"id": "x", "wire": "y"}))


async def test_state_models_and_use_move_the_version_only_when_they_are_news(two: Database, vault: Vault) -> None:
    assert await two.tx(lambda conn: accounts.set_state(conn, "acc_2", "needs_login", "401")) is True
    assert await two.tx(lambda conn: accounts.set_state(conn, "acc_2", "needs_login", "401")) is False
    assert await two.tx(lambda conn: accounts.set_discovered(conn, "acc_2", ("m",))) is True
    assert await two.tx(lambda conn: accounts.set_discovered(conn, "acc_2", ("m",))) is False
    for at in (90, 80):
        await two.tx(lambda conn, at=at: accounts.touch(conn, {"acc_2": at}))
    account = await two.run(lambda conn: accounts.get(conn, vault, "acc_2"))
    assert (account.state, account.state_reason, account.discovered, account.last_used_at) == ("needs_login", "401", ("m",), 90)
    assert await two.run(rows.config_version) == 4


async def test_rotation_moves_every_secret_to_the_new_master_key(two: Database, vault: Vault) -> None:
    keys = {"k2": b"2" * 32, "k1": b"1" * 32}
    assert await two.tx(lambda conn: accounts.rotate_secrets(conn, Vault(keys, "k2"))) == 3
    only_new = Vault({"k2": b"2" * 32}, "k2")
    assert await two.run(lambda conn: accounts.list_accounts(conn, only_new)) == (ACCOUNT, OTHER)
    with pytest.raises(SecretsError, match=r"master key k2.*master\.key"):
        await two.run(lambda conn: accounts.list_accounts(conn, vault))


# ---------------------------------------------------------------- Cooldowns

NEAR = Cooldown("acc_1", "", 1000, "guessed", "500", 1, 1)
FAR = Cooldown("acc_1", "", 5000, "stated", "429", 0, 2)
TERMINAL = Cooldown("acc_1", "", 0, "terminal", "no credit", 0, 3)


@pytest.mark.parametrize(
    ("order", "holds"),
    [
        ((NEAR, FAR), FAR),
        ((FAR, NEAR), FAR),
        ((NEAR, dataclasses.replace(NEAR, reason="other")), NEAR),
        ((FAR, TERMINAL), TERMINAL),
        ((TERMINAL, FAR), TERMINAL),
    ],
)
async def test_cooldowns_only_get_longer(two: Database, order: tuple[Cooldown, ...], holds: Cooldown) -> None:
    results = [await two.tx(lambda conn, c=cooldown: accounts.extend_cooldown(conn, c)) for cooldown in order]
    assert results[-1] == holds
    assert await two.run(accounts.list_cooldowns) == (holds,)


async def test_cooldowns_run_out_or_are_cleared(two: Database) -> None:
    family = dataclasses.replace(FAR, scope="model:llama")
    for cooldown in (NEAR, family, dataclasses.replace(TERMINAL, account_id="acc_2")):
        await two.tx(lambda conn, c=cooldown: accounts.extend_cooldown(conn, c))
    before = await two.run(rows.config_version)
    assert await two.tx(lambda conn: accounts.expire_cooldowns(conn, 999)) == []
    assert await two.tx(lambda conn: accounts.expire_cooldowns(conn, 1000)) == [NEAR]
    assert await two.tx(lambda conn: accounts.clear_cooldowns(conn, "acc_1", "")) == 0
    assert await two.run(rows.config_version) == before + 1
    assert await two.tx(lambda conn: accounts.clear_cooldowns(conn, "acc_1")) == 1
    assert await two.tx(lambda conn: accounts.clear_cooldowns(conn, "acc_2", "")) == 1
    assert await two.run(accounts.list_cooldowns) == ()


async def test_a_cooldown_of_a_deleted_account_is_dropped(two: Database) -> None:
    assert await two.tx(lambda conn: accounts.extend_cooldown(conn, dataclasses.replace(NEAR, account_id="acc_9"))) is None
