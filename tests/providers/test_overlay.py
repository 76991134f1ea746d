from typing import Any

import pytest

from omni_connector import providers
from omni_connector.snapshot import Account, ProviderSettings

LAN = "http://lan:9000/v1"


def under(provider: str, given: dict[str, Any], **own: Any) -> Account:
    return providers.complete(Account("acc_1", provider, "main", secret="s", **own), {provider: ProviderSettings(provider, **given)})


def test_names_of_both_hold_and_the_accounts_own_win() -> None:  # J-03
    found = under("groq", {"model_map": {"fast": "llama-8b", "big": "llama-70b"}}, model_map={"fast": "gemma"})
    assert found.model_map == {"fast": "gemma", "big": "llama-70b"}
    assert found.own is not None
    assert found.own.model_map == {"fast": "gemma"}


@pytest.mark.parametrize(
    ("provider", "own", "expected"),
    [
        ("groq", {}, LAN),
        ("groq", {"base_url": "https://mine.example/v1"}, "https://mine.example/v1"),
        ("groq", {"options": {"endpoints": {"inference": "https://mine.example/v1"}}}, "https://mine.example/v1"),
        ("custom-openai", {}, LAN),
        ("openai", {"options": {"wire": "openai-responses"}}, LAN),
        ("deepseek", {"options": {"wire": "anthropic-messages"}}, "https://api.deepseek.com/anthropic/v1"),
    ],
)
def test_its_address_is_for_accounts_that_name_none(provider: str, own: dict[str, Any], expected: str) -> None:  # J-23
    found = under(provider, {"base_url": LAN}, **own)
    assert providers.base_url(providers.get(provider), found) == expected


def test_its_switch_is_above_the_accounts_own() -> None:  # J-22
    off = under("groq", {"enabled": False})
    assert (off.enabled, off.switched_off) == (False, "provider groq is switched off")
    assert off.own is not None
    assert off.own.enabled
    own_off = under("groq", {}, enabled=False)
    assert (own_off.enabled, own_off.switched_off) == (False, "")


def test_older_names_of_a_provider_mean_it_too_and_others_are_left_alone() -> None:
    settings = {"glm": ProviderSettings("glm", enabled=False)}
    assert providers.complete(Account("a", "bigmodel", "a"), settings).switched_off == "provider glm is switched off"
    assert providers.complete(Account("a", "groq", "a"), settings).own is None
    assert providers.complete(Account("a", "gone", "a"), {"gone": ProviderSettings("gone", enabled=False)}).enabled
