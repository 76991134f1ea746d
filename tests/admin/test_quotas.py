"""Quota as the admin API tells it. P-05, P-30, J-08"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.admin import Admin, bodies
from omni_connector.admin.quotas import SHOWN
from omni_connector.errors import GatewayError, Kind
from omni_connector.quotas import KIND, Memory
from omni_connector.snapshot import Account
from omni_connector.store import accounts as table
from omni_connector.store import jobs
from tests.admin.conftest import NOW, House

WINDOW = {"name": "5h", "used": 60.0, "limit": 100.0, "unit": "%", "resets_at": NOW + 18_000_000, "state": "live"}


class Poller:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def asks(self, account: Account) -> bool:
        return account.provider == "deepseek"

    async def refresh(self, account: Account) -> str:
        self.asked.append(account.label)
        return "asked"


async def add(admin: Admin, provider: str, label: str) -> str:
    given = {"provider": provider, "label": label, "api_key": "sk-0123456789abcdef", "discover": False}
    return str((await admin.add_account(given))["id"])


async def test_what_is_left_on_each_account(house: House, admin: Admin) -> None:  # P-05
    first, _ = await add(admin, "deepseek", "a"), await add(admin, "openai", "b")
    admin.poller = Poller()  # type: ignore[assignment]
    seen = {"5h\n": (NOW + 18_000_000, ((NOW - 3_600_000, 20.0), (NOW, 60.0)))}

    def write(conn: Any) -> None:
        table.set_left(conn, first, quota=lambda stored: [WINDOW], plan="pro")
        job = jobs.ensure(conn, KIND, first, None, Memory(polled_at=NOW - 1000, seen=seen).payload(), NOW)
        assert job.key == first

    await house.db.tx(write)
    await house.reload()
    told = await admin.quota()
    known, unknown = told["accounts"]
    assert (told["interval_min"], tuple(known)) == (5, SHOWN)
    assert (known["plan"], known["polled_at"], known["can_refresh"]) == ("pro", NOW - 1000, True)
    assert known["forecast"]["ends_at"] == NOW + 3_600_000
    assert known["quota"][0]["forecast"] == known["forecast"]
    assert (unknown["quota"], unknown["plan"], unknown["balance"], unknown["can_refresh"]) == ([], None, None, False), "unknown is not 0"


async def test_refresh_answers_with_the_account(house: House, admin: Admin) -> None:  # P-30
    account_id = await add(admin, "deepseek", "a")
    with pytest.raises(GatewayError):
        await admin.refresh(account_id)
    poller = Poller()
    admin.poller = poller  # type: ignore[assignment]
    told = await admin.refresh(account_id)
    assert (told["id"], told["message"], poller.asked) == (account_id, "asked", ["a"])
    with pytest.raises(GatewayError) as caught:
        await admin.refresh("acc_none")
    assert caught.value.kind is Kind.NOT_FOUND


async def test_a_balance_by_hand_has_its_date(house: House, admin: Admin) -> None:  # J-08
    account_id = await add(admin, "openai", "a")
    told = await admin.edit_account(account_id, {"balance": {"amount": 0.1, "currency": "usd"}})
    assert told["balance"] == {"amount": "0.1", "currency": "USD", "manual": True, "set_at": NOW}
    assert "test" not in told, "nobody needs to be asked for that"
    assert (await admin.edit_account(account_id, {"balance": None}))["balance"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": "x"},
        {"amount": True},
        {"amount": "inf"},
        {"amount": 2e9},
        {"amount": 1, "currency": "$"},
        {"amount": 1, "manual": True},
        {},
    ],
)
def test_what_is_no_balance(wrong: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        bodies.balance(wrong)
    assert (caught.value.kind, str(caught.value.param).split(".")[0]) == (Kind.BAD_REQUEST, "balance")
