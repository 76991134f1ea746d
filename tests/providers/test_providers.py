from __future__ import annotations

import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.snapshot import Account


def account(provider: str, **fields: object) -> Account:
    return Account("acc_1", provider, "main", **fields)  # type: ignore[arg-type]


def test_get_by_id_old_name_and_case() -> None:
    assert providers.get("openai").id == "openai"
    assert providers.get("openai-custom").id == "custom-openai"  # the seeds' name (C-16)
    assert providers.get("claude-custom").wire == "anthropic-messages"
    assert providers.get(" Moonshot ").id == "kimi"


def test_get_of_the_unknown_names_near_ones() -> None:
    with pytest.raises(GatewayError) as caught:
        providers.get("antropic")
    assert caught.value.kind is Kind.NOT_FOUND
    assert "anthropic" in caught.value.message


def test_complete_copies_the_row() -> None:
    done = providers.complete(account("deepseek"))
    row = providers.get("deepseek")
    assert (done.wire, done.features, done.default_models) == ("openai-chat", row.features, row.default_models)
    assert (done.open_models, done.demo) == (False, False)
    assert providers.complete(account("demo")).demo
    assert providers.complete(account("custom-openai")).open_models


def test_complete_follows_the_options() -> None:
    options = {"features_add": ["vision"], "features_remove": ["json_object", 7], "wire": "openai-chat"}
    done = providers.complete(account("custom-openai", options=options))
    assert "vision" in done.features
    assert "json_object" not in done.features


def test_complete_changes_the_wire_only_to_one_that_is_spoken() -> None:
    assert providers.complete(account("deepseek", options={"wire": "anthropic-messages"})).wire == "anthropic-messages"
    assert providers.complete(account("mistral", options={"wire": "anthropic-messages"})).wire == "openai-chat"
    assert providers.complete(account("custom-openai", options={"wire": "anthropic-messages"})).wire == "anthropic-messages"
    assert providers.complete(account("custom-openai", options={"wire": "morse"})).wire == "openai-chat"


def test_complete_of_an_old_name_keeps_its_region() -> None:
    done = providers.complete(account("bigmodel"))
    assert (done.provider, done.options["region"]) == ("glm", "bigmodel")
    assert providers.complete(account("bigmodel", options={"region": "zai"})).options["region"] == "zai"


def test_complete_of_an_unknown_provider_is_powerless() -> None:
    done = providers.complete(account("gone", models=("m",)))
    assert (done.provider, done.wire, done.features, done.models) == ("gone", "", frozenset(), ("m",))


@pytest.mark.parametrize(
    ("provider", "options", "price_id"),
    [
        ("openai", {}, "openai"),
        ("glm", {}, "zai"),
        ("glm", {"region": "bigmodel"}, "zhipuai"),
        ("glm", {"region": "zai-coding"}, "subscription"),
        ("bigmodel", {}, "zhipuai"),
        ("ollama", {}, "local"),
        ("custom-openai", {}, None),
        ("custom-openai", {"price_id": "openrouter"}, "openrouter"),
        ("gone", {}, None),
    ],
)
def test_price_id(provider: str, options: dict[str, str], price_id: str | None) -> None:
    assert providers.price_id(account(provider, options=options)) == price_id


def test_markdown_names_every_row_and_word() -> None:
    text = providers.providers_markdown()
    for row in providers.PROVIDERS.values():
        assert f"\n## {row.id}\n" in text
        assert row.base_url in text
    assert all(f"`{word}`" in text for word in (*providers.FEATURES, *providers.demo.MODELS, *providers.demo.OPTIONS, *providers.ALIASES))
    assert "  \n" not in text
