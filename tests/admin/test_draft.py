from dataclasses import replace

import pytest

from omni_connector import providers
from omni_connector.admin import bodies
from omni_connector.admin.draft import changed_fields, key_warning, must_be_complete, new_account, provider_of
from omni_connector.errors import GatewayError, Kind

NOW = 1_795_000_000_000
KEY = "sk-proj-abcdefghijklmnopqrstuvwx1234"


def draft(**fields: object) -> object:
    return new_account(bodies.read(fields, bodies.NewAccount), "x", NOW)


def test_a_full_body_becomes_an_account() -> None:
    account = new_account(
        bodies.read(
            {
                "provider": "OpenAI",
                "api_key": f" {KEY}\n",
                "base_url": "https://proxy.example/v1/chat/completions/",
                "models": ["gpt-5", "gpt-5"],
                "prefix": "/fast/",
                "model_map": {" quick ": "gpt-5-mini"},
                "budget": {"amount": 5},
                "max_in_flight": 3,
                "rpm": 60,
                "tpm": 90_000,
            },
            bodies.NewAccount,
        ),
        "work",
        NOW,
    )
    assert (account.provider, account.label, account.auth, account.secret) == ("openai", "work", "api_key", KEY)
    assert (account.base_url, account.models, account.prefix) == ("https://proxy.example/v1", ("gpt-5",), "fast")
    assert (account.model_map, account.budget) == ({"quick": "gpt-5-mini"}, {"amount": "5", "period": "month"})
    assert (account.max_in_flight, account.rpm, account.tpm) == (3, 60, 90_000)
    assert account.key_hint.endswith("1234")
    assert KEY not in repr(account)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"provider": "opnai"}, "provider"),
        ({"provider": "openai"}, "api_key"),
        ({"provider": "custom-openai"}, "base_url"),
        ({"provider": "openai", "api_key": KEY, "auth": "oauth"}, "auth"),
        ({"provider": "openai", "api_key": KEY, "base_url": "host"}, "base_url"),
        ({"provider": "openai", "api_key": KEY, "weight": 0}, "weight"),
        ({"provider": "openai", "api_key": KEY, "priority": 1 << 40}, "priority"),
        ({"provider": "openai", "api_key": KEY, "max_in_flight": 0}, "max_in_flight"),
        ({"provider": "openai", "api_key": KEY, "options": {"region": "mars"}}, "options.region"),
        ({"provider": "openai", "api_key": KEY, "options": {"wire": "telex"}}, "options.wire"),
        ({"provider": "openai", "api_key": KEY, "options": {"endpoints": {"models": "file:///etc"}}}, "options.endpoints.models"),
        ({"provider": "openai", "api_key": KEY, "model_map": {"": "x"}}, "model_map"),
        (
            {"provider": "custom-oauth", "api_key": KEY, "options": {"oauth": {"client_id": "c", "token": "http://x.test"}}},
            "options.oauth.token",
        ),
    ],
)
def test_a_mistake_names_its_field(fields: dict[str, object], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        draft(**fields)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert KEY not in caught.value.message


def test_own_servers_may_do_without_a_key() -> None:
    for fields in ({"provider": "ollama"}, {"provider": "demo"}, {"provider": "custom-openai", "base_url": "http://10.0.0.5:8000"}):
        assert draft(**fields).auth == "none"  # type: ignore[attr-defined]
    assert draft(provider="openai", auth="none", base_url="http://127.0.0.1:9").auth == "none"  # type: ignore[attr-defined]


def test_a_patch_sets_only_what_it_names() -> None:
    openai = provider_of("openai")
    read = bodies.read({"priority": 4, "models": None, "api_key": KEY}, bodies.AccountPatch)
    changes = changed_fields(read, openai)
    assert changes.pop("key_hint").endswith("1234")
    assert changes == {"priority": 4, "models": (), "secret": KEY, "auth": "api_key"}


def test_a_provider_must_keep_what_it_needs() -> None:
    row = provider_of("openai")
    account = new_account(bodies.read({"provider": "openai", "api_key": KEY}, bodies.NewAccount), "x", NOW)
    with pytest.raises(GatewayError, match="needs an API key"):
        must_be_complete(replace(account, secret=""), row)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (KEY, None),
        ("", None),
        ("AIzaSyA-abcdefghijklmnop", "begin with 'sk-'"),
        ("omni-abcdefghijkl", "omni-connector itself"),
        (f"Bearer {KEY}", "more than a key"),
        (f'"{KEY}"', "more than a key"),
        (f"OPENAI_API_KEY={KEY}", "more than a key"),
    ],
)
def test_a_key_that_looks_wrong_is_warned_of(key: str, said: str | None) -> None:
    warning = key_warning(providers.get("openai"), key)
    assert (warning is None) if said is None else (warning is not None and said in warning)
