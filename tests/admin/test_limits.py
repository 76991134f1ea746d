"""Limits of the installation, of providers and of models: set as a whole, listed, removed."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind
from tests.admin.conftest import House

FIVE = {"budget": {"amount": "5", "period": "day", "zone": "Europe/Berlin"}}


async def test_set_listed_and_removed(house: House, admin: Admin) -> None:
    await admin.set_limit("model", " meta-llama/Llama-3.3 ", {"max_in_flight": 4})
    told = await admin.set_limit("provider", "OpenAI", {**FIVE, "rpm": 60, "tpm": 90_000})
    assert (told["scope"], told["subject"], told["name"], told["updated_at"]) == ("provider", "openai", "OpenAI", house.now)
    assert house.events == [("limit", (await admin.limits())["limits"][1]), ("limit", told)]
    await admin.set_installation_limit({"budget": {"amount": 50, "mode": "soft"}})
    assert [(one["scope"], one["subject"]) for one in (await admin.limits())["limits"]] == [
        ("installation", ""),
        ("provider", "openai"),
        ("model", "meta-llama/Llama-3.3"),
    ]
    assert {limit.scope: limit.budget for limit in house.snapshot.limits} == {
        "installation": {"amount": "50", "period": "month", "mode": "soft"},
        "model": None,
        "provider": FIVE["budget"],
    }

    again = await admin.set_limit("provider", "openai", {"rpm": 30})
    assert (again["rpm"], again["tpm"], again["budget"]) == (30, None, None), "it is replaced as a whole"
    assert (await admin.remove_limit("provider", "OPENAI"))["removed"] is True
    assert (await admin.remove_installation_limit())["budget"]["amount"] == "50"
    assert house.events[-1][1]["removed"] is True
    with pytest.raises(GatewayError) as caught:
        await admin.remove_limit("model", "llama-3.3")
    assert (caught.value.kind, "GET /api/limits" in caught.value.message) == (Kind.NOT_FOUND, True)
    await admin.remove_limit("model", "meta-llama/Llama-3.3")
    assert (await admin.limits())["limits"] == []


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "budget", "DELETE"),
        ({"budget": None, "rpm": None}, "budget", "DELETE"),
        ({"rpm": 0}, "rpm", "from 1"),
        ({"tpm": "many"}, "tpm", "whole number"),
        ({"max_in_flight": -1}, "max_in_flight", "from 1"),
        ({"budget": {"amount": 1, "zone": "local"}}, "budget.zone", "Europe/Berlin"),
        ({"rmp": 3}, "rmp", "'rpm'"),
    ],
)
async def test_what_is_no_limit_is_refused(admin: Admin, body: dict[str, Any], param: str, said: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.set_installation_limit(body)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert said in caught.value.message
    assert (await admin.limits())["limits"] == []


async def test_a_provider_has_to_exist_and_a_model_only_a_name(admin: Admin) -> None:
    with pytest.raises(GatewayError, match="openai") as caught:
        await admin.set_limit("provider", "opnai", {"rpm": 1})
    assert caught.value.kind is Kind.NOT_FOUND
    for bad in ("", "x" * 257, "a\nb"):
        with pytest.raises(GatewayError, match="subject"):
            await admin.set_limit("model", bad, {"rpm": 1})
    assert (await admin.set_limit("model", "not-there-yet", {"rpm": 1}))["name"] == "not-there-yet"


async def test_a_limit_shows_the_provider_s_own_name(admin: Admin) -> None:
    await admin.edit_provider("groq", {"name": "Fast ones"})
    assert (await admin.set_limit("provider", "groq", {"rpm": 1}))["name"] == "Fast ones"
