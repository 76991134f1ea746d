from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import providers
from omni_connector.providers import bill_readers
from omni_connector.providers.bill_readers import READERS, Told
from omni_connector.snapshot import Account

DAY = date(2024, 11, 1)
START = 1_730_419_200

# The vendors' own examples, in their documentation.
OPENAI = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": START,
            "end_time": START + 86_400,
            "results": [
                {"object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"}, "line_item": None, "project_id": None}
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}
ANTHROPIC = {
    "data": [
        {
            "starting_at": "2024-11-01T00:00:00Z",
            "ending_at": "2024-11-02T00:00:00Z",
            "results": [
                {"currency": "USD", "amount": "123.78912", "workspace_id": "wrkspc_1", "cost_type": "tokens"},
                {"currency": "USD", "amount": "0.21088", "workspace_id": None, "cost_type": "web_search"},
            ],
        }
    ],
    "has_more": True,
    "next_page": "page_MjAy",
}
OPENROUTER = {
    "data": [
        {"date": "2024-11-01", "model": "openai/gpt-4.1", "usage": 0.015, "byok_usage_inference": 0.012, "requests": 5},
        {"date": "2024-11-01", "model": "x-ai/grok", "usage": 0.1, "byok_usage_inference": 0, "requests": 1},
        {"date": "2024-11-02", "model": "x-ai/grok", "usage": 7, "byok_usage_inference": 0, "requests": 1},
    ]
}


def account(provider: str, **more: Any) -> Account:
    return Account("acc_1", provider, "work", secret="sk-plain", usage_key="sk-admin-1", **more)


def asked(provider: str, more: str = "", **fields: Any) -> tuple[str, dict[str, str], dict[str, str]]:
    mine, row = account(provider, **fields), providers.get(provider)
    found = bill_readers.bill(row, mine)
    assert found is not None
    method, url, headers, body = bill_readers.question(found, row, mine, DAY, more)
    assert (method, body) == ("GET", b"")
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}", dict(parse_qsl(parts.query)), headers


def test_the_questions() -> None:
    url, query, headers = asked("openai", more="next")
    assert url == "https://api.openai.com/v1/organization/costs" and headers["authorization"] == "Bearer sk-admin-1"
    assert query == {"start_time": str(START), "end_time": str(START + 86_400), "bucket_width": "1d", "limit": "1", "page": "next"}
    assert asked("openai-responses", options={"usage_project": "proj_1"})[1]["project_ids[]"] == "proj_1"
    url, query, headers = asked("anthropic", options={"usage_project": "wrkspc_1"})
    assert url == "https://api.anthropic.com/v1/organizations/cost_report" and headers["x-api-key"] == "sk-admin-1"
    assert (query["starting_at"], query["ending_at"]) == ("2024-11-01T00:00:00Z", "2024-11-02T00:00:00Z")
    assert headers["anthropic-version"] and query["group_by[]"] == "workspace_id"
    url, query, headers = asked("openrouter")
    assert (url, query) == ("https://openrouter.ai/api/v1/activity", {"date": "2024-11-01"})
    for provider in ("openai", "anthropic", "openrouter"):
        assert "sk-plain" not in str(asked(provider)), "the key that serves requests is not shown here"
    replaced = {"endpoints": {"usage": "http://127.0.0.1:9/costs"}}
    assert asked("openai", options=replaced)[0] == "http://127.0.0.1:9/costs"


def test_who_is_not_asked() -> None:
    for provider in ("groq", "custom-openai", "codex"):
        assert bill_readers.bill(providers.get(provider), account(provider)) is None
    elsewhere = account("openai", base_url="https://gateway.example/v1")
    assert bill_readers.bill(providers.get("openai"), elsewhere) is None, "its bills come from somebody else"


@pytest.mark.parametrize(
    ("name", "answer", "part", "told"),
    [
        ("openai", OPENAI, "", Told(Decimal("0.06"))),
        ("anthropic", ANTHROPIC, "", Told(Decimal("1.24"), "page_MjAy")),
        ("anthropic", ANTHROPIC, "wrkspc_1", Told(Decimal("1.2378912"), "page_MjAy")),
        ("openrouter", OPENROUTER, "", Told(Decimal("0.127"))),
        ("openai", {"data": []}, "", Told(Decimal(0))),
        (
            "openai",
            {"data": [{"start_time": START - 86_400, "results": [{"amount": {"value": 5, "currency": "usd"}}]}]},
            "",
            Told(Decimal(0)),
        ),
        ("openai", {"data": [{"start_time": START, "results": [{"amount": {"value": 5, "currency": "eur"}}]}]}, "", Told(None)),
        ("openai", {"data": [{"start_time": START, "results": [{"amount": {"value": "1e400", "currency": "usd"}}]}]}, "", Told(None)),
        ("openai", {"data": [{"start_time": START, "results": "none"}]}, "", Told(None)),
        ("openai", {"data": [], "has_more": True, "next_page": "x" * 5_000}, "", Told(Decimal(0))),
        ("openrouter", {"data": [{"date": "2024-11-01", "usage": "NaN"}]}, "", Told(None)),
        ("openrouter", {"error": {"message": "no"}}, "", Told(None)),
        ("anthropic", [], "", Told(None)),
    ],
)
def test_the_answers(name: str, answer: Any, part: str, told: Told) -> None:
    mine = account("openai", options={"usage_project": part})
    assert bill_readers.read(READERS[name], mine, answer, DAY) == told


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["2024-11-01", "usd", "USD", START]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "results", "amount", "value", "currency", "date", "usage", "start_time", "starting_at", "has_more"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@given(hostile, st.sampled_from(sorted(READERS)))
def test_nothing_that_is_answered_raises(answer: Any, name: str) -> None:
    told = bill_readers.read(READERS[name], account("openai"), answer, DAY)
    assert told.dollars is None or told.dollars.is_finite()
    json.dumps(str(told))
