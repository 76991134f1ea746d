"""The life of a request as a playbook: what each account says, what the client gets, what stays on record. P-55, C-101

The gateway is real, ledger and all; the network and the client are scripts.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector import prepare, secrets
from omni_connector import relay as module
from omni_connector.call import Call
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway, now_ms
from omni_connector.relay import LEFT
from omni_connector.snapshot import Cooldown
from tests.live.answers import CHAT, MESSAGES, Said, chat_chunk, chat_error, messages_error
from tests.live.answers_more import RESPONSES, told
from tests.relaying import Client, House, Script
from tests.serving import Answer, whole

Json = dict[str, Any]
OK = Said("all is well")


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    house = House(gateway)
    yield house
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


def chat(said: Said = OK, *, streamed: bool = False) -> Answer:
    return said.answer(CHAT, streamed)


def failures(client: Client) -> list[tuple[str, int | None, bool]]:
    return [(line["account"], line["status"], line["skipped"]) for line in client.error["provider_failures"]]


# ---------------------------------------------------------------- It works


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("wire", "provider"), [(CHAT, "openai"), (MESSAGES, "anthropic"), (CHAT, "anthropic"), (MESSAGES, "openai")])
async def test_one_account_one_answer_one_row(house: House, wire: str, provider: str, streamed: bool) -> None:  # C-07, R-13
    theirs = CHAT if provider == "openai" else MESSAGES
    await house.account("a", OK.answer(theirs, streamed), provider=provider)
    client = await house.ask(wire=wire, streamed=streamed)
    assert client.status == 200
    assert (client.headers["x-omni-account"], client.headers["x-omni-attempts"], client.headers["x-omni-provider"]) == ("a", "1", provider)
    assert ("x-omni-cost" in client.headers) == (not streamed)
    row = await house.row()
    assert (row["outcome"], row["http_status"], row["usage"]["input"], row["usage"]["output"]) == ("ok", 200, 21, 9)
    assert [(each["account"], each["status"]) for each in row["attempts"]] == [("a", 200)]
    assert row["first_token_ms"] is not None and row["duration_ms"] is not None
    assert house.cooling() == set()


async def test_the_row_is_on_disk_before_the_last_byte(house: House) -> None:
    """The ledger stands still: nothing goes upstream before the row is open, the end waits until it is settled."""
    gates = [asyncio.Event(), asyncio.Event()]
    real, waiting = house.gateway.ledger._write, list(gates)

    async def write(opens: Sequence[Json], settles: Sequence[Json], keeps: Sequence[Json], asks: Any) -> Any:
        await waiting.pop(0).wait()
        return await real(opens, settles, keeps, asks)

    await house.account("a", chat(streamed=True))
    house.gateway.ledger._write = write
    client = Client()
    run = asyncio.create_task(house.gateway.relay.run(house.call(streamed=True), client))
    await asyncio.sleep(0.01)
    assert house.network.asked == []
    gates[0].set()
    async with asyncio.timeout(30):
        while b"all" not in client.body:
            await asyncio.sleep(0.001)
    assert not client.ended and b"[DONE]" not in client.body
    gates[1].set()
    await asyncio.wait_for(run, 30)
    assert client.body.endswith(b"data: [DONE]\n\n")


async def test_a_request_that_cannot_be_put_on_record_is_not_carried_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_connector import ledger

    async def full(opens: Sequence[Json], settles: Sequence[Json], keeps: Sequence[Json], asks: Any) -> Any:
        raise OSError("disk full")

    monkeypatch.setattr(ledger, "RETRIES", ())
    await house.account("a", chat())
    real = house.gateway.ledger._write
    house.gateway.ledger._write = full
    client = await house.ask()
    house.gateway.ledger._write = real
    assert (client.status, client.error["type"]) == (500, "internal_error")  # C-44
    assert house.network.asked == []
    assert house.cooling() == set()


# ---------------------------------------------------------------- Failover


FAULTS: list[tuple[Script, str | None]] = [
    (chat_error(500, "boom"), "guessed"),
    (chat_error(503, "overloaded"), "guessed"),
    (chat_error(429, "slow down", retry_after="30"), "stated"),
    (chat_error(401, "bad key", "invalid_api_key"), "terminal"),
    (chat_error(402, "no credit"), "terminal"),
    (chat_error(404, "no such model", "model_not_found"), "guessed"),
    (GatewayError(Kind.UPSTREAM_UNREACHABLE, "nothing answers"), "guessed"),
    (whole({"choices": []}), "guessed"),
    (Answer(200, {"content-type": "text/html"}, [b"<html>maintenance</html>"]), "guessed"),
    (Answer(200, {"content-type": "application/json"}, [b'{"half":'], cut=True), "guessed"),
]


@pytest.mark.parametrize(("fault", "source"), FAULTS)
async def test_another_account_takes_over_unnoticed(house: House, fault: Script, source: str) -> None:  # C-101, P-55
    await house.account("a", fault)
    await house.account("b", chat())
    client = await house.ask()
    assert (client.status, house.network.asked) == (200, ["a", "b"])
    assert (client.headers["x-omni-account"], client.headers["x-omni-attempts"]) == ("b", "2")
    (cooldown,) = house.gateway.pool.cooldowns(house.ids["a"])
    assert cooldown.source == source
    row = await house.row()
    assert (row["outcome"], row["account"]["label"]) == ("ok", "b")
    assert [each["account"] for each in row["attempts"]] == ["a", "b"]
    assert row["attempts"][0]["kind"] and row["attempts"][0]["message"] and row["attempts"][1]["kind"] is None
    await house.ask()
    assert house.network.asked == ["a", "b", "b"], "who is out is not asked again"


STREAM_FAULTS: list[Answer] = [
    Answer(200, {"content-type": "text/event-stream"}, []),
    Answer(200, {"content-type": "text/event-stream"}, [b": hello\n\n"], cut=True),
    Answer(200, {"content-type": "text/event-stream"}, [chat_chunk({"role": "assistant", "content": ""}).encode()], cut=True),
    Answer(200, {"content-type": "text/event-stream"}, [b'data: {"error":{"message":"overloaded","code":503}}\n\n']),
    Answer(200, {"content-type": "text/event-stream"}, [b'event: error\ndata: {"error":{"message":"no capacity"}}\n\n']),
]


@pytest.mark.parametrize("fault", STREAM_FAULTS)
async def test_a_stream_that_dies_before_its_first_word_is_replaced(house: House, fault: Answer) -> None:
    await house.account("a", fault)
    await house.account("b", chat(streamed=True))
    client = await house.ask(streamed=True)
    assert (house.network.asked, client.headers["x-omni-account"]) == (["a", "b"], "b")
    assert client.body.count(b'"role":"assistant"') == 1, "nothing of the first attempt reached the client"
    assert house.cooling() == {"a"}


async def test_the_order_is_the_plans_and_all_are_tried(house: House) -> None:
    for label in ("a", "b", "c"):
        await house.account(label, chat_error(500, f"{label} is broken"))
    await house.account("d", chat())
    assert (await house.ask()).status == 200
    assert house.network.asked == ["a", "b", "c", "d"]


async def test_across_formats_too(house: House) -> None:  # C-07
    await house.account("a", messages_error(529, "Overloaded", "overloaded_error"), provider="anthropic")
    await house.account("b", chat())
    client = await house.ask(wire=MESSAGES)
    assert client.status == 200
    assert client.json["content"] == [{"type": "text", "text": "all is well"}]
    assert client.json["model"] == "test-model"


# ---------------------------------------------------------------- The caller's own mistakes


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (chat_error(400, "temperature is wrong"), 400),
        (chat_error(400, "maximum context length", "context_length_exceeded"), 400),
        (chat_error(413, "too large"), 413),
        (chat_error(422, "unprocessable"), 422),
        (chat_error(400, "flagged", "content_policy_violation"), 400),
    ],
)
async def test_a_callers_mistake_returns_at_once_and_cools_nobody(house: House, answer: Answer, status: int) -> None:  # C-39
    await house.account("a", answer)
    await house.account("b", chat())
    client = await house.ask()
    assert (client.status, house.network.asked, house.cooling()) == (status, ["a"], set())
    assert client.error["status"] == status
    assert (await house.row())["outcome"] == "failed"
    assert house.gateway.pool.heartbeat(house.ids["a"]) == []


async def test_what_is_refused_before_it_starts_is_on_record_as_well(house: House) -> None:  # O-21, C-42
    await house.account("a", chat())
    bad = Client()
    call = house.call()
    await house.gateway.relay.run(Call(call.id, CHAT, "/v1/x", b'{"messages":5}', {}, call.key, "pytest", call.started_at), bad)
    assert (bad.status, bad.error["param"]) == (400, "messages")
    assert (await house.row())["error"]["kind"] == "bad_request"
    unknown = await house.ask(model="test-modal")
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    assert "test-model" in unknown.error["message"]
    made = await house.gateway.admin.create_key({"name": "small", "rpm": 1})
    limited = house.gateway.snapshot.keys[secrets.hash_key(made["key"])]
    assert (await house.ask(key=limited)).status == 200
    refused = await house.ask(key=limited)
    assert (refused.status, refused.error["type"]) == (429, "rate_limit_exceeded")  # C-43
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert (await house.row())["flag"] == "RATE_LIMIT"
    assert house.network.asked == ["a"]


# ---------------------------------------------------------------- When nobody can


async def test_the_breakdown_names_everybody(house: House) -> None:  # O-21, C-45
    await house.account("a", chat_error(500, "a is broken"))
    await house.account("b", chat_error(429, "b is limited", retry_after="7"))
    await house.account("off", chat(), enabled=False)
    await house.account("resting", chat())
    later = Cooldown(house.ids["resting"], "", now_ms() + 90_000, "stated", "week's quota", created_at=now_ms())
    house.gateway.pool.cool(later)
    client = await house.ask()
    assert (client.status, client.error["type"]) == (503, "service_unavailable")
    assert sorted(failures(client)) == [("a", 500, False), ("b", 429, False), ("off", None, True), ("resting", None, True)]
    reasons = {line["account"]: line["message"] for line in client.error["provider_failures"]}
    assert ("a is broken" in reasons["a"], reasons["off"], "quota" in reasons["resting"]) == (True, "disabled", True)
    assert 1 <= int(client.headers["retry-after"]) <= 7, "the soonest recovery"
    row = await house.row()
    assert (len(row["attempts"]), len(row["skipped"]), row["flag"]) == (2, 2, "NO_ACCOUNT")
    assert row["usage"]["source"] == "none" and row["cost"]["usd"] is None


async def test_accounts_that_were_not_tried_any_more_are_named_too(house: House) -> None:  # CONTRACT §4: every candidate
    house.set(max_attempts=2)
    for label in ("a", "b", "c", "d"):
        await house.account(label, chat_error(500, "broken"))
    client = await house.ask()
    assert house.network.asked == ["a", "b"]
    assert failures(client) == [("a", 500, False), ("b", 500, False), ("c", None, True), ("d", None, True)]
    assert "2 attempts" in client.error["provider_failures"][2]["message"]
    row = await house.row()
    assert [each["account"] for each in row["skipped"]] == ["c", "d"]
    plan = (await house.gateway.admin.request(row["id"]))["plan"]
    assert [each["account"] for each in plan["candidates"]] == ["a", "b", "c", "d"], "the plan as it was"


async def test_an_attempt_begun_after_the_window_has_no_successor(house: House) -> None:
    """One that was begun in time has one, however long it took: who is silent would never be replaced otherwise."""
    house.set(window=0.15)

    async def slow() -> Answer:
        await asyncio.sleep(0.16)
        return chat_error(500, "broken")

    await house.account("a", slow)
    await house.account("b", slow)
    await house.account("c", chat())
    client = await house.ask()
    assert (client.status, house.network.asked) == (503, ["a", "b"])
    assert failures(client)[2] == ("c", None, True)


async def test_the_retry_budget_keeps_an_outage_from_multiplying(house: House) -> None:
    house.set(retry_floor=2, retry_share=0.0)
    gate = asyncio.Event()

    async def stuck() -> Answer:
        await gate.wait()
        return chat_error(500, "broken")

    async def at_once() -> Answer:
        return chat_error(500, "broken")

    await house.account("a", at_once)
    await house.account("b", stuck)
    house.gateway.relay._doors = replace(house.gateway.relay._doors, failed=lambda *_: None)  # or the first failure would cool them all
    clients = [Client() for _ in range(6)]
    runs = [asyncio.create_task(house.gateway.relay.run(house.call(), client)) for client in clients]
    for _ in range(5000):
        if sum(run.done() for run in runs) == 4:
            break
        await asyncio.sleep(0.005)
    assert house.gateway.relay.retrying == 2
    assert (house.network.asked.count("a"), house.network.asked.count("b")) == (6, 2)
    gate.set()
    await asyncio.gather(*runs)
    assert house.gateway.relay.retrying == 0
    assert {client.status for client in clients} == {503}


async def test_a_stream_that_runs_is_no_retry_any_more(house: House) -> None:
    """Long answers of the account that took over must not use up the budget of those who fail over next."""
    house.set(retry_floor=1, retry_share=0.0)
    await house.account("a", GatewayError(Kind.UPSTREAM_UNREACHABLE, "gone"))
    await house.account("b", Answer(200, {"content-type": "text/event-stream"}, [chat_chunk({"content": "hi"}).encode()], hang=True))
    client = Client()
    run = asyncio.create_task(house.gateway.relay.run(house.call(streamed=True), client))
    for _ in range(5000):
        if client.started:
            break
        await asyncio.sleep(0.005)
    assert client.started
    assert house.gateway.relay.retrying == 0
    run.cancel(LEFT)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (house.gateway.relay.retrying, house.gateway.relay.active) == (0, 0)


async def test_a_request_that_no_format_can_say_is_the_callers(house: House) -> None:
    """Unable: the candidate is passed over without a call; when it was the only one, the reason is a 400."""
    await house.account("a", chat(), provider="anthropic")
    only = await house.ask(n=3)
    assert (only.status, house.network.asked) == (400, [])
    assert only.error["param"] == "n"
    await house.account("b", chat())
    both = await house.ask(n=3)
    assert (both.status, house.network.asked, house.cooling()) == (200, ["b"], set())


async def test_unable_and_failed_together_are_a_503_that_tells_both(house: House) -> None:
    await house.account("a", chat(), provider="anthropic")
    await house.account("b", chat_error(500, "broken"))
    client = await house.ask(n=3)
    assert client.status == 503
    assert failures(client) == [("a", None, True), ("b", 500, False)]


# ---------------------------------------------------------------- Half open, panic


async def test_after_a_guess_ran_out_one_request_decides(house: House) -> None:  # J-06, C-103
    gate = asyncio.Event()

    async def slowly() -> Answer:
        await gate.wait()
        return chat()

    await house.account("a", slowly)
    await house.account("b", chat())
    house.gateway.pool.cool(Cooldown(house.ids["a"], "", now_ms() - 1, "guessed", "it failed", created_at=now_ms() - 6000))
    first = Client()
    test_run = asyncio.create_task(house.gateway.relay.run(house.call(), first))
    for _ in range(5000):
        if house.network.asked:
            break
        await asyncio.sleep(0.002)
    second = Client()
    await house.gateway.relay.run(house.call(), second)
    assert house.network.asked == ["a", "b"], "only one request tests it"
    gate.set()
    await test_run
    assert first.headers["x-omni-account"] == "a"
    assert house.gateway.pool.cooldowns(house.ids["a"]) == []


async def test_when_all_are_out_on_a_guess_the_least_bad_is_tried(house: House) -> None:
    await house.account("a", chat())
    house.gateway.pool.cool(Cooldown(house.ids["a"], "", now_ms() + 60_000, "guessed", "it failed", created_at=now_ms()))
    client = await house.ask()
    assert client.status == 200
    assert "least bad" in client.headers["x-omni-route"]


# ---------------------------------------------------------------- Deadlines


async def silent() -> Answer:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def test_a_single_timeout_is_a_504_and_a_mixed_failure_is_not(house: House) -> None:
    house.set(total=0.03, first_byte=0.03)
    await house.account("a", silent)
    client = await house.ask()
    assert (client.status, client.error["type"]) == (504, "upstream_timeout")
    assert failures(client) == [("a", None, False)]
    assert (await house.row())["flag"] == "TIMEOUT"


@pytest.mark.parametrize("begun", [False, True])
async def test_a_stream_that_does_not_begin_is_replaced(house: House, begun: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD", 0.02)
    house.set(first_byte=0.02)
    await house.account("a", Answer(200, {"content-type": "text/event-stream"}, [], hang=True) if begun else silent)
    await house.account("b", chat(streamed=True))
    client = await house.ask(streamed=True)
    assert (house.network.asked, client.headers["x-omni-account"]) == (["a", "b"], "b")


async def test_the_total_bounds_the_first_byte_as_well(house: House) -> None:
    house.set(first_byte=60, total=0.03)
    await house.account("a", Answer(200, {"content-type": "text/event-stream"}, [], hang=True))
    client = await house.ask(streamed=True)
    assert client.status == 504


async def test_a_model_that_thinks_long_is_committed_and_kept_alive(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD", 0.005)
    house.set(keepalive=0.01, idle=5)
    head, *rest = [piece for piece in chat(streamed=True).pieces if isinstance(piece, bytes)]
    await house.account("a", Answer(200, {"content-type": "text/event-stream"}, [head, 0.05, *rest]))
    client = await house.ask(streamed=True)
    assert client.body.count(b": ") >= 2 or client.body.count(b"event: ping") >= 2
    assert client.body.endswith(b"data: [DONE]\n\n")
    assert (await house.row())["outcome"] == "ok"


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
@pytest.mark.parametrize(("deadline", "words"), [({"idle": 0.02}, "fell silent"), ({"total": 0.05, "keepalive": 0.01}, "took longer")])
async def test_a_stream_that_falls_silent_ends_with_an_error_and_never_cleanly(house: House, wire: str, deadline: Json, words: str) -> None:
    house.set(**deadline)
    pieces = [piece for piece in chat(streamed=True).pieces if isinstance(piece, bytes)][:-3]
    await house.account("a", Answer(200, {"content-type": "text/event-stream"}, [*pieces], hang=True))
    await house.account("b", chat(streamed=True))
    client = await house.ask(wire=wire, streamed=True)
    assert house.network.asked == ["a"], "after the first byte there is no other account"
    assert words.encode() in client.body
    assert b"[DONE]" not in client.body and b"message_stop" not in client.body
    row = await house.row()
    assert (row["outcome"], row["flag"], row["http_status"]) == ("cut", "TIMEOUT", 200)
    assert row["usage"]["source"] == "counted" and row["usage"]["output"] > 0, "what was delivered is on the books"
    assert house.cooling() == {"a"}


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
async def test_a_stream_that_breaks_off(house: House, wire: str) -> None:
    pieces = [piece for piece in chat(streamed=True).pieces if isinstance(piece, bytes)][:3]
    for number, torn in enumerate((Answer(200, {}, [*pieces], cut=True), Answer(200, {}, [*pieces]))):
        await house.account(f"x{number}", torn)
        client = await house.ask(wire=wire, streamed=True, model=f"x{number}/test-model")
        assert b'"error"' in client.body
        assert b"[DONE]" not in client.body and b"message_stop" not in client.body
        assert (await house.row())["outcome"] == "cut"


# ---------------------------------------------------------------- The client leaves, the server stops


@pytest.mark.parametrize(("message", "outcome", "flag", "status"), [(LEFT, "client_left", "CLIENT_LEFT", 499), ("", "cut", "CUT", 503)])
@pytest.mark.parametrize("at", ["waiting", "streaming", "refusing"])
async def test_a_cancelled_request_is_settled_once(house: House, message: str, outcome: str, flag: str, status: int, at: str) -> None:
    pieces = [piece for piece in chat(streamed=True).pieces if isinstance(piece, bytes)][:3]
    script: Script = Answer(200, {"content-type": "text/event-stream"}, [*pieces], hang=True) if at == "streaming" else silent
    await house.account("a", chat_error(400, "wrong") if at == "refusing" else script)
    client = Client()
    if at == "refusing":  # the failure is being written down while the client leaves
        gate, real = asyncio.Event(), house.gateway.relay._doors.prices_loaded

        async def loading() -> None:
            await gate.wait()
            await real()

        house.gateway.relay._doors = replace(house.gateway.relay._doors, prices_loaded=loading)
    run = asyncio.create_task(house.gateway.relay.run(house.call(streamed=True), client))
    for _ in range(5000):
        if client.started if at == "streaming" else house.network.asked:
            break
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.005)
    run.cancel(*([message] if message else []))
    with pytest.raises(asyncio.CancelledError):
        await run
    assert all(exchange.closed for exchange in house.network.exchanges)
    assert house.gateway.relay.active == 0
    assert house.gateway.pool.live(house.ids["a"]).in_flight == 0
    for _ in range(5000):
        row = (await house.gateway.admin.requests({}))["requests"][0]
        if row["state"] == "settled":
            break
        await asyncio.sleep(0.005)
    assert (row["outcome"], row["flag"], row["http_status"]) == (outcome, flag, status)
    assert house.cooling() == set(), "leaving says nothing about the account"
    if at == "streaming":
        assert row["usage"]["source"] == "counted"


# ---------------------------------------------------------------- What a provider may say


async def test_absurd_words_of_a_provider_reach_nobody_as_a_500(house: House) -> None:
    body = json.loads(b"".join(piece for piece in chat().pieces if isinstance(piece, bytes)))
    body["usage"] = {"prompt_tokens": 2**70, "completion_tokens": -3, "total_tokens": 2**70}
    await house.account("a", whole(body))
    assert (await house.ask()).status == 200
    row = await house.row()
    assert row["usage"]["source"] == "counted"
    broken = Answer(500, {"content-type": "application/json"}, [b'{"error":{"message":"half \\ud83d an emoji\\u0000"}}'])
    await house.account("b", broken)
    client = await house.ask(model="b/test-model")
    assert client.status == 503
    assert "half" in (await house.row())["attempts"][0]["message"]
    assert house.gateway.ledger.unsettled == []


async def test_a_fault_of_ours_is_a_500_with_a_number_and_blames_no_account(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await house.account("a", chat())

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(prepare, "PassThrough", broken)
    client = await house.ask()
    assert client.status == 500
    assert "deep inside" not in client.error["message"]
    assert (await house.row())["id"] in client.error["message"]
    assert "deep inside" in caplog.text
    assert house.cooling() == set()


async def test_a_whole_answer_to_a_streamed_request_is_told_as_a_stream(house: House) -> None:
    for number, wire in enumerate((CHAT, MESSAGES)):
        await house.account(f"x{number}", chat())
        client = await house.ask(wire=wire, streamed=True, model=f"x{number}/test-model")
        assert client.headers["content-type"].startswith("text/event-stream")
        assert b"all is well" in client.body.replace(b'"}}]}\n\ndata: ', b"")
        assert client.body.rstrip().endswith(b"[DONE]" if wire == CHAT else b'{"type":"message_stop"}')


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_only_streams_may_answer_whole_after_all(house: House, streamed: bool) -> None:
    await house.account("a", told(OK, RESPONSES, streamed), provider="openai-responses", options={"features_add": ["codex_backend"]})
    client = await house.ask()
    assert house.network.bodies[-1]["stream"] is True
    assert client.json["choices"][0]["message"]["content"] == "all is well"


async def test_a_stream_that_calls_itself_json_is_one_all_the_same(house: House) -> None:  # C-07
    """Seen at an old endpoint of OpenAI's: the words pass as they come, in either lane."""
    streamed = replace(chat(streamed=True), headers={"content-type": "application/json"})
    await house.account("a", streamed)
    client = await house.ask(streamed=True)
    assert client.status == 200 and client.body.endswith(b"data: [DONE]\n\n")
    client = await house.ask(wire=MESSAGES, streamed=True)
    assert client.status == 200 and b"event: message_stop" in client.body


async def test_a_burst_never_puts_more_in_flight_than_an_account_takes(house: House) -> None:
    """All of them are planned while nothing is in flight yet: the row's commit lies between the plan and the slot."""
    await house.account("a", chat(), max_in_flight=1)
    most = 0
    real = house.gateway.pool.acquire

    def counted(account: Any, model: str, now: int) -> Any:
        nonlocal most
        slot = real(account, model, now)
        most = max(most, house.gateway.pool.live(account.id).in_flight)
        return slot

    house.gateway.pool.acquire = counted  # type: ignore[method-assign]
    clients = [Client() for _ in range(8)]
    await asyncio.gather(*(house.gateway.relay.run(house.call(), client) for client in clients))
    assert most == 1
    assert {client.status for client in clients} == {200, 503}
    refused = next(client for client in clients if client.status == 503)
    assert failures(refused) == [("a", None, True)]
    assert "1 of 1 in flight" in refused.error["message"]


class Hasty(Client):
    """Takes some pieces at once, and lets others be waited for."""

    def say(self, data: bytes) -> bool:
        at_once = len(self.body) % 3 != 0
        if at_once:
            assert not self.ended
            self.body += data
        return at_once


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
async def test_what_is_said_at_once_and_what_is_waited_for_stays_in_order(house: House, wire: str) -> None:
    provider = "openai" if wire == CHAT else "anthropic"
    await house.account("a", Said(" ".join(map(str, range(100)))).answer(wire, streamed=True), provider=provider)
    client = Hasty()
    await house.gateway.relay.run(house.call(wire=wire, streamed=True), client)
    assert client.ended and client.body == (await house.ask(wire=wire, streamed=True)).body
