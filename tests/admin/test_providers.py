from functools import partial
from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind
from omni_connector.snapshot import Cooldown
from omni_connector.store import accounts
from tests.admin.conftest import NOW, House

KEY = {"provider": "groq", "api_key": "gsk_0123456789abcdef"}


async def test_everything_of_a_provider_is_set_shown_and_taken_back(house: House, admin: Admin) -> None:  # J-03, J-22, J-23, C-68
    account = await admin.add_account({**KEY, "label": "main", "model_map": {"own": "gemma"}})
    plain = await admin.provider("groq")
    assert (plain["enabled"], plain["name"], plain["model_map"], plain["base_url"]) == (True, "", {}, plain["default_base_url"])
    house.events.clear()
    told = await admin.edit_provider("groq", {"base_url": "http://lan:9000", "model_map": {" fast ": "llama"}, "name": " Mine "})
    assert (told["base_url"], told["model_map"], told["name"], told["label"]) == ("http://lan:9000/v1", {"fast": "llama"}, "Mine", "Mine")
    assert (told["default_base_url"], told["default_label"]) == (plain["base_url"], plain["label"])
    assert [name for name, _ in house.events] == ["provider", "account"], "the dashboards hear of it"
    assert house.snapshot.accounts[0].model_map == {"fast": "llama", "own": "gemma"}
    assert [model["id"] for model in (await admin.provider_models("groq"))["models"]] == ["fast", "model-a", "model-b", "own"]

    assert (await admin.edit_provider("groq", {}))["name"] == "Mine", "what is not named stays"
    back = await admin.edit_provider("groq", {"base_url": None, "model_map": None, "name": ""})
    assert {**back, "account_list": 0} == {**plain, "account_list": 0}
    assert (await admin.account(account["id"]))["provider_label"] == plain["label"]


async def test_an_account_shows_and_keeps_only_its_own(house: House, admin: Admin) -> None:  # J-03
    account = await admin.add_account({**KEY, "model_map": {"own": "gemma"}})
    await admin.edit_provider("groq", {"base_url": "http://lan:9000/v1", "model_map": {"fast": "llama"}, "enabled": False})
    edited = await admin.edit_account(account["id"], {"priority": 3})
    for shown in (edited, await admin.account(account["id"]), (await admin.accounts())["accounts"][0]):
        assert (shown["base_url"], shown["model_map"], shown["enabled"]) == ("", {"own": "gemma"}, True)
        assert (shown["status"], shown["status_reason"]) == ("disabled", "Provider groq is switched off.")
    await admin.test(account["id"])
    assert house.asked[-1].base_url == "http://lan:9000/v1", "it is asked where it will be used"
    stored = (await house.db.run(lambda conn: accounts.list_accounts(conn, house.vault)))[0]
    assert (stored.base_url, stored.model_map, stored.enabled, stored.priority) == ("", {"own": "gemma"}, True, 3)
    assert "switched off" in (await admin.probe(account["id"]))["message"]


async def test_the_switch_holds_for_all_accounts_and_leaves_theirs(admin: Admin) -> None:  # J-22
    on = await admin.add_account({**KEY, "label": "on"})
    off = await admin.add_account({**KEY, "label": "off", "enabled": False})
    assert (await admin.disable_provider("groq"))["health"]["disabled"] == 2
    assert (await admin.provider_models())["models"] == []
    assert (await admin.enable(off["id"]))["status"] == "disabled", "its provider is still off"
    await admin.disable(off["id"])
    told = await admin.enable_provider("groq")
    assert {a["label"]: a["status"] for a in told["account_list"]} == {"on": "ready", "off": "disabled"}
    assert (await admin.account(on["id"]))["status_reason"] == ""


async def test_accounts_that_move_are_tried_at_once(house: House, admin: Admin) -> None:  # J-23
    moved = (await admin.add_account({**KEY, "label": "moved"}))["id"]
    stays = (await admin.add_account({**KEY, "label": "stays", "base_url": "http://mine/v1"}))["id"]
    for account_id in (moved, stays):
        cooldown = Cooldown(account_id, "", NOW + 60_000, "guessed", "unreachable", created_at=NOW)
        await house.db.tx(partial(accounts.extend_cooldown, cooldown=cooldown))
    await house.reload()
    await admin.edit_provider("groq", {"name": "Mine"})
    assert (await admin.account(moved))["status"] == "cooling"
    await admin.edit_provider("groq", {"base_url": "http://lan:9000/v1"})
    assert ((await admin.account(moved))["status"], (await admin.account(stays))["status"]) == ("ready", "cooling")


async def test_an_address_that_accounts_live_on(admin: Admin) -> None:
    """A provider without an address of its own: the one that is set for it is enough, and cannot be taken away under them."""
    with pytest.raises(GatewayError, match="base_url"):
        await admin.add_account({"provider": "custom-openai"})
    await admin.edit_provider("custom-openai", {"base_url": "http://lan:8000"})
    account = await admin.add_account({"provider": "custom-openai", "label": "box"})
    assert (await admin.edit_account(account["id"], {"base_url": ""}))["base_url"] == ""
    with pytest.raises(GatewayError, match="'box' would have none") as caught:
        await admin.edit_provider("custom-openai", {"base_url": ""})
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "base_url")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"nmae": "x"}, "nmae"),
        ([], None),
        ({"enabled": "yes"}, "enabled"),
        ({"enabled": None}, "enabled"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://u:p@host/v1"}, "base_url"),
        ({"model_map": {"a": 1}}, None),
        ({"model_map": {"": "b"}}, "model_map"),
        ({"model_map": {"a": " "}}, "model_map"),
        ({"name": "x" * 65}, "name"),
        ({"name": "a\nb"}, "name"),
    ],
)
async def test_what_cannot_be_set_is_refused_and_changes_nothing(house: House, admin: Admin, body: Any, param: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.edit_provider("groq", body)
    assert caught.value.kind is Kind.BAD_REQUEST
    if param:
        assert caught.value.param == param
        assert param in caught.value.message
    assert house.snapshot.providers == {}


async def test_a_provider_that_is_not_there_or_has_no_address(admin: Admin) -> None:
    with pytest.raises(GatewayError, match="openai") as caught:
        await admin.edit_provider("opnai", {"enabled": False})
    assert caught.value.kind is Kind.NOT_FOUND
    for provider in ("demo", "command"):
        with pytest.raises(GatewayError, match="no address") as caught:
            await admin.edit_provider(provider, {"base_url": "http://lan/v1"})
        assert caught.value.param == "base_url"
