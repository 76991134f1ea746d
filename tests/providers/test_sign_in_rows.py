"""The rows with a sign-in of their own, and the coding plans beside them. P-02, P-03, P-20, P-23, P-24, P-48"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from omni_connector import providers
from omni_connector.providers import PROVIDERS, SignIn, canonical, listing, sign_in_rows
from omni_connector.providers.quota_readers import READERS
from omni_connector.providers.sign_in_rows import SIGN_IN_ROWS
from omni_connector.snapshot import Account

ADDRESSES = ("authorization", "token", "device", "verification", "revoke", "user_info", "issuer", "jwks")


def profile(provider: str) -> SignIn:
    found = PROVIDERS[provider].sign_in
    assert found is not None
    return found


def account(provider: str, **fields: object) -> Account:
    return providers.complete(Account("a", provider, "a", secret="k", **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [*SIGN_IN_ROWS, PROVIDERS["openrouter"]], ids=lambda row: row.id)
def test_their_addresses_are_https_and_their_notices_one_line(row: providers.Provider) -> None:
    assert row.sign_in is not None and "\n" not in row.sign_in.notice and not row.sign_in.own_client
    for name in ADDRESSES:
        url = getattr(row.sign_in, name)
        assert not url or urlsplit(url).scheme == "https", name
    assert not row.quota or row.quota in READERS


def test_nobody_is_imitated() -> None:
    """Honest names: what the vendors' own programs call themselves stands nowhere."""
    text = Path(sign_in_rows.__file__).read_text()
    assert not any(name in text for name in ("codex_cli_rs", "codex_vscode", "kimi_cli", "Mozilla"))
    for row in SIGN_IN_ROWS:
        headers = providers.request_headers(row, account(row.id, options={"device_id": "d-1"}))
        assert headers["user-agent"].startswith("omni-connector/")
        assert {value for name, value in headers.items() if name in ("originator", "x-msh-platform")} <= {"omni-connector"}


def test_what_is_reserved_or_private_is_off_and_told() -> None:  # P-20
    assert all(profile(name).opt_in and profile(name).notice for name in ("codex", "chatgpt", "kimi-code"))
    assert "chatgpt" in profile("codex").notice and "pool" in profile("chatgpt").notice and profile("chatgpt").single
    assert not profile("openrouter").opt_in and profile("openrouter").ways == ("key",)


def test_where_they_come_back_to() -> None:  # P-20
    codex, chatgpt = profile("codex"), profile("chatgpt")
    assert (codex.redirect_host, codex.redirect_ports, codex.redirect_path) == ("localhost", (1455, 1457), "/auth/callback")
    assert (chatgpt.redirect_host, chatgpt.redirect_ports[-1], chatgpt.redirect_path) == ("127.0.0.1", 0, "/auth/callback")


def test_where_they_are_asked() -> None:
    url, headers = listing.models_request(PROVIDERS["codex"], account("codex", options={"identity": {"account_id": "acct-7"}}))
    assert url.startswith("https://chatgpt.com/backend-api/codex/models?client_version=")
    assert headers["chatgpt-account-id"] == "acct-7"
    assert providers.endpoint(PROVIDERS["codex"], account("codex"), "/responses") == "https://chatgpt.com/backend-api/codex/responses"
    assert providers.endpoint(PROVIDERS["chatgpt"], account("chatgpt"), "/responses") == "https://api.openai.com/v1/responses"
    kimi = account("kimi-code", options={"wire": "anthropic-messages"})
    assert providers.endpoint(PROVIDERS["kimi-code"], kimi, "/messages") == "https://api.kimi.com/coding/v1/messages"


def test_kimi_code_by_key_and_by_device() -> None:  # P-03, P-23
    by_key = account("kimi-code")
    headers = providers.request_headers(PROVIDERS["kimi-code"], by_key)
    assert headers["authorization"] == "Bearer k" and "x-msh-device-id" not in headers
    signed_in = account("kimi-code", options={"device_id": "9f1c"})
    assert providers.request_headers(PROVIDERS["kimi-code"], signed_in)["x-msh-device-id"] == "9f1c"
    odd = account("kimi-code", options={"device_id": "9f\r\nx: y"})
    assert "x-msh-device-id" not in providers.request_headers(PROVIDERS["kimi-code"], odd)
    assert {"thinking_toggle", "thinking_effort", "reasoning_replay_always"} <= by_key.features


@pytest.mark.parametrize(
    ("name", "region", "chat", "messages"),
    [
        ("glm", "zai", "https://api.z.ai/api/paas/v4", "https://api.z.ai/api/anthropic/v1"),
        ("zai-coding-plan", "zai-coding", "https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/anthropic/v1"),
        (
            "zhipuai-coding-plan",
            "bigmodel-coding",
            "https://open.bigmodel.cn/api/coding/paas/v4",
            "https://open.bigmodel.cn/api/anthropic/v1",
        ),
    ],
)
def test_the_coding_plan_of_glm(name: str, region: str, chat: str, messages: str) -> None:  # P-03, P-24
    provider, meant = canonical(name)
    plan = account(provider, options={"region": meant or "zai"})
    assert (provider, meant or "zai") == ("glm", region)
    assert providers.base_url(PROVIDERS["glm"], plan) == chat
    facing = providers.facing(plan, "anthropic-messages")
    assert providers.endpoint(PROVIDERS["glm"], facing, "/messages") == f"{messages}/messages"
    assert (providers.price_id(plan) == "subscription") == region.endswith("coding")


def test_names_of_old_and_names_that_stand_in() -> None:  # P-48
    assert canonical("openai-codex-oauth") == ("codex", "") and canonical("Kimi-Coding") == ("kimi-code", "")
    assert [PROVIDERS[name].stands_in_for for name in ("codex", "chatgpt", "kimi-code")] == [("openai",), ("openai", "codex"), ("kimi",)]
