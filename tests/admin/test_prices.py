"""Prices set by the user, and a period of the books priced anew: the difference first, then the same."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector import usage
from omni_connector.admin import Admin
from omni_connector.admin import prices as module
from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import new_id
from omni_connector.store import books
from omni_connector.store import requests as table
from tests.admin.conftest import NOW, House

TEN = {"input": "10", "output": "20"}


async def connected(admin: Admin, label: str = "work", **more: Any) -> str:
    body = {"provider": "openai", "label": label, "api_key": f"sk-{label}-0123456789", "models": ["gpt-4o"], "discover": False, **more}
    return str((await admin.add_account(body))["id"])


async def test_set_listed_and_removed(house: House, admin: Admin) -> None:
    name = await connected(admin)
    told = await admin.set_price("gpt-4o", {"input": 0.1, "output": "20", "cache_read": "0.050", "account": "work"})
    assert (told["account"], told["provider"]) == ({"id": name, "label": "work"}, None)
    assert (told["input"], told["output"], told["cache_read"], told["cache_write"]) == ("0.1", "20", "0.050", None)
    await admin.set_price("gpt-4o", {**TEN, "provider": "OpenAI"})
    await admin.set_price("*", {"subscription": True})
    listed = (await admin.prices())["prices"]
    assert [(p["pattern"], p["provider"], p["subscription"]) for p in listed] == [
        ("*", None, True),
        ("gpt-4o", None, False),
        ("gpt-4o", "openai", False),
    ]
    model = (await admin.provider_models())["models"][0]
    assert (model["input_usd_per_mtok"], model["output_usd_per_mtok"], model["price_override"]) == ("0.1", "20", True)

    await admin.remove_account(name)
    assert (await admin.prices())["prices"][1]["account"] == {"id": name, "label": None}
    assert (await admin.remove_price("gpt-4o", {"account": name}))["removed"] is True
    with pytest.raises(GatewayError) as caught:
        await admin.remove_price("gpt-4o")
    assert caught.value.kind is Kind.NOT_FOUND


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": "1"}, "output"),
        ({"output": "1"}, "input"),
        ({"cache_read": "1", "per_request": "1"}, "input"),
        ({"input": "1", "subscription": True}, "output"),
        ({**TEN, "input": "-1"}, "input"),
        ({**TEN, "input": "NaN"}, "input"),
        ({**TEN, "input": "1e7"}, "input"),
        ({**TEN, "output": "0.0000000000001"}, "output"),
        ({**TEN, "account": "work", "provider": "openai"}, "account"),
        ({**TEN, "account": "wrok"}, "account"),
        ({**TEN, "reasoning": 1}, "reasoning"),
    ],
)
async def test_half_a_price_is_refused(admin: Admin, body: dict[str, Any], param: str) -> None:
    await connected(admin)
    with pytest.raises(GatewayError) as caught:
        await admin.set_price("gpt-4o", body)
    assert caught.value.param == param
    assert (await admin.prices())["prices"] == []


async def book(house: House, account: str | None, at: int, **more: Any) -> str:
    name = new_id("req", at)
    row = {"id": name, "settled_at": at, "outcome": "ok", "account_id": account, "provider": "openai", "model": "gpt-4o",
           "input": 1_000_000, "output": 0, "cost_nano": 2_500_000_000, "price_source": "genai-prices 0", **more}  # fmt: skip
    await house.db.tx(lambda conn: table.insert_open(conn, [{"id": name, "started_at": at, "process_id": "p"}]))
    await house.db.tx(lambda conn: books.settle(conn, [row]))
    return name


async def cost(house: House, name: str) -> tuple[Any, Any]:
    row = await house.db.run(lambda conn: table.get(conn, name))
    assert row is not None
    return row["cost_nano"], row["price_source"]


async def test_a_period_is_priced_anew(house: House, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    mine = await connected(admin)
    start = NOW - 10_000
    early = await book(house, mine, start - 1)
    plain = [await book(house, mine, start + n) for n in range(3)]
    unknown = await book(house, mine, start + 3, model="made-up", cost_nano=None, price_source="unknown")
    reported = await book(house, mine, start + 4, price_source="reported")
    shared = await book(house, mine, start + 5, flag="CONTINUED")
    unpriceable = await book(house, mine, start + 6, model="gone-model", cost_nano=5)
    mistaken = await book(house, mine, start + 7, model="gone-model", cost_nano=6, price_source="override")
    gone = await book(house, "acc_gone", start + 8)
    failed = await book(house, mine, start + 9, input=None, output=None, cost_nano=None, price_source=None)
    for model in ("gpt-4o", "made-up"):
        await admin.set_price(model, {**TEN, "account": "work"})

    span = {"from": start, "to": NOW}
    looked = await admin.reprice({**span, "dry_run": True})
    assert (looked["rows"], looked["changed"], looked["dry_run"]) == (9, 5, True)
    assert looked["kept"] == {"continued": 1, "removed": 1, "reported": 1, "unknown": 1}
    models = {one["model"]: (one["rows"], one["before_usd"], one["after_usd"]) for one in looked["models"]}
    assert models == {
        "gpt-4o": (3, "7.500000", "30.000000"), "made-up": (1, "0.000000", "10.000000"), "gone-model": (1, "0.000000006", "0.000000"),
    }  # fmt: skip
    assert (looked["unpriced_before"], looked["unpriced_after"]) == (1, 1)
    assert await cost(house, plain[0]) == (2_500_000_000, "genai-prices 0"), "nothing was changed"

    done = await admin.reprice({**span, "dry_run": False})
    assert {**done, "dry_run": True} == looked
    for name in (*plain, unknown):
        assert await cost(house, name) == (10_000_000_000, "override")
    assert await cost(house, reported) == (2_500_000_000, "reported")
    assert await cost(house, mistaken) == (None, "unknown")
    assert await cost(house, unpriceable) == (5, "genai-prices 0")
    assert await cost(house, failed) == (None, None)
    for name in (early, shared, gone):
        assert await cost(house, name) == (2_500_000_000, "genai-prices 0")
    assert (await admin.reprice(span))["changed"] == 0, "the same again changes nothing"


async def test_what_a_subscription_pays_for_keeps_its_worth(house: House, admin: Admin) -> None:
    mine, start = await connected(admin), NOW - 10_000
    listed, own = await book(house, mine, start), await book(house, mine, start + 1, model="made-up", cost_nano=None)
    await admin.set_price("gpt-4o", {"subscription": True})
    told = await admin.set_price("made-up", {**TEN, "subscription": True})
    assert told["subscription"] is True and told["input"] == "10"
    done = await admin.reprice({"from": start, "to": NOW, "dry_run": False})
    assert done["changed"] == 2 and done["after_usd"] == "0.000000"
    for name, worth in ((listed, 2_500_000_000), (own, 10_000_000_000)):
        assert await cost(house, name) == (0, "override")
        assert (await admin.request(name))["cost"] == {"usd": "0.000000", "source": "override", "worth_usd": usage.usd(worth)}
    await admin.remove_price("gpt-4o")
    await admin.reprice({"from": start, "to": NOW, "dry_run": False})
    assert (await admin.request(listed))["cost"]["worth_usd"] is None, "it is paid for by the token again"


async def test_a_period_has_to_be_one(admin: Admin) -> None:
    for body, param in (({"from": NOW, "to": NOW}, "from"), ({"from": "soon"}, "from"), ({}, "from")):
        with pytest.raises(GatewayError) as caught:
            await admin.reprice(body)
        assert caught.value.param == param
