"""Wrong passwords are counted once for all processes, and by each alone while the database is away."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.store import logins
from omni_connector.store.engine import Database
from omni_connector.store.files import Silent
from omni_connector.tries import MOST, WINDOW, Tries

HOME, OTHER = "2001:db8::/64", "2001:db8:0:1::/64"


class Clock:
    ms = 1_000_000

    def __call__(self) -> int:
        return self.ms

    def seconds(self) -> float:
        return self.ms / 1000


async def refused(*tries: Awaitable[None]) -> list[float | None]:
    """Of each: how long it is to wait (s), None where it may be made."""
    found: list[float | None] = []
    for answer in await asyncio.gather(*tries, return_exceptions=True):
        assert answer is None or (isinstance(answer, GatewayError) and answer.kind is Kind.RATE_LIMITED), answer
        found.append(None if answer is None else answer.retry_after)
    return found


@pytest.fixture
async def db(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(migrated_home / "omni.db", tmp_path)
    database = await Database.open(f"sqlite:///{tmp_path}/omni.db")
    yield database
    await database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_all_processes_count_the_same_tries(db: Database, clock: Clock) -> None:  # J-12
    one, two = (Tries(db, clock, lambda: False, clock.seconds) for _ in range(2))
    answers = await refused(*(who.begin(HOME) for who in [one, two] * MOST))
    assert answers.count(None) == MOST and set(answers) == {None, 60.0}, "in parallel as well"
    assert await refused(one.begin(OTHER), Tries(db, clock, lambda: False, clock.seconds).begin(HOME)) == [None, 60.0]
    clock.ms += WINDOW - 1
    assert await refused(two.begin(HOME)) == [1.0]
    clock.ms += 1
    assert await refused(two.begin(HOME)) == [None], "those that were refused do not count"
    await two.right(HOME)
    assert await refused(*(one.begin(HOME) for _ in range(MOST))) == [None] * MOST
    await db.tx(lambda conn: logins.forget(conn, "2001:db8::"))
    assert (await refused(two.begin(HOME)))[0] is not None, "a network is all of its name"


async def test_without_the_database_each_process_counts(db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def silent(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise Silent("silent")

    away = [False]
    mine = Tries(db, clock, lambda: away[0], clock.seconds)
    with monkeypatch.context() as patched:
        patched.setattr(db, "tx", silent)
        assert await refused(*(mine.begin(HOME) for _ in range(MOST + 1))) == [None] * MOST + [60.0]
        assert asked == MOST, "a flood is no flood of transactions"
        away[0] = True
        assert await refused(mine.begin(OTHER)) == [None]
        await mine.right(OTHER)
        assert asked == MOST, "nobody waits for what is known"
        clock.ms += WINDOW
        assert await refused(mine.begin(HOME)) == [None]
