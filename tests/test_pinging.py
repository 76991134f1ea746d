"""The smallest request that a model answers, and its row: open before it is sent, settled with what it used on every way out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from omni_connector import catalog, providers
from omni_connector.admin import shapes
from omni_connector.errors import GatewayError, Kind
from omni_connector.ledger import Ledger
from omni_connector.pinging import Pinger, model_for, ping
from omni_connector.record import Record
from omni_connector.snapshot import Account
from omni_connector.store import books, requests, sums
from omni_connector.store.engine import Database
from omni_connector.upstream import UpstreamRequest

NOW = 1_795_000_000_000
MODEL = "llama-3.3-70b-versatile"
MAIN = providers.complete(Account("acc_1", "groq", "main", secret="gsk_0123456789", models=(MODEL,)))
ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "p"}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 36, "completion_tokens": 1, "total_tokens": 37},
}


class World:
    """A provider that answers as it is told, and the books. `open_rows`: what the books held when the request arrived."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.ledger = Ledger(self._write)
        self.answer: tuple[int, Any] = (200, ANSWER)
        self.silent = False
        self.broken = False
        self.reached = asyncio.Event()
        self.open_rows: list[Any] = []
        self.shown: list[tuple[str, Any]] = []
        network: Any = self
        self.pinger = Pinger(network, self.ledger, "prc_1", lambda: NOW, self._show, self._admit)

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        self.open_rows = await self.rows()
        self.reached.set()
        if self.silent:
            await asyncio.Event().wait()
        return self.answer[0], {"content-type": "application/json"}, json.dumps(self.answer[1]).encode()

    async def rows(self, **filters: str) -> list[dict[str, Any]]:
        return [shapes.request(row) for row in await self.db.run(lambda conn: requests.list_requests(conn, filters))]

    async def send(self) -> None:
        await self.pinger.send(MAIN, MODEL, {}, "no credit left (HTTP 402)")

    def _show(self, record: Record) -> None:
        self.shown.append((record.view()["state"], record.outcome))

    async def _admit(self, record: Record, account: Account, body: bytes) -> None:
        """No limits."""

    async def _write(self, opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        def write(conn: Any) -> None:
            requests.insert_open(conn, opens)
            books.settle(conn, settles)

        if self.broken:
            raise OSError("disk full")
        await self.db.tx(write)
        return []


@pytest.fixture
async def world(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("omni_connector.ledger.RETRIES", ())
    db = await Database.open(f"sqlite:///{tmp_path / 'omni.db'}")
    await db.migrate()
    made = World(db)
    made.ledger.start()
    yield made
    made.broken = False
    await made.ledger.close()
    await db.close()


async def test_a_ping_is_on_record_like_any_request(world: World) -> None:
    await world.send()
    (before,), (row,) = world.open_rows, await world.rows(account="main", status="ok", text="probe")
    assert (before["state"], before["account"], before["attempts"]) == ("open", {"id": "acc_1", "label": "main"}, [])
    asked = {name: row[name] for name in ("client", "key", "protocol", "path", "stream", "model_requested", "provider", "route")}
    assert asked == {
        "client": "probe",
        "key": {"id": None, "name": None},
        "protocol": "openai-chat",
        "path": "/chat/completions",
        "stream": False,
        "model_requested": MODEL,
        "provider": "groq",
        "route": "probe: is main back? (no credit left (HTTP 402))",
    }
    (attempt,) = row["attempts"]
    assert (attempt["account"], attempt["model"], attempt["status"], attempt["kind"]) == ("main", MODEL, 200, None)
    assert (row["outcome"], row["http_status"], row["flag"], row["error"]) == ("ok", 200, None, None)
    assert (row["usage"]["input"], row["usage"]["output"], row["usage"]["source"]) == (36, 1, "reported")
    assert world.shown == [("open", None), ("settled", "ok")]
    (spent,) = await world.db.run(lambda conn: sums.usage(conn, "account", 0, NOW + 1))
    assert (spent["id"], spent["requests"], spent["input"]) == ("acc_1", 1, 36)
    assert spent["cost_nano"] == round((36 * 0.59 + 0.79) * 1000), "dollars a million tokens"


async def test_a_refusal_is_on_record_without_the_credential(world: World) -> None:
    world.answer = (402, {"error": {"message": f"no credit for {MAIN.secret}", "type": "insufficient_quota"}})
    with pytest.raises(GatewayError) as caught:
        await world.send()
    assert caught.value.kind is Kind.ACCOUNT_UNPAID
    (row,) = await world.rows(status="failed")
    assert (row["error"]["kind"], row["attempts"][0]["status"], row["attempts"][0]["kind"]) == ("account_unpaid", 402, "account_unpaid")
    assert row["usage"]["source"] == "none"
    assert MAIN.secret not in str(row) + caught.value.message
    world.answer = (200, {"unexpected": True})
    with pytest.raises(GatewayError):
        await world.send()
    assert len(await world.rows(status="failed")) == 2


async def test_a_ping_that_is_stopped_in_the_middle_is_settled(world: World) -> None:
    world.silent = True
    sending = asyncio.create_task(world.send())
    await world.reached.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await world.ledger.close()
    (row,) = await world.rows()
    assert (row["state"], row["outcome"], row["flag"], row["attempts"][0]["status"]) == ("settled", "cut", "CUT", None)


async def test_nothing_is_sent_that_cannot_be_put_on_record(world: World) -> None:
    world.broken = True
    with pytest.raises(GatewayError) as caught:
        await world.send()
    assert caught.value.kind is Kind.INTERNAL
    assert not world.reached.is_set()
    assert world.shown == [("open", None), ("settled", "failed")]


@pytest.mark.parametrize(
    ("provider", "model", "tokens"),
    [
        ("anthropic", "claude-haiku-4-5", ("max_tokens", 1)),
        ("google", "gemini-2.5-flash", ("maxOutputTokens", 1)),
        ("openai", "gpt-4.1-mini", ("max_completion_tokens", 1)),
        ("groq", MODEL, ("max_tokens", 1)),
    ],
)
def test_the_smallest_request_of_each_format(provider: str, model: str, tokens: tuple[str, int]) -> None:
    account = providers.complete(Account("acc_1", provider, "main", secret="key-0123456789", models=(model,)))
    request, stream = ping(account, model, {})
    body = json.loads(request.body)
    assert (body.get("generationConfig") or body)[tokens[0]] == tokens[1]
    assert not stream
    assert not body.get("stream")
    facing = providers.facing(account, "openai-responses")
    if facing.wire == "openai-responses":
        assert json.loads(ping(facing, model, {})[0].body)["max_output_tokens"] == 16


def test_the_cheapest_model_that_can_tell() -> None:
    models = ("gpt-5", "gpt-4.1-nano", "text-embedding-3-small", "unknown-model")
    account = providers.complete(Account("acc_1", "openai", "main", models=models))
    assert model_for(account, "", paying=True) == "gpt-4.1-nano"
    assert model_for(account, f"model:{catalog.family('gpt-5')}", paying=False) == "gpt-5"
    assert model_for(account, "model:never-heard-of", paying=False) == ""
    assert model_for(account, f"model:{catalog.family('text-embedding-3-small')}", paying=False) == ""
    assert model_for(providers.complete(Account("acc_2", "demo", "d", models=("demo-chat",))), "", paying=True) == "demo-chat"
