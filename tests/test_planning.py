"""The router with live state: wishes by header, prices, and conversations that stay where their beginning is cached."""

from __future__ import annotations

import asyncio
import gc
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector import catalog, planning, providers
from omni_connector import gateway as gateway_module
from omni_connector.admin import now_ms
from omni_connector.call import Call
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.planning import provider_named
from omni_connector.prepare import Asked
from omni_connector.providers.remembered import Remembered
from omni_connector.routing.plan import Plan
from omni_connector.secrets import hash_key
from omni_connector.snapshot import ClientKey, Cooldown
from omni_connector.store import accounts as account_rows
from omni_connector.store import homes
from omni_connector.usage import usd
from omni_connector.wire import views
from tests.live.answers import CHAT, Said, Tokens
from tests.relaying import Client, House

OK = Said("all is well", tokens=Tokens(fresh=9000)).answer(CHAT, False)


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    yield House(gateway)
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


async def ask(house: House, headers: dict[str, str] | None = None, **more: Any) -> Client:
    call = house.call(**more)
    object.__setattr__(call, "headers", headers or {})
    client = Client()
    await house.gateway.relay.run(call, client)
    return client


def test_providers_by_any_of_their_names() -> None:  # C-31
    assert provider_named("OpenAI") == provider_named(" openai ") == "openai"
    assert provider_named("claude-custom") == "custom-anthropic" and provider_named("nobody") == ""


async def test_a_client_says_who_may_serve(house: House) -> None:  # O-19
    for label in ("a", "b", "c"):
        await house.account(label, OK)
    for headers, served in (({"x-omni-only": "b"}, "b"), ({"x-omni-ignore": "a, b"}, "c"), ({}, "a")):
        assert (await ask(house, headers)).headers["x-omni-account"] == served
    nobody = await ask(house, {"x-omni-only": "d"})
    assert nobody.status == 400 and "x-omni-only" in nobody.error["message"]
    wrong = await ask(house, {"x-omni-max-price": "cheap"})
    assert wrong.status == 400 and "x-omni-max-price" in wrong.error["message"]


async def test_a_pin_keeps_to_its_provider_whatever_the_name_is(house: House) -> None:  # C-29, C-31, C-32
    """By path or by header; the name may have a head of its own, be an alias or a chain, and is never sent on with its head."""
    admin = house.gateway.admin
    await house.account("work", OK, models=["gpt-5", "gpt-5-mini"])
    await house.account("gate", OK, provider="custom-openai", base_url="http://127.0.0.1:9/v1", models=[], prefix="g")
    await house.account("grok", OK, provider="xai", models=["grok-4"])
    await admin.set_alias("fast", {"targets": ["grok-4", "work/gpt-5-mini", "gate/small"]})
    await admin.set_chain("night", {"tiers": [["grok"], ["gate::big", "work"]]})

    def at(provider: str, name: str) -> list[tuple[str, str]]:
        call = replace(house.call(), provider=provider)
        return [(one.account.label, one.model) for one in house.gateway.planner.resolve(name, call).candidates]

    best = [("work", "gpt-5")]
    for name in ("auto", "", "AUTO", "openai", "gpt-5", "openai/gpt-5", "openai:gpt-5", "work/gpt-5", "work", "models/gpt-5"):
        assert at("openai", name) == best, name
    assert at("openai", "fast") == [("work", "gpt-5-mini")] and at("openai", "night") == best
    assert at("custom-openai", "fast") == [("gate", "small")] and at("custom-openai", "night") == [("gate", "big")]
    for name in ("gate/any", "g/any", "custom-openai/any", "openai-custom:any", "any"):
        assert at("custom-openai", name) == [("gate", "any")], name
    for name in ("xai/grok-4", "grok/grok-4", "gpt-6"):
        with pytest.raises(GatewayError) as refused:
            at("openai", name)
        assert refused.value.kind is Kind.MODEL_NOT_FOUND
    await admin.set_alias("openai", {"targets": ["grok"]})
    assert at("openai", "auto") == at("openai", "") == best, "an alias of that word is no other provider"


async def test_a_name_nobody_knows_is_served_where_the_user_lets_it(house: House) -> None:
    await house.account("a", OK)
    await house.account("b", OK, provider="xai")
    unknown: dict[str, Any] = {"model": "made-up-9"}
    assert (await ask(house, **unknown)).status == 404
    await house.gateway.admin.set_config({"spoof_unknown_models": True})
    client = await ask(house, **unknown)
    assert (client.status, client.json["model"], client.headers["x-omni-model"]) == (200, "made-up-9", "test-model")
    call = replace(house.call(**unknown), provider="xai")
    pinned = Client()
    await house.gateway.relay.run(call, pinned)
    assert (pinned.status, pinned.headers["x-omni-account"], pinned.json["model"]) == (200, "b", "made-up-9")


async def test_a_key_reaches_its_models_and_providers_only(house: House) -> None:
    await house.account("a", OK, models=["test-model", "other-model"])
    await house.account("b", OK, provider="groq")
    admin = house.gateway.admin
    made = [await admin.create_key({"name": f"k{n}", **more}) for n, more in enumerate(({"providers": ["groq"]}, {"models": ["test-*"]}))]
    by_provider, by_model = (house.gateway.snapshot.keys[hash_key(each["key"])] for each in made)
    assert (await ask(house)).headers["x-omni-account"] == "a"
    assert (await ask(house, key=by_provider)).headers["x-omni-account"] == "b", "who comes first is closed to it"
    assert (await ask(house, key=by_model)).headers["x-omni-account"] == "a"
    before = list(house.network.asked)
    for key, model in ((by_provider, "other-model"), (by_model, "other-model"), (by_provider, "a/test-model")):
        refused = await ask(house, key=key, model=model)
        assert refused.status == 403 and "may not use" in refused.error["message"], refused.body
    assert house.network.asked == before


async def test_who_cannot_do_what_is_asked_for_is_left_out(house: House) -> None:
    await house.account("plain", OK, options={"features_add": ["no_tools", "no_vision"]})
    tools: Any = {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    pictures: Any = {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it"}, image]}]}
    for asked, need in ((tools, "tools"), (pictures, "vision")):
        refused = await ask(house, **asked)
        assert refused.status == 400 and f"can do {need}" in refused.error["message"]
    assert house.network.asked == []
    await house.account("able", OK)
    words: Any = {}
    served = [(await ask(house, **asked)).headers["x-omni-account"] for asked in (tools, pictures, words)]
    assert served == ["able", "able", "plain"]


async def test_a_client_says_what_it_may_cost(house: House) -> None:  # O-19
    await house.account("dear", OK, models=["gpt-5.5"], model_map={"test-model": "gpt-5.5"})
    await house.account("cheap", OK, models=["gpt-5-nano"], model_map={"test-model": "gpt-5-nano"}, priority=-1)
    assert (await ask(house)).headers["x-omni-account"] == "dear"
    assert (await ask(house, {"x-omni-sort": "price"})).headers["x-omni-account"] == "cheap"
    assert (await ask(house, {"x-omni-max-price": "0.001"})).headers["x-omni-account"] == "cheap"
    assert (await ask(house, {"x-omni-max-price": "0.0000001"})).status == 400


async def test_the_users_own_price_counts(house: House) -> None:
    await house.account("dear", OK, models=["gpt-5-nano"], model_map={"test-model": "gpt-5-nano"})
    await house.account("cheap", OK, models=["gpt-5.5"], model_map={"test-model": "gpt-5.5"}, priority=-1)
    admin, sort = house.gateway.admin, {"x-omni-sort": "price"}
    assert (await ask(house, sort)).headers["x-omni-account"] == "dear"
    await admin.set_price("*", {"input": "1", "output": "2", "per_request": "0.000000001", "provider": "openai"})
    await admin.set_price("gpt-5*", {"subscription": True, "account": "cheap"})
    assert (await ask(house, sort)).headers["x-omni-account"] == "cheap"
    assert (await house.row())["cost"] == {"usd": "0.000000", "source": "override", "worth_usd": "0.045270"}
    assert (await ask(house)).headers["x-omni-account"] == "dear"
    row = await house.row()
    tokens = row["usage"]
    nanos = tokens["input"] * 1000 + tokens["cache_read"] * 1000 + tokens["output"] * 2000 + 1
    assert row["cost"] == {"usd": usd(nanos), "source": "override", "worth_usd": None}
    assert (await ask(house, {"x-omni-max-price": "0.0000001", **sort})).headers["x-omni-account"] == "cheap"

    other = await Gateway.open(house.gateway.home, {})  # another process sets it
    await other.admin.remove_price("*", {"provider": "openai"})
    await other.close()
    await house.gateway.reload()
    await ask(house)
    assert (await house.row())["cost"]["source"].startswith("genai-prices")


async def test_a_conversation_stays_where_it_was_answered(house: House) -> None:  # O-19
    for label in ("a", "b", "c", "d"):
        await house.account(label, OK, priority=0)
    homes = set()
    for number in range(4):
        words = {"messages": [{"role": "user", "content": f"conversation {number}"}]}
        served = {(await ask(house, **words)).headers["x-omni-account"] for _ in range(5)}
        assert len(served) == 1, "all turns at one account"
        homes |= served
    assert homes <= {"a", "b", "c", "d"}


async def test_the_answer_says_that_its_conversation_stayed(house: House) -> None:  # O-19
    for label in ("a", "b"):
        await house.account(label, OK, priority=0)
    routes = [(await ask(house)).headers["x-omni-route"] for _ in range(2)]
    label = "a" if "openai/a" in routes[0] else "b"
    assert routes == [f"auto: openai/{label} first of 2, {how}quota unknown" for how in ("", "stays home, ")]
    _, plan = await house.gateway.preview(house.call())
    assert plan.route == routes[1] and plan.scores[0].parts["affinity"] + plan.scores[0].parts["staying"] >= 32


async def test_homes_are_on_disk_soon_in_one_write(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the process ends then. What the database refuses is tried again with the next answer."""
    monkeypatch.setattr(gateway_module, "HOMES_S", 0.2)
    writes: list[int] = []
    store = homes.store

    def write(conn: Any, rows: Any) -> None:
        writes.append(len(rows))
        if len(writes) == 1:
            raise OSError("disk full")
        store(conn, rows)

    async def written(times: int) -> None:
        while len(writes) < times or house.gateway._tasks:
            await asyncio.sleep(0.01)

    monkeypatch.setattr(homes, "store", write)
    for label in ("a", "b"):
        await house.account(label, OK)
    async with asyncio.timeout(10):
        for number in range(6):
            await ask(house, messages=[{"role": "user", "content": f"conversation {number % 3}"}])
        await written(1)
        assert await house.gateway.db.run(homes.load) == []
        await ask(house, messages=[{"role": "user", "content": "conversation 3"}])
        await written(2)
    assert len(await house.gateway.db.run(homes.load)) == 4 and sum(writes[1:]) == 4, writes
    assert house.gateway._homes_due is None, "nothing more is to be written"


async def test_a_preview_sends_nothing_and_shows_every_point(house: House) -> None:  # O-19
    await house.account("a", OK)
    kind, plan = await house.gateway.preview(house.call())
    assert kind == "model" and [one.account.label for one in plan.attempts] == ["a"]
    assert set(plan.scores[0].parts) >= {"priority", "quota", "latency", "price", "load", "affinity", "errors"}
    assert house.network.asked == []


async def test_what_a_name_meant_for_a_key_is_not_what_it_means_for_the_key_as_it_is_now(house: House) -> None:
    """A request whose body came slowly has the key as it was when it began."""
    await house.account("a", OK)
    resolve = house.gateway.planner.resolve
    before = house.call()
    after = replace(before, key=replace(before.key, models=("other-model",)))
    assert [one.account.label for one in resolve("test-model", before).candidates] == ["a"]
    with pytest.raises(GatewayError) as refused:
        resolve("test-model", after)
    assert refused.value.kind is Kind.FORBIDDEN
    assert resolve("test-model", before).candidates


async def test_names_that_are_remembered_are_few_and_short_and_none_has_a_price(house: House) -> None:
    await house.account("a", OK)
    await house.gateway.admin.set_config({"spoof_unknown_models": True})
    planner, call = house.gateway.planner, house.call()
    for number in range(20):
        assert planner.resolve(f"{number}" * 400, call).candidates
    assert not planner._resolved
    before = catalog.family.cache_info()
    with pytest.raises(GatewayError, match="1001 characters") as refused:
        planner.resolve("x" * 1001, call)
    assert refused.value.kind is Kind.MODEL_NOT_FOUND and refused.value.param == "model"
    assert catalog.family.cache_info() == before, "what is known of models keeps their names"
    await house.gateway.admin.set_alias("least", {"targets": ["cost-priority"]})
    for name in ("cost-priority", "least", "openai/cost-priority"):
        planner.resolve(name, call)
    assert not planner._resolved
    planner.resolve("auto", call)
    assert len(planner._resolved) == 1


async def test_secrets_of_an_account_that_is_gone_are_forgotten(house: House) -> None:
    """They stood in headers that were made once, and in the account as it looks from another wire format."""
    for label in ("gone", "stays"):
        await house.account(label, OK, OK)
    for label in ("gone", "stays"):
        assert (await ask(house, {"x-omni-only": label})).status == 200
        account = house.gateway.pool.accounts[house.ids[label]]
        assert providers.facing(account, "openai-responses").wire == "openai-responses"
    assert {"gone", "stays"} <= _remembered()
    assert (await house.gateway.admin.remove_account(house.ids["gone"]))["removed"]
    assert (await ask(house)).status == 200
    assert "gone" not in _remembered()


def _remembered() -> set[str]:
    gc.collect()
    return {account.label for one in gc.get_objects() if isinstance(one, Remembered) for account, _ in one._known.values()}


async def test_a_plan_that_serves_many_requests_is_what_each_would_have_got_by_itself(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever changes between them: the account, its key, its state, the settings, who else there is, and what is asked."""
    planner, admin, pool = house.gateway.planner, house.gateway.admin, house.gateway.pool
    await house.account("a", OK, models=["test-model", "other-model"])
    account_id = house.ids["a"]
    picture: dict[str, Any] = {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.invalid/a.png"}}]}]
    }
    seen: list[str] = []

    def told(call: Call) -> Plan | str:
        view = views.look(call.wire, call.body)
        try:
            return planner.plan(call, Asked(call, view))
        except GatewayError as error:
            return f"{error.kind}: {error.message}"

    def look(**more: Any) -> Plan | str:
        headers, key = more.pop("headers", {}), more.pop("key", None)
        call = replace(house.call(key=key, **more), headers=headers)
        first, again = told(call), told(call)
        with monkeypatch.context() as without:
            without.setattr(planning, "sole", lambda resolution: None)
            alone = told(call)
        assert first == again == alone
        if isinstance(first, Plan) and isinstance(alone, Plan):
            assert first.as_json() == alone.as_json()
        seen.append(first.route if isinstance(first, Plan) else first)
        return first

    def all_of_them() -> None:
        key = ClientKey("key_1", "laptop", "", "", 0)
        look()
        look(model="auto")
        look(**picture)
        look(model="other-model")
        look(key=replace(key, models=("other-*",)))
        look(key=replace(key, providers=("groq",)))
        look(headers={"x-omni-ignore": "a"})
        look(headers={"x-omni-sort": "price"})
        look(headers={"x-omni-only": "new, a"})

    all_of_them()
    only = look()
    assert isinstance(only, Plan) and look() is only, "one serves all"
    held = Cooldown(account_id, "model:test-model", now_ms() + 60_000, "stated", "rate limited", 0, now_ms())
    pool.cool(held)
    all_of_them()
    pool.clear(account_id)
    slot = pool.acquire(house.gateway.snapshot.accounts[0], "test-model", now_ms())
    changes: tuple[dict[str, Any], ...] = (
        {"label": "new"}, {"max_in_flight": 1}, {"max_in_flight": None}, {"prefix": "p"}, {"model_map": {"test-model": "mapped"}},
        {"model_map": {}}, {"options": {"capabilities": {"vision": False}}}, {"budget": {"amount": "0", "period": "day"}}, {"budget": None},
    )  # fmt: skip
    for change in changes:
        await admin.edit_account(account_id, change)
        all_of_them()
    pool.release(slot)
    for setting in ({"strategy": "lru"}, {"strategy": None}, {"default_model": "other-model"}, {"spoof_unknown_models": True}):
        await admin.set_config(setting)
        all_of_them()
    await admin.disable(account_id)
    all_of_them()
    await admin.enable(account_id)
    window = [{"name": "5 h", "used": 1.0, "limit": 100.0, "resets_at": None, "state": "live"}]
    await house.gateway.db.tx(lambda conn: account_rows.set_left(conn, account_id, quota=lambda stored: window))
    await house.gateway.reload()
    all_of_them()
    await house.account("b", OK)
    all_of_them()
    await admin.remove_account(account_id)
    all_of_them()
    await admin.remove_account(house.ids["b"])
    all_of_them()
    assert len(set(seen)) > 20, "each of them matters"


async def test_plans_that_serve_many_requests_are_few_and_go_with_the_configuration(house: House) -> None:
    await house.account("a", OK)
    planner = house.gateway.planner
    assert (await ask(house)).status == (await ask(house, model="openai/test-model")).status == 200
    assert len(planner._sole) == 2
    await house.gateway.admin.set_config({"strategy": "lru"})
    assert (await ask(house)).headers["x-omni-route"].startswith("lru: ")
    assert len(planner._sole) == 1


async def test_a_price_is_of_the_account_as_it_is(house: House) -> None:
    await house.account("a", OK)
    account_id = house.ids["a"]
    assert providers.price_id(house.gateway.pool.accounts[account_id]) == "openai"
    await house.gateway.admin.edit_account(account_id, {"options": {"price_id": "groq"}})
    assert providers.price_id(house.gateway.pool.accounts[account_id]) == "groq"
