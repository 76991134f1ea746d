"""Accounts that were signed in: their tokens end, and are renewed in the middle of traffic (relay.py, `Doors.renew`)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector.admin import now_ms
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.snapshot import Account
from omni_connector.store import accounts as rows
from omni_connector.tokens import Tokens
from tests.live.answers import chat_error
from tests.relaying import House
from tests.test_relay import chat

REFUSED = chat_error(401, "token expired")


class Renewer:
    """Gives the account "a" the token of the account "fresh", or fails."""

    def __init__(self, error: GatewayError | None = None) -> None:
        self.asked: list[str] = []
        self._error = error

    async def renew(self, account: Account, refused: str) -> Account:
        self.asked.append(refused)
        if self._error is not None:
            raise self._error
        return replace(account, access="sk-fresh-token", access_until=None)

    def hopeless(self, account: Account) -> GatewayError | None:
        return self._error if self.asked and self._error is not None and self._error.retry_after is not None else None


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    house = House(gateway)
    yield house
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


def given(house: House, renewer: Renewer) -> Renewer:
    relay = house.gateway.relay
    relay._doors = replace(relay._doors, renew=renewer.renew, hopeless=renewer.hopeless)
    return renewer


async def signed_in(house: House, *says: Any, until: int | None = None) -> None:
    await house.account("a", *says)
    tokens = Tokens("sk-a-token", "refresh", until)
    gateway = house.gateway
    change = {"auth": "oauth", "secret": tokens.encode()}
    await gateway.db.tx(lambda conn: rows.update(conn, gateway.vault, house.ids["a"], change))
    await gateway.reload()
    house.set(max_attempts=4)


async def test_a_refused_token_is_renewed_once_and_the_client_does_not_notice(house: House) -> None:  # C-66, P-02
    renewer = given(house, Renewer())
    await signed_in(house, REFUSED)
    house.network.scripts["fresh"] = [chat()]
    client = await house.ask()
    assert (client.status, house.network.asked, renewer.asked) == (200, ["a", "fresh"], ["sk-a-token"])
    assert [each["status"] for each in (await house.row())["attempts"]] == [401, 200]
    assert not house.cooling() and house.gateway.snapshot.accounts[0].state == "ok"


async def test_a_token_that_ends_now_is_renewed_before_it_is_used(house: House) -> None:  # C-66
    renewer = given(house, Renewer())
    await signed_in(house, REFUSED, until=now_ms() + 5_000)
    house.network.scripts["fresh"] = [chat()]
    assert (await house.ask()).status == 200
    assert (house.network.asked, renewer.asked) == (["fresh"], [""])


async def test_a_new_token_that_is_refused_too_is_the_accounts_failure(house: House) -> None:
    renewer = given(house, Renewer())
    await signed_in(house, REFUSED)
    house.network.scripts["fresh"] = [REFUSED]
    await house.account("b", chat())
    assert (await house.ask()).status == 200
    assert (house.network.asked, len(renewer.asked)) == (["a", "fresh", "b"], 1), "never a loop"
    assert house.cooling() == {"a"}


async def test_where_none_is_to_be_had_the_next_account_answers(house: House) -> None:
    given(house, Renewer(GatewayError(Kind.ACCOUNT_REJECTED, "Sign in again.")))
    await signed_in(house, REFUSED)
    await house.account("b", chat())
    client = await house.ask()
    assert (client.status, house.network.asked) == (200, ["a", "b"])


async def test_with_nobody_else_the_answer_names_the_sign_in(house: House) -> None:  # O-21
    given(house, Renewer(GatewayError(Kind.ACCOUNT_REJECTED, "Sign in again.")))
    await signed_in(house, REFUSED)
    client = await house.ask()
    assert client.status == 503
    assert "Sign in again." in client.error["provider_failures"][0]["message"]
    assert "sk-a-token" not in client.body.decode()


async def test_a_token_that_is_known_to_be_refused_is_not_sent_again(house: House) -> None:
    given(house, Renewer(GatewayError(Kind.UPSTREAM_FAILED, "Not now.", retry_after=9.0)))
    await signed_in(house, REFUSED)
    for _ in range(3):
        client = await house.ask()
        assert (client.status, client.headers["retry-after"]) == (503, "9")
    assert house.network.asked == ["a"]
