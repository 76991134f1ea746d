import pytest

from omni_connector import providers
from omni_connector.admin import Admin, TestResult
from omni_connector.errors import GatewayError, Kind
from tests.admin.conftest import House


async def test_every_provider_is_listed_with_its_accounts_and_their_health(admin: Admin) -> None:  # C-67, C-68
    assert [p["id"] for p in (await admin.providers())["providers"]] == list(providers.PROVIDERS)
    account = await admin.add_account({"provider": "demo"})
    await admin.disable((await admin.add_account({"provider": "demo"}))["id"])
    demo = await admin.provider("demo")
    assert demo["demo"] is True
    assert demo["accounts"][0] == account["id"]
    assert (demo["health"]["ready"], demo["health"]["disabled"], demo["health"]["cooling"]) == (1, 1, 0)
    assert [a["label"] for a in demo["account_list"]] == ["demo", "demo-2"]


async def test_an_unknown_provider_names_near_ones(admin: Admin) -> None:
    with pytest.raises(GatewayError, match="openai") as caught:
        await admin.provider("opnai")
    assert caught.value.kind is Kind.NOT_FOUND


async def test_models_of_accounts_that_are_on_with_known_prices_only(house: House, admin: Admin) -> None:
    house.says = TestResult(True, 200, "fine", ("gpt-4o", "never-heard-of"))
    await admin.add_account({"provider": "openai", "api_key": "sk-abcdefgh12345678", "model_map": {"quick": "gpt-4o"}})
    await admin.disable((await admin.add_account({"provider": "demo"}))["id"])
    models = {m["id"]: m for m in (await admin.provider_models())["models"]}
    assert list(models) == ["gpt-4o", "never-heard-of", "quick"]
    assert models["gpt-4o"]["accounts"] == ["openai"]
    assert models["gpt-4o"]["input_usd_per_mtok"] == models["quick"]["input_usd_per_mtok"] == "2.5"
    assert models["never-heard-of"]["input_usd_per_mtok"] is None
    assert (await admin.provider_models("demo"))["models"] == []


async def test_what_models_can_be_asked_for(house: House, admin: Admin) -> None:
    house.says = TestResult(True, 200, "fine", ("gpt-5.1", "text-embedding-3-small", "whisper-1"))
    await admin.add_account({"provider": "openai", "api_key": "sk-abcdefgh12345678", "model_map": {"vectors": "text-embedding-3-small"}})
    house.says = TestResult(True, 200, "fine", ("deepseek-chat",))
    await admin.add_account({"provider": "deepseek", "api_key": "sk-abcdefgh12345678"})
    found = {m["id"]: m["capabilities"] for m in (await admin.provider_models())["models"]}
    assert found["gpt-5.1"] == ["audio", "documents", "images", "thinking"]
    assert (found["text-embedding-3-small"], found["whisper-1"]) == (["embeddings"], ["transcription"])
    assert "images" not in found["deepseek-chat"]  # its provider says that none of its models sees any


async def test_which_key_may_read_a_providers_bill(admin: Admin) -> None:
    assert "sk-admin" in (await admin.provider("openai"))["usage_key"]["needs"]
    assert (await admin.provider("groq"))["usage_key"] is None


async def test_how_a_provider_is_signed_in_to(house: House, admin: Admin) -> None:  # O-03
    told = (await admin.provider("gemini-cli"))["sign_in"]
    assert (told["ways"], told["own_client"], told["on"]) == (["browser"], True, False)
    assert ["ONEAPI_GEMINI_OAUTH_CLIENT_ID", "ONEAPI_GEMINI_OAUTH_CLIENT_SECRET"] in told["client_env"]
    assert "suspend" in told["notice"]
    await admin.set_config({"connectors": ["gemini-cli"]})
    assert (await admin.provider("gemini-cli"))["sign_in"]["on"] is True
    assert (await admin.provider("openai"))["sign_in"] is None
