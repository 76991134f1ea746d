"""Cancelled at every place where a request waits, by a client that leaves and by a server that stops: one row, closed once, with an
outcome and figures that fit what had happened by then, and nothing left behind.

What real sockets add to it is in tests/live/test_leaving.py; what a kill leaves, in tests/live/test_killed.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from omni_connector.call import Headers
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.relay import LEFT
from omni_connector.store import tables
from omni_connector.upstream import UpstreamRequest
from tests.live.answers import CHAT, MESSAGES, Said, Tokens, chat_chunk
from tests.live.answers_more import GEMINI, told
from tests.relaying import Client, Exchange, House, Json
from tests.serving import Answer, stream, whole
from tests.stepping import CancelAt, moment, run

STOPPED = "the server stops"
LEFT_ROW = ("client_left", "CLIENT_LEFT", 499)
CUT_ROW = ("cut", "CUT", 503)
ENDED_BY = {LEFT: LEFT_ROW, STOPPED: CUT_ROW}

OK = Said("all is well", tokens=Tokens(fresh=21, output=9))
PICTURE = "https://pictures.example/a.png"
DOWN = whole({"error": {"message": "down"}}, 500)


# ---------------------------------------------------------------- Everything takes a moment


class SlowExchange(Exchange):
    async def read(self) -> bytes:
        await moment()
        return await super().read()


class SlowClient(Client):
    async def start(self, status: int, headers: Headers) -> None:
        await super().start(status, headers)
        await moment()

    async def write(self, data: bytes) -> None:
        await moment()
        await super().write(data)

    async def end(self, data: bytes = b"") -> None:
        await moment()
        await super().end(data)


@dataclass
class SlowFetcher:
    fetched: int = 0

    async def fetch_all(self, urls: Sequence[str], **_: Any) -> dict[str, tuple[str, str]]:
        await moment()
        self.fetched += 1
        return dict.fromkeys(urls, ("image/png", "AAAA"))

    async def close(self) -> None:
        pass


def slow(house: House) -> None:
    """Network, pictures and prices take a moment each, as they do in life; storage does anyway."""
    network, relay, send = house.network, house.gateway.relay, house.network.send

    async def sending(request: UpstreamRequest) -> Exchange:
        await moment()
        exchange = await send(request)
        # Handed over with no await in between: a network that loses what it opened is another test's matter.
        exchange.__class__ = SlowExchange
        return exchange

    network.send = sending  # type: ignore[method-assign]
    house.gateway.fetcher = SlowFetcher()  # type: ignore[assignment]
    relay._doors = replace(relay._doors, prices_loaded=moment)


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    await gateway.admin.set_price("*", {"input": "1", "output": "2", "cache_read": "1", "cache_write": "1"})
    house = House(gateway)
    slow(house)
    yield house
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


# ---------------------------------------------------------------- Scenes


def reset() -> GatewayError:
    return GatewayError(Kind.UPSTREAM_FAILED, "the connection was reset.")


def asked(wire: str, *, streamed: bool = False, **more: Any) -> Json:
    return {"wire": wire, "streamed": streamed, **more}


def picture() -> Json:
    image = {"type": "image_url", "image_url": {"url": PICTURE}}
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it"}, image]}]}


@dataclass(frozen=True)
class Scene:
    """`says`: what the accounts a, b, … say. `ends`: outcome, flag and status of the row when nobody interferes. `output`: tokens."""

    call: Json
    says: Sequence[Callable[[], Any]]
    providers: Sequence[str] = ("openai", "openai")
    ends: tuple[str, str | None, int] = ("ok", None, 200)
    output: int = 9


def broken() -> Answer:
    return stream(chat_chunk({"role": "assistant", "content": ""}) + chat_chunk({"content": "twelve chars"}), cut=True)


SCENES: dict[str, Scene] = {
    "whole": Scene(asked(CHAT), [lambda: OK.answer(CHAT, False)]),
    "stream": Scene(asked(CHAT, streamed=True), [lambda: OK.answer(CHAT, True)]),
    "whole, translated": Scene(asked(MESSAGES), [lambda: OK.answer(CHAT, False)]),
    "stream, translated": Scene(asked(CHAT, streamed=True), [lambda: OK.answer(MESSAGES, True)], providers=["anthropic"]),
    "whole where a stream was asked for": Scene(asked(CHAT, streamed=True), [lambda: OK.answer(CHAT, False)]),
    "second account": Scene(asked(CHAT), [lambda: DOWN, lambda: OK.answer(CHAT, False)]),
    "second account, reset, streamed": Scene(asked(CHAT, streamed=True), [reset, lambda: OK.answer(CHAT, True)]),
    "second account, translated, after a picture": Scene(
        asked(CHAT, **picture()), [lambda: DOWN, lambda: told(OK, GEMINI, False)], providers=["openai", "gemini"]
    ),
    "all accounts fail": Scene(asked(CHAT), [lambda: DOWN, lambda: DOWN], ends=("failed", "NO_ACCOUNT", 503), output=0),
    "stream breaks": Scene(asked(CHAT, streamed=True), [broken], ends=("cut", "UPSTREAM", 200), output=3),
    "stream breaks, translated": Scene(asked(MESSAGES, streamed=True), [broken], ends=("cut", "UPSTREAM", 200), output=3),
    "refused at once": Scene(
        asked(CHAT, model="no-such-model"), [lambda: OK.answer(CHAT, False)], ends=("failed", "NO_MODEL", 404), output=0
    ),
    "bad request": Scene(asked(MESSAGES, messages="none"), [lambda: OK.answer(CHAT, False)], ends=("failed", "BAD_REQUEST", 400), output=0),
}  # fmt: skip


# ---------------------------------------------------------------- What must hold after each


async def row_of(house: House, request_id: str) -> Json:
    """The one row of a request, closed; a cancelled caller leaves it in the writer's hands, so it may take a moment."""
    for _ in range(6000):
        found = await house.gateway.db.run(
            lambda conn: conn.execute(sa.select(tables.requests).where(tables.requests.c.id == request_id)).mappings().all()
        )
        if found and found[0]["state"] == "settled":
            (row,) = found
            return dict(row)
        await asyncio.sleep(0.002)
    raise AssertionError(f"the row stays open: {found}")


async def nothing_is_left(house: House, before: set[asyncio.Task[Any]]) -> None:
    gateway = house.gateway
    assert (gateway.relay.active, gateway.relay.retrying) == (0, 0)
    assert all(gateway.pool.live(name).in_flight == 0 for name in house.ids.values())
    assert all(exchange.closed for exchange in house.network.exchanges), "every exchange is let go"
    for _ in range(6000):
        left = asyncio.all_tasks() - before
        if not left and not await open_holds(house):
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"left behind: {left}, {await open_holds(house)}")


async def open_holds(house: House) -> list[Any]:
    """What a request in flight holds of budgets and limits, of requests that are none any more."""
    return await house.gateway.db.run(lambda conn: list(conn.execute(sa.select(tables.holds).where(tables.holds.c.open))))


def figures_fit(house: House, row: Json, scene: Scene) -> None:
    """Nothing is billed before somebody was asked, nothing beyond what he said, and the cost is that of the tokens."""
    usage = (row["input"], row["output"])
    assert all(count is None or count >= 0 for count in usage), row
    priced = None if row["input"] is None and row["output"] is None else 1000 * (row["input"] or 0) + 2000 * (row["output"] or 0)
    assert row["cost_nano"] == priced, row
    assert (row["output"] or 0) <= max(scene.output, 9), row
    assert row["settled_at"] >= row["started_at"] and row["duration_ms"] >= 0
    tried = json.loads(row["attempts"] or "[]")
    if all(attempt["kind"] is not None for attempt in tried) and row["outcome"] != "cut":
        # Nobody was asked, or everybody who was has refused: that costs nothing.
        assert (row["usage_source"], row["cost_nano"]) == ("none", None), row
    if row["outcome"] == "ok":
        assert (row["usage_source"], *usage) == ("reported", 21, scene.output), row


@pytest.mark.parametrize(("message", "late"), [(LEFT, False), (LEFT, True), (STOPPED, False)], ids=["left", "left, done", "stopped"])
@pytest.mark.parametrize("name", SCENES)
async def test_cancelled_anywhere_the_books_are_right(house: House, name: str, message: str, late: bool) -> None:
    scene = SCENES[name]
    for label, provider in zip("abc", scene.providers, strict=False):
        await house.account(label, DOWN, provider=provider)
    before = asyncio.all_tasks()
    seen: list[tuple[str, str | None, int]] = []
    for step in range(200):
        await clean(house, scene)
        client, call = SlowClient(), house.call(**scene.call)
        work = CancelAt(house.gateway.relay.run(call, client), step, late=late, message=message)
        task = asyncio.create_task(run(work))
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(30):
                await task
        row = await row_of(house, call.id)
        await nothing_is_left(house, before)
        figures_fit(house, row, scene)
        seen.append((row["outcome"], row["flag"], row["http_status"]))
        if client.ended:
            assert seen[-1] == scene.ends, (step, row)
        if not work.reached:
            break
    else:
        raise AssertionError("the request never ends")
    assert client.ended and step > 2
    # Whoever is cancelled before the row is settled finds it so, and nobody after that changes it.
    cancelled = seen.index(scene.ends)
    assert cancelled > 0
    assert seen == [ENDED_BY[message]] * cancelled + [scene.ends] * (len(seen) - cancelled), seen
    rows = await house.gateway.db.run(lambda conn: conn.execute(sa.select(sa.func.count()).select_from(tables.requests)).scalar())
    assert rows == len(seen) == step + 1


async def clean(house: House, scene: Scene) -> None:
    """The accounts as on the first day."""
    for label in house.ids:
        await house.gateway.admin.clear_cooldown(house.ids[label])
    await asyncio.gather(*house.gateway._tasks)
    house.network.exchanges.clear()
    house.network.scripts.update({label: [said()] for label, said in zip(house.ids, scene.says, strict=False)})
