from __future__ import annotations

import dataclasses
from typing import Any

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


async def test_many_at_once(two: Database, vault: Vault) -> None:
    third, taken = dataclasses.replace(OTHER, id="acc_3", label="third"), dataclasses.replace(OTHER, id="acc_4", label="main")
    assert await two.tx(lambda conn: accounts.insert_all(conn, vault, [third, taken])) == {"acc_4"}
    assert [account.label for account in await two.run(lambda conn: accounts.list_accounts(conn, vault))] == ["main", "demo", "third"]
    assert await two.run(rows.config_version) == 3
    assert await two.tx(lambda conn: accounts.insert_all(conn, vault, [taken])) == {"acc_4"}
    assert await two.run(rows.config_version) == 3
    twins = [dataclasses.replace(OTHER, id=f"acc_{n}", label="twin") for n in (5, 6)]
    with pytest.raises(GatewayError) as error:
        await two.tx(lambda conn: accounts.insert_all(conn, vault, twins))
    assert error.value.kind is Kind.CONFLICT
    assert len(await two.run(lambda conn: accounts.list_accounts(conn, vault))) == 3


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
    money = {"amount": "1.50", "currency": "USD"}
    assert await two.tx(lambda conn: accounts.set_balance(conn, "acc_2", money)) is True
    assert await two.tx(lambda conn: accounts.set_balance(conn, "acc_2", money)) is False
    for at in (90, 80):
        await two.tx(lambda conn, at=at: accounts.touch(conn, {"acc_2": at}))
    account = await two.run(lambda conn: accounts.get(conn, vault, "acc_2"))
    assert (account.state, account.state_reason, account.discovered, account.last_used_at) == ("needs_login", "401", ("m",), 90)
    assert account.balance == money
    assert await two.run(rows.config_version) == 5


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
TERMINAL = Cooldown("acc_1", "", 4000, "terminal", "no credit", 0, 3)


@pytest.mark.parametrize(
    ("order", "holds"),
    [
        ((NEAR, FAR), FAR),
        ((FAR, NEAR), FAR),
        ((NEAR, dataclasses.replace(NEAR, reason="other")), NEAR),
        ((FAR, TERMINAL), TERMINAL),
        ((TERMINAL, FAR), TERMINAL),
        ((TERMINAL, dataclasses.replace(TERMINAL, until_at=9000)), dataclasses.replace(TERMINAL, until_at=9000)),
        # What has run out holds nobody: whatever fails then is new.
        ((TERMINAL, dataclasses.replace(NEAR, until_at=4500, created_at=4000)), dataclasses.replace(NEAR, until_at=4500, created_at=4000)),
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


async def test_good_news_clear_no_cooldown_that_is_newer_than_the_question(two: Database) -> None:
    family = dataclasses.replace(FAR, scope="model:llama", created_at=9)
    for cooldown in (NEAR, family):
        await two.tx(lambda conn, c=cooldown: accounts.extend_cooldown(conn, c))
    assert await two.tx(lambda conn: accounts.clear_cooldowns(conn, "acc_1", "model:llama", asked_at=8)) == 0
    # A failure that lengthens one is as new as one that makes one.
    longer = dataclasses.replace(NEAR, until_at=2000, created_at=9)
    await two.tx(lambda conn: accounts.extend_cooldown(conn, longer))
    before = await two.run(rows.config_version)
    assert await two.tx(lambda conn: accounts.clear_cooldowns(conn, "acc_1", asked_at=8)) == 0
    assert await two.run(accounts.list_cooldowns) == (longer, family)
    assert await two.run(rows.config_version) == before
    assert await two.tx(lambda conn: accounts.clear_cooldowns(conn, "acc_1", "", asked_at=9)) == 1
    assert await two.tx(lambda conn: accounts.clear_cooldowns(conn, "acc_1")) == 1  # by hand: whatever there is


async def test_a_cooldown_of_a_deleted_account_is_dropped(two: Database) -> None:
    assert await two.tx(lambda conn: accounts.extend_cooldown(conn, dataclasses.replace(NEAR, account_id="acc_9"))) is None


async def test_what_is_left_is_written_only_where_it_is_new(db: Database, vault: Vault) -> None:  # P-05, J-07
    identity = {"identity": {"email": "a@b.c"}, "project": "p"}
    await db.tx(lambda conn: accounts.insert(conn, vault, dataclasses.replace(ACCOUNT, options=identity)))
    window, balance = {"name": "5h", "used": 3}, {"amount": "5", "currency": "USD"}

    async def told(**left: Any) -> tuple[bool, int]:
        changed = await db.tx(lambda conn: accounts.set_left(conn, ACCOUNT.id, **left))
        return changed, await db.run(rows.config_version)

    changed, version = await told(quota=lambda stored: [*stored, window], plan="pro", balance=balance)
    assert changed
    after = await db.run(lambda conn: accounts.get(conn, vault, ACCOUNT.id))
    assert (after.quota, after.balance) == (({"name": "rpm", "used": 3}, window), balance)
    assert after.options == {"identity": {"email": "a@b.c", "plan": "pro"}, "project": "p"}
    assert after.secret == ACCOUNT.secret
    assert await told(quota=list, plan="pro", balance=balance) == (False, version)
    assert await told(quota=lambda stored: [], is_news=lambda stored, fresh: False) == (False, version)
    assert await told(plan="") == (False, version)
    assert not await db.tx(lambda conn: accounts.set_left(conn, "acc_gone", plan="pro"))
