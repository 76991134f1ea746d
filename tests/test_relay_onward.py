"""Where a request goes on: to a larger window, past a filter if the user lets it, and to an account that is back in a moment."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_connector.gateway import Gateway, now_ms
from omni_connector.snapshot import Cooldown
from tests.live.answers import CHAT, Said, chat_error
from tests.live.answers_more import told
from tests.relaying import Client, House
from tests.serving import Answer, whole

Json = dict[str, Any]


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    yield House(gateway)
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


def refused(code: str, words: str) -> Answer:
    return whole({"error": {"message": words, "type": "invalid_request_error", "param": "messages", "code": code}}, 400)


TOO_LONG = refused("context_length_exceeded", "This model's maximum context length is 8192 tokens.")
FILTERED = refused("content_filter", "The prompt was filtered by the content policy.")
OK = Said("all is well").answer(CHAT, False)


def windows(house: House, monkeypatch: pytest.MonkeyPatch, **known: int | None) -> None:
    monkeypatch.setattr(house.gateway, "_window", lambda candidate: known[candidate.account.label])
    object.__setattr__(house.gateway.relay._doors, "window", lambda candidate: known[candidate.account.label])


async def test_what_is_too_long_goes_to_a_larger_window(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    windows(house, monkeypatch, small=8_192, same=8_192, unknown=None, large=1_000_000)
    await house.account("small", TOO_LONG, models=["test-model"])
    for label in ("same", "unknown", "large"):
        await house.account(label, OK, model_map={"test-model": f"{label}-model"})
    client = await house.ask()
    assert (client.status, client.headers["x-omni-account"]) == (200, "large")
    assert house.network.asked == ["small", "large"]
    assert house.cooling() == set(), "a long conversation is nobody's fault"
    row = await house.row()
    assert any("not larger" in one["reason"] for one in row["skipped"])


async def test_what_is_too_long_for_everybody_is_the_callers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    windows(house, monkeypatch, a=8_192, b=8_192)
    await house.account("a", TOO_LONG)
    await house.account("b", OK)
    client = await house.ask()
    assert (client.status, client.error["code"]) == (400, "context_length_exceeded")
    assert house.network.asked == ["a"]


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_filter_is_passed_only_if_the_user_lets_it(house: House, allowed: bool) -> None:
    await house.gateway.admin.set_config({"filtered_falls_over": allowed})
    await house.account("strict", FILTERED)
    await house.account("other", OK)
    client = await house.ask()
    assert client.status == (200 if allowed else 400)
    assert house.network.asked == (["strict", "other"] if allowed else ["strict"])


def cool(house: House, label: str, ms: int) -> None:
    now = now_ms()
    house.gateway.pool.cool(Cooldown(house.ids[label], "", now + ms, "stated", "rate limited", 0, now))


async def test_an_account_that_is_back_in_a_moment_is_waited_for(house: House) -> None:
    await house.account("a", OK)
    cool(house, "a", 40)
    client = await house.ask()
    assert client.status == 200
    assert (await house.row())["duration_ms"] >= 35


async def test_who_is_back_in_a_moment_is_waited_for_when_the_others_have_failed(house: House) -> None:
    await house.account("a", chat_error(500, "boom"))
    await house.account("b", OK)
    cool(house, "b", 40)
    client = await house.ask()
    assert (client.status, house.network.asked) == (200, ["a", "b"]), "each is tried once"


async def test_nobody_is_waited_for_who_has_failed_already(house: House) -> None:
    await house.account("a", chat_error(429, "slow down", retry_after="1"))
    client = await house.ask()
    assert (client.status, house.network.asked) == (503, ["a"])
    assert client.headers["retry-after"] == "1"


async def test_nobody_waits_longer_than_the_client_would(house: House) -> None:
    await house.account("a", OK)
    cool(house, "a", 600_000)
    client = await house.ask()
    assert client.status == 503 and 590 <= int(client.headers["retry-after"]) <= 600
    cool(house, "a", 700_000)
    call = house.call()
    object.__setattr__(call, "headers", {"x-omni-wait": "soon"})
    impatient = Client()
    await house.gateway.relay.run(call, impatient)
    assert impatient.status == 400 and json.loads(impatient.body)["error"]["param"] == "x-omni-wait"


async def test_nobody_is_asked_and_blamed_in_the_last_moment(house: House) -> None:
    house.set(total=0.4, window=60.0, first_byte=0.32)
    await house.account("slow", Answer(200, {"content-type": "text/event-stream"}, [], hang=True))
    await house.account("healthy", OK)
    client = await house.ask(streamed=True)
    assert client.status in (503, 504)
    assert house.network.asked == ["slow"] and house.cooling() == {"slow"}
    assert "as good as over" in json.dumps((await house.row())["skipped"])


SPENT = "Quota exceeded for metric: generate_content_requests. Please retry in 3600s."


def quota(name: str) -> Answer:
    """Google's words for a quota of the project that is used up."""
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3600s"},
    ]
    return whole({"error": {"code": 429, "message": SPENT, "status": "RESOURCE_EXHAUSTED", "details": details}}, 429)


# P-09, P-35
@pytest.mark.parametrize(
    ("name", "for_another_model"),
    [("GenerateRequestsPerDayPerProjectPerModel", ["spent", "other"]), ("GenerateRequestsPerDayPerProject", ["other"])],
)
async def test_a_spent_quota_goes_on_with_the_next_project(house: House, name: str, for_another_model: list[str]) -> None:
    """The account of another project takes over, unnoticed; the spent one is left alone for the time that Google states, for the
    model or for the whole project as Google says."""
    here = told(Said("all is well"), "gemini-generate", False)
    both = ["test-model", "second-model"]
    await house.account("spent", quota(name), here, provider="gemini", models=both)
    await house.account("other", here, provider="gemini", models=both)
    for _ in range(2):
        client = await house.ask()
        assert (client.status, client.headers["x-omni-account"]) == (200, "other")
    assert house.network.asked == ["spent", "other", "other"]
    (held,) = house.gateway.pool.cooldowns(house.ids["spent"])
    assert held.source == "stated" and held.until_at - now_ms() > 3_500_000
    _, plan = await house.gateway.preview(house.call(model="second-model"))
    assert [one.account.label for one in plan.attempts] == for_another_model


async def test_time_limits_are_settings(house: House) -> None:  # J-21
    await house.account("silent", Answer(200, {"content-type": "text/event-stream"}, [], hang=True))
    await house.gateway.admin.set_config({"first_byte_timeout_s": 0.2})
    client = await house.ask(streamed=True)
    assert (client.status, client.error["code"]) == (504, "upstream_timeout")
    assert 150 <= (await house.row())["duration_ms"] < 2000
    await house.gateway.admin.clear_cooldown(house.ids["silent"])
    await house.gateway.admin.set_config({"first_byte_timeout_s": None, "total_timeout_s": 1})
    client = await house.ask(streamed=True)
    assert client.status == 504 and 900 <= (await house.row())["duration_ms"] < 3000


async def test_model_provider_names_the_default_provider(migrated_home: Path, tmp_path: Path) -> None:  # C-34
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    gateway = await Gateway.open(home, {"MODEL_PROVIDER": "claude-custom"})
    house = House(gateway)
    await house.account("first", OK)
    await house.account("wanted", OK, provider="custom-anthropic", base_url="http://127.0.0.1:9")
    for model in ("test-model", "auto", ""):
        _, plan = await gateway.preview(house.call(model=model))
        assert [one.account.label for one in plan.attempts] == ["wanted"], model
    await gateway.close()
