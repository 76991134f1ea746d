"""The request log as it is written: every request once, when it is settled, whichever process served it. (P-06)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from omni_connector.admin import bodies, shapes
from omni_connector.admin.books import FILTERS, MAX_ROWS, Books, must_be_a_status
from omni_connector.admin.when import DAY_MS
from omni_connector.errors import bad_request
from omni_connector.store import following as table

Json = dict[str, Any]
Told = tuple[str, Json]
"""Where one is, and the row."""

EVERY_S = 1.0
"""Seconds between two looks at the books while no request of this process is heard of."""
PACE_S = 0.1
"""Between a request that is heard of and the look: it is durable by then, and a thousand a second cost ten looks."""
HEARTBEAT_MS = 15_000
GRACE_MS = 1000
"""Who comes back is told again what was settled so long before the last row: some of it may have become durable only after that."""
PAST_MS = DAY_MS
"""How far back one can come back to; the files of GET /api/requests go further."""


async def _sleep(seconds: float) -> bool:
    await asyncio.sleep(seconds)
    return True


class Following(Books):
    next_request: Callable[[float], Awaitable[bool]] = staticmethod(_sleep)
    """Waits until a request is heard of or so many seconds are over; False ends it. A server puts `Live.next_request` here."""
    pace: Callable[[float], Awaitable[bool]] = staticmethod(_sleep)

    def tail(self, query: Mapping[str, str] | None = None, after: str = "") -> AsyncGenerator[Told | None]:
        """GET /api/requests/tail → (where one is, row as in GET /api/requests) of every request when it is settled, for ever; None now
        and then while there is none. `after`: where one was; what came since comes first, the newest 1000 rows of it, and a few rows may
        come twice. Raises BAD_REQUEST at once."""
        given = bodies.read_query(query or {}, bodies.Followed)
        lines = given.lines or 0
        if not 0 <= lines <= MAX_ROWS:
            raise bad_request(f"lines: 0 to {MAX_ROWS}, not {lines}.", "lines")
        must_be_a_status(given.status)
        if given.status == "open":
            raise bad_request("status: requests are told when they are settled, so none of them is open.", "status")
        wanted = {name: value for name in FILTERS if (value := getattr(given, name))}
        return self._follow(wanted, lines, _read_place(after))

    async def _follow(self, wanted: Mapping[str, str], lines: int, place: int | None) -> AsyncGenerator[Told | None]:
        def begin(conn: Any) -> tuple[list[table.Row], table.Known]:
            past = (
                table.last(conn, wanted, lines)
                if place is None
                else table.since(conn, wanted, max(place - GRACE_MS, self._clock() - PAST_MS))
            )
            return past, table.begin(conn, self._clock())

        rows, known = await self.db.run(begin)
        told_at = self._clock()
        while True:
            for row in rows:
                yield f"{row['settled_at']}-{row['id']}", shapes.request(row)
                told_at = self._clock()
            if self._clock() - told_at >= HEARTBEAT_MS:
                yield None
                told_at = self._clock()
            if not (await self.next_request(EVERY_S) and await self.pace(PACE_S)):
                return
            rows, known = await self.db.run(lambda conn, seen=known: table.look(conn, wanted, seen, self._clock()))  # type: ignore[misc]


def event(told: Told | None) -> bytes:
    """One server-sent event, whose id a client that comes back sends as `Last-Event-ID`; a comment for None."""
    if told is None:
        return b": still here\n\n"
    place, row = told
    return b"id: " + place.encode() + b"\nevent: request\ndata: " + msgspec.json.encode(row) + b"\n\n"


def _read_place(text: str) -> int | None:
    """When the row was settled that an event was about; None for no place."""
    moment = text.strip().partition("-")[0]
    if not moment:
        return None
    if not (moment.isascii() and moment.isdecimal() and len(moment) <= 15):
        raise bad_request("Last-Event-ID: it has to be the id of an event of this stream.", "Last-Event-ID")
    return int(moment)
