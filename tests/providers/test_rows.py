"""One test for all rows: what every entry owes to the rest of the house."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from omni_connector import usage
from omni_connector.providers import PROVIDERS, endpoint
from omni_connector.providers.provider import FEATURES, WIRES, Provider
from omni_connector.providers.rows import ALIASES, ROWS
from omni_connector.snapshot import Account
from omni_connector.wire import FORMATS

PATHS = {
    "openai-chat": "/chat/completions",
    "openai-responses": "/responses",
    "anthropic-messages": "/messages",
    "gemini-generate": "/models/m:generateContent",
    "code-assist": "/v1internal:generateContent",
    "kiro": "/generateAssistantResponse",
}
ONLY_THEIRS = ("aliyun-ocr",)
"""Formats of one provider, which no account can be told to speak."""
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)


def addresses(row: Provider) -> list[str]:
    urls = [row.base_url, *row.regions.values(), *row.models_urls.values()]
    return [url for url in (*urls, *(u for face in row.faces.values() for u in face.urls.values())) if url]


def test_ids_aliases_and_environment_names_are_unique() -> None:
    ids = [row.id for row in ROWS]
    names = [name for row in ROWS for name in row.env]
    assert len(set(ids)) == len(ids)
    assert len(set(names)) == len(names)
    assert not ALIASES.keys() & set(ids)
    for target, region in ALIASES.values():
        assert not region or region in PROVIDERS[target].regions


def test_every_provider_of_the_plan_is_there() -> None:  # C-16, P-07
    wanted = "openai anthropic openrouter deepseek kimi glm mistral groq xai together fireworks cerebras qwen minimax siliconflow"
    wanted += " github-models ollama vllm lmstudio llamacpp custom-openai custom-anthropic demo"
    assert set(wanted.split()) <= set(PROVIDERS)


@rows
def test_row_is_sound(row: Provider) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", row.id)
    assert row.wire in (*FORMATS, *ONLY_THEIRS)
    assert row.label
    assert row.terms
    assert "\n" not in row.terms
    assert row.features <= FEATURES.keys(), row.features - FEATURES.keys()
    assert not {f"no_{word}" for word in row.features} & row.features
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", name) for name in row.env)
    assert not row.regions or row.base_url == next(iter(row.regions.values()))
    assert row.region_price_ids.keys() <= row.regions.keys()
    for wire, face in row.faces.items():
        assert wire in WIRES
        assert wire != row.wire
        assert face.features <= FEATURES.keys()
        assert face.urls.keys() <= (row.regions.keys() or {""})
    if row.balance:
        assert row.balance.currencies.keys() <= row.regions.keys()


@rows
def test_addresses_are_encrypted_unless_they_are_ours(row: Provider) -> None:
    for url in (*addresses(row), row.key_url, row.docs_url):
        parts = urlsplit(url)
        if not url or row.demo:
            continue
        assert not url.endswith("/") or url in (row.key_url, row.docs_url)
        assert parts.scheme == "https" or (row.local and parts.hostname == "localhost"), url


@rows
def test_endpoint_of_every_region_and_wire(row: Provider) -> None:
    for wire in (row.wire, *row.faces):
        for region in row.regions or ("",):
            if wire in ONLY_THEIRS or row.custom or (wire in row.faces and region not in row.faces[wire].urls):
                continue
            account = Account("acc_1", row.id, "test", wire=wire, options={"region": region} if region else {})
            url = endpoint(row, account, PATHS[wire])
            assert url.endswith(PATHS[wire])
            assert len(re.findall(r"/v\d", url)) <= 1
            assert "//" not in url.partition("://")[2]


@rows
def test_models_tried_first_have_a_price_where_prices_are_known(row: Provider) -> None:
    if row.price_id is None or row.price_id in usage.FREE:
        return
    for model in row.default_models:
        assert usage.rates(row.price_id, model) is not None, f"{row.id}: {model}"
    for region, price_id in row.region_price_ids.items():
        assert price_id in usage.FREE or any(usage.rates(price_id, model) for model in row.default_models), region


def test_only_the_demo_is_a_demo() -> None:
    assert [row.id for row in ROWS if row.demo] == ["demo"]
    assert [row.id for row in ROWS if row.price_id == "demo"] == ["demo"]
    assert all(row.price_id == "local" for row in ROWS if row.local)
