"""Every settled row is told once, whatever the order of opening and settling, and however old its name is. P-06"""

from __future__ import annotations

import random
from typing import Any

import pytest

from omni_connector.secrets import new_id
from omni_connector.store import following as module
from omni_connector.store import requests as books
from omni_connector.store.engine import Database

NOW = 1_795_000_000_000


def named(at: int) -> str:
    return new_id("req", at)


async def opened(db: Database, name: str, **more: Any) -> str:
    await db.tx(lambda conn: books.insert_open(conn, [{"id": name, "started_at": NOW, "process_id": "p", **more}]))
    return name


async def settled(db: Database, name: str, at: int, **more: Any) -> str:
    await db.tx(lambda conn: books.settle(conn, [{"id": name, "settled_at": at, "outcome": "ok", **more}]))
    return name


async def test_each_row_once_in_the_order_of_settling(db: Database) -> None:  # P-06
    await settled(db, await opened(db, named(NOW - 500)), NOW - 400)
    long = await opened(db, named(NOW - 20 * 60_000))
    known = await db.run(lambda conn: module.begin(conn, NOW))
    first, second, late = named(NOW + 10), named(NOW + 20), named(NOW - 60_000)
    for name in (first, second):
        await opened(db, name)
    await settled(db, second, NOW + 30)
    rows, known = await db.run(lambda conn: module.look(conn, {}, known, NOW + 1000))
    assert [row["id"] for row in rows] == [second]
    await settled(db, first, NOW + 1100)
    await settled(db, long, NOW + 1050)
    await settled(db, await opened(db, late), NOW + 1060)  # waited a minute before its row was made
    rows, known = await db.run(lambda conn: module.look(conn, {}, known, NOW + 2000))
    assert [row["id"] for row in rows] == [long, late, first]
    assert "plan" not in rows[0]
    for later in (3000, 200_000, 400_000):
        rows, known = await db.run(lambda conn, at=NOW + later: module.look(conn, {}, known, at))  # type: ignore[misc]
        assert rows == []
    assert known.done == frozenset()
    assert known.opened == frozenset()


async def test_any_history(db: Database) -> None:
    """Requests of several processes, with clocks that differ and one that jumps back: told once each, none left out."""
    chance = random.Random(7)
    known = await db.run(lambda conn: module.begin(conn, NOW))
    running: list[str] = []
    done: list[str] = []
    told: list[str] = []
    now = NOW
    for step in range(120):
        now += chance.randrange(2000) if step != 60 else -3_600_000
        running += [await opened(db, named(now - chance.randrange(50_000))) for _ in range(chance.randrange(4))]
        ended = [running.pop(chance.randrange(len(running))) for _ in range(chance.randrange(min(4, len(running) + 1)))]
        done += [await settled(db, name, now) for name in ended]
        if chance.random() < 0.5:
            rows, known = await db.run(lambda conn, at=now: module.look(conn, {}, known, at))  # type: ignore[misc]
            told += [row["id"] for row in rows]
    rows, _ = await db.run(lambda conn: module.look(conn, {}, known, now))
    told += [row["id"] for row in rows]
    assert sorted(told) == sorted(done)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"status": "failed"}, [1]),
        ({"status": "429"}, [1]),
        ({"protocol": "openai-chat"}, [0, 1]),
        ({"model": "gpt-5"}, [0]),
        ({"model": "fast"}, [1]),
        ({"text": "SLOW"}, [1]),
        ({"flag": "X", "model": "fast"}, [1]),
        ({"account": "work"}, [0]),
        ({"key": "key_1"}, [2]),
        ({"client": "curl"}, []),
    ],
)
async def test_the_filters_of_the_request_log(db: Database, filters: dict[str, str], wanted: list[int]) -> None:  # P-06
    known = await db.run(lambda conn: module.begin(conn, NOW))
    names = [named(NOW + n) for n in range(3)]
    await settled(db, await opened(db, names[0], wire="openai-chat", model_requested="auto"), NOW, model="gpt-5", account_label="work")
    more = {"outcome": "failed", "http_status": 429, "flag": "X", "error_message": "slow down"}
    await settled(db, await opened(db, names[1], wire="openai-chat", model_requested="fast"), NOW + 1, **more)
    await settled(db, await opened(db, names[2], wire="gemini-generate", key_id="key_1"), NOW + 2)
    rows, _ = await db.run(lambda conn: module.look(conn, filters, known, NOW + 5))
    assert [names.index(row["id"]) for row in rows] == wanted
    assert [row["id"] for row in await db.run(lambda conn: module.since(conn, filters, NOW))] == [row["id"] for row in rows]


async def test_the_past_for_who_begins_and_for_who_comes_back(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [named(NOW + n) for n in range(6)]
    for name in names:
        await opened(db, name)
    for place, number in enumerate((3, 1, 0, 4)):
        await settled(db, names[number], NOW + 100 * place)

    async def since(at: int) -> list[int]:
        return [names.index(row["id"]) for row in await db.run(lambda conn: module.since(conn, {}, at))]

    assert [names.index(row["id"]) for row in await db.run(lambda conn: module.last(conn, {}, 4))] == [3, 4]
    assert await db.run(lambda conn: module.last(conn, {}, 0)) == []
    assert await since(NOW + 100) == [1, 0, 4]
    monkeypatch.setattr(module, "BACKLOG", 2)
    assert await since(NOW) == await since(0) == [0, 4]
