"""Prices and limits travel with the accounts that they are for, and replace nothing unasked."""

from __future__ import annotations

import json
from typing import Any

from omni_connector.admin import Admin
from omni_connector.store import limits as limit_rows
from omni_connector.store import prices as price_rows
from tests.admin.conftest import House

Json = dict[str, Any]
RATES = {"input": "1.25", "output": "10", "cache_read": "0.125"}
BUDGET = {"amount": "20", "period": "month", "zone": "Europe/Berlin", "mode": "hard"}


async def account(admin: Admin, label: str, **more: Any) -> str:
    body = {"provider": "openai", "label": label, "api_key": f"sk-{label}", "discover": False, **more}
    return str((await admin.add_account(body))["id"])


async def filled(admin: Admin) -> Json:
    """What is exported of an installation with a price and a limit of each kind."""
    work = await account(admin, "work", rpm=60, tpm=9000)
    await account(admin, "spare")
    await admin.set_price("gpt-5*", {**RATES, "account": work})
    await admin.set_price("gpt-5*", {"per_request": "0.01", "provider": "openai"})
    await admin.set_price("llama", {"subscription": True})
    await admin.set_limit("installation", "", {"budget": BUDGET})
    await admin.set_limit("provider", "openai", {"rpm": 5})
    await admin.set_limit("model", "gpt-5", {"max_in_flight": 2, "tpm": 1000})
    return dict(json.loads((await admin.export_accounts({}))["content"]))


async def emptied(house: House, admin: Admin) -> None:
    picture = house.snapshot
    for entry in picture.prices:
        await house.db.tx(lambda conn, one=entry: price_rows.delete(conn, one.pattern, one.scope))  # type: ignore[misc]
    for limit in picture.limits:
        await house.db.tx(lambda conn, one=limit: limit_rows.delete(conn, one.scope, one.subject))  # type: ignore[misc]
    for one in picture.accounts:
        await admin.remove_account(one.id)
    await house.reload()
    assert not (house.snapshot.accounts or house.snapshot.prices or house.snapshot.limits)


def prices(house: House) -> set[tuple[str, str, str]]:
    labels = {f"account:{one.id}": one.label for one in house.snapshot.accounts}
    return {(one.pattern, labels.get(one.scope, one.scope), str(one.input or one.per_request)) for one in house.snapshot.prices}


async def test_there_and_back(house: House, admin: Admin) -> None:  # P-61
    said = await filled(admin)
    before, limits = prices(house), [(one.scope, one.subject, one.budget, one.rpm, one.tpm) for one in house.snapshot.limits]
    assert before == {("gpt-5*", "work", "1.25"), ("gpt-5*", "provider:openai", "0.01"), ("llama", "", "None")}
    assert said["prices"][0] == {"pattern": "gpt-5*", "account": "work", **RATES}
    await emptied(house, admin)
    dry = await admin.import_accounts({"content": said, "dry_run": True})
    assert len(dry["also"]["prices"]) == len(dry["also"]["limits"]) == 3
    assert not house.snapshot.prices
    told = await admin.import_accounts({"content": said})
    assert told["also"] == dry["also"]
    assert told["also"]["left_out"] == []
    assert prices(house) == before
    assert [(one.scope, one.subject, one.budget, one.rpm, one.tpm) for one in house.snapshot.limits] == limits
    assert {(one.label, one.rpm, one.tpm) for one in house.snapshot.accounts} == {("work", 60, 9000), ("spare", None, None)}
    again = await admin.import_accounts({"content": said})
    assert (again["also"]["prices"], len(again["also"]["left_out"])) == ([], 6)


async def test_what_is_there_is_replaced_only_by_an_update(house: House, admin: Admin) -> None:
    said = await filled(admin)
    said["prices"][0]["input"] = "9"
    said["limits"][0]["budget"]["amount"] = "50"
    await admin.import_accounts({"content": said, "on_conflict": "rename"})
    assert ("gpt-5*", "work", "1.25") in prices(house)
    await admin.import_accounts({"content": said, "on_conflict": "update"})
    assert ("gpt-5*", "work", "9") in prices(house)
    assert next(one.budget for one in house.snapshot.limits if one.scope == "installation")["amount"] == "50"  # type: ignore[index]


async def test_a_price_goes_to_what_its_account_has_become(house: House, admin: Admin) -> None:
    said = await filled(admin)
    await emptied(house, admin)
    await account(admin, "work", api_key="sk-another")
    told = await admin.import_accounts({"content": said})
    assert ("gpt-5*", "work", "1.25") not in prices(house), "that is another account"
    assert told["also"]["left_out"] == ["prices: gpt-5* of work: its account was not imported."]
    await admin.import_accounts({"content": said, "on_conflict": "rename"})
    assert ("gpt-5*", "work-2", "1.25") in prices(house)


async def test_only_what_is_asked_for_and_only_for_the_chosen_accounts(house: House, admin: Admin) -> None:
    await filled(admin)
    said = json.loads((await admin.export_accounts({"include": ["aliases"]}))["content"])
    assert not said.keys() & {"prices", "limits"}
    spare = next(one.id for one in house.snapshot.accounts if one.label == "spare")
    said = json.loads((await admin.export_accounts({"ids": [spare]}))["content"])
    assert [(one["pattern"], one.get("provider")) for one in said["prices"]] == [("gpt-5*", "openai"), ("llama", None)]


async def test_a_file_that_says_nonsense_loses_only_that(house: House, admin: Admin) -> None:
    hostile: Json = {
        "format": "omni-connector",
        "accounts": [],
        "prices": [
            5,
            {"pattern": 1},
            {"pattern": "x", "input": "-1", "output": "1"},
            {"pattern": "y", "account": ["z"]},
            {"pattern": "z", "x": 1},
        ],
        "limits": [
            None,
            {"scope": "key", "subject": "k", "rpm": 1},
            {"scope": "model", "subject": "m", "rpm": 0},
            {"scope": "provider", "subject": "no"},
        ],
    }
    told = (await admin.import_accounts({"content": hostile}))["also"]
    assert (told["prices"], told["limits"], len(told["left_out"])) == ([], [], 5)
    assert not (house.snapshot.prices or house.snapshot.limits)
    assert (await admin.router_config()).keys() >= {"prices", "limits"}
