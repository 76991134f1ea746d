from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import get, listing
from omni_connector.snapshot import Account

OPENAI = get("openai")
RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "recordings"


def account(provider: str, **fields: object) -> Account:
    return Account("acc_1", provider, "main", secret="k", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("provider", "fields", "url"),
    [
        ("openai", {}, "https://api.openai.com/v1/models"),
        ("anthropic", {}, "https://api.anthropic.com/v1/models"),
        ("glm", {"options": {"region": "bigmodel-coding"}}, "https://open.bigmodel.cn/api/coding/paas/v4/models"),
        ("github-models", {}, "https://models.github.ai/catalog/models"),
        ("github-models", {"base_url": "http://localhost:9"}, "http://localhost:9/v1/models"),
        ("openai", {"options": {"endpoints": {"models": "http://localhost:9/list"}}}, "http://localhost:9/list"),
    ],
)
def test_models_request(provider: str, fields: dict[str, object], url: str) -> None:
    found, headers = listing.models_request(get(provider), account(provider, **fields))
    assert found == url
    assert "k" in (headers.get("authorization", "").removeprefix("Bearer "), headers.get("x-api-key"))


@pytest.mark.parametrize(  # P-17
    "body",
    [
        {"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "b"}, {"id": "text-embedding-3-small"}]},
        {"data": [{"type": "model", "id": "a", "display_name": "A"}, {"id": "b"}, {"id": "text-embedding-3-small"}], "has_more": False},
        {"models": [{"name": "a"}, {"name": "models/b"}, {"name": "text-embedding-3-small"}]},
        {
            "models": [
                {"slug": "a", "visibility": "list"},
                {"slug": "x", "visibility": "hide"},
                {"slug": "b"},
                {"slug": "text-embedding-3-small"},
            ]
        },
        [{"id": "a", "type": "chat"}, {"id": "b"}, {"id": "text-embedding-3-small", "type": "embedding"}],
        ["a", "b", "a", "text-embedding-3-small", 7, None, {}],
    ],
)
def test_every_form_of_model_list(body: Any) -> None:
    assert listing.list_models(OPENAI, 200, body) == listing.ModelList(("a", "b"), ("text-embedding-3-small",))
    assert listing.parse_models(OPENAI, 200, body) == ("a", "b", "text-embedding-3-small")


def test_lists_that_are_asked_by_post() -> None:  # R-37, C-01
    google, antigravity = get("gemini-cli"), get("antigravity")
    mine = account("gemini-cli", options={"project": "p-1"})
    url, headers = listing.models_request(google, mine)
    assert (url, headers["content-type"]) == ("https://cloudcode-pa.googleapis.com/v1internal:retrieveUserQuota", "application/json")
    assert listing.models_body(google, mine) == b'{"project": "p-1"}' and listing.models_body(antigravity, account("antigravity")) == b"{}"
    assert listing.models_body(OPENAI, mine) == b""
    found = listing.list_models(google, 200, {"buckets": [{"modelId": "gemini-9-pro"}, {"modelId": "gemini-2.5-pro"}, {}]})
    assert found.chat[:2] == ("gemini-9-pro", "gemini-2.5-pro") and set(google.default_models) < set(found.chat)
    assert listing.parse_models(google, 200, {}) == google.default_models
    live = {"models": {"gemini-3-flash": {}, "tab_flash": {}, "chat_12": {}, "gemini-3.1-flash-image": {}}}
    assert listing.list_models(antigravity, 200, live) == listing.ModelList(("gemini-3-flash",), ("gemini-3.1-flash-image",))


def test_what_does_not_chat_is_kept_apart() -> None:
    chat = [
        "gpt-4o",
        "gpt-4o-search-preview",
        "llama3.2-vision",
        "qwen2.5-vl:7b",
        "deliver-7b",
        "gemini-2.5-flash",
        "mistral-large-latest",
        "sora-chat-x"[5:],
    ]
    other = [
        "whisper-1",
        "tts-1-hd",
        "gpt-4o-mini-tts",
        "omni-moderation-latest",
        "dall-e-3",
        "gpt-image-1",
        "nomic-embed-text:latest",
        "BAAI/bge-m3",
    ]
    other += [
        "gpt-4o-realtime-preview",
        "sora-2",
        "black-forest-labs/flux-1",
        "gpt-4o-transcribe",
        "mistral-ocr-latest",
        "gemini-2.5-flash-image",
    ]
    found = listing.list_models(OPENAI, 200, [*chat, *other])
    assert found.chat == tuple(chat)
    assert found.other == tuple(other)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "account_rejected"),
        (402, "account_unpaid"),
        (403, "account_forbidden"),
        (429, "account_rate_limited"),
        (404, "upstream_failed"),
        (500, "upstream_failed"),
        (529, "upstream_overloaded"),
        (302, "upstream_failed"),
    ],
)
@pytest.mark.parametrize("body", [{"error": {"message": "no way"}}, {"detail": "no way"}, {"error": "no way"}, {"message": "no way"}])
def test_refusals_are_classified_by_status(status: int, kind: str, body: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        listing.parse_models(OPENAI, status, body)
    assert (caught.value.kind, caught.value.upstream_status) == (Kind(kind), status)
    assert "no way" in caught.value.message


@pytest.mark.parametrize("body", [None, {}, "text", {"data": {"id": "a"}}, 5])
def test_an_unknown_form_is_said(body: Any) -> None:
    with pytest.raises(GatewayError, match="unknown form"):
        listing.parse_models(OPENAI, 200, body)


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings do not stand beside this checkout")
def test_recorded_lists_are_understood() -> None:
    read = 0
    for file in sorted(RECORDINGS.glob("models--*.json")):
        recording = json.loads(file.read_text())
        response = recording["response"]
        if recording["upstream"] == "huggingface":  # one model's page, not a list
            continue
        if response["status"] != 200:
            with pytest.raises(GatewayError):
                listing.parse_models(OPENAI, response["status"], response["body"])
            continue
        assert listing.parse_models(OPENAI, 200, response["body"]), file.name
        read += 1
    assert read >= 5


# Balance

BALANCES = [
    (
        "deepseek",
        {},
        {"is_available": True, "balance_infos": [{"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00"}]},
        "110.00",
        "CNY",
    ),
    ("kimi", {}, {"code": 0, "data": {"available_balance": 49.58894, "cash_balance": 3.0}, "status": True}, "49.58894", "USD"),
    ("kimi", {"region": "china"}, {"code": 0, "data": {"available_balance": 5}, "status": True}, "5", "CNY"),
    ("openrouter", {}, {"data": {"total_credits": 100.5, "total_usage": 25.75}}, "74.75", "USD"),
    ("siliconflow", {}, {"code": 20000, "status": True, "data": {"balance": "0.88", "totalBalance": "88.88"}}, "88.88", "CNY"),
]


@pytest.mark.parametrize(("provider", "options", "body", "amount", "currency"), BALANCES)
def test_balance(provider: str, options: dict[str, str], body: Any, amount: str, currency: str) -> None:
    found = listing.parse_balance(get(provider), account(provider, options=options), 200, body)
    assert found is not None
    assert (found["amount"], found["currency"]) == (amount, currency)


def test_balance_addresses_stand_below_the_host() -> None:
    urls = {name: listing.balance_request(get(name), account(name)) for name in ("deepseek", "kimi", "openrouter", "siliconflow")}
    assert {name: request[0] if request else None for name, request in urls.items()} == {
        "deepseek": "https://api.deepseek.com/user/balance",
        "kimi": "https://api.moonshot.ai/v1/users/me/balance",
        "openrouter": "https://openrouter.ai/api/v1/credits",
        "siliconflow": "https://api.siliconflow.cn/v1/user/info",
    }
    assert listing.balance_request(OPENAI, account("openai")) is None
    local = listing.balance_request(get("deepseek"), account("deepseek", base_url="http://localhost:9/v1"))
    assert local is not None
    assert local[0] == "http://localhost:9/user/balance"


@pytest.mark.parametrize("body", [None, {}, [], {"balance_infos": "x"}, {"balance_infos": [{"total_balance": "NaN", "currency": "USD"}]}])
def test_an_unreadable_balance_is_unknown(body: Any) -> None:
    assert listing.parse_balance(get("deepseek"), account("deepseek"), 200, body) is None
    assert listing.parse_balance(get("openrouter"), account("openrouter"), 200, body) is None
    assert listing.parse_balance(OPENAI, account("openai"), 200, body) is None
