"""Following the request log: what came before, what comes, a sign of life, and an end. P-06"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from omni_connector.admin import Admin, following
from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import new_id
from omni_connector.store import requests as books
from tests.admin.conftest import NOW, House

Rows = AsyncGenerator[tuple[str, dict[str, Any]] | None]


async def settled(house: House, at: int, **more: Any) -> str:
    name = new_id("req", at)

    def write(conn: Any) -> None:
        books.insert_open(conn, [{"id": name, "started_at": at, "process_id": "p"}])
        books.settle(conn, [{"id": name, "settled_at": at, "outcome": "ok", **more}])

    await house.db.tx(write)
    return name


@pytest.fixture
def steps(house: House, admin: Admin) -> list[int]:
    """Milliseconds that each wait for a request takes; the stream ends with the last one."""
    left: list[int] = []

    async def wait(_: float) -> bool:
        if not left:
            return False
        house.now += left.pop(0)
        return True

    async def go(_: float) -> bool:
        return True

    admin.next_request, admin.pace = wait, go
    return left


async def told(rows: Rows) -> list[str | None]:
    return [None if one is None else one[1]["id"] for one in [one async for one in rows]]


async def test_the_last_ones_then_the_next_ones(house: House, admin: Admin, steps: list[int]) -> None:  # P-06
    old = [await settled(house, NOW - 10_000 + n) for n in range(3)]
    steps += [100, 100]
    async with contextlib.aclosing(admin.tail({"lines": "2"})) as rows:
        assert [(await anext(rows))[1]["id"] for _ in range(2)] == old[1:]  # type: ignore[index]
        new = await settled(house, house.now)
        where, row = await anext(rows)  # type: ignore[misc]
        assert (row["id"], where, row["state"]) == (new, f"{house.now - 100}-{new}", "settled")
        assert await told(rows) == []
    assert await told(admin.tail({})) == []


async def test_who_comes_back_misses_nothing(house: House, admin: Admin, steps: list[int]) -> None:
    names = [await settled(house, NOW - 5000 + n * 1001) for n in range(4)]
    assert await told(admin.tail({"lines": "1"}, f"{NOW - 5000 + 2002}-{names[2]}")) == names[2:]
    assert await told(admin.tail({"status": "failed"}, f"{NOW - 5000}")) == []


async def test_silence_is_filled(house: House, admin: Admin, steps: list[int]) -> None:
    steps += [following.HEARTBEAT_MS // 2] * 4
    assert await told(admin.tail()) == [None, None]


@pytest.mark.parametrize(
    ("query", "after", "param"),
    [
        ({"status": "open"}, "", "status"),
        ({"status": "x"}, "", "status"),
        ({"lines": "201"}, "", "lines"),
        ({"lines": "-1"}, "", "lines"),
        ({"before": "req_1"}, "", "before"),
        ({}, "x-req_1", "Last-Event-ID"),
        ({}, "٣", "Last-Event-ID"),
    ],
)
def test_what_cannot_be_followed_is_refused_at_once(admin: Admin, query: dict[str, str], after: str, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        admin.tail(query, after)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


def test_an_event_has_an_id_and_one_line_of_data() -> None:
    name, kind, data, end, rest = following.event(("5-req_1", {"error": "a\nb"})).split(b"\n")
    assert (name, kind, end, rest) == (b"id: 5-req_1", b"event: request", b"", b"")
    assert json.loads(data.removeprefix(b"data: ")) == {"error": "a\nb"}
    assert following.event(None).startswith(b":")
