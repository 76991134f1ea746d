from __future__ import annotations

from pathlib import Path

import pytest

from omni_connector import __version__
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import addresses, get
from omni_connector.snapshot import Account


def account(provider: str = "custom-openai", **fields: object) -> Account:
    return Account("acc_1", provider, "main", **fields)  # type: ignore[arg-type]


# C-16, P-33: a base URL however it was typed


@pytest.mark.parametrize(
    ("provider", "typed", "base"),
    [
        ("custom-openai", "http://host:8000", "http://host:8000/v1"),
        ("custom-openai", "http://host:8000/", "http://host:8000/v1"),
        ("custom-openai", " HTTP://Host:8000/v1/ ", "http://host:8000/v1"),
        ("custom-openai", "http://host:8000/v1/chat/completions", "http://host:8000/v1"),
        ("custom-openai", "https://host/v1/models", "https://host/v1"),
        ("custom-openai", "https://host/openai", "https://host/openai"),
        ("custom-openai", "https://host/api/paas/v4", "https://host/api/paas/v4"),
        ("custom-openai", "https://host/v1beta/openai", "https://host/v1beta/openai"),
        ("custom-openai", "http://[::1]:8000", "http://[::1]:8000/v1"),
        ("custom-anthropic", "https://host", "https://host/v1"),
        ("custom-anthropic", "https://host/anthropic", "https://host/anthropic/v1"),
        ("custom-anthropic", "https://host/anthropic/v1/messages", "https://host/anthropic/v1"),
        ("openrouter", "https://openrouter.ai", "https://openrouter.ai/api/v1"),
        ("glm", "https://open.bigmodel.cn/", "https://open.bigmodel.cn/api/paas/v4"),
        ("openai", "https://proxy.example.com", "https://proxy.example.com/v1"),
    ],
)
def test_normalise(provider: str, typed: str, base: str) -> None:
    assert addresses.normalise_base_url(typed, get(provider)) == base
    assert addresses.normalise_base_url(base, get(provider)) == base


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "host:8000",
        "ftp://host",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://user:pw@host",
        "http://ho st/v1",
        "http://host/v1?x=1",
        "http://host/#a",
        "http://host\r\nX: y/v1",
        "http://host:99999/v1",
        "http://host:0",
        "http://[::1",
        "http:\\\\host",
        "javascript:alert(1)",
    ],
)
def test_normalise_refuses_nonsense(typed: str) -> None:
    with pytest.raises(GatewayError) as caught:
        addresses.normalise_base_url(typed, get("custom-openai"))
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "base_url")


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(GatewayError) as caught:
        addresses.normalise_base_url("https://me:hunter2@host/v1", get("custom-openai"))
    assert "hunter2" not in caught.value.message


def test_the_demo_has_no_address_to_replace() -> None:
    with pytest.raises(GatewayError):
        addresses.normalise_base_url("https://host", get("demo"))
    assert addresses.endpoint(get("demo"), account("demo"), "/chat/completions") == "demo://local/chat/completions"


# Which address wins

FILE = {"kimi": {"inference": "https://file.example/v1"}}


@pytest.mark.parametrize(
    ("fields", "endpoints", "url"),
    [
        ({}, {}, "https://api.moonshot.ai/v1/chat/completions"),
        ({"options": {"region": "china"}}, {}, "https://api.moonshot.cn/v1/chat/completions"),
        ({"options": {"region": "china"}}, FILE, "https://file.example/v1/chat/completions"),
        ({"options": {"endpoints": {"inference": "https://own.example/x/"}}}, FILE, "https://own.example/x/chat/completions"),
        (
            {"base_url": "https://base.example", "options": {"endpoints": {"inference": "https://own.example"}}},
            FILE,
            "https://base.example/v1/chat/completions",
        ),
        ({"wire": "anthropic-messages"}, {}, "https://api.moonshot.ai/anthropic/v1/chat/completions"),
        ({"wire": "anthropic-messages", "base_url": "https://h/a"}, {}, "https://h/a/v1/chat/completions"),
    ],
)
def test_precedence(fields: dict[str, object], endpoints: dict[str, dict[str, str]], url: str) -> None:
    assert addresses.endpoint(get("kimi"), account("kimi", **fields), "/chat/completions", endpoints) == url


def test_a_version_is_written_once() -> None:
    assert addresses.endpoint(get("openai"), account("openai"), "/v1/embeddings") == "https://api.openai.com/v1/embeddings"


def test_no_address_says_what_to_set() -> None:
    with pytest.raises(GatewayError, match="base_url"):
        addresses.endpoint(get("custom-openai"), account(), "/chat/completions")
    with pytest.raises(GatewayError, match="global, china"):
        addresses.endpoint(get("kimi"), account("kimi", options={"region": "mars"}), "/chat/completions")


def test_endpoints_file(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.toml"
    file.write_text('[kimi]\ninference = "https://file.example/v1"\nbalance = "http://localhost:9/b"\n')
    assert addresses.load_endpoints(file) == {"kimi": {"inference": "https://file.example/v1", "balance": "http://localhost:9/b"}}
    for text in ("[kimi", 'kimi = "x"', "[kimi]\ninference = 3", '[kimi]\ninference = "nonsense"'):
        file.write_text(text)
        with pytest.raises(GatewayError):
            addresses.load_endpoints(file)
    with pytest.raises(GatewayError):
        addresses.load_endpoints(tmp_path / "missing.toml")


# Headers


def test_credentials_by_provider() -> None:
    assert addresses.request_headers(get("openai"), account("openai", secret="sk-1 ")) == {
        "user-agent": f"omni-connector/{__version__}",
        "authorization": "Bearer sk-1",
    }
    headers = addresses.request_headers(get("anthropic"), account("anthropic", secret="sk-ant"))
    assert (headers["x-api-key"], headers["anthropic-version"], "authorization" in headers) == ("sk-ant", "2023-06-01", False)
    assert "authorization" not in addresses.request_headers(get("ollama"), account("ollama"))
    assert addresses.request_headers(get("ollama"), account("ollama", secret="k"))["authorization"] == "Bearer k"
    assert "authorization" not in addresses.request_headers(get("demo"), account("demo", secret="k"))
    # a second wire format keeps the provider's way of showing a key
    face = addresses.request_headers(get("deepseek"), account("deepseek", secret="k", wire="anthropic-messages"))
    assert (face["authorization"], face["anthropic-version"]) == ("Bearer k", "2023-06-01")


@pytest.mark.parametrize("secret", ["sk-1\r\nX-Evil: 1", "sk 1", "ключ"])
def test_a_key_that_is_no_header_value_is_the_accounts_fault(secret: str) -> None:
    with pytest.raises(GatewayError) as caught:
        addresses.request_headers(get("openai"), account("openai", secret=secret))
    assert caught.value.kind is Kind.ACCOUNT_REJECTED
    assert secret not in caught.value.message


def test_only_harmless_headers_of_a_client_pass() -> None:
    client = {
        "Anthropic-Version": "2024-01-01",
        "anthropic-beta": "a,b",
        "X-Claude-Code-Session-Id": "s",
        "Authorization": "Bearer omni-client",
        "x-api-key": "omni-client",
        "Cookie": "c=1",
        "X-Forwarded-For": "10.0.0.1",
        "OpenAI-Organization": "org",
        "x-stainless-os": "Linux",
        "User-Agent": "other",
    }
    headers = addresses.request_headers(get("anthropic"), account("anthropic", secret="sk-ant", headers={"Anthropic-Beta": "c"}), client)
    assert headers == {
        "user-agent": f"omni-connector/{__version__}",
        "x-api-key": "sk-ant",
        "anthropic-version": "2024-01-01",
        "anthropic-beta": "a,b,c",
        "x-claude-code-session-id": "s",
    }


def test_an_accounts_own_headers_win_but_for_the_framing() -> None:
    own = {"Authorization": "Bearer other", "Host": "evil", "Content-Length": "1", "HTTP-Referer": "https://me.example"}
    headers = addresses.request_headers(get("openrouter"), account("openrouter", secret="sk-or", headers=own))
    assert headers["authorization"] == "Bearer other"
    assert headers["http-referer"] == "https://me.example"
    assert not headers.keys() & addresses.FRAMING
