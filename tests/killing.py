"""What the kill tests share: a home with accounts, requests whose every figure is known beforehand, and what the books must say.

The upstream's usage is made of the number in a request (`tests.live.test_crash.answer`), and prices are set by hand, so a row can
be held against the very answer that a client got, to the nano-dollar.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from omni_connector.errors import GatewayError
from omni_connector.store import copying, schema
from omni_connector.store.engine import Database
from omni_connector.store.tables import processes
from tests.crashing import FATAL, Doomed, Nest, Order, nursery
from tests.live.processes import CHAT, MESSAGES, Json, Line, Reply, chat, message
from tests.live.test_crash import NUMBER, answer, check_books, look
from tests.serving import Answer, FakeUpstream, Seen, whole

COPIES = 5
"""Tries to copy the books of a database that a server works on."""
IN, OUT = 1000, 2000
"""Nano-dollars a token, as `prepare` sets them."""


@dataclass(frozen=True)
class Scene:
    path: str
    model: str
    stream: bool

    def body(self, text: str) -> Json:
        return (chat if self.path == CHAT else message)(text, self.model, stream=self.stream)


SCENES = {
    "whole": Scene(CHAT, "chat-model", False),
    "stream": Scene(CHAT, "chat-model", True),
    "translated": Scene(MESSAGES, "chat-model", False),
    "translated stream": Scene(CHAT, "claude-model", True),
    "second account": Scene(CHAT, "shaky-model", True),
}


def answer_or_fail(seen: Seen) -> Answer:
    return whole({"error": {"message": "down"}}, 500) if "down" in seen.headers.get("authorization", "") else answer(seen)


@dataclass
class Ground:
    """A home, its upstream, and what clients hold of it. `received`: request id → number, of every answer that arrived whole.
    `database`: the address of a PostgreSQL that has the books, "" for the file in the home."""

    nest: Nest
    home: Path
    upstream: FakeUpstream
    database: str = ""
    key: str = ""
    shaky: str = ""
    number: int = 0
    received: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    killed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    async def start(self, **order: Any) -> Doomed:
        env = {}
        if self.database:
            await at_rest(self.database)
            env = {"OMNI_DATABASE_URL": self.database}
        server = await self.nest.server(Order(str(self.home), env=env, **order))
        await server.ready()
        return server

    async def prepare(self) -> None:
        server = await self.start()
        for label, model, more in (
            ("openai", "chat-model", {}),
            ("anthropic", "claude-model", {"provider": "anthropic"}),
            ("down", "shaky-model", {"priority": 100}),
            ("up", "shaky-model", {"priority": 1}),
        ):
            body = {"provider": "openai", "label": label, "api_key": f"sk-{label}-0123456789abcdef", "base_url": f"{self.upstream.url}/v1"}
            found = await server.admin("POST", "/api/accounts", {**body, "models": [model], "discover": False, **more})
            self.shaky = found["id"] if label == "down" else self.shaky
        await server.admin("PUT", "/api/prices/*", {"input": "1", "output": "2"})
        budget = {"amount": "100000", "period": "day"}
        self.key = (await server.admin("POST", "/api/keys", {"name": "load", "budget": budget}))["key"]
        await self.end(server)

    async def end(self, server: Doomed) -> None:
        server.kill()
        await server.dead()

    async def ask(self, server: Doomed, scene: Scene, words: str = "number") -> Reply | None:
        """One request. None: the server died before it had begun to answer."""
        self.number += 1
        number = self.number
        headers = {"Authorization": f"Bearer {self.key}", "anthropic-version": "2023-06-01"}
        try:
            async with Line.open(server.url) as line:
                reply = await line.ask("POST", scene.path, scene.body(f"{words} {number}."), headers)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        if reply.whole:
            assert reply.status == 200, reply
            self.received[reply.headers["x-omni-request-id"]] = number
        return reply

    async def one_round(self, server: Doomed, scene: Scene) -> bool:
        """A request that nothing happens to, then the fatal one. False: nobody died of it."""
        reply = await self.ask(server, scene)
        assert reply is not None and reply.whole
        if scene.model == "shaky-model":  # else its first account would be left out this time
            await server.admin("POST", f"/api/accounts/{self.shaky}/clear-cooldown")
        before = set(await self.rows())
        self.upstream.seen.clear()
        reply = await self.ask(server, scene, FATAL)
        died = reply is None or not reply.whole
        if not died:
            # Killed all the same, after the last byte: that spend is there, too.
            with contextlib.suppress(TimeoutError):
                died = await server.dead(within=0.05) == -9
            server.kill()
        assert await server.dead() == -9, server.output.read_text()
        self.rounds += 1
        self.killed += died
        new = set(await self.rows()) - before
        asked = any(NUMBER.search(seen.raw) for seen in self.upstream.seen)
        assert len(new) == 1 or (not new and not asked), "who asks a provider has opened a row before"
        return died

    async def rows(self) -> list[str]:
        """The ids of the requests in the books."""
        return rows_of(await self.books())

    async def check(self) -> None:
        """After a start: the books of everything that ever happened here."""
        books = await self.books()
        self.outcomes = check_books(books, self.received)
        check_costs(books)
        check_sums(books)

    async def books(self) -> Path:
        """The folder with the books as a file: the home, or that of a copy, which is compared with its source row by row."""
        if not self.database:
            return self.home
        folder = self.home.with_name(f"{self.home.name}.copied")
        for left in reversed(range(COPIES)):
            try:
                await self._copy(folder)
                break
            except GatewayError:  # the server goes on meanwhile: where a conversation is at home is noted a moment after its answer
                if not left:
                    raise
        return folder

    async def _copy(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        source, target = await Database.open(self.database), await Database.open(f"sqlite:///{folder / 'omni.db'}")
        try:
            await target.migrate()
            await copying.copy(source, target, "books", resume=False, tell=lambda step: None)
        finally:
            await source.close()
            await target.close()


async def at_rest(database: str) -> None:
    """Whoever worked on it was last heard of ten minutes ago, so that the next one takes him for dead."""
    db = await Database.open(database)
    try:
        if await db.run(schema.current):
            await db.tx(lambda conn: conn.execute(sa.update(processes).values(seen_at=processes.c.seen_at - 600_000)))
    finally:
        await db.close()


def rows_of(home: Path) -> list[str]:
    with closing(look(home)) as conn:
        return [row[0] for row in conn.execute("SELECT id FROM requests")]


@contextlib.asynccontextmanager
async def ground(home: Path, database: str = "") -> AsyncIterator[Ground]:
    upstream = FakeUpstream()
    upstream.answer(answer_or_fail)
    await upstream.start()
    try:
        async with nursery() as nest:
            found = Ground(nest, home, upstream, database)
            await found.prepare()
            yield found
    finally:
        await upstream.stop()


# ---------------------------------------------------------------- The books


def check_costs(home: Path) -> None:
    """What was reported costs what the tokens cost. What a crash interrupted has an estimate of its tokens."""
    with closing(look(home)) as conn:
        for row in conn.execute("SELECT * FROM requests WHERE outcome = 'ok'"):
            assert row["cost_nano"] == IN * row["input"] + OUT * row["output"], dict(row)
            assert row["settled_at"] >= row["started_at"] and row["duration_ms"] >= 0, dict(row)


SUBJECTS = {"key": "key_id", "account": "account_id", "model": "model", "provider": "provider"}
"""Scope of a budget → the column of the rows that its sum is over; any other scope: all rows."""


def check_sums(home: Path) -> list[str]:
    """Sums kept beside the rows equal the rows; nothing is held for a request that is over. Returns which were there to compare."""
    compared = []
    with closing(look(home)) as conn:
        tables = {row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "spend" in tables:
            for row in conn.execute("SELECT * FROM spend").fetchall():
                _check_spent(conn, row)
                compared.append("spend")
        if "holds" in tables:
            over = "SELECT h.request_id FROM holds h JOIN requests r ON r.id = h.request_id WHERE h.open AND r.state = 'settled'"
            assert not conn.execute(over).fetchall(), "held for a request that is over"
            compared.append("holds")
    if "usage_hours" in tables:
        from omni_connector.store import rollups

        engine = sa.create_engine(f"sqlite:///{home / 'omni.db'}")
        with engine.connect() as conn:
            assert rollups.check(conn) == []
        engine.dispose()
        compared.append("usage_hours")
    return sorted(set(compared))


def _check_spent(conn: sqlite3.Connection, row: sqlite3.Row) -> None:
    column = SUBJECTS.get(row["scope"])
    condition, values = (f"AND {column} = ?", (row["subject"],)) if column else ("", ())
    query = f"SELECT COALESCE(SUM(cost_nano), 0) FROM requests WHERE started_at >= ? AND started_at < ? {condition}"
    (expected,) = conn.execute(query, (row["start_at"], row["end_at"], *values)).fetchone()
    assert row["spent_nano"] == expected, (dict(row), expected)
