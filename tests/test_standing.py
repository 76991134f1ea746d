"""What is said of accounts, in the pool and on disk. Their way through a whole process: test_gateway.py."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omni_connector.admin import now_ms
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.routing.resolve import Candidate
from omni_connector.store import accounts as rows
from omni_connector.tokens import Tokens

REFUSED = GatewayError(Kind.ACCOUNT_REJECTED, "the token sk-old-token is refused", upstream_status=401)


@pytest.fixture
async def gateway(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Gateway]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    yield gateway
    await settled(gateway)
    await gateway.close()


async def settled(gateway: Gateway) -> None:
    while gateway._tasks:
        await next(iter(gateway._tasks))


async def signed_in(gateway: Gateway) -> Candidate:
    body = {"provider": "openai", "label": "main", "api_key": "sk-0123456789abcdef", "models": ["m"], "discover": False}
    account_id = (await gateway.admin.add_account(body))["id"]
    change = {"auth": "oauth", "secret": Tokens("sk-old-token", "refresh").encode()}
    await gateway.db.tx(lambda conn: rows.update(conn, gateway.vault, account_id, change))
    await gateway.reload()
    return Candidate(gateway.pool.accounts[account_id], "m")


async def test_a_renewed_sign_in_is_let_in_again(gateway: Gateway) -> None:  # C-66
    chosen = await signed_in(gateway)
    gateway.standing.failed(chosen, REFUSED)
    await settled(gateway)
    assert gateway.snapshot.accounts[0].state == "needs_login" and gateway.pool.cooldowns(chosen.account.id)
    await gateway.standing.renewed(chosen.account.id)
    assert gateway.snapshot.accounts[0].state == "ok" and not gateway.pool.cooldowns(chosen.account.id)
    assert await gateway.db.run(rows.list_cooldowns) == ()


async def test_a_renewal_is_no_news_of_a_limit(gateway: Gateway) -> None:
    chosen = await signed_in(gateway)
    gateway.standing.failed(chosen, GatewayError(Kind.ACCOUNT_RATE_LIMITED, "slow", retry_after=90, stated=True, scope="account"))
    await settled(gateway)
    await gateway.standing.renewed(chosen.account.id)
    assert [held.source for held in gateway.pool.cooldowns(chosen.account.id)] == ["stated"]


async def test_a_credential_that_was_replaced_meanwhile_is_not_called_refused(gateway: Gateway) -> None:
    """The refusal is written a moment after it was heard: what the user did in between wins."""
    chosen = await signed_in(gateway)
    await gateway.admin.edit_account(chosen.account.id, {"api_key": "sk-another-0123456789", "discover": False})
    await gateway.standing.store_login(chosen.account.id, "refused", chosen.account.secret)
    assert gateway.snapshot.accounts[0].state == "ok"


async def test_success_is_noted_and_ends_a_guess(gateway: Gateway) -> None:  # J-06
    chosen = await signed_in(gateway)
    gateway.standing.failed(chosen, GatewayError(Kind.UPSTREAM_FAILED, "boom", upstream_status=500))
    await settled(gateway)
    held = gateway.pool.cooldowns(chosen.account.id)
    assert held
    gateway.standing.worked(chosen, min(0, held[0].created_at - now_ms()))
    await settled(gateway)
    assert gateway._used[chosen.account.id] <= now_ms()
