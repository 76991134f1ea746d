"""Tries at the password, on both engines."""

from __future__ import annotations

import asyncio

from omni_connector.store import logins
from omni_connector.store import settings as facts
from omni_connector.store.engine import Database

HOME, OTHER, HOUR = "2001:db8::/64", "2001:db8:0:1::/64", 3_600_000
MOST, WINDOW, NOW = 5, 60_000, 10 * HOUR


async def note(db: Database, who: str, now: int) -> int | None:
    return await db.tx(lambda conn: logins.note(conn, who, now, MOST, WINDOW))


async def test_those_at_the_same_moment_are_counted_one_by_one(db: Database) -> None:  # J-12
    answers = await asyncio.gather(*(note(db, HOME, NOW + number) for number in range(2 * MOST)))
    assert answers.count(None) == MOST
    assert await note(db, OTHER, NOW) is None
    until = await note(db, HOME, NOW + WINDOW - 1)
    assert until is not None and await note(db, HOME, until - 1) == until and await note(db, HOME, until) is None


async def test_a_clock_that_was_ahead_locks_nobody_out(db: Database) -> None:
    for number in range(MOST):
        assert await note(db, HOME, NOW + HOUR + number) is None
    assert await note(db, HOME, NOW) is None


async def test_what_is_over_or_was_right_leaves_nothing(db: Database) -> None:
    await db.tx(lambda conn: facts.set_meta(conn, "admin_password", "no number"))
    await note(db, HOME, NOW)
    await note(db, OTHER, NOW + WINDOW)
    await db.tx(lambda conn: logins.forget(conn, "2001:db8:0:1::"))
    names = "SELECT name FROM meta WHERE name LIKE 'tried %'"
    (left,) = await db.run(lambda conn: conn.exec_driver_sql(names).scalars().all())
    assert left.startswith(f"{logins.TRIED}{OTHER} "), "a network is all of its name"
    await db.tx(lambda conn: logins.forget(conn, OTHER))
    assert await db.run(lambda conn: conn.exec_driver_sql(names).scalars().all()) == []
