"""What a request can cost, and how it is kept within what is left."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from omni_connector import secrets
from omni_connector.admission import UNSAID_ANSWER, Stake, stake
from omni_connector.chat import Usage
from omni_connector.errors import GatewayError
from omni_connector.gateway import Gateway
from omni_connector.prepare import Unable
from omni_connector.record import Record
from omni_connector.routing.resolve import Candidate
from omni_connector.secrets import new_id
from omni_connector.snapshot import ClientKey
from omni_connector.store import allowances
from omni_connector.store.allowances import Ask
from omni_connector.usage import own_rates
from omni_connector.wire.caps import Wanted, read
from tests.live.answers import CHAT, MESSAGES, Said, Tokens
from tests.live.answers_more import GEMINI, RESPONSES, told
from tests.relaying import Client, House
from tests.serving import Answer
from tests.stepping import CancelAt, run
from tests.test_continuing import SEAM, WORDS, torn

Json = dict[str, Any]
RATES = own_rates(Decimal(2), Decimal(8), cache_write=Decimal("2.5"))
"""Dollars per million tokens."""
PRICED: Json = {"models": ["m"], "model_map": {"test-model": "m"}}
ANSWER = Said("all is well", tokens=Tokens(fresh=20, output=50)).answer(CHAT, False)


# ---------------------------------------------------------------- What it can cost


def test_the_worst_case_is_the_longest_answer() -> None:
    found = stake(RATES, False, Wanted(100, 2), 1000, b"", "m")
    assert found == Stake(2_000_000, Decimal(16_000), 100)
    assert (found.most, found.least) == (2_000_000 + 1_600_000, 2_000_000 + 64 * 16_000)
    assert found.answer(found.most or 0) == 100 and found.answer(2_000_000 + 16_000 * 70) == 70
    cost = RATES.cost(Usage(input=1000, output=200))
    assert cost is not None and cost * 10**9 == found.most, "as it is billed"


def test_what_is_not_said_is_as_long_as_the_model_can() -> None:
    assert stake(RATES, False, Wanted(), 10, b"", "nobody-knows").tokens == UNSAID_ANSWER
    assert stake(RATES, False, Wanted(), 10, b"", "claude-haiku-4-5").tokens == 64_000


def test_writing_to_a_cache_costs_more_than_reading() -> None:
    assert stake(RATES, False, Wanted(0), 1000, b'{"cache_control":1}', "m").fixed == 2_500_000


def test_free_is_nothing_and_unknown_is_not_free() -> None:
    assert stake(None, True, Wanted(5), 10, b"", "m").most == 0
    assert stake(None, False, Wanted(5), 10, b"", "m").most is None
    assert stake(own_rates(), False, Wanted(), 10, b"", "m").most == 0


# ---------------------------------------------------------------- In a house


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    house = House(gateway)
    await gateway.admin.set_price("m", {"input": "2", "output": "8"})
    yield house
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


async def key_with(house: House, **limits: Any) -> ClientKey:
    made = await house.gateway.admin.create_key({"name": f"ci {len(house.gateway.snapshot.keys)}", **limits})
    return house.gateway.snapshot.keys[secrets.hash_key(made["key"])]


async def ask(house: House, key: ClientKey | None = None, **more: Any) -> Client:
    call, client = house.call(key=key, **more), Client()
    await house.gateway.relay.run(replace(call, id=new_id("req", call.started_at)), client)
    return client


async def held(house: House) -> list[tuple[str, str, int]]:
    return await house.gateway.db.run(allowances.held)


async def test_an_answer_is_shortened_to_what_the_budget_pays_for(house: House) -> None:
    await house.account("a", ANSWER, ANSWER, **PRICED)
    key = await key_with(house, budget={"amount": "0.002", "period": "total"})
    client = await ask(house, key, max_tokens=None)
    body = house.network.bodies[-1]
    assert client.status == 200 and 150 < body["max_completion_tokens"] < 250 and "x-omni-dropped" in client.headers
    asked = json.loads(house.call(max_tokens=None).body) | {"model": "m"}
    assert body == asked | {"max_completion_tokens": body["max_completion_tokens"]}
    short = await ask(house, key, max_tokens=20)
    assert short.status == 200 and house.network.bodies[-1]["max_tokens"] == 20
    assert "x-omni-dropped" not in short.headers and await held(house) == []


async def test_at_the_same_time_they_never_spend_more_and_use_nearly_all(house: House) -> None:
    await house.account("a", ANSWER, **PRICED)
    key = await key_with(house, budget={"amount": "0.02", "period": "day"})
    statuses: list[int] = []

    async def work() -> None:
        statuses.extend([(await ask(house, key, max_tokens=60)).status for _ in range(12)])

    await asyncio.gather(*(work() for _ in range(8)))
    (shown,) = (await house.gateway.admin.keys())["keys"]
    spent, served = Decimal(shown["budget"]["spent_usd"]), statuses.count(200)
    assert spent == served * Decimal("0.00044") and Decimal("0.019") <= spent <= Decimal("0.02")
    assert set(statuses) == {200, 402} or set(statuses) == {200, 402, 429}
    assert await held(house) == []


async def test_two_processes_share_one_budget(migrated_home: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    houses = [House(await Gateway.open(home, {})) for _ in range(2)]
    for house in houses:
        house.gateway.ledger.start()
    one, two = houses
    await one.gateway.admin.set_price("m", {"input": "2", "output": "8"})
    await one.account("a", ANSWER, **PRICED)
    key = await key_with(one, budget={"amount": "0.02", "period": "month", "zone": "America/New_York"}, max_in_flight=6)
    await two.gateway.reload()
    two.network.scripts = {"a": [ANSWER]}
    statuses: list[int] = []

    async def work(house: House) -> None:
        statuses.extend([(await ask(house, key, max_tokens=60)).status for _ in range(16)])

    await asyncio.gather(*(work(house) for house in houses * 4))
    await one.gateway.budgets.refresh()
    (shown,) = (await one.gateway.admin.keys())["keys"]
    spent = Decimal(shown["budget"]["spent_usd"])
    assert spent == statuses.count(200) * Decimal("0.00044") and Decimal("0.019") <= spent <= Decimal("0.02")
    for house in houses:
        await asyncio.gather(*house.gateway._tasks)
        await house.gateway.ledger.close()
        await house.gateway.close()


async def test_the_limits_of_a_key_are_told_in_full(house: House) -> None:
    await house.account("a", ANSWER, **PRICED)
    key = await key_with(house, rpm=2)
    assert [(await ask(house, key)).status for _ in range(3)] == [200, 200, 429]
    client = await ask(house, key)
    assert client.error["message"] == "This key may send 2 requests a minute. Wait, or raise the limit."
    assert 50 < float(client.headers["retry-after"]) <= 60
    row = await house.row()
    assert (row["http_status"], row["flag"]) == (429, "RATE_LIMIT") and house.network.asked == ["a", "a"]
    assert (await ask(house)).status == 200


async def test_limits_cost_no_commit_of_their_own(house: House) -> None:
    """They are asked in the commit that opens the row, so a request with limits waits for the disk as often as one without."""
    await house.account("a", ANSWER, **PRICED)
    key = await key_with(house, rpm=100, budget={"amount": "1"})
    ledger, commits = house.gateway.ledger, []
    for each in (None, key):
        await ask(house, each)  # what limits count is read once
        await ledger.rest()
        before = ledger.commits
        assert (await ask(house, each)).status == 200
        commits.append(ledger.commits - before)
    assert commits == [2, 2]


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def test_with_budgets_nobody_is_served_before_there_are_prices(house: House) -> None:
    await house.account("a", ANSWER, **PRICED)
    loading = asyncio.Event()
    house.gateway._prices = asyncio.create_task(_until(loading))
    assert not house.gateway.budgets.watching
    free = asyncio.create_task(ask(house))
    while not house.network.asked:
        await asyncio.sleep(0)
    key = await key_with(house, budget={"amount": "1"})
    paid = asyncio.create_task(ask(house, key))
    plans: list[object] = []
    real = house.gateway.relay._doors
    house.gateway.relay._doors = replace(real, plan=lambda *asked: plans.append(asked) or real.plan(*asked))  # type: ignore[func-returns-value]
    for _ in range(50):
        await asyncio.sleep(0)
    assert plans == [] and house.network.asked == ["a"]
    loading.set()
    assert [(await each).status for each in (free, paid)] == [200, 200]
    assert len(plans) == 1


async def test_an_account_that_may_not_gives_way_and_is_not_cooled(house: House) -> None:
    await house.account("a", ANSWER, **PRICED, rpm=1)
    await house.account("b", ANSWER, **PRICED)
    served = [(await ask(house)).headers["x-omni-account"] for _ in range(3)]
    assert served == ["a", "b", "b"] and house.cooling() == set()


async def test_who_leaves_at_the_door_holds_nothing(house: House) -> None:
    await house.account("a", ANSWER, **PRICED)
    key = await key_with(house, budget={"amount": "1"}, max_in_flight=3)
    run = asyncio.create_task(ask(house, key))
    for _ in range(3):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert (await ask(house, key)).status == 200
    count = await house.gateway.db.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM holds WHERE open").scalar())
    assert count == 0


async def test_a_probe_counts_against_the_budget_of_its_account(house: House) -> None:
    await house.account("a", ANSWER, **PRICED, budget={"amount": "0.00001", "period": "total"})
    gateway = house.gateway
    now = gateway.planner._now()
    record = Record(new_id("req", now), now, gateway.process_id, CHAT, "/v1", "probe")
    record.model_requested, record.est_input = "m", 10
    account = gateway.pool.accounts[house.ids["a"]]
    opened, admitted = gateway.ledger.open(record.opened()), gateway.admission.probe(record, account, b'{"max_tokens": 1}')
    await opened
    with pytest.raises(GatewayError) as caught:
        await admitted
    assert "the budget of a has no room for this request" in caught.value.message
    await gateway.admin.edit_account(house.ids["a"], {"budget": {"amount": "0.01", "period": "total"}})
    await gateway.admission.probe(record, gateway.pool.accounts[house.ids["a"]], b'{"max_tokens": 1}')
    assert [scope for scope, _, _ in await held(house)] == ["account"]


# ---------------------------------------------------------------- From one account to the next

FAILED = Answer(500, {"content-type": "application/json"}, [b'{"error": {"message": "down"}}'])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_an_account_without_limits_lets_go_of_what_the_one_before_held(house: House) -> None:
    await house.account("a", FAILED, **PRICED, budget={"amount": "1"}, max_in_flight=1)
    await house.account("b", replace(ANSWER, hang=True), **PRICED)
    run = asyncio.create_task(ask(house))
    await until(lambda: house.network.asked == ["a", "b"])
    await house.gateway.ledger.ask(Ask("req_later", 0, ()))
    places = await house.gateway.db.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM holds WHERE open").scalar())
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert places == 0


async def test_an_account_that_refuses_ends_what_the_one_before_held(house: House) -> None:
    await house.account("a", FAILED, **PRICED, budget={"amount": "1"})
    await house.account("b", ANSWER, **PRICED, rpm=1)
    account = house.gateway.pool.accounts[house.ids["b"]]
    assert (await ask(house)).status == 200
    entering = house.gateway.admission.begin(house.call(), Candidate(house.gateway.pool.accounts[house.ids["a"]], "m"), 10)
    assert entering is not None
    await house.gateway.admission.end(entering)
    assert [scope for scope, _, _ in await held(house)] == ["account"]
    second = house.gateway.admission.begin(replace(house.call(), id=entering.ask.request_id), Candidate(account, "m"), 10)
    assert second is not None
    with pytest.raises(Unable):
        await house.gateway.admission.end(second)
    assert await held(house) == []


async def test_an_answer_that_goes_on_elsewhere_keeps_what_its_first_account_may_have_to_pay(house: House) -> None:
    await house.gateway.admin.set_config({"continue_broken_streams": True})
    begun = torn(Said(WORDS), CHAT, SEAM // 7)
    await house.account("a", begun, **PRICED, budget={"amount": "1", "period": "total"})
    await house.account("b", Answer(hang=True), **PRICED, budget={"amount": "1", "period": "total"})
    run = asyncio.create_task(ask(house, streamed=True))
    await until(lambda: house.network.asked == ["a", "b"])
    holds = {subject: nano for _, subject, nano in await held(house)}
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert holds.keys() == set(house.ids.values())
    # The second one reads the words of the first, too.
    assert holds[house.ids["b"]] > holds[house.ids["a"]]
    await house.gateway.ledger.ask(Ask("req_later", 0, ()))
    assert await held(house) == []


# ---------------------------------------------------------------- What a request says of its price


async def test_an_earlier_conversation_is_part_of_the_prompt(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.account("a", told(Said("all is well"), RESPONSES, False), **PRICED, budget={"amount": "1", "period": "total"})
    stakes: list[int] = []
    begin = house.gateway.admission._begin

    def watched(*args: Any, **named: Any) -> Any:
        stakes.append(args[6])
        return begin(*args, **named)

    monkeypatch.setattr(house.gateway.admission, "_begin", watched)
    first: Json = {"model": "test-model", "max_output_tokens": 50, "input": "many words " * 2000, "store": True}
    call, client = replace(house.call(wire=RESPONSES), body=json.dumps(first).encode()), Client()
    await house.gateway.relay.run(call, client)
    second: Json = {"model": "test-model", "max_output_tokens": 50, "input": "go on", "previous_response_id": client.json["id"]}
    call, client = replace(house.call(wire=RESPONSES), body=json.dumps(second).encode()), Client()
    await house.gateway.relay.run(call, client)
    assert client.status == 200 and stakes[1] > stakes[0] > 4000


@pytest.mark.parametrize(
    ("provider", "model", "word"),
    [("openai", "gpt-5", {"service_tier": "priority"}), ("anthropic", "claude-opus-5-5", {"speed": "fast"})],
)
async def test_a_dearer_class_of_service_is_held_at_its_price(house: House, provider: str, model: str, word: Json) -> None:
    await house.account("a", ANSWER, provider=provider)
    account = house.gateway.pool.accounts[house.ids["a"]]
    plain, dear = (
        house.gateway.planner.stake(account, model, read(account.wire, body), 1000, body)
        for body in (json.dumps({"max_tokens": 100, **more}).encode() for more in ({}, word))
    )
    assert plain.most is not None and dear.most is not None and dear.most >= 2 * plain.most
    cheap = json.dumps({"max_tokens": 100, "service_tier": "flex"}).encode()
    assert house.gateway.planner.stake(account, model, read(account.wire, cheap), 1000, cheap) == plain, "it may be served as usual"


async def test_who_writes_to_a_cache_unasked_is_held_at_that_price(house: House) -> None:
    await house.account("a", ANSWER)
    await house.account("b", ANSWER, provider="anthropic")
    plain = b'{"max_tokens": 1}'

    def fixed(label: str, model: str, body: bytes = plain) -> int:
        account = house.gateway.pool.accounts[house.ids[label]]
        return house.gateway.planner.stake(account, model, read(account.wire, body), 100_000, body).fixed or 0

    assert fixed("a", "gpt-5.6-cyber") == fixed("a", "gpt-5.6-cyber", b'{"max_tokens": 1, "cache_control": {}}')
    assert fixed("b", "claude-opus-5-5") < fixed("b", "claude-opus-5-5", b'{"max_tokens": 1, "cache_control": {}}')


# ---------------------------------------------------------------- Money that is there


async def test_what_costs_nothing_is_served_while_others_hold_the_rest(house: House) -> None:
    await house.account("a", ANSWER, **PRICED)
    await house.account("b", ANSWER, models=["free"], model_map={"test-model": "free"})
    await house.gateway.admin.set_price("free", {"input": "0", "output": "0"})
    key = await key_with(house, budget={"amount": "0.001", "period": "day"})
    entering = house.gateway.admission.begin(house.call(key=key), Candidate(house.gateway.pool.accounts[house.ids["a"]], "m"), 10)
    assert entering is not None
    await house.gateway.admission.end(entering)
    assert (await ask(house, key, max_tokens=None)).headers["x-omni-account"] == "b"
    await house.gateway.admin.edit_account(house.ids["b"], {"enabled": False})
    client = await ask(house, key, max_tokens=None)
    assert client.status == 429 and "held for requests in flight" in client.error["message"] and client.headers["retry-after"] == "1"


async def test_an_answer_that_begins_with_thoughts_is_shortened_to_no_less_than_those(house: House) -> None:
    await house.account("a", Said("all is well").answer(MESSAGES, False), provider="anthropic", **PRICED)
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    key = await key_with(house, budget={"amount": "0.03", "period": "total"})
    client = await ask(house, key, wire=MESSAGES, max_tokens=9000, **thinking)
    assert client.status == 200 and 3000 < house.network.bodies[-1]["max_tokens"] < 4000
    poor = await key_with(house, budget={"amount": "0.016", "period": "total"})
    client = await ask(house, poor, wire=MESSAGES, max_tokens=9000, **thinking)
    assert client.status == 402 and len(house.network.asked) == 1
    assert "at least $0.0" in client.error["message"] and "$0.000" not in client.error["message"].split("at least")[1]


FIELD = {CHAT: "max_completion_tokens", MESSAGES: "max_tokens", RESPONSES: "max_output_tokens", GEMINI: "generationConfig"}
BODIES: dict[str, Json] = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    MESSAGES: {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9000},
    RESPONSES: {"input": "hi"},
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    "openai-completions": {"prompt": "hi"},
}


@pytest.mark.parametrize("wire", BODIES)
@pytest.mark.parametrize(("provider", "speaks"), [("openai", CHAT), ("openai", RESPONSES), ("anthropic", MESSAGES), ("gemini", GEMINI)])
async def test_every_format_is_told_where_to_stop(house: House, wire: str, provider: str, speaks: str) -> None:
    """`speaks`: an account answers a client in his own format where its provider has that too."""
    if provider == "openai" and (wire == RESPONSES) != (speaks == RESPONSES):
        return
    await house.account("a", told(Said("all is well"), speaks, False), provider=provider, **PRICED)
    key = await key_with(house, budget={"amount": "0.004", "period": "total"})
    call = house.call(wire=wire, key=key)
    body = json.dumps(BODIES[wire] | ({} if wire == GEMINI else {"model": "test-model", "extra": 1.0}))
    call, client = replace(call, body=body.encode(), model="test-model" if wire == GEMINI else ""), Client()
    await house.gateway.relay.run(call, client)
    sent = house.network.bodies[-1]
    said = sent[FIELD[speaks]]["maxOutputTokens"] if speaks == GEMINI else sent[FIELD[speaks]]
    assert client.status == 200 and 400 < said < 500
    assert f"answer shortened to {said} tokens" in client.headers["x-omni-dropped"]
    assert len([name for name in sent if name in FIELD.values()]) == 1


async def test_thoughts_that_only_a_translation_asked_for_give_way_to_the_budget(house: House) -> None:
    mapped = {"models": ["claude-sonnet-4-5"], "model_map": {"test-model": "claude-sonnet-4-5"}}
    await house.account("a", Said("all is well").answer(MESSAGES, False), provider="anthropic", **mapped)
    await house.gateway.admin.set_price("claude-sonnet-4-5", {"input": "2", "output": "8"})
    for amount, thoughts in (("0.004", {"type": "disabled"}), ("0.03", None)):
        key = await key_with(house, budget={"amount": amount, "period": "total"})
        client = await ask(house, key, max_tokens=None, reasoning_effort="high")
        sent = house.network.bodies[-1]
        assert client.status == 200, client.body
        assert thoughts is None or sent["thinking"] == thoughts
        assert sent["thinking"].get("budget_tokens", 0) < sent["max_tokens"] < 4000


async def test_who_heeds_no_limit_on_an_answer_needs_room_for_the_longest(house: House) -> None:
    """A price of one's own may stand on an account of a subscription too."""
    await house.account("a", ANSWER, **PRICED, budget={"amount": "1"})
    plain = house.gateway.pool.accounts[house.ids["a"]]
    stubborn = replace(plain, wire=RESPONSES, features=plain.features | {"codex_backend"})
    body = json.dumps({"input": "hi", "max_output_tokens": 10}).encode()
    one, other = (
        house.gateway.admission.begin(replace(house.call(wire=RESPONSES), body=body, id=f"req_{name}"), Candidate(account, "m"), 10)
        for name, account in (("a", plain), ("b", stubborn))
    )
    assert one is not None and other is not None
    assert one.stake.tokens == 10 and other.stake.tokens == UNSAID_ANSWER and other.ask.least == other.ask.most


@pytest.mark.parametrize("late", [False, True])
async def test_who_leaves_at_any_place_holds_nothing(house: House, late: bool) -> None:
    await house.account("a", FAILED, **PRICED, budget={"amount": "1"}, max_in_flight=50, rpm=1000)
    await house.account("b", ANSWER, **PRICED, max_in_flight=50)
    await house.account("c", ANSWER, **PRICED)
    house.network.scripts["b"] = [FAILED]
    key = await key_with(house, budget={"amount": "1"}, max_in_flight=50)
    gateway, step, reached = house.gateway, 0, True
    while reached:
        for label in house.ids:
            await gateway.admin.clear_cooldown(house.ids[label])
        await asyncio.gather(*gateway._tasks)
        call = house.call(key=key)
        work = CancelAt(gateway.relay.run(replace(call, id=new_id("req", call.started_at)), Client()), step, late=late)
        await asyncio.gather(asyncio.create_task(run(work)), return_exceptions=True)
        reached, step = work.reached, step + 1
    await gateway.ledger.ask(Ask("req_later", 0, ()))
    left = await gateway.db.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM holds WHERE open").scalar())
    assert left == 0 and step > 4 and gateway.booking._held.keys() <= {"req_later"}
