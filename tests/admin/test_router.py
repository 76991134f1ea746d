"""The router explains what it would do, from live state, and sends nothing."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_connector.admin import Admin, now_ms, router
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.routing.candidates import Candidate
from omni_connector.routing.health import FOREVER
from omni_connector.routing.plan import Plan, Skipped
from omni_connector.routing.score import Score, unscored
from omni_connector.snapshot import Account, Cooldown
from tests.admin.conftest import NOW, House

Json = dict[str, Any]
TOOLS = {"model": "test-model", "messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": {"name": "f"}}]}


@pytest.fixture
async def gateway(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Gateway]:
    shutil.copytree(migrated_home, tmp_path / "home")
    gateway = await Gateway.open(tmp_path / "home", {})
    yield gateway
    await gateway.close()


async def connect(gateway: Gateway, label: str, **more: Any) -> Account:
    body = {"provider": "openai", "label": label, "api_key": "sk-x", "models": ["test-model"], "discover": False, **more}
    account_id = (await gateway.admin.add_account(body))["id"]
    return next(account for account in gateway.snapshot.accounts if account.id == account_id)


async def test_the_plan_is_told_with_every_exclusion_and_its_reason(gateway: Gateway) -> None:  # O-19
    first = await connect(gateway, "first", priority=5)
    await connect(gateway, "second")
    cooling = await connect(gateway, "cooling")
    await connect(gateway, "off", enabled=False)
    until = now_ms() + 60_000
    gateway.pool.cool(Cooldown(cooling.id, "", until, "guessed", "HTTP 500"))
    before = gateway.pool.live(first.id).turn
    told = await gateway.admin.explain({"model": "openai/test-model"})
    assert (told["requested"], told["kind"], told["policy"]) == ("openai/test-model", "provider_model", "auto")
    assert [(a["rank"], a["account"], a["provider"], a["model"], a["level"]) for a in told["attempts"]] == [
        (1, "first", "openai", "test-model", ""),
        (2, "second", "openai", "test-model", ""),
    ]
    assert "priority 5" in told["attempts"][0]["reason"]
    skipped = {entry["account"]: entry for entry in told["skipped"]}
    assert (skipped["cooling"]["until"], skipped["cooling"]["guess"]) == (until, True)
    assert "HTTP 500" in skipped["cooling"]["reason"]
    assert (skipped["off"]["reason"], skipped["off"]["until"], skipped["off"]["guess"]) == ("disabled", None, False)
    assert (told["retry_after"], told["refusal"], told["panic"]) == (None, None, False)
    assert gateway.pool.live(first.id).turn == before, "nothing was taken"
    assert (await gateway.admin.requests())["requests"] == [], "and nothing was booked"


async def test_members_that_are_gone_are_told(gateway: Gateway) -> None:
    await connect(gateway, "first")
    await gateway.admin.set_chain("careful", {"tiers": [["gone", "first"], ["lost::m"]]})
    told = await gateway.admin.explain({"model": "careful"})
    assert told["note"] == "chain careful names nothing that is connected with: gone, lost::m"
    assert (await gateway.admin.explain({}))["note"] == "no model named: the default is auto"
    assert (await gateway.admin.explain({"model": "first"}))["note"] == ""


async def test_when_nobody_can_be_tried_the_client_s_answer_is_told(gateway: Gateway) -> None:
    only = await connect(gateway, "only")
    gateway.pool.cool(Cooldown(only.id, "", now_ms() + 30_000, "stated", "rate limited"))
    told = await gateway.admin.explain({"model": "test-model"})
    assert told["attempts"] == []
    assert 25 <= told["retry_after"] <= 30
    assert (told["refusal"]["status"], told["refusal"]["kind"]) == (503, "no_account")
    assert told["waits_s"] is None, "nobody waits that long"
    patient = await gateway.admin.explain({"model": "test-model", "headers": {"x-omni-wait": "40"}})
    assert 25 <= patient["waits_s"] <= 30, "the request itself would wait and then go on"
    with pytest.raises(GatewayError, match="x-omni-wait"):
        await gateway.admin.explain({"model": "test-model", "headers": {"x-omni-wait": "soon"}})


async def test_body_key_and_headers_count_as_in_a_request(gateway: Gateway) -> None:
    await connect(gateway, "plain", options={"capabilities": {"tools": False}})
    await connect(gateway, "able")
    await connect(gateway, "elsewhere", provider="groq")
    told = await gateway.admin.explain({"body": TOOLS})
    assert {a["account"] for a in told["attempts"]} == {"able", "elsewhere"}
    assert told["skipped"][0]["reason"] == "cannot do tools, which tools asks for"
    # The name that is asked about wins over the body's.
    assert (await gateway.admin.explain({"model": "groq", "body": TOOLS}))["kind"] == "provider"
    assert {a["account"] for a in (await gateway.admin.explain({"body": TOOLS, "headers": {"Model-Provider": "GROQ"}}))["attempts"]} == {
        "elsewhere"
    }
    key = await gateway.admin.create_key({"name": "narrow", "providers": ["groq"]})
    for wanted in ("narrow", key["id"]):
        told = await gateway.admin.explain({"model": "test-model", "key": wanted})
        assert [a["account"] for a in told["attempts"]] == ["elsewhere"]
    gemini = {"contents": [{"parts": [{"text": "hi"}]}]}
    assert (await gateway.admin.explain({"model": "test-model", "wire": "gemini-generate", "body": gemini}))["attempts"]
    assert (await gateway.admin.explain({"model": "test-model", "wire": "speech", "body": {"input": "hi"}}))["requested"] == "test-model"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"model": "tset-model"}, Kind.MODEL_NOT_FOUND, "test-model"),
        ({"model": "openai/nope-1"}, Kind.MODEL_NOT_FOUND, "nope-1"),
        ({"model": "test-model", "body": {"messages": "x"}}, Kind.BAD_REQUEST, "messages"),
        ({"model": "test-model", "body": []}, Kind.BAD_REQUEST, "body"),
        ({"model": "test-model", "wire": "openai-chatt"}, Kind.BAD_REQUEST, "'openai-chat'"),
        ({"model": "test-model", "key": "nobody"}, Kind.NOT_FOUND, "nobody"),
        ({"model": "test-model", "key": "gone"}, Kind.BAD_REQUEST, "revoked"),
        ({"model": "test-model", "key": "groq only"}, Kind.FORBIDDEN, "provider"),
        ({"model": "test-model", "headers": {"model-provider": "opennai"}}, Kind.NOT_FOUND, "openai"),
        ({"modle": "x"}, Kind.BAD_REQUEST, "'model'"),
        ([], Kind.BAD_REQUEST, "object"),
    ],
)
async def test_a_wrong_question_is_refused_as_the_request_would_be(gateway: Gateway, body: Any, kind: Kind, words: str) -> None:
    await connect(gateway, "main")
    await gateway.admin.revoke_key((await gateway.admin.create_key({"name": "gone"}))["id"])
    await gateway.admin.create_key({"name": "groq only", "providers": ["groq"]})
    with pytest.raises(GatewayError, match=words) as caught:
        await gateway.admin.explain(body)
    assert caught.value.kind is kind


async def test_where_nothing_is_routed_nothing_is_explained(admin: Admin) -> None:
    with pytest.raises(GatewayError, match="routes nothing"):
        await admin.explain({"model": "auto"})


def test_scores_and_times_without_an_end() -> None:
    account = Account("acc_1", "groq", "main")
    scores = (Score(1.23456789, {"load": -0.5, "price": 2}, "fast"), unscored("next in turn"))
    out = Skipped(Candidate(account, "x"), "out", FOREVER)
    plan = Plan("auto", (Candidate(account, "m", "high"), Candidate(account, "n")), scores, (out,), "auto: main", "cost", (0, 2))
    told = router.plan_json(plan, "auto", NOW)
    assert (told["policy"], [one["tier"] for one in told["attempts"]]) == ("cost", [1, 3])
    first, second = told["attempts"]
    assert (first["score"], first["reason"]) == ({"total": 1.234568, "parts": {"load": -0.5, "price": 2}}, "fast")
    assert (second["score"], second["reason"]) == (None, "next in turn"), "no points are not 0 points"
    assert (first["level"], told["skipped"][0]["until"]) == ("high", None)


async def test_status_tells_how_the_whole_is(house: House, admin: Admin) -> None:  # R-48, C-77
    assert (await admin.router_status())["status"] == "empty"
    one = await admin.add_account({"provider": "demo", "label": "one"})
    two = await admin.add_account({"provider": "groq", "label": "two", "api_key": "gsk_x"})
    off = await admin.add_account({"provider": "groq", "label": "off", "api_key": "gsk_x", "enabled": False})
    house.pool.record(one["id"], True, 120, "", NOW)
    status = await admin.router_status()
    assert (status["status"], status["strategy"], status["counts"]["ready"], status["counts"]["disabled"]) == ("ok", "auto", 2, 1)
    backend = next(b for b in status["backends"] if b["label"] == "one")
    assert (backend["latency_ms"], backend["error_rate"], backend["in_flight"]) == (120, 0, 0)
    house.pool.cool(Cooldown(two["id"], "", NOW + 5000, "stated", "slow down"))
    assert (await admin.router_status())["status"] == "degraded"
    health = await admin.provider_health()
    assert (health["status"], health["providers"]["groq"]["status"], health["providers"]["demo"]["status"]) == ("degraded", "down", "ok")
    assert [row["id"] for row in health["providers"]["groq"]["accounts"]] in ([two["id"], off["id"]], [off["id"], two["id"]])
    assert health["providers"].keys() == {"demo", "groq"}


async def test_status_and_health_count_errors(house: House, admin: Admin) -> None:  # C-99
    one = await admin.add_account({"provider": "demo", "label": "one", "discover": False})
    fresh = {"recent": 0, "errors": 0, "success_rate": None, "last_error_at": None, "last_error": None}
    for ago, flag in ((5, ""), (4, "TIMEOUT"), (3, "UPSTREAM"), (2, "")):
        (backend,) = (await admin.router_status())["backends"]
        assert ago != 5 or {name: backend[name] for name in fresh} == fresh
        house.pool.record(one["id"], not flag, 100 if not flag else None, flag, NOW - ago * 1000)
    counted = {"recent": 4, "errors": 2, "success_rate": 0.5, "last_error_at": NOW - 3000, "last_error": "UPSTREAM"}
    (backend,) = (await admin.router_status())["backends"]
    (account,) = (await admin.provider_health())["providers"]["demo"]["accounts"]
    for told in (backend, account):
        assert {name: told[name] for name in counted} == counted


async def test_usage_by_account_and_model_over_one_span(admin: Admin) -> None:
    told = await admin.router_usage({"from": "7d"})
    assert told["to"] - told["from"] == 7 * 86_400_000 + 1
    assert (told["accounts"], told["models"], told["total"]["requests"]) == ([], [], 0)
    assert (await admin.router_usage({"group": "key"}))["group"] == "key"
    with pytest.raises(GatewayError, match="group"):
        await admin.router_usage({"group": "colour"})


async def test_the_configuration_without_secrets(house: House, admin: Admin) -> None:
    await admin.add_account({"provider": "groq", "label": "g", "api_key": "gsk_very_secret_1234", "headers": {"x-a": "header-secret"}})
    await admin.set_config({"required_api_key": "shared-secret"})
    text = repr(await admin.router_config())
    assert not [secret for secret in ("very_secret", "header-secret", "shared-secret") if secret in text]
    assert "••••" in text


async def test_changes_by_part(admin: Admin) -> None:
    account = await admin.put_router("backend", "", {"provider": "demo", "label": "one", "discover": False})
    assert (await admin.put_router("backend", "one", {"weight": 3}))["weight"] == 3
    assert (await admin.put_router("backend", account["id"], {"enabled": False}))["status"] == "disabled"
    assert await admin.put_router("strategy", "", {"strategy": "lru"}) == {"strategy": "lru"}
    assert await admin.put_router("strategy", "cost", {}) == {"strategy": "cost"}
    assert await admin.put_router("alias", "", {"name": "fast", "targets": ["one"]}) == {"name": "fast", "targets": ["one"]}
    assert await admin.put_router("chain", "c", {"tiers": [["one"]]}) == {"name": "c", "tiers": [["one"]]}
    with pytest.raises(GatewayError, match="'cost'"):
        await admin.drop_router("strategy", "lru")
    assert await admin.drop_router("strategy", "cost") == await admin.drop_router("strategy", "") == {"strategy": "auto"}
    for part, name in (("alias", "fast"), ("chain", "c"), ("backend", "one")):
        assert (await admin.drop_router(part, name))["removed"] is True
        with pytest.raises(GatewayError) as caught:
            await admin.drop_router(part, name)
        assert caught.value.kind is Kind.NOT_FOUND


@pytest.mark.parametrize(
    ("part", "name", "body"),
    [
        ("strategy", "", {}),
        ("strategy", "", []),
        ("strategy", "luck", {}),
        ("strategy", "cost", {"mode": "lru"}),
        ("strategy", "cost", {"strategy": "lru"}),
        ("alias", "", []),
        ("chain", "", "x"),
        ("alias", "", {"targets": ["x"]}),
        ("alias", "a", {"name": "a", "targets": ["x"]}),
        ("chain", "", {"name": 5, "tiers": [["x"]]}),
        ("chain", "", None),
        ("backend", "", {}),
    ],
)
async def test_wrong_changes(admin: Admin, part: str, name: str, body: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.put_router(part, name, body)
    assert caught.value.kind is Kind.BAD_REQUEST


async def test_the_configuration_is_read_anew(house: House, admin: Admin) -> None:
    assert await admin.reload_config() == {"version": house.snapshot.version}
