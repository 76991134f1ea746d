"""What the relay keeps with every request, and no case of a fault shows. (bench/mutation_rules.py switches each of these off in turn.)"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector.admin import now_ms
from omni_connector.gateway import Gateway
from omni_connector.record import Record
from omni_connector.snapshot import ClientKey, Cooldown
from omni_connector.upstream import UpstreamRequest
from tests.live.answers import CHAT, Said, chat_error
from tests.live.answers_more import RESPONSES, told
from tests.relaying import Client, House
from tests.serving import Answer

Json = dict[str, Any]
OK = Said("all is well")
BACKEND: Json = {"provider": "openai-responses", "options": {"features_add": ["codex_backend"]}}
"""It only streams."""


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    house = House(gateway)
    yield house
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


def doors(house: House, **more: Any) -> None:
    house.gateway.relay._doors = replace(house.gateway.relay._doors, **more)


def blocks(streamed: bool = True) -> list[bytes]:
    return [piece for piece in OK.answer(CHAT, streamed).pieces if isinstance(piece, bytes)]


# ---------------------------------------------------------------- The books


@pytest.mark.parametrize(
    ("streamed", "answer", "account"),
    [(False, OK.answer(CHAT, False), {}), (False, told(OK, RESPONSES, True), BACKEND), (True, OK.answer(CHAT, False), {})],
    ids=["whole", "gathered", "told"],
)
async def test_no_answer_is_whole_before_its_row_is_settled(house: House, streamed: bool, answer: Answer, account: Json) -> None:
    """The ledger stands still when it is to settle. (A stream that passes: test_relay.py.)"""
    arrived, gate = asyncio.Event(), asyncio.Event()
    real = house.gateway.ledger._write

    async def write(opens: Sequence[Json], settles: Sequence[Json], keeps: Sequence[Json], asks: Any) -> Any:
        if settles:
            arrived.set()
            await gate.wait()
        return await real(opens, settles, keeps, asks)

    await house.account("a", answer, **account)
    house.gateway.ledger._write = write
    client = Client()
    run = asyncio.create_task(house.gateway.relay.run(house.call(streamed=streamed), client))
    async with asyncio.timeout(30):
        await arrived.wait()
        early = client.started or run.done()
        gate.set()
        await run
    assert not early and client.ended and b"all" in client.body


async def test_a_request_is_seen_when_it_begins_and_when_it_ends(house: House) -> None:
    seen: list[str] = []
    doors(house, publish=lambda record: seen.append(record.outcome or "open"))
    await house.account("a", OK.answer(CHAT, False))
    await house.ask()
    assert seen == ["open", "ok"]


async def test_an_answer_is_priced_although_prices_come_late(house: House) -> None:
    """Their tables take a moment to load after the start: the answer waits for its price, not the price for the next answer."""
    loaded: list[bool] = []
    real = house.gateway.relay._doors.price

    async def loading() -> None:
        await asyncio.sleep(0)
        loaded.append(True)

    def price(*asked: Any) -> Any:
        assert loaded, "asked before the tables are there"
        return real(*asked)

    doors(house, prices_loaded=loading, price=price)
    await house.gateway.admin.set_price("*", {"input": "1", "output": "2"})
    await house.account("a", OK.answer(CHAT, False))
    assert (await house.ask()).headers["x-omni-cost"] == "0.000039"


async def test_an_answer_is_kept_for_its_own_key_only(house: House) -> None:  # C-23
    """Also not by way of the provider, which keeps it as well and does not know our keys."""
    for name in ("one", "two"):
        await house.gateway.admin.create_key({"name": name})
    mine, other = house.gateway.snapshot.keys.values()
    await house.account("a", told(OK, RESPONSES, False), provider="openai-responses")
    await house.account("b", OK.answer(CHAT, False), provider="mistral")

    async def ask(key: ClientKey, **more: Any) -> Client:
        return await house.ask(wire=RESPONSES, key=key, messages=None, input="and now", **more)

    first = await ask(mine)
    again: Json = {"previous_response_id": first.json["id"]}
    assert (await ask(mine, **again, model="b/test-model")).status == 200
    assert [each["role"] for each in house.network.bodies[-1]["messages"]] == ["user", "assistant", "user"]
    refused = await ask(other, **again)
    assert (refused.status, refused.error["code"]) == (400, "previous_response_not_found")
    assert house.network.asked == ["a", "b"]


# ---------------------------------------------------------------- Whom is asked


async def test_an_account_that_went_out_since_the_plan_is_not_asked(house: House) -> None:
    """Another request has found it out of order, while this one waited for the disk."""
    await house.account("a", OK.answer(CHAT, False))
    await house.account("b", OK.answer(CHAT, False))
    real = house.gateway.relay._doors.plan

    def plan(*asked: Any) -> Any:
        made = real(*asked)
        later = now_ms() + 60_000
        house.gateway.pool.cool(Cooldown(house.ids["a"], "", later, "stated", "it failed", created_at=now_ms()))
        return made

    doors(house, plan=plan)
    client = await house.ask()
    assert (client.headers["x-omni-account"], house.network.asked) == ("b", ["b"])


# ---------------------------------------------------------------- What goes to the provider, and what comes back


async def test_usage_is_asked_for_and_kept_from_who_did_not(house: House) -> None:  # C-48
    await house.account("a", OK.answer(CHAT, True))
    client = await house.ask(streamed=True)
    assert house.network.bodies[-1]["stream_options"] == {"include_usage": True}
    assert b'"choices":[]' not in client.body.replace(b" ", b"") and client.body.endswith(b"data: [DONE]\n\n")
    assert (await house.row())["usage"]["source"] == "reported"
    asked = await house.ask(streamed=True, stream_options={"include_usage": True})
    assert b'"choices":[]' in asked.body.replace(b" ", b"")


async def test_what_marks_a_request_goes_with_it(house: House) -> None:
    sent: list[str] = []
    real = house.network.send

    async def send(request: UpstreamRequest) -> Any:
        sent.append(request.headers["traceparent"])
        return await real(request)

    def mark(request: UpstreamRequest, record: Record) -> UpstreamRequest:
        return replace(request, headers={**request.headers, "traceparent": record.id})

    house.network.send = send  # type: ignore[method-assign]
    doors(house, mark=mark)
    await house.account("a", OK.answer(CHAT, False))
    assert [(await house.ask()).headers["x-omni-request-id"]] == sent


async def test_a_refusal_that_repeats_the_secret_is_told_without_it(house: House) -> None:
    """In a shape that nobody would take for a secret."""
    secret = "plain-a-word_for_a_credential"
    await house.account("a", chat_error(500, f"not with {secret}, please"), api_key=secret)
    client = await house.ask()
    assert client.status == 503 and b"not with" in client.body and b"credential" not in client.body
    shown = await house.gateway.admin.request((await house.row())["id"])
    assert "not with" in str(shown) and "credential" not in str(shown)


async def test_an_error_instead_of_a_first_word_is_mended_at_once(house: House) -> None:
    """Although the provider keeps the line open: what is held back for a while is not sent on then."""
    failed = b'data: {"error":{"message":"out of memory","type":"server_error"}}\n\n'
    await house.account("a", Answer(200, {"content-type": "text/event-stream"}, [failed], hang=True))
    await house.account("b", OK.answer(CHAT, True))
    client = await house.ask(streamed=True)
    assert (client.headers["x-omni-account"], house.network.asked) == ("b", ["a", "b"])


async def test_an_error_in_the_middle_of_a_stream_ends_it_at_once(house: House) -> None:
    """Although the provider keeps the line open."""
    failed = b'data: {"error":{"message":"out of memory","type":"server_error"}}\n\n'
    await house.account("a", Answer(200, {"content-type": "text/event-stream"}, [*blocks()[:3], failed], hang=True))
    client = await house.ask(streamed=True)
    assert b"out of memory" in client.body and b"[DONE]" not in client.body
    assert (await house.row())["outcome"] == "cut"


async def test_a_client_that_does_not_read_is_not_waited_for(house: House) -> None:
    class Stuck(Client):
        async def write(self, data: bytes) -> None:
            await asyncio.get_running_loop().create_future()

    house.set(total=0.01)
    await house.account("a", OK.answer(CHAT, True))
    client = Stuck()
    async with asyncio.timeout(30):
        await house.gateway.relay.run(house.call(streamed=True), client)
    row = await house.row()
    assert (row["outcome"], row["flag"]) == ("cut", "CLIENT_LEFT") and house.cooling() == set()
